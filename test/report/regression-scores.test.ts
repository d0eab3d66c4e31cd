/** Scores in the report of a regression: the definition that training and evaluation have. */
import t from 'tap'
import { targetScore } from '../../src/data/regression-score.js'
import { type RegressionResults, regressionReport } from '../../src/report/regression.js'

const results = (truth: readonly number[], predicted: readonly number[]): RegressionResults => ({
  ...{ weightsSha256: '', checkpoint: '', note: null, names: ['y'] },
  ...{ targets: Float32Array.from(truth), predicted: Float32Array.from(predicted), factor: [1] },
})

t.test('R² is undefined where all rows have the same target, for any value of it', async t => {
  for (const value of [0.1, 1 / 3, 1e-7, 123456.7, -0.7]) {
    for (const rows of [1, 3, 7, 1000]) {
      const truth = Array.from({ length: rows }, () => value)
      const [score] = regressionReport(
        results(
          truth,
          truth.map(of => of + 1),
        ),
      ).targets
      t.equal(score.r2, null, `${rows} rows of ${value}`)
      t.ok(Math.abs(score.rmse - 1) < 0.01, `RMSE ${score.rmse}, expected 1`)
    }
  }
})

t.test('R² and RMSE by hand: truth 1, 2, 3, 6, all predicted one too high', async t => {
  const [score] = regressionReport(results([1, 2, 3, 6], [2, 3, 4, 7])).targets
  t.match(score, { name: 'y', ...targetScore(4, 14, 4), mae: 1, bias: 1 })
  t.equal(score.r2, 1 - 4 / 14)
})

/** Scores of rows: as scikit-learn has them (test/score-oracle), and undefined where rows do not define them. */
import { readFile } from 'node:fs/promises'
import t, { type Test } from 'tap'
import { type ScoreName, scoreNamesOf } from '../../src/config/scores.js'
import { meanAbsoluteErrors, targetScores, targetSpread } from '../../src/data/regression-score.js'
import { classificationScores, multiLabelScores } from '../../src/data/scores/classification.js'
import { rankingScores } from '../../src/data/scores/ranking.js'

interface OracleCase {
  readonly labels: number[]
  readonly targets: number[]
  readonly outputs: number[]
  readonly scores: Record<string, number>
}
const oracle: Record<string, OracleCase> = JSON.parse(await readFile('test/score-oracle/scores.json', 'utf8'))

const NAMES = ['a', 'b', 'c', 'd']
const near = (t: Test, got: number | null | undefined, wanted: number, what: string) =>
  t.ok(typeof got === 'number' && Math.abs(got - wanted) < 1e-12, `${what}: ${got}, expected ${wanted}`)
const scored = (labels: number[], outputs: number[], classes: number, logLoss: number | null = 0.5) =>
  classificationScores({
    classNames: NAMES.slice(0, classes),
    labels: Int32Array.from(labels),
    outputs: Float32Array.from(outputs),
    logLoss,
  })

for (const [name, classes] of [
  ['binary', 2],
  ['four', 4],
  ['absent', 3],
] as const) {
  t.test(`classes, ${name}: within 1e-12 of scikit-learn`, async t => {
    const { labels, outputs, scores } = oracle[name]
    const { values } = scored(labels, outputs, classes, scores.logLoss ?? 1)
    for (const [score, wanted] of Object.entries(scores)) near(t, values[score as ScoreName], wanted, score)
  })
}

t.test('without rows of a class, ranking scores are undefined, and the class is named', async t => {
  const { labels, outputs } = oracle.absent
  const { values, reasons } = scored(labels, outputs, 3)
  t.match(values, { rocAuc: null, averagePrecision: null })
  t.equal(reasons.rocAuc, "no row has the class 'c'")
  t.same(Object.keys(reasons), ['rocAuc', 'averagePrecision'])
})

t.test('rows of a single class, all correct, do not get a score of 1', async t => {
  const { values, reasons } = scored([1, 1, 1], [0.1, 0.9, 0.2, 0.8, 0.3, 0.7], 2)
  t.match(values, { balancedAccuracy: null, macroF1: null, rocAuc: null, averagePrecision: null })
  t.equal(reasons.balancedAccuracy, "all rows have the class 'b'")
  t.ok(typeof values.brier === 'number' && values.brier > 0)
})

t.test('outputs of a squared error are ranked, but are no probabilities', async t => {
  const { values, reasons } = scored([0, 1, 1], [1.2, -0.2, 0.1, 0.9, 0.6, 0.4], 2, null)
  t.equal(values.rocAuc, 1)
  for (const name of ['logLoss', 'brier', 'calibrationError'] as const) {
    t.equal(values[name], null)
    t.match(reasons[name], /no probabilities/)
  }
})

t.test('labels: within 1e-12 of scikit-learn; ranking scores of a constant label are undefined', async t => {
  const { targets, outputs, scores } = oracle.labels
  const names = NAMES.slice(0, 3)
  const set = { names, targets: Float32Array.from(targets), probabilities: Float32Array.from(outputs), logLoss: 0.3 }
  const { values } = multiLabelScores(set)
  for (const [score, wanted] of Object.entries(scores)) near(t, values[score as ScoreName], wanted, score)
  t.equal(values.logLoss, 0.3)
  t.same(new Set(Object.keys(values)), new Set(scoreNamesOf('multi-label')))
  for (const [value, text] of [
    [0, "the label 'b' is set in no row"],
    [1, "the label 'b' is set in all rows"],
  ] as const) {
    const constant = set.targets.map((target, at) => (at % 3 === 1 ? value : target))
    const { values, reasons } = multiLabelScores({ ...set, targets: constant })
    t.equal(values.rocAuc, null)
    t.equal(reasons.averagePrecision, text)
  }
  const never = { ...set, targets: set.targets.map(() => 0), probabilities: set.probabilities.map(() => 0.5) }
  t.match(multiLabelScores(never).reasons.macroF1, /the label 'a' is neither set nor predicted/)
})

t.test('pairs with equal scores count half, in any order', async t => {
  const rank = (positive: number[], negative: number[]) =>
    rankingScores(Float32Array.from(positive), Float32Array.from(negative))
  t.match(rank([0.5, 0.5], [0.5, 0.5, 0.5]), { rocAuc: 0.5, averagePrecision: 0.4 })
  t.match(rank([0, 1], [-0]), { rocAuc: 0.75 }, 'zeros of both signs are equal')
  t.match(rank([0.9, 0.1], [0.5]), { rocAuc: 0.5, averagePrecision: (1 + 2 / 3) / 2 })
  t.equal(rank([], [1]), null)
  t.equal(rank([1], []), null)
})

t.test('calibration error: a gap in each of two bins', async t => {
  // Confidence 0.75 in two rows, both right; 0.9 in two rows, one right: gaps 0.25 and 0.4.
  const { values } = scored([0, 0, 1, 0], [0.75, 0.25, 0.75, 0.25, 0.1, 0.9, 0.1, 0.9], 2)
  t.ok(Math.abs((values.calibrationError ?? 0) - (0.25 + 0.4) / 2) < 1e-7)
})

t.test('regression: within 1e-6 of scikit-learn in the unit of the data, for any scaling', async t => {
  const { targets, outputs, scores } = oracle.regression
  const rows = targets.map((_, row) => row)
  const scaling = { offset: [2], factor: [0.25] }
  const spread = targetSpread(Float32Array.from(targets), rows, scaling)
  const scaled = (values: number[]) => Float32Array.from(values, value => (value - 2) * 0.25)
  const [one, other] = [scaled(outputs), scaled(targets)]
  const squares = one.reduce((sum, value, row) => sum + (value - other[row]) ** 2, 0)
  const [{ rmse, r2 }] = targetScores([squares], spread, scaling, rows.length)
  // Scaled values are rounded to f32.
  for (const [got, wanted] of [
    [rmse, scores.rmse],
    [r2, scores.r2],
    [meanAbsoluteErrors(one, other, spread, scaling)[0], scores.mae],
  ]) {
    t.ok(
      typeof got === 'number' && typeof wanted === 'number' && Math.abs(got - wanted) < 1e-6,
      `${got}, expected ${wanted}`,
    )
  }
  const constant = { offset: [3], factor: [0] }
  const of = targetSpread(Float32Array.from(targets), rows, constant)
  const size = targets.reduce((sum, value) => sum + Math.abs(value - 3), 0) / rows.length
  const [mae] = meanAbsoluteErrors(one, one, of, constant)
  t.ok(Math.abs(mae - size) < 1e-9, 'a target that was constant in training is predicted as that constant')
})

/** Scores beside accuracy, from a run to its files: the same for any number of workers, and usable to choose the best epoch. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { resolveExperiment } from '../../src/config/load.js'
import type { ExperimentInput } from '../../src/config/schema.js'
import { metricOf, type ScoreName, scoreNamesOf } from '../../src/config/scores.js'
import { train } from '../../src/coordinator/new-run.js'
import { resume } from '../../src/coordinator/resume.js'
import type { TrainingData } from '../../src/data/memory.js'
import { classificationScores } from '../../src/data/scores/classification.js'
import { Predictor } from '../../src/inference/predictor.js'
import { compareRuns, comparisonCsv, comparisonTable } from '../../src/report/comparison.js'
import { reportMarkdown } from '../../src/report/markdown.js'
import { reportPage } from '../../src/report/page.js'
import { readReport } from '../../src/report/report.js'
import { linkedStep } from '../../src/run/checkpoints.js'
import { philox } from '../../src/tensor/random.js'
import { eventsOfType } from '../helpers/metrics.js'

const dir = t.testdir()

const words = new Uint32Array(4)
/** Rows of three overlapping classes of unequal sizes. */
const rowsOf = (count: number, from: number) =>
  Array.from({ length: count }, (_, i) => {
    philox(words, from + i, 0, 0, 0, 17, 0)
    const [a, b, c] = [...words].map(word => word / 2 ** 32)
    return { features: [a, b, a * b + 0.3 * c], label: a + 0.4 * c > 1 ? 'rare' : b > 0.5 ? 'up' : 'down' }
  })
const samples = rowsOf(700, 0)
const features = samples.map(row => row.features)
const data: TrainingData = { features, labels: samples.map(row => row.label), test: { rows: rowsOf(333, 5000) } }
const targets: TrainingData = { features, targets: features.map(([a, b, c]) => [3 * a - b * c, 10 * b]) }

const experiment = (
  more: Omit<ExperimentInput, 'data'> = {},
  task: 'classification' | 'regression' = 'classification',
) =>
  resolveExperiment({
    data: { dataset: 'memory', task, validation: 0.25 },
    model: { hidden: [16] },
    train: { epochs: 2, batchSize: 32 },
    compute: { backend: 'wasm', workers: 1 },
    ...more,
  })

const summaryOf = async (run: string) => JSON.parse(await readFile(join(run, 'summary.json'), 'utf8'))

t.test('summary, evaluate, report and comparison have every score, and they are those of the predictions', async t => {
  const run = join(dir, 'classes')
  const { test, validation, train: ofTraining } = await train(experiment(), { runDir: run, data })
  const names = scoreNamesOf('classification')
  for (const name of names) {
    t.equal(typeof test?.[name], 'number', `test ${name}`)
    t.equal(typeof validation?.[name], 'number', `validation ${name}`)
  }
  t.same(Object.keys(ofTraining ?? {}), ['loss', 'accuracy'])
  t.equal(test?.logLoss, test?.loss)

  const rows = rowsOf(333, 5000)
  const predictor = await Predictor.open(run)
  const outputs = predictor.predict(rows.map(row => row.features)).data
  const { classNames } = predictor
  const labels = Int32Array.from(rows, row => classNames.indexOf(row.label))
  const { values } = classificationScores({ classNames, labels, outputs, logLoss: test?.loss ?? null })
  t.same(
    names.map(name => test?.[name]),
    names.map(name => values[name]),
    'the rows are in the order of the split',
  )
  t.match(await summaryOf(run), { test: { loss: test?.loss, accuracy: test?.accuracy, rocAuc: test?.rocAuc } })

  const report = await readReport([run], { onWarning: () => {} })
  const [page, markdown] = [reportPage(report), reportMarkdown(report)]
  const comparison = await compareRuns([run])
  for (const text of [page, markdown, comparisonTable(comparison)[0].join(), comparisonCsv(comparison)]) {
    for (const title of ['balanced accuracy', 'macro F1', 'ROC AUC', 'average precision', 'Brier score'])
      t.match(text, title)
  }
  t.equal(comparison.runs[0].results['test ROC AUC'], test?.rocAuc)
})

t.test('workers 1, 2, 3 and 7: the same scores', async t => {
  const scores = []
  for (const workers of [1, 2, 3, 7]) {
    const { test, validation } = await train(experiment({ compute: { backend: 'wasm', workers } }), {
      runDir: null,
      data,
    })
    scores.push({ test, validation })
  }
  for (const other of scores.slice(1)) t.same(other, scores[0])
})

t.test('every score can choose the best epoch; only that score is computed after an epoch', async t => {
  const best = async (name: ScoreName, task: 'classification' | 'regression') => {
    const run = join(dir, name)
    const settings = { checkpoint: { bestMetric: metricOf(name), keepLast: 9 } }
    await train(experiment(settings, task), { runDir: run, data: task === 'regression' ? oneTarget : data })
    const epochs = await eventsOfType(run, 'epoch')
    const values = epochs.map(({ validation }) => validation?.[name])
    for (const value of values) t.equal(typeof value, 'number', name)
    const keys = Object.keys(epochs[0].validation ?? {}).filter(key => !['r2', 'rmse'].includes(key) || key === name)
    t.same(new Set(keys), new Set(['loss', ...(task === 'regression' ? [] : ['accuracy']), name]))
    return values as number[]
  }
  const oneTarget: TrainingData = { features, targets: features.map(([a, b, c]) => 3 * a - b * c) }
  for (const name of scoreNamesOf('classification')) await best(name, 'classification')
  for (const name of scoreNamesOf('regression')) await best(name, 'regression')
})

t.test('the best epoch is that of the highest ROC AUC, or of the lowest Brier score, also after a resume', async t => {
  for (const [name, choose] of [
    ['rocAuc', Math.max],
    ['brier', Math.min],
  ] as const) {
    const run = join(dir, `best-${name}`)
    const settings = {
      checkpoint: { bestMetric: metricOf(name), keepLast: 9 },
      train: { epochs: 3, batchSize: 32 },
      optimizer: { learningRate: 0.3 },
    }
    await train(experiment(settings), { runDir: run, data })
    await resume(run, { overrides: ['train.epochs=8'], data })
    const epochs = await eventsOfType(run, 'epoch')
    t.equal(epochs.length, 8)
    const values = epochs.map(({ validation }) => validation?.[name] ?? Number.NaN)
    const { step } = epochs[values.indexOf(choose(...values))]
    t.equal(await linkedStep(join(run, 'checkpoints'), 'best'), step, name)
  }
})

t.test('a metric that does not apply to the task or targets is refused; an undefined one is reported', async t => {
  const wrong = { checkpoint: { bestMetric: 'validation-rmse' as const } }
  t.throws(
    () => experiment(wrong),
    /checkpoint.bestMetric.*"validation-roc-auc".*because data.task is "classification"/s,
  )
  await t.rejects(train(experiment(wrong, 'regression'), { runDir: null, data: targets }), {
    message: /checkpoint.bestMetric is "validation-rmse", expected .*"validation-r2".*2 targets/,
  })
  const warnings: string[] = []
  const single: TrainingData = { ...data, validation: { rows: [samples[0], samples[0]] } }
  const { validation } = await train(
    resolveExperiment({
      data: { dataset: 'memory' },
      model: { hidden: [4] },
      train: { epochs: 2 },
      compute: { backend: 'wasm', workers: 1 },
      checkpoint: { bestMetric: 'validation-roc-auc' },
    }),
    { runDir: null, data: single, onWarning: text => warnings.push(text) },
  )
  t.equal(validation?.rocAuc, null)
  t.equal(validation?.balancedAccuracy, null)
  t.match(validation?.reasons?.rocAuc, /all rows have the class/)
  t.equal(warnings.filter(text => text.includes('no epoch counts as the best')).length, 1)
})

t.test('regression of two targets: mean absolute errors by target; of one: beside the others', async t => {
  const { test } = await train(experiment({}, 'regression'), { runDir: null, data: targets })
  t.same(Object.keys(test ?? {}), ['loss', 'r2'])
  const one: TrainingData = { features, targets: features.map(([a]) => 100 * a) }
  const { test: single } = await train(experiment({}, 'regression'), { runDir: null, data: one })
  const { rmse, mae } = single ?? {}
  t.ok(typeof mae === 'number' && typeof rmse === 'number' && mae > 0 && mae < rmse, `MAE ${mae}, RMSE ${rmse}`)
})

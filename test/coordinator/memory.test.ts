/** Training from samples in memory: the same bits as from a file, a history, events one by one, and no other samples on resume. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { reproduce } from '../../src/coordinator/reproduce.js'
import { resume } from '../../src/coordinator/resume.js'
import { type EpochRecord, train } from '../../src/coordinator/run-handle.js'
import type { TrainingData } from '../../src/data/memory.js'
import { ConfigError, DataError, type ExperimentInput, resolveExperiment, type TrainEvent } from '../../src/index.js'
import { philox } from '../../src/tensor/random.js'

const dir = t.testdir()
const words = new Uint32Array(4)
/** Points of two kinds on a plane. */
const points = Array.from({ length: 200 }, (_, i) => {
  philox(words, i, 0, 0, 0, 11, 0)
  const [a, b] = [...words].map(word => Math.fround(word / 2 ** 32 - 0.5))
  return [Math.fround(a + (i % 2)), b]
})
const labels = points.map((_, i) => ['left', 'right'][i % 2])
const data: TrainingData = { features: points, labels }

const experiment = (more: Partial<ExperimentInput> = {}): ExperimentInput => ({
  data: { dataset: 'memory', validation: 0.2 },
  model: { hidden: [8] },
  train: { epochs: 3, batchSize: 16 },
  compute: { backend: 'wasm', workers: 2 },
  ...more,
})

t.test('arrays and a generator with the same samples give the same weights', async t => {
  const fromMemory = await train(experiment(), { runDir: null, data })
  const generated = function* () {
    for (const [i, features] of points.entries()) yield { features, label: labels[i] }
  }
  const fromRows = await train(experiment(), { runDir: null, data: { rows: generated() } })
  t.equal(fromRows.weightsSha256, fromMemory.weightsSha256)
  t.same(fromRows.test, fromMemory.test)
})

t.test('separate validation and test samples are scored and never trained on', async t => {
  const [validation, test] = [
    { features: points.slice(0, 30), labels: labels.slice(0, 30) },
    { features: points.slice(30, 70), labels: labels.slice(30, 70) },
  ]
  const rest = { features: points.slice(70), labels: labels.slice(70) }
  const own = experiment({ data: { dataset: 'memory' } })
  const rows: unknown[] = []
  const onEvent = (event: TrainEvent) => event.type === 'start' && rows.push(event.rows)
  const split = await train(own, { runDir: null, data: { ...rest, validation, test }, onEvent })
  t.same(rows, [{ train: 130, validation: 30, test: 40 }])
  t.type(split.history[2].validation!.accuracy, 'number')
  const plain = await train(own, { runDir: null, data: { ...rest, test } })
  t.equal(split.weightsSha256, plain.weightsSha256, 'validation samples leave the weights as they are')
  const turned = { ...validation, labels: validation.labels.map(label => (label === 'left' ? 'right' : 'left')) }
  const against = await train(own, { runDir: null, data: { ...rest, validation: turned, test } })
  const scores = [split, against].map(({ history }) => history[2].validation!.accuracy!)
  t.ok(Math.abs(scores[0] + scores[1] - 1) < 1e-6, 'these very samples are scored')
  await t.rejects(train(experiment(), { runDir: null, data: { ...rest, validation } }), {
    message: 'data.validation is 0.2, expected 0, because validation samples are given',
  })
  const unknown = { features: [[0, 0]], labels: ['above'] }
  await t.rejects(train(own, { runDir: null, data: { ...rest, validation: unknown } }), { message: /'above'/ })
  const wide = { features: [[0, 0, 0]], labels: ['left'] }
  await t.rejects(train(own, { runDir: null, data: { ...rest, test: wide } }), {
    message: /test samples: features are float32 of 1 x 3, expected float32 of 1 x 2/,
  })
})

t.test('regression targets; the loss follows from the task', async t => {
  const own = experiment({
    data: { dataset: 'memory', task: 'regression' },
    train: { epochs: 30, batchSize: 16 },
    model: { hidden: [32], dropout: 0 },
    optimizer: { learningRate: 0.01 },
  })
  const targets = points.map(([x, y]) => 100 * x + y)
  const { test } = await train(own, { runDir: null, data: { features: points, targets } })
  t.ok(test!.r2! > 0.9, `R² ${test!.r2}`)
})

t.test('resume and reproduce require the same samples', async t => {
  const runDir = join(dir, 'run')
  const done = await train(experiment(), { runDir, data })
  t.equal(done.runDir, runDir)
  const resolved = JSON.parse(readFileSync(join(runDir, 'resolved.json'), 'utf8'))
  t.equal(resolved.data.dataset, 'memory')
  const { files } = JSON.parse(readFileSync(join(runDir, 'manifest.json'), 'utf8')).data
  t.match(files, [{ path: 'memory: training samples', md5: /^[0-9a-f]{32}$/ }])
  const overrides = ['train.epochs=4']
  await t.rejects(resume(runDir, { overrides }), { name: 'ConfigError', message: /data\.dataset is "memory"/ })
  const other = { features: points.map(([x, y], i) => [i === 7 ? x + 1 : x, y]), labels }
  await t.rejects(resume(runDir, { overrides, data: other }), { name: 'DataError', message: /MD5/ })
  await t.rejects(resume(runDir, { overrides, data: { features: points, labels: [...labels].reverse() } }), DataError)
  const { summary } = await resume(runDir, { overrides, data })
  const straight = await train(experiment({ train: { epochs: 4, batchSize: 16 } }), { runDir: null, data })
  t.equal(summary.weightsSha256, straight.weightsSha256)
  t.equal((await reproduce(runDir, { data })).identical, true)
  await t.rejects(reproduce(runDir), ConfigError)
})

t.test('samples and data set must go together', async t => {
  await t.rejects(train(experiment(), { runDir: null }), { message: /data\.dataset is "memory", expected the samples/ })
  await t.rejects(train(experiment({ data: { dataset: 'digits' } }), { runDir: null, data }), {
    message: 'data.dataset is \'digits\', expected "memory", because samples are given',
  })
  t.throws(() => resolveExperiment(experiment({ data: { dataset: 'memory', path: 'x' } })), /expected null/)
  const everySteps = experiment({ data: { dataset: 'memory' }, train: { epochs: 1, evaluateEverySteps: 2 } })
  await t.rejects(train(everySteps, { runDir: null, data }), { message: /needs a validation split/ })
})

t.test('the history has the values of the epoch events', async t => {
  const epochs: EpochRecord[] = []
  const { history, runDir } = await train(experiment(), {
    runDir: null,
    data,
    onEvent(event) {
      if (event.type === 'epoch') epochs.push(event)
    },
  })
  t.equal(runDir, null)
  t.equal(history.length, 3)
  for (const [i, record] of history.entries()) {
    t.match(epochs[i], record)
    t.equal(record.epoch, i + 1)
    t.type(record.train!.loss, 'number')
    t.type(record.validation!.loss, 'number')
    t.type(record.learningRate, 'number')
  }
})

t.test('async iteration over events, leaving the loop early, and disposal of a run', async t => {
  const run = train(experiment(), { runDir: null, data })
  const types: string[] = []
  for await (const event of run) types.push(event.type)
  t.equal(types[0], 'start')
  t.equal(types.at(-1), 'end')
  t.equal(types.filter(type => type === 'epoch').length, 3)
  t.equal((await run).status, 'completed')

  const left = train(experiment(), { runDir: null, data })
  for await (const _ of left) break
  t.equal((await left).status, 'completed', 'leaving the loop leaves the training running')

  const long = train(experiment({ train: { epochs: 100_000, batchSize: 16 } }), { runDir: null, data })
  for await (const event of long) if (event.type === 'epoch') long.stop()
  t.equal((await long).status, 'interrupted')

  const disposed = train(experiment({ train: { epochs: 100_000, batchSize: 16 } }), { runDir: null, data })
  await disposed[Symbol.asyncDispose]()
  t.equal((await disposed).status, 'interrupted')

  const aborted = train(experiment({ train: { epochs: 100_000, batchSize: 16 } }), {
    ...{ runDir: null, data },
    signal: AbortSignal.timeout(1),
  })
  t.equal((await aborted).status, 'interrupted')

  const failing = train(experiment({ data: { dataset: 'digits' } }), { runDir: null, data })
  await t.rejects(
    (async () => {
      for await (const _ of failing);
    })(),
    ConfigError,
    'a failure comes out of the loop, and is no unhandled rejection',
  )
})

t.test('rows that look like another task: a warning or a note says so', async t => {
  const told = async (set: TrainingData, task: 'classification' | 'regression') => {
    const texts: string[] = []
    const own = experiment({ data: { dataset: 'memory', task }, train: { epochs: 1, batchSize: 64 } })
    const onEvent = (event: TrainEvent) => event.type === 'start' && texts.push(...(event.notes ?? []))
    await train(own, { runDir: null, data: set, onWarning: text => texts.push(text), onEvent })
    return texts.join('\n')
  }
  const quantities = points.map((_, i) => i % 60)
  const hint = /has 60 classes in 200 rows, and all are numbers; to predict quantities: data.task "regression"/
  t.match(await told({ features: points, labels: quantities }, 'classification'), hint)
  const names = quantities.map(number => `bird ${number}`)
  t.notMatch(await told({ features: points, labels: names }, 'classification'), /quantities/)
  const codes = points.map((_, i) => i % 3)
  t.match(
    await told({ features: points, targets: codes }, 'regression'),
    /the target has 3 different integers; to predict classes: data.task "classification"/,
  )
  t.notMatch(await told({ features: points, targets: quantities }, 'regression'), /classes/)
})

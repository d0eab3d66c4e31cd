/** Numbers as targets, from the file to the prediction: bits, checkpoints, scores, and values in the data's units. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { unzipSync } from 'fflate'
import * as ort from 'onnxruntime-web'
import t, { type Test } from 'tap'
import { resolveExperiment } from '../../src/config/load.js'
import type { ExperimentInput } from '../../src/config/schema.js'
import { train } from '../../src/coordinator/new-run.js'
import { resume } from '../../src/coordinator/resume.js'
import { chunkOfRows } from '../../src/data/table/rows.js'
import { exportWeights } from '../../src/export/export.js'
import { encodeNpz } from '../../src/export/npz.js'
import { parseNpy } from '../../src/formats/npy.js'
import { askAboutTest } from '../../src/inference/ask.js'
import { evaluate } from '../../src/inference/evaluate.js'
import { answersOf, loadTestSamples } from '../../src/inference/examples.js'
import { Predictor } from '../../src/inference/predictor.js'
import { rowsByError } from '../../src/inference/row-errors.js'
import { compareRuns } from '../../src/report/comparison.js'
import { reportPage } from '../../src/report/page.js'
import { readReport } from '../../src/report/report.js'
import { philox } from '../../src/tensor/random.js'
import { gradloom } from '../cli/run-cli.js'
import { tableFeeds } from '../export/table-feeds.js'
import { eventsOfType } from '../helpers/metrics.js'

const dir = t.testdir()
const path = join(dir, 'houses.csv')

/** Prices in the hundred thousands, rents in the hundreds, by three features of other sizes. */
const words = new Uint32Array(4)
const houses = Array.from({ length: 400 }, (_, i) => {
  philox(words, i, 0, 0, 0, 9, 0)
  const [a, b, c, d] = [...words].map(word => word / 2 ** 32)
  const [area, rooms, age] = [30 + 170 * a, 1 + Math.floor(6 * b), 80 * c]
  const price = 2000 * area + 15_000 * rooms - 900 * age + 12_000 * (d - 0.5)
  return { area, rooms, age, price: Math.round(price), rent: price / 400 + 20 * (d - 0.5) }
})
const lines = houses.map(({ area, rooms, age, price, rent }) =>
  [area.toFixed(1), rooms, age.toFixed(1), price, rent.toFixed(2)].join(','),
)
writeFileSync(path, `area,rooms,age,price,rent\n${lines.join('\n')}\n`)

const experiment = (label: string[], more: Partial<ExperimentInput> = {}): ExperimentInput => ({
  data: {
    ...{ dataset: 'table', path, task: 'regression', validation: 0.2 },
    ...(label.length > 0 && { target: label }),
    columns: Object.fromEntries(['price', 'rent'].filter(name => !label.includes(name)).map(name => [name, 'ignore'])),
  },
  model: { hidden: [24], dropout: 0.1 },
  train: { epochs: 20, batchSize: 16, l2: 0, loss: 'mean-squared-error' },
  optimizer: { learningRate: 0.005 },
  compute: { backend: 'wasm', workers: 2 },
  ...more,
})
const run = join(dir, 'run')
const two = join(dir, 'two')
const summary = await train(resolveExperiment(experiment(['price'])), { runDir: run })
await train(resolveExperiment(experiment(['price', 'rent'])), { runDir: two })

t.test('targets in the hundred thousands are learned; R² is reported in place of accuracy', async t => {
  const { test, train, validation } = summary
  t.ok(test!.r2! > 0.95, `R² ${test!.r2}`)
  for (const score of [test, train, validation]) t.notOk('accuracy' in score!)
  t.ok(Math.abs(train!.r2! - (1 - train!.loss)) < 1e-6, 'targets are standardised by the training rows')
  for (const event of eventsOfType(run, 'epoch')) {
    t.ok(Math.abs(event.train!.r2! - (1 - event.train!.loss)) < 1e-6)
    t.notSame(event.validation!.r2, 1 - event.validation!.loss)
  }
  const events = readFileSync(join(run, 'metrics.jsonl'), 'utf8').trim().split('\n')
  t.notMatch(events.join('\n'), /accuracy/)
  const { test: scored, ...kept } = JSON.parse(readFileSync(join(run, 'summary.json'), 'utf8'))
  t.same([scored, kept.status], [test, 'completed'])
})

t.test('neither the number of workers nor a stop changes a bit', async t => {
  const digest = async (compute: ExperimentInput['compute']) =>
    (await train(resolveExperiment(experiment(['price'], { compute })), { runDir: null })).weightsSha256
  for (const workers of [1, 3]) t.equal(await digest({ backend: 'wasm', workers }), summary.weightsSha256)
  const stopped = join(dir, 'stopped')
  const stop = new AbortController()
  await train(resolveExperiment(experiment(['price'])), {
    ...{ runDir: stopped, signal: stop.signal },
    onEvent: event => event.type === 'epoch' && event.epoch === 7 && stop.abort(),
  })
  t.equal((await resume(stopped)).summary.weightsSha256, summary.weightsSha256)
})

t.test('evaluate: the same scores, and the error in the unit of the target', async t => {
  const { rmse, loss, ...scored } = await evaluate(run)
  t.equal(loss, summary.test!.loss)
  t.notOk('accuracy' in scored || 'correct' in scored)
  const { data } = (await Predictor.open(run)).predict((await loadTestSamples(await Predictor.open(run))).features)
  const { targets } = await loadTestSamples(await Predictor.open(run))
  const mean = targets.reduce((sum, target, row) => sum + (data[row] - target) ** 2, 0) / targets.length
  t.ok(Math.abs(rmse! / Math.sqrt(mean) - 1) < 1e-4, `${rmse}, by the predictions ${Math.sqrt(mean)}`)
  const ofTwo = await Predictor.open(two)
  const test = await loadTestSamples(ofTwo)
  const { data: both } = ofTwo.predict(test.features)
  const { rmse: one, r2, targets: each } = await evaluate(two)
  t.equal(one, undefined, 'of two targets there are two units')
  t.ok(Math.abs(r2! - (each![0].r2! + each![1].r2!) / 2) < 1e-12, 'the mean over the targets')
  for (const [k, error] of each!.entries()) {
    const squares = test.targets.reduce((sum, y, i) => (i % 2 === k ? sum + (both[i] - y) ** 2 : sum), 0)
    t.equal(error.name, ['price', 'rent'][k])
    const truth = [...test.targets].filter((_, i) => i % 2 === k)
    const mean = truth.reduce((sum, y) => sum + y, 0) / truth.length
    const want = 1 - squares / truth.reduce((sum, y) => sum + (y - mean) ** 2, 0)
    t.ok(Math.abs(error.r2! - want) < 1e-6, `${error.name}: R² ${error.r2}, by the predictions ${want}`)
    t.ok(Math.abs(error.rmse / Math.sqrt(squares / test.rows) - 1) < 1e-4, `${error.name}: ${error.rmse}`)
  }
  t.equal((await evaluate(two, { split: 'validation' })).targets!.length, 2)
})

t.test('predict: values by name beside the true values, the largest errors first', async t => {
  const predictor = await Predictor.open(two)
  const test = await loadTestSamples(predictor)
  const order = rowsByError(answersOf(predictor, test))
  t.ok(order[0].squaredError >= order[1].squaredError && order.length === test.rows)
  const [answer] = askAboutTest(predictor, test, [order[40].index])
  t.match(answer, { top: [], truth: null, values: [{ name: 'price' }, { name: 'rent' }] })
  for (const { value, truth } of answer.values) t.ok(Math.abs(value / truth! - 1) < 0.2, `${value}, is ${truth}`)
  t.throws(() => predictor.predictClasses(test.features), /predicts targets, expected a network that predicts classes/)

  const said = await gradloom(['predict', two, '--index', '3'])
  t.match(said.stdout, /^test row 3\nprice [\d,]+ {2}truth [\d,]+, [\d,.]+ too (low|high)\nrent [\d.,]+/)
  const evaluated = await gradloom(['evaluate', run])
  t.match(
    evaluated.stdout,
    /^test: R² 0\.9\d+, loss 0\.0\d+, root mean squared error [\d,.]+, mean absolute error [\d,.]+; 80 rows\n$/,
  )
})

t.test('exported models predict in the units of the data', async t => {
  const predictor = await Predictor.open(two)
  const { features: images } = await loadTestSamples(predictor)
  const { data: own } = predictor.predict(images)
  const chunk = chunkOfRows(predictor.source.input.table!, houses)
  const { data: answers } = predictor.predict(houses)
  const file = join(t.testdir(), 'model.onnx')
  await exportWeights(two, file)
  ort.env.wasm.numThreads = 1
  const session = await ort.InferenceSession.create(new Uint8Array(readFileSync(file)))
  const { outputs } = await session.run(tableFeeds(predictor.source.input.table!, chunk))
  const got = outputs.data as Float32Array
  t.ok(answers.every((value, i) => Math.abs(got[i] / value - 1) < 1e-4))
  const bytes = readFileSync(file, 'latin1')
  t.match(bytes, /targets.*\["price","rent"\].*outputs.*numbers in the units of the data/s, 'and the file says so')
  t.notMatch(bytes, /classes/)

  const archive = join(t.testdir(), 'model.npz')
  await exportWeights(two, archive)
  const arrays = unzipSync(new Uint8Array(readFileSync(archive)))
  const of = (name: string) => parseNpy(name, arrays[`${name}.npy`]).values
  const [offset, factor] = [of('input.offset'), of('input.factor')]
  const layer = (x: number[], i: number) => {
    const [weight, bias] = [of(`layers.${i}.weight`), of(`layers.${i}.bias`)]
    return Array.from(bias, (b, o) => x.reduce((sum, value, f) => sum + value * weight[f * bias.length + o], b))
  }
  for (let row = 0; row < 5; row++) {
    const x = [0, 1, 2].map(f => (images[row * 3 + f] - offset[f]) * factor[f])
    const hidden = layer(x, 0).map(value => Math.max(value, 0))
    for (const [k, value] of layer(hidden, 1).entries())
      t.ok(Math.abs(value / own[row * 2 + k] - 1) < 1e-4, `npz: ${value}, ${own[row * 2 + k]}`)
  }
})

t.test('arrays: (rows, targets)', async t => {
  const archive = join(t.testdir(), 'houses.npz')
  const features = Float32Array.from(houses.flatMap(({ area, rooms, age }) => [area, rooms, age]))
  const targets = Float32Array.from(houses.flatMap(({ price, rent }) => [price, rent]))
  const arrays = [
    { name: 'x_train', shape: [400, 3], data: features },
    { name: 'y_train', shape: [400, 2], data: targets },
  ]
  writeFileSync(archive, encodeNpz(arrays))
  const data = { dataset: 'npz', path: archive, task: 'regression' } as const
  const { test } = await train(resolveExperiment(experiment([], { data })), { runDir: null })
  t.ok(test!.r2! > 0.9, `R² ${test!.r2}`)
  const wrong = join(t.testdir(), 'wrong.npz')
  writeFileSync(wrong, encodeNpz([arrays[0], { ...arrays[1], shape: [200, 4] }]))
  const other = { ...data, path: wrong }
  await t.rejects(train(resolveExperiment(experiment([], { data: other })), { runDir: null }), {
    message: /x_train has 400 rows, expected 200, as y_train has/,
  })
})

t.test('report and compare: errors of each target, predicted against true', async t => {
  const report = await readReport([two, run])
  const [{ test }] = report.runs
  if (!('targets' in test)) return void t.fail('no report of targets')
  const predictor = await Predictor.open(two)
  const images = await loadTestSamples(predictor)
  t.match(test.targets, [{ name: 'price' }, { name: 'rent' }])
  t.ok(test.targets.every(({ r2, rmse, mae }) => r2! > 0.9 && mae < rmse))
  t.equal(test.worst[0].values[0].truth, images.targets[2 * test.worst[0].index])
  const order = rowsByError(answersOf(predictor, images))
  t.same(
    test.worst.map(({ index }) => index),
    order.slice(0, 20).map(({ index }) => index),
    'the same rows as `predict --wrong`',
  )
  const page = reportPage(report)
  for (const text of ['price: predicted and true', 'R² on the validation rows', 'test R²']) t.ok(page.includes(text))
  t.notMatch(page, /accuracy|NaN|undefined/)
  const again = await readReport([two, run])
  t.equal(reportPage(again), page, 'what was kept gives the same page')
  const { runs } = await compareRuns([run, two])
  t.equal(runs[0].results['test R²'], summary.test!.r2)
})

t.test('settings that regression does not support are refused', async t => {
  const refused = (more: Partial<ExperimentInput>, message: RegExp) =>
    t.throws(() => resolveExperiment({ ...experiment(['price']), ...more }), { message })
  t.equal(resolveExperiment(experiment(['price'], { train: {} })).experiment.train.loss, 'mean-squared-error')
  refused(
    { train: { loss: 'cross-entropy' } },
    /train\.loss is 'cross-entropy', expected "mean-squared-error" or null, because data\.task/,
  )
  refused({ data: { dataset: 'digits', task: 'regression' } }, /data\.task is 'regression', expected "classification"/)
  refused(
    { data: { dataset: 'table', path, task: 'classification', target: ['price', 'rent'] } },
    /data\.target .* expected one column/,
  )
  refused({ checkpoint: { bestMetric: 'validation-accuracy' } }, /expected "auto", "validation-loss" or "train-loss"/)
  const rejected = (text: string, label: string[], message: RegExp) => {
    const file = join(t.testdir({ 'bad.csv': text }), 'bad.csv')
    const data = { dataset: 'table', path: file, task: 'regression', target: label } as const
    return t.rejects(train(resolveExperiment(experiment(label, { data })), { runDir: null }), { message })
  }
  await rejected('x,y\n1,2\n2,many\n', ['y'], /the target 'y' in row 2 is 'many', expected a number/)
  await rejected('x,y\n1,2\n', ['z'], /data\.target is 'z', expected one of its columns: 'x', 'y'/)
  await rejected('x,y\n1,2\n', ['y', 'y'], /data\.target has 'y' twice/)
  // Seconds since 1970: f32 has steps of 128 there.
  const times = Array.from({ length: 40 }, (_, i) => `${i},${1_700_000_000 + i}`).join('\n')
  await rejected(
    `x,y\n${times}\n`,
    ['y'],
    /'y' is 1700000019\.5\d* on average .* expected values that stay different in f32/,
  )
})

t.test('test rows must have the targets of the training rows', async t => {
  const folder = t.testdir({
    'held.csv': 'area,rooms,age,rent\n50,2,10,300\n',
    'renamed.csv': 'area,rooms,age,cost\n50,2,10,300\n',
  })
  const held = join(folder, 'held.csv')
  const table = { dataset: 'table', path, testPath: held, task: 'regression' } as const
  const failed = (data: ExperimentInput['data']) => train(resolveExperiment(experiment([], { data })), { runDir: null })
  const columns = { price: 'ignore' } as const
  await t.rejects(failed({ ...table, target: ['price'] }), { message: /held\.csv: has no column 'price'/ })
  await t.rejects(failed({ ...table, columns, testPath: join(folder, 'renamed.csv') }), {
    message:
      /renamed\.csv: has no column 'rent', expected all that the model takes; it has 'area', 'rooms', 'age', 'cost'/,
  })
  const archive = join(folder, 'other.npz')
  const array = (name: string, shape: number[]) => ({
    ...{ name, shape },
    data: new Float32Array(shape.reduce((size, dim) => size * dim)).map((_, i) => i),
  })
  writeFileSync(
    archive,
    encodeNpz([array('x_train', [20, 3]), array('y_train', [20]), array('x_test', [5, 3]), array('y_test', [5, 2])]),
  )
  await t.rejects(failed({ dataset: 'npz', path: archive, task: 'regression' }), { message: /the test rows have/ })
})

t.test('a constant target is reported', async t => {
  const file = join(t.testdir({ 'same.csv': `x,y\n${'1,7\n2,7\n3,7\n4,7\n5,7\n'.repeat(4)}` }), 'same.csv')
  const same = join(dir, 'same')
  const data = { dataset: 'table', path: file, task: 'regression' } as const
  await train(resolveExperiment(experiment(['y'], { data })), { runDir: same })
  const predictor = await Predictor.open(same)
  t.ok(predictor.predict(Float32Array.of(1, 100)).data.every(value => value === 7))
  t.match(await evaluate(same), { r2: null, rmse: 0 }, 'R² is undefined, as the truth is the same in all rows')
})

/** x and some targets by it, all rows of one split. */
function table(file: string, rows: readonly (readonly number[])[]): string {
  const names = ['x', ...rows[0].slice(1).map((_, k) => `y${k}`)]
  writeFileSync(file, `${names.join(',')}\n${rows.map(row => row.join(',')).join('\n')}\n`)
  return file
}

/** R² by the formula in scikit-learn's documentation; null where all targets are the same. */
function r2Of(truth: readonly number[], predicted: readonly number[]): number | null {
  const mean = truth.reduce((sum, y) => sum + y) / truth.length
  const total = truth.reduce((sum, y) => sum + (y - mean) ** 2, 0)
  const residual = truth.reduce((sum, y, i) => sum + (y - predicted[i]) ** 2, 0)
  return total === 0 ? null : 1 - residual / total
}
const rmseOf = (truth: readonly number[], predicted: readonly number[]) =>
  Math.sqrt(truth.reduce((sum, y, i) => sum + (y - predicted[i]) ** 2, 0) / truth.length)

/** Trains on given rows, scores others, and compares every place that says R² with the predictions. */
async function scoresOf(t: Test, train1: readonly (readonly number[])[], test: readonly (readonly number[])[]) {
  const folder = t.testdir()
  const data = {
    ...({ dataset: 'table', task: 'regression', validation: 0.25 } as const),
    path: table(join(folder, 'train.csv'), train1),
    testPath: table(join(folder, 'test.csv'), test),
    target: train1[0].slice(1).map((_, k) => `y${k}`),
  }
  const runDir = join(folder, 'run')
  const more: Partial<ExperimentInput> = { data, model: { hidden: [8] } }
  const loaded = resolveExperiment({
    ...experiment([], more),
    train: { epochs: 3, batchSize: 16, l2: 0, loss: 'mean-squared-error' },
  })
  const { test: scored } = await train(loaded, { runDir })
  const predictor = await Predictor.open(runDir)
  const { features: images, targets, rows } = await loadTestSamples(predictor)
  const { data: predicted } = predictor.predict(images)
  const width = targets.length / rows
  const column = (of: Float32Array, k: number) => [...of].filter((_, i) => i % width === k)
  const want = Array.from({ length: width }, (_, k) => ({
    r2: r2Of(column(targets, k), column(predicted, k)),
    rmse: rmseOf(column(targets, k), column(predicted, k)),
  }))
  const report = (await readReport([runDir])).runs[0].test
  if (!('targets' in report)) throw new Error('no report of targets')
  return { runDir, scored: scored!, evaluated: await evaluate(runDir), reported: report.targets, want }
}
const near = (got: number | null | undefined, want: number | null) =>
  want === null ? got === null : typeof got === 'number' && Math.abs(got - want) <= 1e-5 * Math.max(1, Math.abs(want))

t.test('R² is against the mean of the scored rows everywhere', async t => {
  // Test rows in a hundredth of the range of the training rows: against their spread, noise would be nothing.
  const noise = (i: number) => 3 * Math.sin(i * 12.9898)
  const { scored, evaluated, reported, want } = await scoresOf(
    t,
    Array.from({ length: 80 }, (_, i) => [i, i + noise(i)]),
    Array.from({ length: 21 }, (_, i) => [49 + i / 10, 49 + i / 10 + noise(i + 7)]),
  )
  const [{ r2, rmse }] = want
  t.ok(r2! < 0.5, `${r2}, not almost 1`)
  for (const got of [scored, evaluated, reported[0]])
    t.ok(near(got.r2, r2) && near(got.rmse, rmse), JSON.stringify(got))
})

t.test('a target that is constant in training: the real error, and R² of the scored rows', async t => {
  const both = await scoresOf(
    t,
    Array.from({ length: 40 }, (_, i) => [i, 2 * i, 5]),
    Array.from({ length: 10 }, (_, i) => [i, 2 * i, i < 5 ? 7 : 6]),
  )
  t.ok(near(both.want[1].rmse, Math.sqrt(2.5)), 'predicted as 5')
  for (const [k, { r2, rmse }] of both.want.entries()) {
    for (const got of [both.evaluated.targets![k], both.reported[k]]) {
      t.ok(near(got.r2, r2) && near(got.rmse, rmse), `${k}: ${JSON.stringify(got)}, ${JSON.stringify({ r2, rmse })}`)
    }
  }
  const mean = (both.want[0].r2! + both.want[1].r2!) / 2
  t.ok(near(both.evaluated.r2, mean) && near(both.scored.r2, mean))
  const alone = await scoresOf(
    t,
    Array.from({ length: 40 }, (_, i) => [i, 5]),
    Array.from({ length: 10 }, (_, i) => [i, 7]),
  )
  t.match(alone.evaluated, { r2: null, rmse: 2 })
  t.match(alone.scored, { r2: null, rmse: 2 })
  t.match(alone.reported, [{ r2: null, rmse: 2 }])
  const said = await gradloom(['evaluate', alone.runDir])
  t.match(
    said.stdout,
    /R² undefined \(the target is the same in all rows\), loss [\d.]+, root mean squared error 2, mean absolute error 2;/,
  )
})

t.test('R² of one row is undefined', async t => {
  const { scored, evaluated, reported } = await scoresOf(
    t,
    Array.from({ length: 40 }, (_, i) => [i, 3 * i]),
    [[3, 11]],
  )
  for (const got of [scored, evaluated, reported[0]]) t.match(got, { r2: null, rmse: Number })
})

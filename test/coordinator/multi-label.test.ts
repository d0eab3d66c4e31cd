/** Yes/no labels, from the file to the answer: bits, checkpoints, scores, predictions and exported models. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as ort from 'onnxruntime-web'
import t from 'tap'
import { resolveExperiment } from '../../src/config/load.js'
import type { ExperimentInput } from '../../src/config/schema.js'
import { scoreNamesOf } from '../../src/config/scores.js'
import { train } from '../../src/coordinator/new-run.js'
import { reproduce } from '../../src/coordinator/reproduce.js'
import { resume } from '../../src/coordinator/resume.js'
import { openTableReader } from '../../src/data/table/duckdb/open.js'
import { chunkOfRows } from '../../src/data/table/rows.js'
import { exportWeights } from '../../src/export/export.js'
import { encodeNpz } from '../../src/export/npz.js'
import { evaluate } from '../../src/inference/evaluate.js'
import { loadTestSamples } from '../../src/inference/examples.js'
import { Predictor } from '../../src/inference/predictor.js'
import { readCheckpoint } from '../../src/run/checkpoint-file.js'
import { philox } from '../../src/tensor/random.js'
import { gradloom } from '../cli/run-cli.js'
import { tableFeeds } from '../export/table-feeds.js'

const dir = t.testdir()
const path = join(dir, 'weather.csv')
const LABELS = ['rain', 'warm', 'storm']

/** Three labels that overlap in three spellings, a category, and a weight. */
const words = new Uint32Array(4)
const rows = Array.from({ length: 300 }, (_, i) => {
  philox(words, i, 0, 0, 0, 31, 0)
  const [a, b, c, d] = [...words].map(word => word / 2 ** 32)
  const site = ['coast', 'hill', 'town'][i % 3]
  const [rain, warm] = [a + 0.2 * (d - 0.5) > 0.6, b > 0.5]
  return {
    humidity: a,
    height: b,
    wind: c,
    site,
    rain,
    warm,
    storm: rain && c > 0.5 && site !== 'town',
    weight: 0.5 + d,
  }
})
type Row = (typeof rows)[number]
const lineOf = ({ humidity, height, wind, site, rain, warm, storm, weight }: Row) => [
  humidity.toFixed(4),
  height.toFixed(4),
  wind.toFixed(4),
  site,
  rain ? 'yes' : 'no',
  warm,
  Number(storm),
  weight.toFixed(3),
]
const csvOf = (of: readonly Row[]) =>
  `humidity,height,wind,site,rain,warm,storm,weight\n${of.map(row => lineOf(row).join(',')).join('\n')}\n`
writeFileSync(path, csvOf(rows))

const experiment = (more: Partial<ExperimentInput> = {}, data = {}) =>
  resolveExperiment({
    data: { dataset: 'table', path, target: LABELS, weight: 'weight', validation: 0.2, ...data },
    model: { hidden: [16], dropout: 0.1 },
    optimizer: { learningRate: 0.02 },
    compute: { backend: 'wasm', workers: 2 },
    checkpoint: { bestMetric: 'validation-macro-f1' },
    ...more,
    train: { epochs: 12, batchSize: 16, l2: 0, ...more.train },
  })
const run = join(dir, 'run')
const summary = await train(experiment(), { runDir: run })

t.test('labels are learned; every score of labels, and accuracy as the fraction of correct labels', async t => {
  const { test, validation } = summary
  t.ok(test!.accuracy! > 0.85, `accuracy ${test!.accuracy}`)
  for (const score of [test!, validation!]) {
    t.same(Object.keys(score), ['loss', 'accuracy', ...scoreNamesOf('multi-label')])
    t.equal(score.logLoss, score.loss)
  }
  const resolved = JSON.parse(readFileSync(join(run, 'resolved.json'), 'utf8'))
  t.same([resolved.data.task, resolved.train.loss], ['multi-label', 'binary-cross-entropy'])
  t.match((await readCheckpoint(join(run, summary.checkpoint!))).input, { task: 'multi-label', classNames: LABELS })
})

t.test('workers 1, 2, 3 and 7, both forms of allReduce, stopped and resumed, reproduced: the same bits', async t => {
  for (const more of [
    {},
    { train: { accumulateSteps: 2 } },
    { train: { clipNorm: 0.5 } },
    { model: { hidden: [16], norm: 'batch' as const } },
  ]) {
    const digests = []
    for (const workers of [1, 2, 3, 7]) {
      const compute = { backend: 'wasm' as const, workers }
      digests.push((await train(experiment({ ...more, compute }), { runDir: null })).weightsSha256)
    }
    t.equal(new Set(digests).size, 1, JSON.stringify(more))
  }
  const unweighted = await train(experiment({}, { weight: null, columns: { weight: 'ignore' } }), { runDir: null })
  t.not(unweighted.weightsSha256, summary.weightsSha256, 'weights count')
  const stopped = join(dir, 'stopped')
  const stop = new AbortController()
  await train(experiment(), {
    ...{ runDir: stopped, signal: stop.signal },
    onEvent: event => event.type === 'epoch' && event.epoch === 5 && stop.abort(),
  })
  t.equal((await resume(stopped)).summary.weightsSha256, summary.weightsSha256)
  t.match(await reproduce(run), { identical: true })
})

t.test('rows that are read in windows: the same bits for every number of workers, scores of all rows', async t => {
  const data = { stream: 'always', windowRows: 64 }
  const folder = join(dir, 'streamed')
  const { weightsSha256, test } = await train(experiment({}, data), { runDir: folder })
  t.ok(test!.accuracy! > 0.85, `accuracy ${test!.accuracy}`)
  for (const workers of [1, 3]) {
    const again = await train(experiment({ compute: { backend: 'wasm', workers } }, data), { runDir: null })
    t.equal(again.weightsSha256, weightsSha256, `${workers} workers`)
  }
  const { loss, exactMatch } = await evaluate(folder)
  t.same([loss, exactMatch], [test!.loss, test!.exactMatch])
})

t.test('a field such as NA is a missing label where the column is declared boolean', async t => {
  const file = join(dir, 'gaps.csv')
  const lines = rows.map(({ humidity, rain }, i) =>
    [humidity.toFixed(4), i % 10 === 3 ? 'NA' : rain ? 'yes' : 'no', i % 3 === 0].join(','),
  )
  writeFileSync(file, `humidity,rain,third\n${lines.join('\n')}\n`)
  const data = { path: file, target: ['rain', 'third'], weight: null, columns: { rain: 'boolean' } }
  const notes: string[] = []
  await train(experiment({ checkpoint: {}, train: { epochs: 1 } }, data), {
    runDir: null,
    onEvent: event => event.type === 'start' && notes.push(...(event.notes ?? [])),
  })
  t.ok(
    notes.some(note => /left out 30 rows without a target/.test(note)),
    notes.join('\n'),
  )
})

t.test(
  'evaluate gives the scores of the summary and of the predictions; another file may spell labels otherwise',
  async t => {
    const scored = await evaluate(run)
    for (const [name, value] of Object.entries(summary.test!)) t.equal(scored[name as keyof typeof scored], value, name)
    const predictor = await Predictor.open(run)
    const test = await loadTestSamples(predictor)
    const { data, shape } = predictor.predict(test.features)
    t.same(shape, [60, 3])
    const isRight = (i: number) => data[i] > 0.5 === (test.targets[i] === 1)
    const right = [...data.keys()].filter(isRight).length
    t.match(scored, { rows: 60, labels: 3, correct: right, accuracy: right / 180 })
    const exact = Array.from({ length: 60 }, (_, row) => [0, 1, 2].every(k => isRight(row * 3 + k)))
    t.equal(scored.exactMatch, exact.filter(Boolean).length / 60)
    const loss = [...data].reduce((sum, p, i) => sum - Math.log(test.targets[i] === 1 ? p : 1 - p), 0) / 180
    t.ok(Math.abs(scored.loss - loss) < 1e-6, `loss ${scored.loss}, by the predictions ${loss}`)

    const other = join(dir, 'other.csv')
    const lines = rows
      .slice(0, 80)
      .map(row => [
        row.storm,
        row.wind.toFixed(4),
        Number(row.warm),
        row.site,
        row.humidity.toFixed(4),
        row.rain ? 'T' : 'F',
        row.height.toFixed(4),
      ])
    writeFileSync(other, `storm,wind,warm,site,humidity,rain,height\n${lines.map(line => line.join(',')).join('\n')}\n`)
    writeFileSync(join(dir, 'same.csv'), csvOf(rows.slice(0, 80)))
    const [one, two] = [
      await evaluate(run, { dataPath: other }),
      await evaluate(run, { dataPath: join(dir, 'same.csv') }),
    ]
    t.same({ ...one, files: [], ignoredColumns: [] }, { ...two, files: [], ignoredColumns: [] })
    const said = await gradloom(['evaluate', run])
    t.match(
      said.stdout,
      /^test: accuracy [\d.]+ %, loss [\d.]+; \d+ of 180 labels of 60 rows right, \d+ wrong\nexact match /,
    )
  },
)

t.test('predict: labels by name, a file of predictions, rows with a wrong label', async t => {
  const predictor = await Predictor.open(run)
  const asked = rows.slice(0, 5).map(({ humidity, height, wind, site }) => ({ humidity, height, wind, site }))
  const { data } = predictor.predict(asked)
  const labels = predictor.predictLabels(asked)
  t.same(
    labels.map(row => Object.keys(row)),
    asked.map(() => LABELS),
  )
  t.same(labels[1].warm, { isSet: data[4] > 0.5, probability: data[4] })
  t.throws(() => predictor.predictClasses(asked), {
    message: /predicts labels, expected a network that predicts classes/,
    hint: /predictLabels\(\)/,
  })
  const out = join(dir, 'predictions.ndjson')
  const { code, stderr } = await gradloom(['predict', run, '--data', path, '--out', out, '--keep', 'storm'])
  t.equal(code, 0, stderr)
  const lines = readFileSync(out, 'utf8').trim().split('\n')
  t.equal(lines.length, rows.length)
  const first = JSON.parse(lines[0])
  t.same(Object.keys(first), [
    'storm',
    ...LABELS.map(name => `predicted_${name}`),
    ...LABELS.map(name => `probability_${name}`),
  ])
  const all = predictor.predict(
    rows.map(({ humidity, height, wind, site }) => ({
      humidity: Number(humidity.toFixed(4)),
      height: Number(height.toFixed(4)),
      wind: Number(wind.toFixed(4)),
      site,
    })),
  ).data
  for (const [i, line] of lines.entries()) {
    const row = JSON.parse(line)
    const got = LABELS.flatMap(name => [row[`predicted_${name}`], Math.fround(row[`probability_${name}`])])
    const want = LABELS.flatMap((_, k) => [all[i * 3 + k] > 0.5, all[i * 3 + k]])
    if (got.join() !== want.join()) t.fail(`row ${i}: ${got}, expected ${want}`)
  }
  const parquet = join(dir, 'predictions.parquet')
  t.equal((await gradloom(['predict', run, '--data', path, '--out', parquet])).code, 0)
  const written = await openTableReader(parquet)
  t.same(
    written.columns.map(({ type }) => type),
    [...LABELS.map(() => 'boolean'), ...LABELS.map(() => 'number')],
  )
  await written.close()
  const wrong = await gradloom(['predict', run, '--wrong', '1'])
  t.match(wrong.stdout, /^test row \d+\nrain: (yes|no), [\d.]+ %/)
  t.match(wrong.stdout, /WRONG, it is (yes|no)/)
  const json = JSON.parse((await gradloom(['predict', run, '--index', '0', '--json'])).stdout)
  t.match(json.predictions[0], { index: 0, labels: [{ name: 'rain' }, { name: 'warm' }, { name: 'storm' }] })
})

t.test('onnxruntime-web gives the same probabilities; train --from accepts the .npz and the run', async t => {
  const predictor = await Predictor.open(run)
  const { features } = await loadTestSamples(predictor)
  const own = predictor.predict(features).data
  const onnx = join(dir, 'model.onnx')
  await exportWeights(run, onnx)
  ort.env.wasm.numThreads = 1
  const session = await ort.InferenceSession.create(new Uint8Array(readFileSync(onnx)))
  const { table } = predictor.source.input
  const asked = rows.map(({ humidity, height, wind, site }) => ({ humidity, height, wind, site }))
  const { probabilities } = await session.run(tableFeeds(table!, chunkOfRows(table!, asked)))
  const want = predictor.predict(asked).data
  const furthest = Math.max(...(probabilities.data as Float32Array).map((p, i) => Math.abs(p - want[i])))
  t.ok(furthest < 1e-5, `difference ${furthest}`)
  const [npz, model] = [join(dir, 'model.npz'), join(dir, 'model.safetensors')]
  await exportWeights(run, npz)
  await exportWeights(run, model)
  t.same((await Predictor.open(model)).predict(features).data, own)
  const scored = await evaluate(run)
  for (const from of [run, npz, model]) {
    const folder = join(dir, `from-${from.slice(-4)}`)
    await train(experiment({ train: { epochs: 0 } }), { runDir: folder, from })
    t.same({ ...(await evaluate(folder)), files: [] }, { ...scored, files: [] }, from)
  }
})

t.test('a single yes/no column: two softmax outputs by default, one sigmoid output for task labels', async t => {
  const ignored = { warm: 'ignore', storm: 'ignore' }
  const data = { target: 'rain', columns: ignored, weight: null }
  const widthOf = async (more: object) => {
    const folder = join(dir, `single-${JSON.stringify(more).length}`)
    const { test } = await train(experiment({ checkpoint: {} }, { ...data, ...more }), { runDir: folder })
    return [(await Predictor.open(folder)).widths.at(-1), test!.accuracy! > 0.85]
  }
  t.same(await widthOf({}), [2, true])
  t.same(await widthOf({ task: 'multi-label' }), [1, true])
})

t.test('settings that do not apply to labels are refused before training', async t => {
  for (const [settings, message] of [
    [{ loss: 'mean-squared-error' }, /train\.loss is 'mean-squared-error', expected "binary-cross-entropy" or null/],
    [{ classWeights: 'balanced' }, /train\.classWeights is 'balanced', expected null, .* data\.weight names a column/],
  ] as const) {
    await t.rejects(train(experiment({ train: settings }), { runDir: null }), { name: 'ConfigError', message })
  }
  const { status } = await train(experiment({ train: { epochs: 1, labelSmoothing: 0.1 } }), { runDir: null })
  t.equal(status, 'completed', 'label smoothing is for classes, where the data decide')
  await t.rejects(train(experiment({ checkpoint: { bestMetric: 'validation-r2' } }), { runDir: null }), {
    message: /checkpoint\.bestMetric is .validation-r2., expected "auto".*"validation-exact-match"/,
  })
})

t.test('a constant label is reported, and its scores are undefined, also if constant in one split only', async t => {
  const settings = experiment(
    { checkpoint: {}, train: { epochs: 1 } },
    { dataset: 'memory', path: null, target: null, weight: null, task: 'multi-label', validation: 0 },
  )
  const warned: string[] = []
  const features = rows.map(({ humidity, height }) => [humidity, height])
  const targets = rows.map(({ rain }) => [rain, false])
  const test = {
    features: features.slice(0, 2),
    targets: [
      [true, false],
      [true, true],
    ],
  }
  const options = { runDir: null, onWarning: (text: string) => warned.push(text) }
  const { test: score } = await train(settings, { ...options, data: { features, targets, test } })
  t.same(warned, [
    "memory: all training samples have the same value of the label 'label 1'; nothing is learned about it",
    "memory: all test samples have the same value of the label 'label 0'; test scores say nothing about it",
  ])
  t.match(score, {
    rocAuc: null,
    averagePrecision: null,
    reasons: { rocAuc: "the label 'label 0' is set in all rows" },
  })
  const never = rows.map(() => [false, true])
  await t.rejects(train(settings, { ...options, data: { features, targets: never, test } }), {
    message: /the labels 'label 0', 'label 1' are the same in all 300 rows, expected yes in some and no in others/,
  })
})

t.test('arrays: (rows, labels) of 0 and 1', async t => {
  const archive = join(t.testdir(), 'weather.npz')
  const features = Float32Array.from(rows.flatMap(({ humidity, height }) => [humidity, height]))
  const targets = Float32Array.from(rows.flatMap(({ rain, warm }) => [Number(rain), Number(warm)]))
  const npz = (labels: Float32Array) =>
    writeFileSync(
      archive,
      encodeNpz([
        { name: 'x_train', shape: [rows.length, 2], data: features },
        { name: 'y_train', shape: [rows.length, 2], data: labels },
      ]),
    )
  npz(targets)
  const settings = experiment(
    { checkpoint: {} },
    { dataset: 'npz', path: archive, target: null, weight: null, task: 'multi-label' },
  )
  t.ok((await train(settings, { runDir: null })).test!.accuracy! > 0.85)
  npz(targets.map(value => 2 * value))
  await t.rejects(train(settings, { runDir: null }), { message: /'label \d' of row \d+ is 2, expected 0 or 1/ })
})

t.test('samples in memory: labels are 0 and 1, or true and false; other values are refused', async t => {
  const features = rows.map(({ humidity, height, wind }) => [humidity, height, wind])
  const settings = experiment(
    { checkpoint: {} },
    { dataset: 'memory', path: null, target: null, weight: null, task: 'multi-label' },
  )
  const targets = rows.map(({ rain, warm }) => [rain, Number(warm)])
  const { test } = await train(settings, { runDir: null, data: { features, targets } })
  t.ok(test!.accuracy! > 0.85 && test!.exactMatch! > 0.7, JSON.stringify(test))
  await t.rejects(train(settings, { runDir: null, data: { features, targets: rows.map(() => [0.5, 1]) } }), {
    message: /'label 0' of row 0 is 0\.5, expected 0 or 1, because data\.task is "multi-label"/,
  })
})

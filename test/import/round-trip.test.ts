/**
 * Models of every kind, exported in every format and read again: they predict what they did, on data with other statistics
 * and classes in another order, or the reading is refused.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as ort from 'onnxruntime-web'
import t from 'tap'
import { resolveExperiment } from '../../src/config/load.js'
import type { ExperimentInput } from '../../src/config/schema.js'
import type { TrainingData } from '../../src/data/memory.js'
import { encodeNpz } from '../../src/export/npz.js'
import { exportWeights, Predictor, readParameters, train } from '../../src/index.js'
import { philox } from '../../src/tensor/random.js'
import { runTfjs } from '../export/tfjs-model.js'

const dir = t.testdir()
const ROWS = 60
const words = new Uint32Array(4)
/** Number from 0 to 1, a pure function of its arguments. */
function at(row: number, column: number, seed: number): number {
  philox(words, row, column, 0, 0, seed, 0)
  return words[0] / 2 ** 32
}

/** Labels in the order in which classes first appear differ between the two sets. */
const NAMES = ['ant', 'bee', 'cat']
function images(seed: number): TrainingData {
  const labels = Array.from({ length: ROWS }, (_, i) => (i + seed) % 3)
  const data = Uint8Array.from({ length: ROWS * 20 }, (_, n) => {
    const [row, pixel] = [Math.floor(n / 20), n % 20]
    return Math.floor(120 * at(row, pixel, seed)) + (pixel % 3 === labels[row] ? 100 : 0)
  })
  return { features: { data, shape: [ROWS, 5, 4] }, labels: labels.map(label => NAMES[label]) }
}
/** The second set lies elsewhere, and is more spread. */
const numbers = (seed: number) =>
  Array.from({ length: ROWS }, (_, row) =>
    [0, 1, 2, 3].map(column => (column * 3 - 2 + (seed - 1) * 5 + at(row, column, seed) * seed) * 0.4),
  )
function classes(seed: number): TrainingData {
  const features = numbers(seed)
  return { features, labels: features.map(([a, b], i) => NAMES[(Math.floor(a * 3 + b * 2) + i + 30) % 3]) }
}
const regression =
  (targets: number) =>
  (seed: number): TrainingData => {
    const features = numbers(seed)
    return {
      features,
      targets: features.map(([a, b, c]) => [50 + 900 * a - 300 * b * c, 0.02 * (c - a)].slice(0, targets)),
    }
  }

const NORMS = ['none', 'batch', 'layer'] as const
interface Settings {
  readonly data?: Partial<ExperimentInput['data']>
  readonly train?: ExperimentInput['train']
}
interface Kind {
  readonly name: string
  readonly data: (seed: number) => TrainingData
  readonly settings: Settings
  /** Default: every one. */
  readonly norms?: readonly (typeof NORMS)[number][]
}
const KINDS: readonly Kind[] = [
  { name: 'classes of images', data: images, settings: {} },
  {
    name: 'classes of standardised images',
    data: images,
    settings: { data: { normalise: 'standardise' } },
    norms: ['batch'],
  },
  { name: 'classes of a table', data: classes, settings: {} },
  { name: 'classes of a table as it is', data: classes, settings: { data: { normalise: 'none' } }, norms: ['none'] },
  {
    name: 'classes by squared error',
    data: classes,
    settings: { train: { loss: 'mean-squared-error' } },
    norms: ['layer'],
  },
  { name: 'one target', data: regression(1), settings: { data: { task: 'regression' } } },
  { name: 'two targets', data: regression(2), settings: { data: { task: 'regression' } } },
  {
    name: 'two targets of a table as it is',
    data: regression(2),
    settings: { data: { task: 'regression', normalise: 'none' } },
    norms: ['none'],
  },
]
const ACTIVATIONS = ['relu', 'gelu', 'scaled-tanh', 'leaky-relu', 'silu', 'elu', 'sigmoid', 'tanh', 'identity'] as const

/** Square layers: shapes do not say how weights lie. */
const SIDE = 4
const experimentOf = ({ settings }: Kind, model: ExperimentInput['model'], epochs: number) =>
  resolveExperiment({
    data: { ...settings.data, dataset: 'memory' },
    model: { hidden: [SIDE, SIDE], dropout: 0, ...model },
    // Averaged weights are what is scored, and so what is exported.
    train: { epochs, batchSize: 20, ...(epochs > 0 && { ema: { decay: 0.9 } }), ...settings.train },
    optimizer: { learningRate: 0.02 },
    compute: { backend: 'wasm', workers: 1 },
  })

interface Trained {
  readonly run: string
  readonly predictor: Predictor
  readonly samples: Uint8Array | Float32Array
  readonly want: Float32Array
}

async function trained(name: string, kind: Kind, model: ExperimentInput['model']): Promise<Trained> {
  const run = join(dir, name)
  await train(experimentOf(kind, model, 3), { data: kind.data(1), runDir: run })
  const predictor = await Predictor.open(run)
  const { features } = kind.data(1) as { features: { data: Uint8Array } | number[][] }
  const samples = Array.isArray(features) ? Float32Array.from(features.flat()) : features.data
  return { run, predictor, samples, want: predictor.predict(samples).data }
}

/** Predictions of a run without epochs that starts from the file, on other data. */
async function readAgain(file: string, kind: Kind, model: ExperimentInput['model'], samples: Trained['samples']) {
  const runDir = `${file}-read`
  await train(experimentOf(kind, model, 0), { data: kind.data(2), runDir, from: file })
  const predictor = await Predictor.open(runDir)
  return { names: predictor.outputNames, outputs: predictor.predict(samples).data }
}

/** Largest difference, in parts of the largest value of each output. */
function difference(got: ArrayLike<number>, want: Float32Array, outputs: number): number {
  let most = got.length === want.length ? 0 : Number.POSITIVE_INFINITY
  for (let k = 0; k < outputs; k++) {
    const column = want.filter((_, i) => i % outputs === k)
    const largest = Math.max(...column.map(Math.abs))
    for (const [row, value] of column.entries()) {
      most = Math.max(most, Math.abs(got[row * outputs + k] - value) / largest)
    }
  }
  return most
}

async function onnxOutputs(file: string, features: Float32Array): Promise<Float32Array> {
  ort.env.wasm.numThreads = 1
  const session = await ort.InferenceSession.create(readFileSync(file))
  const [input] = session.inputNames
  const tensor = new ort.Tensor('float32', features, [ROWS, features.length / ROWS])
  const outputs = await session.run({ [input]: tensor })
  await session.release()
  return outputs[session.outputNames[0]].data as Float32Array
}

for (const [k, kind] of KINDS.entries()) {
  for (const [n, norm] of (kind.norms ?? NORMS).entries()) {
    const activation = ACTIVATIONS[(3 * k + n) % ACTIVATIONS.length]
    const title = `${kind.name}, ${norm} norm, ${activation}`
    t.test(
      `${title}: safetensors exact, npz exact or 1e-5 of a target's largest value, ONNX and tfjs 1e-5`,
      async t => {
        const folder = join(dir, `${k}-${norm}`)
        const model = { norm, activation }
        const { run, predictor, samples, want } = await trained(`${k}-${norm}`, kind, model)
        const outputs = predictor.outputNames.length
        t.ok(new Set(want).size > ROWS / 2, 'outputs differ between samples')
        const file = async (name: string, dtype: 'F32' | 'BF16' = 'F32') => {
          await exportWeights(run, join(folder, name), { dtype })
          return join(folder, name)
        }
        const full = await file('full.safetensors')
        t.same((await Predictor.open(full)).predict(samples).data, want, 'safetensors, asked')
        const half = await file('half.safetensors', 'BF16')
        const rounded = (await Predictor.open(half)).predict(samples).data
        t.ok(difference(rounded, want, outputs) < 0.2, 'bf16')
        const npz = await file('weights.npz')
        for (const [source, exact, tolerance] of [
          [full, want, 0],
          [half, rounded, 0],
          [npz, want, 'targets' in kind.data(1) ? 1e-5 : 0],
        ] as const) {
          const read = await readAgain(source, kind, model, samples)
          const worst = difference(read.outputs, exact, outputs)
          t.ok(worst <= tolerance, `${source.slice(folder.length + 1)} read again: largest difference ${worst}`)
          t.same(read.names, predictor.outputNames)
        }
        const isUnit = predictor.source.input.scaling === null
        const features = Float32Array.from(samples, value => (isUnit ? value / 255 : value))
        const onnx = difference(await onnxOutputs(await file('model.onnx'), features), want, outputs)
        t.ok(onnx < 1e-5, `ONNX: largest difference ${onnx}`)
        await file('model.json')
        const tfjs = difference((await runTfjs(folder, features, ROWS)).outputs, want, outputs)
        t.ok(tfjs < 1e-5, `tfjs: largest difference ${tfjs}`)
      },
    )
  }
}

t.test('a model with a different computation is refused with the name of the setting, in every format', async t => {
  const [kind] = KINDS
  const { run } = await trained('refused', kind, { norm: 'layer', activation: 'gelu' })
  const files = [run]
  for (const name of ['a.npz', 'a.safetensors']) {
    await exportWeights(run, join(dir, name))
    files.push(join(dir, name))
  }
  const with_ = (other: object, settings: Settings = {}) =>
    experimentOf({ ...kind, settings }, { norm: 'layer', activation: 'gelu', ...other }, 0)
  const cases = [
    [with_({ activation: 'relu' }), /model\.activation is "relu", expected "gelu"/],
    [with_({ normEpsilon: 0.1 }), /model\.normEpsilon is 0\.1, expected 0\.00001/],
    [with_({ norm: 'none' }), /model\.norm is "none", expected "layer"/],
    [
      with_({}, { train: { loss: 'mean-squared-error' } }),
      /train\.loss is "mean-squared-error", expected "cross-entropy"/,
    ],
    [with_({}, { data: { normalise: 'standardise' } }), /data\.normalise is "standardise", expected bytes divided/],
  ] as const
  for (const from of files) {
    for (const [experiment, message] of cases) {
      await t.rejects(train(experiment, { data: kind.data(2), runDir: null, from }), { message }, `${from} ${message}`)
    }
    const renamed = {
      ...kind.data(2),
      labels: Array.from({ length: ROWS }, (_, i) => `other ${i % 3}`),
    } as TrainingData
    await t.rejects(train(with_({}), { data: renamed, runDir: null, from }), { message: /has the classes 'other/ })
    const summary = await train(with_({ activation: 'relu' }), { data: renamed, runDir: null, from, fromInput: 'new' })
    t.equal(summary.status, 'completed', 'with the weights alone, another network')
  }
})

t.test('a model of bytes refuses a table whose numbers are not bytes', async t => {
  const [kind] = KINDS
  const { run } = await trained('bytes', kind, {})
  await exportWeights(run, join(dir, 'bytes.npz'))
  const features = Array.from({ length: ROWS }, (_, row) => Array.from({ length: 20 }, (_, c) => at(row, c, 3) - 0.5))
  const data = { features, labels: features.map((_, i) => NAMES[i % 3]) }
  for (const normalise of ['auto', 'unit', 'none'] as const) {
    const experiment = experimentOf({ ...kind, settings: { data: { normalise } } }, {}, 0)
    await t.rejects(train(experiment, { data, runDir: null, from: join(dir, 'bytes.npz') }), { name: 'DataError' })
  }
})

t.test('a constant target survives export and import', async t => {
  const kind: Kind = {
    name: 'constant',
    data: seed => ({ features: numbers(seed), targets: numbers(seed).map(([a]) => [3 * a, 7]) }),
    settings: { data: { task: 'regression' } },
  }
  const { run, samples, want } = await trained('constant', kind, {})
  await exportWeights(run, join(dir, 'constant.npz'))
  const { outputs } = await readAgain(join(dir, 'constant.npz'), kind, {}, samples)
  const worst = difference(outputs, want, 2)
  t.ok(worst < 1e-5, `largest difference ${worst}`)
  t.ok(outputs.every((value, i) => i % 2 === 0 || value === 7))
})

t.test('scales without other facts, as from older versions, are accepted; damaged facts are refused', async t => {
  for (const kind of [KINDS[0], KINDS[2]]) {
    const { run, predictor, samples, want } = await trained(`older-${kind.name}`, kind, {})
    const weights = [...(await readParameters(run))].map(([name, { shape, data }]) => ({ name, shape, data }))
    // Averaged weights are those that are exported.
    const scored = weights.map(({ name, shape }) => ({ name, shape, data: predictor.parameter(name).data }))
    const { scaling } = predictor.source.input
    const features = samples.length / ROWS
    const array = (name: string, values: ArrayLike<number>) => {
      return { name: `input.${name}`, shape: [features], data: Float32Array.from(values) }
    }
    const scales = [
      array('offset', scaling?.offset ?? Array<number>(features).fill(0)),
      array('factor', scaling?.factor ?? Array<number>(features).fill(1 / 255)),
    ]
    const file = join(dir, `older-${kind.name}.npz`)
    writeFileSync(file, encodeNpz([...scales, ...scored]))
    const runDir = `${file}-read`
    await train(experimentOf(kind, {}, 0), {
      data: { ...kind.data(2), labels: labelsOf(kind) } as TrainingData,
      runDir,
      from: file,
    })
    t.same((await Predictor.open(runDir)).predict(samples).data, want)
    for (const [facts, message] of [
      [{ formatVersion: 2 }, /formatVersion of 'gradloom' is 2, expected 1/],
      [{ formatVersion: 1 }, /'gradloom' is damaged: .*expected what `export` wrote/],
      [{ formatVersion: 1, input: { height: 'a' }, forward: {} }, /'gradloom' is damaged: input is/],
    ] as const) {
      writeFileSync(file, encodeNpz(scored, facts))
      await t.rejects(train(experimentOf(kind, {}, 0), { data: kind.data(2), runDir: null, from: file }), { message })
    }
  }
})

/** Three classes, in the order of the first data set. */
const labelsOf = (kind: Kind) => (kind.data(1) as unknown as { labels: string[] }).labels

/**
 * Weights of convolutions in files: a real state dictionary of PyTorch answers as PyTorch does, and comes out of `export` with the same
 * bits; kernels by their shape in the form of PyTorch and of Keras, or refused.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { resolveExperiment } from '../../src/config/load.js'
import type { ExperimentInput } from '../../src/config/schema.js'
import type { TrainingData } from '../../src/data/memory.js'
import { assignWeights } from '../../src/import/assign.js'
import { type ForeignArray, readForeign } from '../../src/import/read.js'
import { exportWeights, Predictor, readParameters, train } from '../../src/index.js'
import { convolutionsOf } from '../../src/model/convolution.js'
import { layerWidths, parameterTable } from '../../src/model/parameters.js'
import { verifyCheckpoint } from '../../src/run/inspect.js'

const dir = t.testdir()

/** Of PyTorch 1.13; see convolutions.py. */
const TORCH = 'test/import-oracle/convolutions.safetensors'
const oracle: { readonly pixels: readonly number[][]; readonly answers: readonly number[][] } = JSON.parse(
  readFileSync('test/import-oracle/convolutions.json', 'utf8'),
)
const pixels = Uint8Array.from(oracle.pixels.flat())
const [SAMPLES, HEIGHT, WIDTH, CHANNELS] = [oracle.pixels.length, 9, 7, 3]
const pictures: TrainingData = {
  features: { data: pixels, shape: [SAMPLES, HEIGHT, WIDTH, CHANNELS] },
  labels: Array.from({ length: SAMPLES }, (_, i) => i % 3),
}
const MODEL: ExperimentInput['model'] = {
  convolutions: [{ filters: 4 }, { filters: 5, size: 2, stride: 2, padding: 'valid', pool: { size: 2 } }],
  ...{ hidden: [7], norm: 'batch' },
}
const experimentOf = (model: ExperimentInput['model'], normalise: 'unit' | 'standardise' = 'unit') =>
  resolveExperiment({
    data: { dataset: 'memory', normalise },
    model,
    train: { epochs: 0, batchSize: 10 },
    compute: { backend: 'wasm', workers: 1 },
  })

async function started(
  from: string,
  name: string,
  normalise: 'unit' | 'standardise' = 'unit',
  data: TrainingData = pictures,
): Promise<Predictor> {
  const runDir = join(dir, name)
  await train(experimentOf(MODEL, normalise), { data, runDir, from, onWarning: () => {} })
  return Predictor.open(runDir)
}
const tensorsOf = async (file: string) => (await readForeign(file, 2 ** 20)).arrays.filter(({ whole }) => !whole)

t.test(
  "PyTorch's network in colour answers as PyTorch does, to 1e-5; every form of it is read again bit for bit",
  async t => {
    const predictor = await started(TORCH, 'torch')
    const answers = predictor.predict(pixels).data
    const worst = Math.max(...oracle.answers.flat().map((answer, i) => Math.abs(answer - answers[i])))
    t.ok(worst < 1e-5, `largest difference ${worst}`)

    const file = async (name: string, format: 'npz' | 'safetensors' | 'pytorch', dtype: 'F32' | 'BF16' = 'F32') => {
      await exportWeights(join(dir, 'torch'), join(dir, name), { format, dtype })
      return join(dir, name)
    }
    const forms = [
      await file('a.npz', 'npz'),
      await file('a.safetensors', 'safetensors'),
      await file('torch.safetensors', 'pytorch'),
    ]
    for (const [i, form] of forms.entries()) {
      t.same((await started(form, `form-${i}`)).predict(pixels).data, answers, form.slice(dir.length + 1))
    }
    const [, model, torch] = forms
    t.same((await Predictor.open(model)).predict(pixels).data, answers, 'asked as a model')
    t.match((await verifyCheckpoint(model)).weightsSha256, /^[0-9a-f]{64}$/)
    const half = await file('half.safetensors', 'safetensors', 'BF16')
    const { weightsSha256 } = await verifyCheckpoint(half)
    const rounded = (await Predictor.open(half)).predict(pixels).data
    t.ok(Math.max(...rounded.map((value, i) => Math.abs(value - answers[i]))) < 0.05, weightsSha256)
    const shapes = new Map((await tensorsOf(model)).map(({ name, shape }) => [name, shape]))
    t.same(shapes.get('layers.0.weight'), [4, 3, 3, 3], '(filters, channels, height, width)')
    t.same(shapes.get('layers.1.weight'), [5, 4, 2, 2])
    t.same((await readParameters(model)).get('layers.1.weight')?.shape, [16, 5])

    const places: Readonly<Record<string, string>> = {
      ...{ 'features.0': '0', 'features.1': '1', 'features.3': '3', 'features.4': '4' },
      ...{ 'classifier.1': '8', 'classifier.2': '9', 'classifier.4': '12' },
    }
    const got = new Map((await tensorsOf(torch)).map(({ name, ...rest }) => [name, rest]))
    const want = await tensorsOf(TORCH)
    for (const { name, shape, values } of want) {
      const [, module, last] = /^(\w+\.\d+)\.(\w+)$/.exec(name)!
      const found = got.get(`${places[module]}.${last}`)
      t.same({ shape: found?.shape, values: found?.values }, { shape, values }, name)
    }
    t.equal(got.size, want.length + 1, 'and the bias of the first convolution, which PyTorch left out')
  },
)

t.test('a state dictionary keeps the scale of its pictures: on others it answers as before, bit for bit', async t => {
  const answers = (await started(TORCH, 'scaled', 'standardise')).predict(pixels).data
  const torch = join(dir, 'scaled.safetensors')
  await exportWeights(join(dir, 'scaled'), torch, { format: 'pytorch' })
  const darker = { ...pictures, features: { data: pixels.map(pixel => pixel / 3), shape: [SAMPLES, HEIGHT, WIDTH, 3] } }
  const again = await started(torch, 'scaled-again', 'standardise', darker)
  t.same(again.predict(pixels).data, answers)
  await t.rejects(started(torch, 'scaled-unit'), { message: /data\.normalise is "unit", expected features that are/ })
})

t.test('the Python of a state dictionary: paddings that differ, strides, poolings, dropout, activations', async t => {
  const run = join(dir, 'python')
  const model: ExperimentInput['model'] = {
    convolutions: [
      { filters: 2, size: 4, stride: 2, norm: 'none' },
      { filters: 3, norm: 'batch', pool: { size: 2, type: 'average' }, dropout: 0.25 },
    ],
    ...{ hidden: [5], dropout: 0, norm: 'layer', activation: 'gelu' },
  }
  await train(experimentOf(model), { data: pictures, runDir: run })
  const out = join(dir, 'python.safetensors')
  const { parameters } = await exportWeights(run, out, { format: 'pytorch' })
  const header = readFileSync(out).subarray(8)
  const { network, format, activation } = JSON.parse(
    header.subarray(0, readFileSync(out).readUInt32LE(0)).toString(),
  ).__metadata__
  const gelu = "nn.GELU(approximate='tanh')"
  t.equal(
    network,
    'nn.Sequential(nn.ZeroPad2d((1, 2, 1, 2)), nn.Conv2d(3, 2, 4, stride=2), ' +
      `${gelu}, nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3, eps=0.00001, momentum=0.1), ${gelu}, nn.AvgPool2d(2), ` +
      `nn.Dropout(0.25), nn.Flatten(), nn.Linear(12, 5), nn.LayerNorm(5, eps=0.00001), ${gelu}, nn.Linear(5, 3))`,
  )
  t.equal(format, 'pt')
  t.match(activation, /softmax/)
  t.same(parameters[0], { name: '1.weight', shape: [2, 3, 4, 4] })
  const odd = join(dir, 'odd')
  await train(experimentOf({ hidden: [4], activation: 'scaled-tanh' }), { data: pictures, runDir: odd })
  await t.rejects(exportWeights(odd, out, { format: 'pytorch' }), {
    message: 'export: model.activation is "scaled-tanh", expected one that torch.nn has as a module',
  })
})

const settings = (convolutions: NonNullable<ExperimentInput['model']>['convolutions'], hidden: number[]) => {
  const { experiment } = resolveExperiment({ data: { dataset: 'memory' }, model: { convolutions, hidden } })
  const sized = convolutionsOf(experiment.model, { height: 6, width: 5, channels: 3 })
  return parameterTable(layerWidths(90, hidden, 2, sized), 'none', [], sized)
}
/** Numbers of a logical place: kernel (row, column, channel, filter), or position in the maps and unit. */
const numberOf = (...places: number[]) => places.reduce((sum, place) => sum * 7 + place, 1)

/** A kernel, and its bias, in the form of PyTorch or of Keras. */
function kernel(name: string, word: string, size: number, channels: number, filters: number, first: boolean) {
  const shape = first ? [filters, channels, size, size] : [size, size, channels, filters]
  const values: number[] = []
  for (let n = 0; n < size * size * channels * filters; n++) {
    const place = shape.reduceRight<number[]>(
      (at, length) => [Math.floor(at[0] / length), at[0] % length, ...at.slice(1)],
      [n],
    )
    const [, a, b, c, d] = place
    values.push(first ? numberOf(c, d, b, a) : numberOf(a, b, c, d))
  }
  const array: ForeignArray = { name: `${name}${word}`, shape, whole: false, values }
  return [
    array,
    vector(
      name.replace(/[./]?$/, end => `${end}bias`),
      filters,
    ),
  ]
}
const vector = (name: string, units: number): ForeignArray => {
  return { name, shape: [units], whole: false, values: Array.from({ length: units }, (_, u) => u) }
}
/** The matrix behind maps: of row (position, channel) and unit. */
function matrix(name: string, [positions, channels, units]: readonly [number, number, number], first: boolean) {
  const values = first ? new Array<number>(positions * channels * units) : []
  for (let p = 0; p < positions; p++) {
    for (let c = 0; c < channels; c++) {
      for (let u = 0; u < units; u++) {
        const [inputs, number] = [positions * channels, numberOf(p, c, u)]
        if (first) values[u * inputs + c * positions + p] = number
        else values[(p * channels + c) * units + u] = number
      }
    }
  }
  const shape = first ? [units, positions * channels] : [positions * channels, units]
  return { name, shape, whole: false, values } satisfies ForeignArray
}
const detected = { layout: null, order: null }

for (const [program, first, [conv, next, dense], word] of [
  ['PyTorch', true, ['0.', '2.', '5.'], 'weight'],
  ['Keras', false, ['conv2d/', 'conv2d_1/', 'dense/'], 'kernel:0'],
] as const) {
  t.test(`kernels of ${program}: every number in its place, the matrix behind the maps as well`, async t => {
    const table = settings([{ filters: 4 }, { filters: 3, size: 2, padding: 'valid' }], [])
    const arrays = [
      matrix(`${dense}${word}`, [20, 3, 2], first),
      ...[vector(`${dense}bias`, 2), ...kernel(next, word, 2, 4, 3, first), ...kernel(conv, word, 3, 3, 4, first)],
    ]
    const { parameters, layout, order } = assignWeights('x', arrays, table, detected)
    t.equal(layout, first ? 'out-in' : 'in-out')
    t.same(
      order.map(name => name.replace(/[./]$/, '')),
      [conv, next, dense].map(name => name.slice(0, -1)),
    )
    const at = (layer: number) => parameters.find(({ name }) => name === `layers.${layer}.weight`)!
    for (const [layer, size, channels, filters] of [
      [0, 3, 3, 4],
      [1, 2, 4, 3],
    ] as const) {
      const want: number[] = []
      for (let y = 0; y < size; y++) {
        for (let x = 0; x < size; x++) {
          for (let c = 0; c < channels; c++) for (let o = 0; o < filters; o++) want.push(numberOf(y, x, c, o))
        }
      }
      t.same([...at(layer).data], want)
    }
    t.same([...at(2).data], matrix('', [20, 3, 2], false).values)
  })
}

t.test('kernels that do not fit, or that fit in both forms, are refused; the layout decides', async t => {
  const table = settings([{ filters: 3 }], [])
  const dense = (first: boolean) => [matrix('5.weight', [30, 3, 2], first), vector('5.bias', 2)]
  const square = kernel('0.', 'weight', 3, 3, 3, true)
  t.equal(assignWeights('x', [...square, ...dense(true)], table, detected).layout, 'out-in', 'the matrix says it')
  t.throws(() => assignWeights('x', [...kernel('0.', 'weight', 2, 3, 3, true), ...dense(true)], table, detected), {
    message: /^x: 0\.weight is \(3, 3, 2, 2\), expected \(3, 3, 3, 3\) in out-in form for layers\.0\.weight/,
  })
  t.throws(() => assignWeights('x', [...square, ...dense(false)], table, { layout: 'out-in', order: null }), {
    message: /5\.weight is \(90, 2\), expected \(2, 90\) in out-in form/,
  })
  const twins = settings([{ filters: 3 }, { filters: 3 }], [])
  const named = [...kernel('stem.', 'weight', 3, 3, 3, true), ...kernel('body.', 'weight', 3, 3, 3, true)]
  t.throws(() => assignWeights('x', [...named, ...dense(true)], twins, detected), {
    message: /leave the order of these modules open: stem \(3, 3, 3, 3\), body \(3, 3, 3, 3\)/,
    hint: /--from-order/,
  })
  const alone = settings([{ filters: 3 }, { filters: 3 }], [90])
  const matrices = [matrix('4.weight', [30, 3, 90], true), vector('4.bias', 90)]
  const last = [{ ...matrix('6.weight', [90, 1, 2], true) }, vector('6.bias', 2)]
  const kernels = [...kernel('0.', 'weight', 3, 3, 3, true), ...kernel('2.', 'weight', 3, 3, 3, true)]
  t.equal(assignWeights('x', [...kernels, ...matrices, ...last], alone, detected).layout, 'out-in')
  t.throws(() => assignWeights('x', [...square, ...dense(true)], parameterTable([90, 3, 2]), detected), {
    message: /0\.weight is \(3, 3, 3, 3\), expected \(90, 3\)/,
  })
})

/**
 * Embeddings within a whole network: gradients against central differences in float64, every backend against the reference, and
 * rows that no sample of a mini-batch has.
 */
import t from 'tap'
import { resolveExperiment } from '../../../src/config/load.js'
import type { ExperimentInput } from '../../../src/config/schema.js'
import type { DatasetSource } from '../../../src/data/source.js'
import type { EmbeddedEncoding, TableEncoding } from '../../../src/data/table/encoding.js'
import { loadBackend } from '../../../src/kernels/backends.js'
import { optimizerStep } from '../../../src/model/optimizer.js'
import { createArena, viewSlot } from '../../../src/tensor/arena.js'
import { bindNetwork } from '../../../src/worker/network/bind.js'
import { copyRow } from '../../../src/worker/network/copy-rows.js'
import { rowsPass, vectorOf, weightsOf } from '../../../src/worker/network/network.js'
import { planRun } from '../../../src/worker/plan/plan.js'
import { layerTiles } from '../../../src/worker/plan/tiles.js'
import { nativeCandidates } from '../../helpers/native.js'
import { GradientCheck } from '../../kernels/gradient-check.js'
import { randoms, vector, whole } from '../../kernels/lab.js'

const ROWS = 9
const categories = (count: number) => Array.from({ length: count }, (_, i) => `c${i}`)
const embedding = (column: string, rows: number, size: number): EmbeddedEncoding => ({
  ...{ column, kind: 'embedding', categories: categories(rows - 1), numeric: false, missing: false, size },
})
const numbers = (count: number) =>
  Array.from({ length: count }, (_, i) => ({
    ...({ column: `n${i}`, kind: 'number', offset: 0, factor: 1, knots: [], fill: 0, indicator: false } as const),
  }))

/** Sizes on both sides of a vector of four and a panel of twelve columns. */
const SHAPES = [
  { rows: 5, size: 3 },
  { rows: 7, size: 14 },
]

/** A network with two embedded features behind `plain` others, its parameters and data random, on one thread. */
async function networkOf(
  compute: ExperimentInput['compute'] & object,
  model: ExperimentInput['model'] & object,
  { plain = 2, open }: { plain?: number; open?: ((memory: WebAssembly.Memory) => Promise<unknown>) | undefined } = {},
) {
  const { experiment } = resolveExperiment({
    data: { dataset: 'table', path: 'none.csv' },
    model: { dropout: 0, ...model },
    train: { batchSize: ROWS, loss: 'cross-entropy' },
    optimizer: { type: 'sgd', learningRate: 1 },
    compute: { workers: 1, ...compute },
  })
  const table: TableEncoding = {
    ...{ version: 1, targets: ['y'], weight: null, unused: [] },
    columns: [...numbers(plain), ...SHAPES.map(({ rows, size }, e) => embedding(`e${e}`, rows, size))],
  }
  const features = plain + SHAPES.length
  const source: DatasetSource = {
    ...{
      name: 'table',
      where: 'none',
      height: 1,
      width: features,
      channels: 1,
      dtype: 'float32',
      task: 'classification',
    },
    ...{ classes: 3, classNames: ['a', 'b', 'c'], table, train: { rows: ROWS + 2 }, test: { rows: 0 } },
    load: () => Promise.reject(new Error('not loaded')),
  }
  const { plan, layout } = await planRun(experiment, source, { purpose: 'train', splits: ['train'] })
  const backend = await loadBackend(plan.backend, 'f32')
  const memory = createArena(layout.bytes)
  const kernels = backend.instantiate({
    ...{ memory, module: await backend.compile(), scratchByteOffset: layout.scratch[0].byteOffset },
    native: ((await open?.(memory)) ?? null) as never,
  })
  const random = randoms(7)
  const data = viewSlot<'float32' | 'uint8'>(memory, layout.features.train).data
  for (let row = 0; row < ROWS + 2; row++) {
    for (let f = 0; f < plain; f++) data[row * features + f] = random()
    // Rows 0 and 2 of each table never occur; others several times.
    for (const [e, { rows }] of SHAPES.entries()) {
      const index = Math.floor(((random() + 1) / 2) * rows)
      data[row * features + plain + e] = index === 0 || index === 2 ? 1 : index
    }
  }
  if (layout.scaling) viewSlot(memory, layout.scaling.factor).data.fill(1)
  const labels = viewSlot(memory, layout.labels.train).data
  labels.forEach((_, i) => {
    labels[i] = i % 3
  })
  const network = bindNetwork(plan, layout, memory, kernels)
  for (let row = 0; row < ROWS; row++) network.batch.samples.data[row] = (row * 2 + 1) % (ROWS + 2)
  for (const { parameter } of layout.parameters) {
    const { kind, layer, dims } = parameter
    if (kind !== 'weight') {
      const { data: values } = vectorOf(network, parameter).master
      const size = dims.reduce((a, b) => a * b, 1)
      for (let i = 0; i < size; i++) values[i] = Math.fround(random())
    } else {
      const weight = weightsOf(network)[layer]
      for (let i = 0; i < dims[0]; i++)
        weight.storeRow(
          null,
          i,
          Float32Array.from({ length: dims[1] }, () => random()),
        )
    }
  }
  for (const { layer, tile } of layerTiles(plan, backend)) weightsOf(network)[layer].derive(tile)
  const run = rowsPass(network)
  const rows = { row: 0, rows: ROWS }
  const loss = () => {
    const code = run({ images: 'train', epoch: 3, rows: ROWS, deltaScale: 1 / ROWS }, rows)
    if (code !== 0) throw new Error(`the pass has the fault ${code}`)
    return Array.from(network.batch.losses.data.subarray(0, ROWS)).reduce((sum, each) => sum + each, 0) / ROWS
  }
  /** Gradients of the tables, as a step keeps them. */
  const gradients = () => {
    loss()
    return network.embeddings.map(({ ranges, keep, tensors }, e) => {
      for (const range of ranges) keep(range, ROWS, true)
      const [slot] = layout.embedded!.parameters[e].gradients
      return Array.from(viewSlot(memory, slot).data.subarray(0, tensors.outputs))
    })
  }
  const inputs = () => {
    loss()
    const { cols, slot } = layout.activations[0]
    const matrix = { rows: layout.activations[0].rows, cols, tensor: viewSlot(memory, slot) }
    const out = new Float32Array(ROWS * cols)
    for (let row = 0; row < ROWS; row++) copyRow(out, row * cols, matrix, row)
    return out
  }
  return { network, plan, layout, memory, loss, gradients, inputs, features, plain, data }
}

const MODELS = [
  { hidden: [] },
  { hidden: [5], activation: 'tanh' },
  { hidden: [6, 4], activation: 'gelu', dropout: 0.3, inputDropout: 0.3 },
  { hidden: [5], activation: 'tanh', norm: 'layer' },
] as const

t.test('gradients of embeddings agree with central differences, relative error < 1e-7', async t => {
  for (const model of MODELS) {
    const { network, gradients, loss } = await networkOf(
      { backend: 'reference' },
      { ...model, hidden: [...model.hidden] },
    )
    const found = gradients()
    const check = new GradientCheck()
    for (const [e, { tensors }] of network.embeddings.entries()) {
      check.compare(loss, whole(vector(tensors.outputs, tensors.master)), found[e])
    }
    t.equal(check.count, 5 * 3 + 7 * 14)
    t.ok(check.worst < 1e-7, `${JSON.stringify(model)}: worst ${check.worst}`)
    t.ok(check.zeros >= 2 * (3 + 14), 'two rows of each table have no gradient')
  }
})

t.test('the inputs are the plain features and the rows of the tables', async t => {
  const { inputs, features, plain, data, network } = await networkOf(
    { backend: 'wasm' },
    { hidden: [5] },
    { plain: 11 },
  )
  const found = inputs()
  const width = 11 + 3 + 14
  for (let row = 0; row < ROWS; row++) {
    const sample = network.batch.samples.data[row]
    const from = data.subarray(sample * features, (sample + 1) * features)
    const wanted = SHAPES.flatMap(({ size }, e) => {
      const at = from[plain + e] * size
      return [...network.embeddings[e].tensors.master.data.subarray(at, at + size)]
    })
    t.same([...found.subarray(row * width, (row + 1) * width)], [...from.subarray(0, plain), ...wanted])
  }
})

t.test('an invalid index is row 0, and memory around the table is not changed', async t => {
  const { inputs, features, plain, data, network } = await networkOf({ backend: 'wasm' }, { hidden: [5] })
  const sample = network.batch.samples.data[4]
  for (const index of [-1, 5, 1e30, Number.NaN]) {
    data[sample * features + plain] = index
    const found = inputs().subarray(4 * 19 + plain, 4 * 19 + plain + 3)
    t.same([...found], [...network.embeddings[0].tensors.master.data.subarray(0, 3)])
  }
})

const natives = (await nativeCandidates()).map(({ backend, skip, open }) => ({ name: backend.name, skip, open }))
for (const { name, skip, open } of [{ name: 'wasm' as const, skip: false as const, open: undefined }, ...natives]) {
  for (const plain of [0, 2, 19]) {
    t.test(`${name}: gradients agree with the reference behind ${plain} features, error < 1e-5`, { skip }, async t => {
      const settings = { hidden: [17, 6], activation: 'tanh', inputDropout: 0.2 } as const
      const model = { ...settings, hidden: [...settings.hidden] }
      const truth = (await networkOf({ backend: 'reference' }, model, { plain })).gradients()
      const found = (await networkOf({ backend: name }, model, { plain, open })).gradients()
      let compared = 0
      for (const [e, wanted] of truth.entries()) {
        const largest = Math.max(...wanted.map(Math.abs))
        for (const [i, value] of wanted.entries()) {
          const error = Math.abs(found[e][i] - value) / largest
          if (!(error < 1e-5)) t.fail(`table ${e} [${i}] is ${found[e][i]}, expected ${value}`)
          compared++
        }
      }
      t.equal(compared, 5 * 3 + 7 * 14)
    })
  }
}

t.test('a step of gradient descent moves the rows of the mini-batch by their gradient, and no other', async t => {
  const { network, gradients, plan } = await networkOf({ backend: 'wasm' }, { hidden: [5], activation: 'tanh' })
  const before = network.embeddings.map(({ tensors }) =>
    Float32Array.from(tensors.master.data.subarray(0, tensors.outputs)),
  )
  const gradient = gradients()
  const step = { optimizer: optimizerStep(plan.optimizer, 1, 0.5, 0.1), averageShare: 0 }
  for (const { ranges, update } of network.embeddings) for (const range of ranges) update(range, 'rows', ROWS, step)
  for (const [e, { tensors }] of network.embeddings.entries()) {
    const wanted = before[e].map((value, i) => value - Math.fround(0.5 * gradient[e][i]))
    t.same([...tensors.master.data.subarray(0, tensors.outputs)], [...wanted], 'without L2')
    t.ok(
      gradient[e].slice(0, SHAPES[e].size).every(each => each === 0),
      'row 0',
    )
  }
})

/** Weights of other programs: read from real files of NumPy, distinguished by name, order and shape, or refused. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { encodeNpz } from '../../src/export/npz.js'
import type { Dtype } from '../../src/formats/safetensors.js'
import { writeTensorFile } from '../../src/formats/tensor-file.js'
import { assignWeights as assign, type Reading, type WeightLayout } from '../../src/import/assign.js'
import { importWeights as importFile } from '../../src/import/import.js'
import type { ForeignArray } from '../../src/import/read.js'
import { parameterTable } from '../../src/model/parameters.js'
import type { NamedWeights } from '../../src/run/checkpoint-file.js'

const reading = (layout: WeightLayout | null, order: Reading['order'] = null): Reading => ({ layout, order })
const importWeights = (file: string, table: Parameters<typeof importFile>[1], layout: WeightLayout | null) =>
  importFile(file, table, reading(layout))
const assignWeights = (
  file: string,
  arrays: readonly ForeignArray[],
  table: Parameters<typeof importFile>[1],
  layout: WeightLayout | null,
  order: Reading['order'] = null,
) => assign(file, arrays, table, reading(layout, order))

const ORACLE = 'test/import-oracle'
/** See weights.py. */
const weightAt = (layer: number, i: number, o: number) => ((7 * i + 3 * o + layer) % 11) / 16 - 0.25
const biasAt = (layer: number, o: number) => o / 8 - layer

function expectNetwork(t: Tap, parameters: readonly NamedWeights[], bias = biasAt) {
  for (const { name, shape, data } of parameters) {
    const layer = Number(name.split('.')[1])
    const outputs = shape.at(-1)!
    const want = Array.from(data, (_, n) =>
      shape.length === 2 ? weightAt(layer, Math.floor(n / outputs), n % outputs) : bias(layer, n),
    )
    t.strictSame(Array.from(data), want, `${name} (${shape.join(', ')})`)
  }
}
type Tap = Pick<typeof t, 'strictSame'>

for (const [file, layout] of [
  ['pytorch.npz', 'out-in'],
  ['keras.npz', 'in-out'],
  ['unnamed.npz', 'in-out'],
] as const) {
  t.test(`${file} of NumPy: every number in its place, weights found to be ${layout}`, async t => {
    const imported = await importWeights(join(ORACLE, file), parameterTable([6, 5, 4]), null)
    expectNetwork(t, imported.parameters)
    t.equal(imported.parameters.length, 4)
    t.equal(imported.layout, layout)
    t.strictSame(imported.missing, [])
  })
}

/** A matrix of a layer in the given form, a vector, a counter. */
const matrix = (name: string, layer: number, inputs: number, outputs: number, layout: WeightLayout): ForeignArray => {
  const turned = layout === 'out-in'
  const values = Array.from({ length: inputs * outputs }, (_, n) =>
    turned
      ? weightAt(layer, n % inputs, Math.floor(n / inputs))
      : weightAt(layer, Math.floor(n / outputs), n % outputs),
  )
  return { name, shape: turned ? [outputs, inputs] : [inputs, outputs], whole: false, values }
}
const vector = (name: string, units: number, at: (o: number) => number): ForeignArray => {
  return { name, shape: [units], whole: false, values: Array.from({ length: units }, (_, o) => at(o)) }
}
const bias = (name: string, layer: number, units: number) => vector(name, units, o => biasAt(layer, o))

for (const [dtype, bytesOf] of [
  ['F32', (values: ArrayLike<number>) => new Uint8Array(Float32Array.from(values).buffer)],
  ['F64', (values: ArrayLike<number>) => new Uint8Array(Float64Array.from(values).buffer)],
  [
    'BF16',
    (values: ArrayLike<number>) => words(values, value => new Uint32Array(Float32Array.of(value).buffer)[0] >>> 16),
  ],
  ['F16', (values: ArrayLike<number>) => words(values, halfOf)],
] as const) {
  t.test(`${dtype} safetensors of PyTorch: twelve layers by name, 10 after 2; square ones with the rest`, async t => {
    const file = join(t.testdir(), 'model.safetensors')
    const widths = [5, ...Array<number>(11).fill(4), 3]
    const arrays = widths
      .slice(1)
      .flatMap((outputs, layer) => [
        matrix(`net.${layer}.weight`, layer, widths[layer], outputs, 'out-in'),
        bias(`net.${layer}.bias`, layer, outputs),
      ])
    arrays.sort((a, b) => (a.name < b.name ? -1 : 1))
    await writeTensorFile(
      file,
      [
        ...arrays.map(({ name, shape, values }) => ({ name, dtype, shape, data: () => [bytesOf(values)] })),
        { name: 'net.0.num_batches_tracked', dtype: 'I64' as Dtype, shape: [], data: () => [new Uint8Array(8)] },
      ],
      { format: 'pt' },
    )
    const { parameters, layout } = await importWeights(file, parameterTable(widths), null)
    expectNetwork(t, parameters)
    t.equal(layout, 'out-in')
  })
}

function words(values: ArrayLike<number>, of: (value: number) => number): Uint8Array {
  return new Uint8Array(Uint16Array.from(values, of).buffer)
}

/** A half-precision number that the value is exactly; bias 15, and 10 bits of fraction. */
function halfOf(value: number): number {
  if (value === 0) return 0
  const sign = value < 0 ? 0x8000 : 0
  const exponent = Math.floor(Math.log2(Math.abs(value)))
  return sign | ((exponent + 15) << 10) | ((Math.abs(value) / 2 ** exponent - 1) * 1024)
}

t.test("PyTorch's batch norm behind a layer without a bias: scale, shift and statistics; the bias is 0", async t => {
  const arrays = [
    matrix('0.weight', 0, 6, 5, 'out-in'),
    vector('1.weight', 5, o => 10 + o),
    vector('1.bias', 5, o => 20 + o),
    vector('1.running_mean', 5, o => 30 + o),
    vector('1.running_var', 5, o => 40 + o),
    { name: '1.num_batches_tracked', shape: [], whole: true, values: [7] },
    matrix('3.weight', 1, 5, 4, 'out-in'),
    bias('3.bias', 1, 4),
  ]
  const { parameters, missing } = assignWeights('x', arrays, parameterTable([6, 5, 4], 'batch'), null)
  const of = (name: string) => Array.from(parameters.find(parameter => parameter.name === `layers.0.${name}`)!.data)
  t.strictSame(missing, ['layers.0.bias'])
  t.strictSame(of('bias'), [0, 0, 0, 0, 0])
  for (const [kind, first] of [
    ['scale', 10],
    ['shift', 20],
    ['mean', 30],
    ['variance', 40],
  ] as const) {
    t.strictSame(
      of(`norm.${kind}`),
      [0, 1, 2, 3, 4].map(o => first + o),
    )
  }
  t.throws(() => assignWeights('x', arrays, parameterTable([6, 5, 4]), null), {
    message: 'x: has 1.weight, 1.bias, 1.running_mean, 1.running_var, which the model has no place for; see model.norm',
  })
})

t.test('square weights: names decide the layout, otherwise the option must', async t => {
  const table = parameterTable([4, 4, 4])
  const square = (layout: WeightLayout, name: string) =>
    [0, 1].flatMap(layer => [matrix(`${layer}.${name}`, layer, 4, 4, layout), bias(`${layer}.bias`, layer, 4)])
  t.throws(() => assignWeights('x', square('out-in', 'weight'), table, null), {
    message: 'x: weights are all square, expected to see how they lie',
    hint: /--from-layout in-out .* out-in/,
  })
  for (const layout of ['in-out', 'out-in'] as const) {
    expectNetwork(t, assignWeights('x', square(layout, 'weight'), table, layout).parameters)
  }
  expectNetwork(t, assignWeights('x', square('in-out', 'kernel'), table, null).parameters)
  const scikit = square('in-out', 'weight').map(array => {
    const [, layer, kind] = /^(\d+)\.(weight|bias)$/.exec(array.name)!
    return { ...array, name: `${kind === 'weight' ? 'coefs' : 'intercepts'}_${layer}` }
  })
  expectNetwork(t, assignWeights('x', scikit, table, null).parameters)
})

t.test('arrays that do not fit are refused with their name, their shape and the expected shapes', async t => {
  const table = parameterTable([6, 5, 4])
  const good = [
    matrix('0.weight', 0, 6, 5, 'out-in'),
    bias('0.bias', 0, 5),
    matrix('2.weight', 1, 5, 4, 'out-in'),
    bias('2.bias', 1, 4),
  ]
  const without = (i: number, ...instead: ForeignArray[]) => good.toSpliced(i, 1, ...instead)
  const cases: readonly (readonly [string, readonly ForeignArray[]])[] = [
    ['x: has 1 layers of weights, expected 2; it has 0.weight (5, 6), 0.bias (5)', good.slice(0, 2)],
    [
      'x: 2.weight is (3, 5), expected (4, 5) in out-in form for layers.1.weight; the experiment must have the model of the file',
      without(2, matrix('2.weight', 1, 5, 3, 'out-in')),
    ],
    [
      'x: 2.bias is (3), expected (4) for layers.1.bias; the experiment must have the model of the file',
      without(3, bias('2.bias', 1, 3)),
    ],
    [
      'x: weights are in-out in one layer and out-in in another, expected to see how they lie',
      without(2, matrix('2.weight', 1, 5, 4, 'in-out')),
    ],
    [
      'x: 0.bias is (), expected matrices (inputs, outputs) or (outputs, inputs), kernels of convolutions of four dimensions, and vectors',
      without(1, { name: '0.bias', shape: [], whole: false, values: [1] }),
    ],
    [
      'x: c is (5), expected a name such as fc1.weight, fc1.bias and bn1.running_mean of PyTorch or dense/kernel of Keras, each once',
      [bias('c', 0, 5), ...good],
    ],
    ['x: has b, which the model has no place for; see model.norm', [bias('b', 0, 5), ...good]],
    [
      'x: 2.bias has Infinity, expected finite numbers in f32',
      without(
        3,
        vector('2.bias', 4, () => 1e39),
      ),
    ],
  ]
  for (const [message, arrays] of cases) t.throws(() => assignWeights('x', arrays, table, null), { message })
  t.throws(() => assignWeights('x', good, parameterTable([6, 5, 4], 'layer'), null), {
    message: 'x: has no scale for layers.0.norm.scale, expected it behind 0.weight',
  })
})

t.test('a file that is damaged, or claims more than the model can hold, is refused before it is unpacked', async t => {
  const dir = t.testdir()
  const table = parameterTable([6, 5, 4])
  const whole = readFileSync(join(ORACLE, 'pytorch.npz'))
  const file = join(dir, 'half.npz')
  writeFileSync(file, whole.subarray(0, whole.length / 2))
  await t.rejects(importWeights(file, table, null), {
    name: 'DataError',
    message: /half\.npz: is not a whole \.npz archive/,
  })
  await t.rejects(importWeights(join(dir, 'none.npz'), table, null), { message: /none\.npz: cannot be read: ENOENT/ })
  // A byte of a stored array, which the directory's CRC-32 does not fit any more.
  const flipped = encodeNpz([{ name: 'a', shape: [6, 5], data: new Float32Array(30).fill(0.5) }])
  flipped[Buffer.from(flipped).indexOf(Buffer.from(Float32Array.of(0.5).buffer)) + 2] ^= 1
  writeFileSync(join(dir, 'flipped.npz'), flipped)
  await t.rejects(importWeights(join(dir, 'flipped.npz'), table, null), {
    message: /flipped\.npz: is not a whole \.npz archive: CRC-32 of a\.npy is \w{8}, expected \w{8}/,
  })
  const large = join(dir, 'large.npz')
  writeFileSync(large, encodeNpz([{ name: 'a', shape: [20_000], data: new Float32Array(20_000) }]))
  await t.rejects(importWeights(large, table, null), {
    message: `${large}: a has 80128 bytes, expected at most 240: the largest array of the model`,
  })
})

t.test('tensors of an unsupported type do not prevent reading the others; a needed one is named', async t => {
  const file = join(t.testdir(), 'model.safetensors')
  const f32 = (values: ArrayLike<number>) => Buffer.from(Float32Array.from(values).buffer)
  /** A safetensors file by hand: writeTensorFile only knows its own types. */
  const write = (types: Readonly<Record<string, string>>) => {
    let begin = 0
    const tensors: [name: string, dtype: string, shape: number[], bytes: Buffer][] = [
      ['fc1.weight', 'F32', [4, 3], f32(matrix('', 0, 3, 4, 'out-in').values)],
      ['fc1.bias', 'F32', [4], f32(bias('', 0, 4).values)],
      ['fc2.weight', 'F32', [2, 4], f32(matrix('', 1, 4, 2, 'out-in').values)],
      ['fc2.bias', 'F32', [2], f32(bias('', 1, 2).values)],
      ['phases', 'C64', [5], Buffer.alloc(40)],
      ['scales', 'F8_E8M0', [3], Buffer.alloc(3)],
      ['blocks', 'F4', [6], Buffer.alloc(3)],
      ['older', 'F8_E4M3FNUZ', [7], Buffer.alloc(7)],
    ]
    const header = Object.fromEntries(
      tensors.map(([name, dtype, shape, { length }]) => {
        begin += length
        return [name, { dtype: types[name] ?? dtype, shape, data_offsets: [begin - length, begin] }]
      }),
    )
    const json = Buffer.from(JSON.stringify(header))
    const length = Buffer.alloc(8)
    length.writeBigUInt64LE(BigInt(json.length))
    writeFileSync(file, Buffer.concat([length, json, ...tensors.map(([, , , bytes]) => bytes)]))
  }
  write({})
  const { parameters } = await importWeights(file, parameterTable([3, 4, 2]), null)
  expectNetwork(t, parameters)
  write({ 'fc2.weight': 'C64' })
  await t.rejects(importWeights(file, parameterTable([3, 4, 2]), null), { message: /fc2\.weight is C64.*not read/ })
  write({ 'fc2.bias': 'F8_E5M2FNUZ' })
  await t.rejects(importWeights(file, parameterTable([3, 4, 2]), null), {
    message: /fc2\.bias is F8_E5M2FNUZ.*not read/,
  })
})

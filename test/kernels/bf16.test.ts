/**
 * The bf16 backend's kernels over products in plain JavaScript, so that they are tested on every CPU: the forms that operands are rounded
 * into, products of numbers that bf16 holds exactly, and whole steps compared with the reference.
 */
import t from 'tap'
import { instantiateWasm } from '../../src/kernels/abi.js'
import type { WeightTensors } from '../../src/kernels/backend.js'
import { compileWasm } from '../../src/kernels/module/compile.js'
import { bf16Backend } from '../../src/kernels/native/bf16.js'
import { BF16_CHECK_ELEMS, checkBf16 } from '../../src/kernels/native/check.js'
import { oneByOne } from '../../src/kernels/native/open-products.js'
import type { BindBf16, NativeProducts } from '../../src/kernels/products.js'
import { reference } from '../../src/kernels/reference/index.js'
import { mayLeaveOutZerosInBf16, sparseBlocks } from '../../src/kernels/x64/bf16-sparse.js'
import type { Activation } from '../../src/model/activation.js'
import type { OptimizerStep } from '../../src/model/optimizer.js'
import type { NormType } from '../../src/model/parameters.js'
import { createArena } from '../../src/tensor/arena.js'
import { roundToBf16, widenBf16 } from '../../src/tensor/bf16.js'
import { fill, Lab, type Region, randoms, read, rowsOf, whole } from './lab.js'
import { tinyNet } from './tiny-net.js'

/** Addresses are byte offsets in the memory. Sums in float64, rounded once. */
function plainProducts(memory: WebAssembly.Memory): NativeProducts {
  const singles = new Float32Array(memory.buffer)
  return {
    base: 0,
    faster: null,
    patches: null,
    gemm: {
      bind: ({ form, m, n, k, lda, ldb, ldc, accumulate }) => {
        if (form !== 'nn') throw new Error(`plain products: ${form}, expected nn`)
        return (a, b, c) => {
          for (let i = 0; i < m; i++) {
            for (let j = 0; j < n; j++) {
              let sum = accumulate ? singles[c / 4 + i * ldc + j] : 0
              for (let p = 0; p < k; p++) sum += singles[a / 4 + i * lda + p] * singles[b / 4 + p * ldb + j]
              singles[c / 4 + i * ldc + j] = sum
            }
          }
        }
      },
    },
    // Number of blocks that the backend has scratch for.
    bf16: { bind: oneByOne(plainBf16(memory)), blocks: mayLeaveOutZerosInBf16() ? sparseBlocks : 1 },
  }
}

/** c (m, 64) = a (m, k) · b (k, 64). Sums in float64, rounded once. */
function plainBf16(memory: WebAssembly.Memory): BindBf16 {
  const singles = new Float32Array(memory.buffer)
  const halves = new Uint16Array(memory.buffer)
  const single = new Float32Array(1)
  const word = new Uint32Array(single.buffer)
  const half = (at: number) => {
    word[0] = halves[at] << 16
    return single[0]
  }
  return ({ m, k, accumulate }) =>
    (a, b, c) => {
      for (let i = 0; i < m; i++) {
        for (let j = 0; j < 64; j++) {
          let sum = accumulate ? singles[c / 4 + i * 64 + j] : 0
          for (let p = 0; p < k; p++) sum += half(a / 2 + i * k + p) * half(b / 2 + (p >> 1) * 128 + 2 * j + (p & 1))
          singles[c / 4 + i * 64 + j] = sum
        }
      }
    }
}

const openLab = () => Lab.open(bf16Backend(), async memory => plainProducts(memory))

t.test('the check of a library accepts these products and rejects every other form', async t => {
  const memory = createArena(4 * BF16_CHECK_ELEMS + 64)
  const space = { data: new Float32Array(memory.buffer, 0, BF16_CHECK_ELEMS), at: 0 }
  const bind = plainBf16(memory)
  t.equal(checkBf16(bind, space), 4 * 3 * 2)
  t.throws(() => checkBf16(({ m, k }) => bind({ m, k, accumulate: false }), space), { message: /gives wrong values/ })
  t.throws(() => checkBf16(of => (a, b, c) => bind(of)(a, b + 128, c), space), { message: /gives wrong values/ })
  t.throws(() => checkBf16(({ m, ...of }) => bind({ m: m + 1, ...of }), space), { message: /outside of its result/ })
})

t.test('rounding: to nearest, ties to even, in every layout; NaN and infinity are preserved', async t => {
  const memory = createArena(1 << 20)
  const wasm = instantiateWasm(await compileWasm(), memory)
  const random = randoms(3)
  // 1.0 + half a unit, + three halves, subnormals, the largest number, which rounds to infinity.
  const special = [
    1 + 2 ** -8,
    1 + 3 * 2 ** -8,
    -0,
    2 ** -149,
    2 ** -133,
    -(2 ** -127),
    3.4028235e38,
    -1e38,
    2 ** -8 / 3,
  ]
  const [rows, cols, stride] = [37, 64, 72]
  const from = new Float32Array(memory.buffer, 0, rows * stride)
  for (let i = 0; i < from.length; i++)
    from[i] = i < special.length ? special[i] : random() * 10 ** Math.round(9 * random())
  const want = roundToBf16(from)
  const out = 64 << 10
  const halves = new Uint16Array(memory.buffer, out)
  const forms: [string, () => void, (r: number, c: number) => number][] = [
    ['rows', () => wasm.bf16_rows(out, 2 * cols, 0, 4 * stride, rows, cols / 8), (r, c) => r * cols + c],
    ['pairs', () => wasm.bf16_pairs(out, 0, 4 * stride, rows, 64), (r, c) => (r >> 1) * 128 + 2 * c + (r & 1)],
    ['columns', () => wasm.bf16_columns(out, 2 * 64, 0, 4 * stride, rows, cols / 4, 64), (r, c) => c * 64 + r],
    [
      'column pairs',
      () => wasm.bf16_column_pairs(out, 0, 4 * stride, rows, 32),
      (r, c) => (c >> 1) * 128 + 2 * r + (c & 1),
    ],
  ]
  for (const [name, run, at] of forms) {
    halves.fill(0xffff, 0, 64 * 64)
    run()
    let wrong = 0
    for (let r = 0; r < rows; r++) for (let c = 0; c < cols; c++) if (halves[at(r, c)] !== want[r * stride + c]) wrong++
    t.equal(wrong, 0, name)
    if (name === 'pairs' || name === 'columns') {
      let dirty = 0
      for (let r = rows; r < 64; r++) for (let c = 0; c < cols; c++) if (halves[at(r, c)] !== 0) dirty++
      t.equal(dirty, 0, `${name}: zeros past the last row`)
    }
    if (name === 'column pairs')
      t.same([halves[at(rows, 0)], halves[at(39, 63)]], [0, 0], 'zeros up to a multiple of four')
  }
  from.set([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])
  word(from, 3, 0xffffffff)
  wasm.bf16_rows(out, 2 * cols, 0, 4 * stride, 1, 1)
  t.same(
    [...widenBf16(halves.slice(0, 4))],
    [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN],
  )
})

function word(of: Float32Array, index: number, bits: number): void {
  new Uint32Array(of.buffer, of.byteOffset)[index] = bits
}

const ROWS = [1, 2, 31, 32, 33, 65, 97]
const WIDTHS = [1, 10, 32, 33, 64, 130]
const SIZES = [
  ...ROWS.flatMap(rows => WIDTHS.flatMap(I => WIDTHS.map(O => [rows, I, O] as const))),
  [97, 270, 270] as const,
]

/** Sums of products of these are exact in any order. */
const small = (random: () => number) => Math.round(random() * 8) / 4

t.test('linear, linearBackward and gradients are exact where bf16 is', async t => {
  const lab = await openLab()
  const failures: string[] = []
  let cases = 0
  for (const [rows, I, O] of SIZES) {
    const n = cases++
    lab.reset()
    const random = randoms(n)
    const row = n % 2 === 0 ? 0 : 32
    const x = lab.matrix(row + rows, I)
    const out = lab.matrix(row + rows, O)
    const dz = lab.matrix(row + rows, O)
    const dx = lab.matrix(row + rows, I)
    const ones = lab.matrix(row + rows, O)
    const w = lab.weight(I, O, 1)
    const buffer = lab.weightBuffer(I, O)
    const samples = lab.integers(Array(row + rows).fill(0))
    const [xs, dzs] = [x, dz].map(matrix => rowsOf(matrix, row, rows))
    fill(xs, () => small(random))
    fill(dzs, () => small(random))
    fill(rowsOf(ones, row, rows), () => 1)
    const values = Float32Array.from({ length: I * O }, () => small(random))
    for (let i = 0; i < I; i++) lab.kernels.storeRow(w, i, values.subarray(i * O, (i + 1) * O))
    const tile = { inputStart: 0, inputEnd: I, outputStart: 0, outputEnd: O }
    const update = lab.kernels.weightUpdate(w, x, dz)
    lab.kernels.derive(w)(tile)
    lab.kernels.dropout(x, { rate: 0, seed: 1, layer: 0, samples })(row, rows, 0)
    lab.kernels.activateBackward(dz, ones, { type: 'relu', derivatives: null }, 0)(row, rows)

    lab.kernels.linear(out, x, w)(row, rows)
    lab.kernels.linearBackward(dx, dz, w)(row, rows)
    update.accumulate(buffer.tensor, tile, row, rows, true)
    update.accumulate(buffer.tensor, tile, row, rows, false)

    const [xv, dv] = [read(xs), read(dzs)]
    const sum = (depth: number, term: (p: number) => number) => {
      let total = 0
      for (let p = 0; p < depth; p++) total += term(p)
      return total
    }
    compare('linear', rowsOf(out, row, rows), (r, o) => sum(I, i => xv[r * I + i] * values[i * O + o]))
    compare('linearBackward', rowsOf(dx, row, rows), (r, i) => sum(O, o => dv[r * O + o] * values[i * O + o]))
    compare('gradient, twice', whole(buffer), (i, o) => 2 * sum(rows, r => xv[r * I + i] * dv[r * O + o]))

    // Nothing may have reached the padding, which products sum over.
    const f32 = lab.kernels.linear(out, x, { ...w, derived: null })
    fill(rowsOf(out, row, rows), () => Number.NaN)
    f32(row, rows)
    compare('linear, not derived', rowsOf(out, row, rows), (r, o) => sum(I, i => xv[r * I + i] * values[i * O + o]))

    function compare(what: string, region: Region, want: (r: number, c: number) => number) {
      const got = read(region)
      for (let r = 0; r < region.rows; r++) {
        for (let c = 0; c < region.cols; c++) {
          if (got[r * region.cols + c] === want(r, c)) continue
          failures.push(
            `${what}, rows ${row}+${rows}, I ${I}, O ${O}: (${r}, ${c}) is ${got[r * region.cols + c]}, expected ${want(r, c)}`,
          )
          return
        }
      }
    }
  }
  t.same(failures.slice(0, 5), [], `${failures.length} failures`)
  t.equal(cases, 7 * 6 * 6 + 1)
})

const SGD: OptimizerStep = {
  ...{ type: 'sgd', stepSize: 1, beta1: 0, beta2: 0, secondCorrection: 1, epsilon: 0 },
  ...{ l2: 0, decoupledDecay: 0, clip: Number.POSITIVE_INFINITY },
}

t.test('a whole step is close to f64: losses within 1 %, gradients in nearly the same direction', async t => {
  const cases: [rows: number, activation: Activation, norm: NormType][] = [
    [1, 'relu', 'none'],
    [50, 'relu', 'none'],
    [96, 'gelu', 'none'],
    [97, 'relu', 'batch'],
    [130, 'tanh', 'layer'],
  ]
  for (const [rows, activation, norm] of cases) {
    const options = {
      widths: [70, 133, 65, 40, 10],
      rows,
      rate: 0.25,
      optimizer: 'sgd',
      seed: 5,
      activation,
      norm,
    } as const
    const [got, want] = await Promise.all([openLab(), Lab.open(reference)].map(async lab => stepOf(await lab)))
    t.ok(
      Math.abs(got.loss - want.loss) < 0.01 * want.loss,
      `${rows} rows, ${activation}, ${norm}: loss ${got.loss}, ${want.loss}`,
    )
    for (const [i, gradient] of got.gradients.entries()) {
      const truth = want.gradients[i]
      const [length, wanted] = [gradient, truth].map(of => Math.sqrt(dot(of, of)))
      // Biases before a batch's mean learn nothing.
      if (wanted === 0) {
        t.equal(length, 0, `parameter ${i}`)
        continue
      }
      const cosine = dot(gradient, truth) / (length * wanted)
      // One row has few units, and some of a ReLU's are near its edge.
      const [angle, share] = rows === 1 ? [0.98, 0.1] : [0.994, 0.03]
      t.ok(
        cosine > angle && Math.abs(length / wanted - 1) < share,
        `parameter ${i}: cosine ${cosine}, length ${length / wanted}`,
      )
    }

    function stepOf(lab: Lab) {
      const net = tinyNet(lab, options)
      const before = net.parameters.map(read)
      const loss = net.forward()
      t.ok(net.backward())
      net.update(SGD)
      return { loss, gradients: net.parameters.map(read).map((after, i) => after.map((x, j) => before[i][j] - x)) }
    }
  }
})

function dot(a: Float64Array, b: Float64Array): number {
  return a.reduce((sum, x, i) => sum + x * b[i], 0)
}

function differing(a: readonly number[], b: readonly number[]): number {
  return a.length === b.length ? a.filter((x, i) => x !== b[i]).length : Number.POSITIVE_INFINITY
}

t.test('every form of update keeps the bf16 copies equal to the rounded f32 weights', async t => {
  const lab = await openLab()
  const [rows, I, O] = [40, 150, 90]
  const random = randoms(8)
  const x = lab.matrix(rows, I)
  const dz = lab.matrix(rows, O)
  const ones = lab.matrix(rows, O)
  const samples = lab.integers(Array(rows).fill(0))
  fill(whole({ ...x, rows }), random)
  fill(whole({ ...ones, rows }), () => 1)
  lab.kernels.dropout(x, { rate: 0, seed: 1, layer: 0, samples })(0, rows, 0)
  const tiles = [
    { inputStart: 0, inputEnd: 128, outputStart: 0, outputEnd: 64 },
    { inputStart: 128, inputEnd: I, outputStart: 0, outputEnd: 64 },
    { inputStart: 0, inputEnd: I, outputStart: 64, outputEnd: O },
  ]
  const fresh = () => {
    const w = lab.weight(I, O, 1)
    const values = randoms(9)
    for (let i = 0; i < I; i++) lab.kernels.storeRow(w, i, Float32Array.from({ length: O }, values))
    const update = lab.kernels.weightUpdate(w, x, dz)
    for (const tile of tiles) lab.kernels.derive(w)(tile)
    fill(whole({ ...dz, rows }), randoms(10))
    lab.kernels.activateBackward(dz, ones, { type: 'relu', derivatives: null }, 0)(0, rows)
    return { w, update }
  }
  /** Products of the weights as they are now, and as they are when all is derived anew. */
  const check = (name: string, { w }: ReturnType<typeof fresh>) => {
    const products = () => {
      const out = lab.matrix(rows, O)
      const dx = lab.matrix(rows, I)
      lab.kernels.linear(out, x, w)(0, rows)
      lab.kernels.linearBackward(dx, dz, w)(0, rows)
      return [read(rowsOf(out, 0, rows)), read(rowsOf(dx, 0, rows))]
    }
    const now = products()
    for (const tile of tiles) lab.kernels.derive(w)(tile)
    t.equal(
      differing(
        now.flatMap(x => [...x]),
        products().flatMap(x => [...x]),
      ),
      0,
      name,
    )
    return masterOf(w)
  }
  const masterOf = (w: WeightTensors) => {
    const row = new Float32Array(O)
    return Array.from({ length: I }, (_, i) => {
      lab.kernels.loadRow(w, i, row)
      return [...row]
    }).flat()
  }
  const a = fresh()
  const before = masterOf(a.w)
  for (const tile of tiles) a.update.fused(tile, rows, SGD)
  const fused = check('fused', a)
  t.ok(differing(fused, before) > 10_000)

  const b = fresh()
  const buffers = [lab.weightBuffer(I, O).tensor, lab.weightBuffer(I, O).tensor]
  for (const tile of tiles) {
    b.update.accumulate(buffers[0], tile, 0, rows, true)
    b.update.scale(buffers[0], tile, 0.5)
    b.update.accumulate(buffers[1], tile, 0, rows, true)
    b.update.scale(buffers[1], tile, 0.5)
  }
  const whole_ = { inputStart: 0, inputEnd: I, outputStart: 0, outputEnd: O }
  const squares = b.update.squares(buffers[0], whole_)
  const halves = fused.reduce((sum, x, i) => sum + ((before[i] - x) / 2) ** 2, 0)
  t.ok(Math.abs(squares / halves - 1) < 1e-4, `squares ${squares}, ${halves}`)
  for (const tile of tiles) b.update.reduce(buffers, tile, SGD)
  t.equal(differing(check('reduce', b), fused), 0, 'two halves make the same step')

  const c = fresh()
  c.update.limit({ start: 0, end: 64 }, 0.5)
  c.update.limit({ start: 64, end: O }, 0.5)
  const limited = check('limit', c)
  for (const o of [0, 63, 64, 89]) {
    const norm = Math.hypot(...Array.from({ length: I }, (_, i) => limited[i * O + o]))
    t.ok(Math.abs(norm - 0.5) < 1e-4, `output ${o}: norm ${norm}`)
  }
  const average = lab.weight(I, O)
  for (let i = 0; i < I; i++) lab.kernels.storeRow(average, i, new Float32Array(O))
  for (const tile of tiles) c.update.average(average.master, tile, 0.5)
  t.equal(
    differing(
      masterOf(average),
      limited.map(x => Math.fround(x / 2)),
    ),
    0,
    'averages',
  )
})

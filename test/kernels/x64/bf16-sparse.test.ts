/**
 * Products in bf16 that skip zeros, on this machine: against plain float64 loops over sizes, blocks, strides and shares of
 * zeros; what is left to a library; bits that no partition changes; what is no number.
 */
import t, { type Test } from 'tap'
import { addressOf } from '../../../src/ffi/memory.js'
import type { Bf16BlocksShape, BindBf16Blocks } from '../../../src/kernels/products.js'
import { bf16SparseCost, bf16SparseObstacle, openBf16Sparse } from '../../../src/kernels/x64/bf16-sparse.js'
import { createArena } from '../../../src/tensor/arena.js'
import { roundToBf16, widenBf16 } from '../../../src/tensor/bf16.js'
import { divideGrid } from '../../../src/worker/plan/grid.js'
import { randoms } from '../lab.js'
import { gamma } from '../tally.js'

/** Around lists of 64 numbers, 4 blocks, and more rows than are multiplied at once. */
const SIZES: readonly (readonly [m: number, blocks: number, k: number])[] = [
  [1, 1, 32],
  [2, 4, 64],
  [17, 3, 96],
  [31, 2, 128],
  [40, 4, 160],
  [257, 1, 64],
  [300, 4, 224],
  [515, 3, 32],
]
/** Shares of numbers that are not zero. */
const SHARES = [0, 0.02, 0.35, 0.6]
const SENTINEL = -77
const COLUMNS = 64
const MB = 1 << 20

const memory = createArena(8 * MB)
const base = await addressOf(memory)
const floats = new Float32Array(memory.buffer)
const halves = new Uint16Array(memory.buffer)
const sparse = await openBf16Sparse(memory)
const obstacle = bf16SparseObstacle()
const skip = sparse === null && (obstacle ?? 'the system does not let memory become code')

t.test('on a CPU with the needed instructions these tests are not skipped', { skip: obstacle ?? false }, async t => {
  t.not(sparse, null)
})

/** Counts what is left to the library, and multiplies nothing. */
function watched(): { bind: BindBf16Blocks; calls: () => number } {
  let calls = 0
  return { bind: sparse!(() => () => void calls++), calls: () => calls }
}

interface Placed extends Bf16BlocksShape {
  /** Byte offsets. */
  readonly at: { readonly a: number; readonly b: number; readonly c: number; readonly end: number }
}

/** Blocks of b and c lie `gap` bytes further apart than they are long. */
function placed([m, blocks, k]: readonly number[], gap: number, accumulate: boolean): Placed {
  const bBlock = k * 2 * COLUMNS + gap
  const cBlock = m * 4 * COLUMNS + gap
  const a = 64
  const b = a + Math.ceil((m * k * 2) / 64) * 64
  const c = b + blocks * bBlock + 64
  return { m, k, accumulate, blocks, bBlock, cBlock, at: { a, b, c, end: c + blocks * cBlock } }
}

const bf16 = (x: number): number => roundToBf16(Float32Array.of(x))[0]
/** Values of some numbers in bf16, at a byte offset. */
const widened = (at: number, count: number): Float32Array => widenBf16(halves.subarray(at / 2, at / 2 + count))
const placeOfB = ({ at, bBlock }: Placed, p: number, block: number, column: number) =>
  (at.b + block * bBlock) / 2 + (p >> 1) * 2 * COLUMNS + 2 * column + (p & 1)
const placeOfC = ({ at, cBlock }: Placed, row: number, block: number, column: number) =>
  (at.c + block * cBlock) / 4 + row * COLUMNS + column

/** Fills a, of which such a share is not zero, b, and c. */
function fill(shape: Placed, share: number, seed: number): void {
  const { at, m, k, blocks, accumulate } = shape
  const random = randoms(seed)
  for (let i = 0; i < m * k; i++) halves[at.a / 2 + i] = (random() + 1) / 2 < share ? bf16(random()) : 0
  for (let i = at.b / 2; i < at.c / 2; i++) halves[i] = bf16(random())
  floats.fill(SENTINEL, at.c / 4 - 16, at.end / 4 + 16)
  for (let block = 0; block < blocks; block++) {
    for (let i = 0; i < m * COLUMNS; i++) floats[placeOfC(shape, 0, block, i)] = accumulate ? random() : Number.NaN
  }
}

const run = (bind: BindBf16Blocks, { at, ...shape }: Placed) => bind(shape)(base + at.a, base + at.b, base + at.c)

/** The worst number as a share of its bound; infinite if anything else was written. */
function shareOfBound(bind: BindBf16Blocks, shape: Placed): number {
  const { m, k, blocks, accumulate, at } = shape
  const from = at.c / 4 - 16
  const before = floats.slice(from, at.end / 4 + 16)
  run(bind, shape)
  let worst = 0
  let written = 0
  for (let i = from; i < at.end / 4 + 16; i++) if (!Object.is(floats[i], before[i - from])) written++
  let inside = 0
  const as = widened(at.a, m * k)
  const bs = widened(at.b, (at.c - at.b) / 2)
  for (let block = 0; block < blocks; block++) {
    for (let row = 0; row < m; row++) {
      for (let column = 0; column < COLUMNS; column++) {
        const place = placeOfC(shape, row, block, column)
        if (!Object.is(floats[place], before[place - from])) inside++
        let want = accumulate ? before[place - from] : 0
        let magnitude = Math.abs(want)
        for (let p = 0; p < k; p++) {
          const x = as[row * k + p]
          if (x === 0) continue
          const term = x * bs[placeOfB(shape, p, block, column) - at.b / 2]
          want += term
          magnitude += Math.abs(term)
        }
        const off = Math.abs(floats[place] - want)
        const share = off === 0 ? 0 : off / (2 * gamma(k + 2) * magnitude)
        worst = share <= worst ? worst : share
      }
    }
  }
  return written === inside ? worst : Number.POSITIVE_INFINITY
}

t.test(
  'every size, stride and share of zeros, added or not: error <= 2 γ(k + 2) · |a|·|b|, nothing else written',
  { skip },
  async t => {
    let cases = 0
    for (const size of SIZES) {
      for (const gap of [0, 64]) {
        for (const share of SHARES) {
          const shape = placed(size, gap, cases % 2 === 1)
          const { bind, calls } = watched()
          fill(shape, share, cases + 1)
          const worst = shareOfBound(bind, shape)
          // Few numbers can be as dense as any by chance.
          const left = calls() > 0 && shape.m * shape.k > 200
          if (left || (calls() === 0 && !(worst <= 1))) {
            t.fail(`${JSON.stringify(shape)}, ${share}: ${left ? 'left to the library' : `${worst} of the bound`}`)
          }
          cases++
        }
      }
    }
    t.equal(cases, SIZES.length * 2 * SHARES.length, 'every case ran')
  },
)

t.test('dense products are left to the library, once', { skip }, async t => {
  for (const [share, expected] of [
    [1, 1],
    [0.9, 1],
    [0.5, 0],
  ] as const) {
    const shape = placed([40, 3, 96], 0, false)
    const { bind, calls } = watched()
    fill(shape, share, 3)
    run(bind, shape)
    t.equal(calls(), expected, `${share}`)
  }
})

t.test('the division into blocks does not change the bits', { skip }, async t => {
  const shape = placed([300, 4, 192], 0, false)
  fill(shape, 0.4, 11)
  run(watched().bind, shape)
  const { at, m, k, blocks, bBlock, cBlock } = shape
  const bits = () => new Uint32Array(memory.buffer.slice(at.c, at.end))
  const want = bits()
  for (const [rows, of] of [
    [1, 4],
    [300, 1],
    [13, 2],
    [128, 3],
  ]) {
    floats.fill(Number.NaN, at.c / 4, at.end / 4)
    for (let row = 0; row < m; row += rows) {
      for (let block = 0; block < blocks; block += of) {
        const part = { m: Math.min(rows, m - row), blocks: Math.min(of, blocks - block) }
        const [a, b, c] = [at.a + row * k * 2, at.b + block * bBlock, at.c + block * cBlock + row * 4 * COLUMNS]
        watched().bind({ ...part, k, accumulate: false, bBlock, cBlock })(base + a, base + b, base + c)
      }
    }
    const got = bits()
    t.equal(got.filter((x, i) => x !== want[i]).length, 0, `in blocks of ${rows} x ${of}`)
  }
})

t.test('NaN is not treated as zero; padding is not multiplied', { skip }, async t => {
  const shape = placed([4, 2, 64], 0, false)
  const product = (t: Test, a: number, b: number, want: number, title: string) => {
    fill(shape, 0, 1)
    halves[shape.at.a / 2 + 3] = bf16(a)
    // Lists of one number: their second place must not bring in a row of b.
    for (let i = shape.at.b / 2; i < shape.at.c / 2; i++) halves[i] = bf16(Number.NaN)
    halves[placeOfB(shape, 3, 1, 7)] = bf16(b)
    run(watched().bind, shape)
    const got = floats[placeOfC(shape, 0, 1, 7)]
    t.ok(Object.is(got, Math.fround(want)), `${title}: ${got}`)
    t.equal(floats[placeOfC(shape, 1, 1, 7)], 0, `${title}: the next row`)
  }
  product(t, Number.NaN, 1, Number.NaN, 'NaN')
  product(t, Number.POSITIVE_INFINITY, 1, Number.POSITIVE_INFINITY, 'infinity')
  product(t, 3, 5, 15, 'whole numbers')
  product(t, 1e-20, 1e-20, 0, 'a product that is subnormal')
  product(t, 1e-40, 1e30, 0, 'an operand that is subnormal')
})

t.test('blocks are divided so that panels are wide', async t => {
  const unit = { blockRows: 32, blockColumns: 64, blockCost: bf16SparseCost }
  t.same(divideGrid(256, 3000, 784, unit)[0], { row: 0, rows: 256, columns: { start: 0, end: 192 } })
  t.same(divideGrid(256, 2500, 3000, unit)[0], { row: 0, rows: 256, columns: { start: 0, end: 192 } })
  t.same(divideGrid(256, 2000, 2500, unit)[0], { row: 0, rows: 128, columns: { start: 0, end: 256 } })
})

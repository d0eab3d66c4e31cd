/**
 * Products in f32 that skip zeros, on this machine: against plain float64 loops over forms, sizes, strides and shares of
 * zeros; what is left to a library; bits that no partition changes; subnormal numbers.
 */
import t, { type Test } from 'tap'
import { loadKoffi } from '../../../src/ffi/koffi.js'
import { addressOf } from '../../../src/ffi/memory.js'
import { instantiateWasm } from '../../../src/kernels/abi.js'
import { compileWasm } from '../../../src/kernels/module/compile.js'
import type { NativeGemm, ProductForm, ProductShape } from '../../../src/kernels/products.js'
import { openX64 } from '../../../src/kernels/x64/accelerate.js'
import { isChecking } from '../../../src/kernels/x64/cpu.js'
import { openSparse, sparseCost, sparseObstacle } from '../../../src/kernels/x64/sparse-products.js'
import { createArena } from '../../../src/tensor/arena.js'
import { divideGrid } from '../../../src/worker/plan/grid.js'
import { randoms } from '../lab.js'
import { gamma } from '../tally.js'

const FORMS: readonly ProductForm[] = ['nn', 'nt', 'tn']
/** Around vectors of 16, words of 64 rows, panels of 128 or 192 columns, and more rows than are multiplied at once. */
const SIZES: readonly (readonly [m: number, n: number, k: number])[] = [
  [1, 1, 1],
  [3, 15, 17],
  [16, 16, 16],
  [17, 33, 63],
  [5, 160, 64],
  [31, 192, 65],
  [40, 193, 130],
  [12, 400, 48],
  [64, 48, 256],
  [515, 20, 70],
]
const PADDINGS = [0, 1, 16]
/** Shares of numbers that are not zero. */
const SHARES = [0, 0.05, 0.35, 0.6]
const SENTINEL = -77

const memory = createArena(8 << 20)
const base = await addressOf(memory)
const all = new Float32Array(memory.buffer)
const sparse = await openSparse(memory)
const skip = sparse === null && (sparseObstacle() ?? 'the system does not let memory become code')

/** Counts what is left to it, and multiplies nothing. */
function watched(): { gemm: NativeGemm; calls: () => number } {
  let calls = 0
  const library: NativeGemm = { bind: () => () => void calls++ }
  return { gemm: sparse!(library), calls: () => calls }
}

/** b (k, n) with whole lines in its rows: [m, n, k, ldb]. Panels that lie well, and rows that share sets of a cache. */
const WHOLE_LINES: readonly (readonly number[])[] = [
  [18, 16, 64, 16],
  [20, 193, 130, 208],
  [64, 192, 120, 3008],
  [97, 700, 60, 704],
  [300, 400, 107, 1008],
  [64, 250, 70, 512],
  [20, 192, 64, 1024],
]

interface Placed extends ProductShape {
  readonly at: { readonly a: number; readonly b: number; readonly c: number; readonly end: number }
}

function placed(form: ProductForm, [m, n, k]: readonly number[], padding: number, accumulate: boolean): Placed {
  const lda = (form === 'tn' ? m : k) + padding
  const ldb = (form === 'nt' ? k : n) + 2 * padding
  const ldc = n + 3 * padding
  const b = 5 + (form === 'tn' ? k : m) * lda // not aligned to anything
  const c = b + (form === 'nt' ? n : k) * ldb + 1
  return { form, m, n, k, lda, ldb, ldc, accumulate, at: { a: 5, b, c, end: c + m * ldc } }
}

/** Fills a, of which such a share is not zero, b, and c. */
function fill({ at, n, ldc, accumulate }: Placed, share: number, seed: number): void {
  const random = randoms(seed)
  for (let i = at.a; i < at.b; i++) all[i] = (random() + 1) / 2 < share ? random() : 0
  for (let i = at.b; i < at.c; i++) all[i] = random()
  for (let i = at.c - 1; i < at.end + 1; i++) {
    const inside = i >= at.c && i < at.end && (i - at.c) % ldc < n
    all[i] = !inside ? SENTINEL : accumulate ? random() : Number.NaN
  }
}

const run = (gemm: NativeGemm, shape: Placed) =>
  gemm.bind(shape)(base + 4 * shape.at.a, base + 4 * shape.at.b, base + 4 * shape.at.c)

/** The worst number as a share of its bound; infinite if anything else was written. */
function shareOfBound(gemm: NativeGemm, shape: Placed): number {
  const { form, m, n, k, lda, ldb, ldc, accumulate, at } = shape
  const before = all.slice(at.c - 1, at.end + 1)
  run(gemm, shape)
  let worst = 0
  for (let i = at.c - 1; i < at.end + 1; i++) {
    const [row, column] = [Math.floor((i - at.c) / ldc), (i - at.c) % ldc]
    if (i < at.c || i === at.end || column >= n) {
      if (all[i] !== SENTINEL) return Number.POSITIVE_INFINITY
      continue
    }
    if (row >= m) throw new RangeError('row')
    let want = accumulate ? before[i - at.c + 1] : 0
    let magnitude = Math.abs(want)
    for (let p = 0; p < k; p++) {
      const x = all[at.a + (form === 'tn' ? p * lda + row : row * lda + p)]
      const y = all[at.b + (form === 'nt' ? column * ldb + p : p * ldb + column)]
      want += x * y
      magnitude += Math.abs(x * y)
    }
    const off = Math.abs(all[i] - want)
    const share = off === 0 ? 0 : off / (gamma(k + 1) * magnitude)
    worst = share <= worst ? worst : share
  }
  return worst
}

t.test(
  'every form, size, stride and share of zeros, added or not: error <= γ(k + 1) · |a|·|b|, nothing else written',
  { skip },
  async t => {
    let cases = 0
    for (const form of FORMS) {
      for (const size of SIZES) {
        for (const padding of PADDINGS) {
          for (const share of SHARES) {
            const shape = placed(form, size, padding, cases % 2 === 1)
            const { gemm, calls } = watched()
            fill(shape, share, cases + 1)
            const worst = shareOfBound(gemm, shape)
            // Few numbers can be as dense as any by chance.
            const left = calls() > 0 && shape.m * shape.k > 200
            if (left || (calls() === 0 && !(worst <= 1))) {
              t.fail(`${JSON.stringify(shape)}, ${share}: ${left ? 'left to the library' : `${worst} of the bound`}`)
            }
            cases++
          }
        }
      }
    }
    t.equal(cases, FORMS.length * SIZES.length * PADDINGS.length * SHARES.length, 'every case ran')
  },
)

t.test('dense products are left to the library, once; sums of few products are not', { skip }, async t => {
  for (const form of FORMS) {
    for (const [share, k, expected] of [
      [1, 100, 1],
      [0.9, 100, 1],
      [0.5, 100, 0],
      [1, 10, 0],
    ] as const) {
      const shape = placed(form, [40, 70, k], 0, false)
      const { gemm, calls } = watched()
      fill(shape, share, 3)
      run(gemm, shape)
      t.equal(calls(), expected, `${form}, ${share} of ${k}`)
    }
  }
})

t.test('a product is not judged by a rest of k that is shorter than a part of it', { skip }, async t => {
  for (const form of FORMS) {
    const [m, n, k] = [40, 70, 65]
    const shape = placed(form, [m, n, k], 0, false)
    const { gemm, calls } = watched()
    fill(shape, 0.4, 3)
    for (let row = 0; row < m; row++) all[shape.at.a + (form === 'tn' ? (k - 1) * m + row : row * k + k - 1)] = 1
    run(gemm, shape)
    t.equal(calls(), 0, form)
  }
})

t.test('in a step koffi only calls functions: nothing is declared, decoded or viewed', { skip }, async t => {
  const koffi = await loadKoffi()
  const fresh = await openSparse(memory)
  const kernels = (await openX64(memory, 'f32'))!(instantiateWasm(await compileWasm(), memory))
  // These end the process in a thread that is being ended; see src/kernels/x64/executable-memory.ts.
  const forbidden = ['load', 'decode', 'view', 'proto', 'pointer', 'array', 'struct', 'alias'] as const
  const before = forbidden.map(name => [name, koffi[name]] as const)
  t.teardown(() => Object.assign(koffi, Object.fromEntries(before)))
  const used: string[] = []
  for (const name of forbidden) Object.assign(koffi, { [name]: () => used.push(name) })
  koffi.load(null)
  t.strictSame(used, ['load'], 'what is forbidden is noticed')
  for (const form of FORMS) {
    const shape = placed(form, [40, 200, 100], 0, true)
    fill(shape, 0.3, 5)
    run(fresh!({ bind: () => () => t.fail('left to the library') }), shape)
  }
  kernels.copy_rows(0, 256, 65536, 256, 64, 256)
  t.strictSame(used, ['load'])
})

t.test(
  'a product with the operands of before: few calls, the same bits, the library where it is dense now',
  { skip },
  async t => {
    const koffi = await loadKoffi()
    const { decode } = koffi
    t.teardown(() => Object.assign(koffi, { decode }))
    let calls = 0
    // Machine code becomes functions through decode, which count their calls here.
    const counted = (...args: Parameters<typeof decode>): unknown => {
      const decoded = decode(...args)
      if (typeof decoded !== 'function') return decoded
      return (address: number) => {
        calls++
        return decoded(address)
      }
    }
    Object.assign(koffi, { decode: counted })
    const counting = (await openSparse(memory))!
    let cases = 0
    for (const form of FORMS) {
      for (const size of [
        [3, 15, 17],
        [64, 128, 100],
        [40, 193, 130],
        [96, 128, 128],
        [5, 160, 64],
        [12, 10, 10],
      ]) {
        for (const accumulate of [false, true]) {
          let left = 0
          const shape = placed(form, size, 1, accumulate)
          const product = counting({ bind: () => () => void left++ }).bind(shape)
          const at = [shape.at.a, shape.at.b, shape.at.c].map(float => base + 4 * float) as [number, number, number]
          const callsOf: number[] = []
          for (const [turn, share] of [0.4, 0.2, 1, 0.3].entries()) {
            fill(shape, share, 10 * cases + turn)
            const before = all.slice(shape.at.c - 1, shape.at.end + 1)
            run(sparse!({ bind: () => () => {} }), shape)
            const want = numbersOf(shape)
            all.set(before, shape.at.c - 1)
            const [callsBefore, leftBefore] = [calls, left]
            product(...at)
            callsOf.push(calls - callsBefore)
            const others = numbersOf(shape).filter((x, i) => !Object.is(x, want[i])).length
            const isLeft = left > leftBefore
            const what = `${form} ${size} ${accumulate}, ${share}`
            if (others > 0) t.fail(`${what}: ${others} other numbers`)
            if (isLeft !== (share === 1 && size[2] > 16)) t.fail(`${what}: left to the library: ${isLeft}`)
          }
          if (!isChecking() && !(callsOf[1] <= 2 && callsOf[3] <= 2 && callsOf[0] > 0 && callsOf[0] >= callsOf[1])) {
            t.fail(`${form} ${size}: ${callsOf} calls, expected at most 2 for operands of before`)
          }
          cases++
        }
      }
    }
    t.equal(cases, FORMS.length * 6 * 2, 'every case ran')
  },
)

t.test('more operands than are listed, in any order: each gets its own product', { skip }, async t => {
  const [m, n, k] = [17, 32, 40]
  const shape = placed('nn', [m, n, k], 0, false)
  const product = sparse!({ bind: () => () => t.fail('left to the library') }).bind(shape)
  const random = randoms(3)
  const sets = Array.from({ length: 40 }, (_, i) => {
    const a = 16 * 1024 * i
    const [b, c] = [a + m * k, a + m * k + k * n]
    for (let j = a; j < b; j++) all[j] = random() > 0.4 ? random() : 0
    for (let j = b; j < c; j++) all[j] = random()
    return { a, b, c }
  })
  const results = Array.from({ length: 3 }, (_, turn) => {
    for (const { c } of sets) all.fill(Number.NaN, c, c + m * n)
    for (let i = 0; i < sets.length; i++) {
      const { a, b, c } = sets[(7 * turn + (turn === 2 ? 3 * i : i)) % sets.length]
      product(base + 4 * a, base + 4 * b, base + 4 * c)
    }
    return sets.map(({ c }) => Buffer.from(all.slice(c, c + m * n).buffer).toString('hex'))
  })
  t.strictSame(results[1], results[0])
  t.strictSame(results[2], results[0])
  t.equal(new Set(results[0]).size, sets.length)
})

/** c (m, n) as it lies, without what is between its rows. */
const numbersOf = ({ m, n, ldc, at }: Placed) =>
  Array.from({ length: m }, (_, row) => Array.from(all.subarray(at.c + row * ldc, at.c + row * ldc + n))).flat()

t.test('the division into blocks does not change the bits', { skip }, async t => {
  for (const form of FORMS) {
    const size = [70, 300, 150] as const
    const shape = placed(form, size, 4, false)
    fill(shape, 0.4, 11)
    const { gemm } = watched()
    run(gemm, shape)
    const want = numbersOf(shape)
    const { lda, ldb, ldc, at } = shape
    for (const [rows, columns] of [
      [1, 300],
      [70, 16],
      [13, 112],
      [32, 193],
    ]) {
      all.fill(Number.NaN, at.c, at.end)
      for (let row = 0; row < size[0]; row += rows) {
        for (let column = 0; column < size[1]; column += columns) {
          const [m, n] = [Math.min(rows, size[0] - row), Math.min(columns, size[1] - column)]
          const a = at.a + (form === 'tn' ? row : row * lda)
          const b = at.b + (form === 'nt' ? column * ldb : column)
          const c = at.c + row * ldc + column
          gemm.bind({ ...shape, m, n })(base + 4 * a, base + 4 * b, base + 4 * c)
        }
      }
      const got = numbersOf(shape)
      t.equal(got.filter((x, i) => !Object.is(x, want[i])).length, 0, `${form} in blocks of ${rows} x ${columns}`)
    }
  }
})

t.test(
  'panels read in place, aligned to a cache line, have the bits of packed ones: error <= γ(k + 1) · |a|·|b|',
  { skip },
  async t => {
    let cases = 0
    for (const form of ['nn', 'tn'] as const) {
      for (const [m, n, k, ldb] of WHOLE_LINES) {
        for (const share of SHARES) {
          const shape = { ...placed(form, [m, n, k], 0, cases % 2 === 1), ldb }
          const { a } = shape.at
          const b = Math.ceil((a + m * k) / 16) * 16
          const c = b + k * ldb + 16
          const aligned = { ...shape, at: { a, b, c, end: c + m * shape.ldc } }
          const { gemm } = watched()
          fill(aligned, share, cases + 1)
          const before = all.slice(c - 1, aligned.at.end + 1)
          const worst = shareOfBound(gemm, aligned)
          const want = numbersOf(aligned)
          // The same numbers one further: no row begins at a line, so that panels are packed.
          all.copyWithin(b + 1, b, b + k * ldb)
          all.set(before, c - 1)
          run(gemm, { ...aligned, at: { ...aligned.at, b: b + 1 } })
          const others = numbersOf(aligned).filter((x, i) => !Object.is(x, want[i])).length
          if (!(worst <= 1) || others > 0) {
            t.fail(`${form} ${[m, n, k, ldb]}, ${share}: ${worst} of the bound, ${others} others packed`)
          }
          cases++
        }
      }
    }
    t.equal(cases, 2 * WHOLE_LINES.length * SHARES.length, 'every case ran')
  },
)

t.test('blocks bound together: each is left to the library or not by itself, with the same bits', { skip }, async t => {
  let [cases, mixed] = [0, 0]
  // A library whose results show which block it was asked for.
  const library: NativeGemm = {
    bind:
      ({ m, n, ldc }) =>
      (_a, _b, c) => {
        for (let row = 0; row < m; row++)
          all.fill(1000 * m + n, (c - base) / 4 + row * ldc, (c - base) / 4 + row * ldc + n)
      },
  }
  const gemm = sparse!(library)
  for (const [m, n, k] of [
    [100, 300, 130],
    [64, 340, 200],
    [30, 40, 70],
  ] as const) {
    for (const [rows, columns] of [
      [32, 192],
      [100, 160],
      [32, 300],
    ] as const) {
      for (const denser of [0, 1, 2]) {
        const whole = placed('nn', [m, n, k], 0, false)
        fill(whole, 0.6, 5)
        const random = randoms(7)
        // Rows of one block are dense; those of the next look dense by half of what narrow blocks look at.
        for (let row = denser * rows; row < Math.min((denser + 1) * rows, m); row++) {
          for (let p = 0; p < k; p++) all[whole.at.a + row * k + p] = random()
        }
        let byLibrary = 0
        for (let row = 0; row < m; row += rows) {
          for (let column = 0; column < n; column += columns) {
            const at = whole.at
            const part = { ...whole, m: Math.min(rows, m - row), n: Math.min(columns, n - column) }
            const to = at.c + row * whole.ldc + column
            gemm.bind(part)(base + 4 * (at.a + row * k), base + 4 * (at.b + column), base + 4 * to)
            if (all[to] >= 1000) byLibrary++
          }
        }
        const want = numbersOf(whole)
        const blocks = Math.ceil(m / rows) * Math.ceil(n / columns)
        if (byLibrary > 0 && byLibrary < blocks) mixed++
        all.fill(Number.NaN, whole.at.c, whole.at.end)
        run(gemm, { ...whole, block: { rows, columns } })
        const others = numbersOf(whole).filter((x, i) => !Object.is(x, want[i])).length
        if (others > 0) t.fail(`${[m, n, k]} in blocks of ${rows} x ${columns}: ${others} others`)
        cases++
      }
    }
  }
  t.equal(cases, 27, 'every case ran')
  t.ok(mixed >= 6, `${mixed} cases had blocks of both kinds`)
})

t.test('NaN is not treated as zero; subnormal numbers are, and only in these products', { skip }, async t => {
  const shape = placed('nn', [8, 32, 64], 0, false)
  const product = (t: Test, a: number, b: number, want: number, title: string) => {
    fill(shape, 0, 1)
    all[shape.at.a] = a
    all.fill(1, shape.at.b, shape.at.c)
    all[shape.at.b] = b
    run(watched().gemm, shape)
    t.ok(Object.is(all[shape.at.c], Math.fround(want)), `${title}: ${all[shape.at.c]}`)
    t.equal(all[shape.at.c + shape.ldc], 0, `${title}: the next row`)
  }
  product(t, Number.NaN, 1, Number.NaN, 'NaN')
  product(t, Number.POSITIVE_INFINITY, 1, Number.POSITIVE_INFINITY, 'infinity')
  product(t, 3, 5, 15, 'whole numbers')
  product(t, 1e-20, 1e-20, 0, 'a product that is subnormal')
  product(t, 1e-40, 1e30, 0, 'an operand that is subnormal')
  // Other code of this thread has subnormal numbers as before.
  t.ok(Math.fround(Math.fround(1e-38) * 0.1) > 0)
})

t.test('blocks are divided so that panels are wide, into one column of blocks where that is cheaper', async t => {
  const unit = { blockRows: 1, blockColumns: 16, blockCost: sparseCost }
  t.same(divideGrid(256, 3000, 784, unit)[0], { row: 0, rows: 256, columns: { start: 0, end: 192 } })
  t.same(divideGrid(128, 128, 784, unit)[0], { row: 0, rows: 64, columns: { start: 0, end: 128 } })
  t.equal(divideGrid(256, 10, 500, unit).length, 1, 'little work is one block')
})

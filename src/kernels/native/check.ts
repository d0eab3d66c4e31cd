/**
 * Checks whether a library's products are right, and roughly how fast they are. Runs in the process of a probe: a wrong library
 * may crash here.
 */
import { roundToBf16, widenBf16 } from '../../tensor/bf16.js'
import { BF16_COLUMNS, BF16_DEPTH } from '../layouts.js'
import type { BindBf16, NativeGemm, ProductForm, ProductShape } from '../products.js'
import { spelled, UnfitLibrary } from './library.js'

/** Memory for the operands, in f32 elements. The caller chooses its location: `at` is the address of element 0. */
export interface Workspace {
  readonly data: Float32Array
  readonly at: number
}

const FORMS: readonly ProductForm[] = ['nn', 'nt', 'tn']
/** Sizes below, at and above the edges of usual kernels, and one that takes several of their blocks. */
const SIZES = [
  [1, 1, 1],
  [3, 5, 7],
  [16, 16, 16],
  [17, 33, 9],
  [70, 97, 129],
] as const
const PADDING = 3
const SENTINEL = 12345

/** Elements that `checkProducts` needs. */
export const CHECK_ELEMS = 3 * 140 * 140

/** Compares products with plain loops in float64. Throws UnfitLibrary at the first wrong value. Returns the number of products. */
export function checkProducts(gemm: NativeGemm, space: Workspace): number {
  let products = 0
  for (const form of FORMS) {
    for (const [m, n, k] of SIZES) {
      for (const padding of [0, PADDING]) {
        for (const accumulate of [false, true]) {
          const lda = (form === 'tn' ? m : k) + padding
          const ldb = (form === 'nt' ? k : n) + padding
          checkProduct(gemm, { form, m, n, k, lda, ldb, ldc: n + padding, accumulate }, space)
          products++
        }
      }
    }
  }
  return products
}

/** Bound of a sum of `terms` rounded products, relative to the sum of their magnitudes. */
const gamma = (terms: number): number => (terms * 2 ** -24) / (1 - terms * 2 ** -24)

function checkProduct(gemm: NativeGemm, shape: ProductShape, { data, at }: Workspace): void {
  const { form, m, n, k, lda, ldb, ldc, accumulate } = shape
  const a = 0
  const b = a + (form === 'tn' ? k : m) * lda
  const c = b + (form === 'nt' ? n : k) * ldb
  const end = c + m * ldc
  const random = numbers()
  for (let i = 0; i < c; i++) data[i] = random()
  // Overwritten elements are not read: NaN would show.
  for (let i = c; i < end; i++) data[i] = accumulate ? random() : Number.NaN
  for (let i = 0; i < m; i++) data.fill(SENTINEL, c + i * ldc + n, c + (i + 1) * ldc)
  data.fill(SENTINEL, end, end + PADDING)
  const before = data.slice(c, end)

  gemm.bind(shape)(at, at + b * 4, at + c * 4)

  const aStride = form === 'tn' ? [1, lda] : [lda, 1]
  const bStride = form === 'nt' ? [1, ldb] : [ldb, 1]
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      let want = accumulate ? before[i * ldc + j] : 0
      let magnitude = Math.abs(want)
      for (let p = 0; p < k; p++) {
        const term = data[a + i * aStride[0] + p * aStride[1]] * data[b + p * bStride[0] + j * bStride[1]]
        want += term
        magnitude += Math.abs(term)
      }
      const got = data[c + i * ldc + j]
      if (!(Math.abs(got - want) <= gamma(k + 2) * magnitude)) {
        const what = `${spelled(shape)} with leading dimensions ${lda}, ${ldb}, ${ldc}${accumulate ? ', added to c' : ''}`
        throw new UnfitLibrary(`gives wrong values: ${what}: element (${i}, ${j}) is ${got}, expected ${want}`)
      }
    }
  }
  for (let i = 0; i < m * ldc + PADDING; i++) {
    const col = i < m * ldc ? i % ldc : n
    if (col >= n && data[c + i] !== SENTINEL) {
      throw new UnfitLibrary(`writes outside of its result: ${spelled(shape)}, ${i} elements after its start`)
    }
  }
}

const BF16_ROWS = [1, 16, 37, 256]
const BF16_DEPTHS = [BF16_DEPTH, 3 * BF16_DEPTH, 8 * BF16_DEPTH]

/** Elements that `checkBf16` needs. */
export const BF16_CHECK_ELEMS = (256 * 256 + 256 * BF16_COLUMNS) / 2 + 256 * BF16_COLUMNS + PADDING

/** Checks products in bf16 as `checkProducts` does in f32: sums of exact products, rounded at each addition. */
export function checkBf16(bind: BindBf16, { data, at }: Workspace): number {
  let products = 0
  const halves = new Uint16Array(data.buffer, data.byteOffset, data.length * 2)
  const random = numbers()
  for (const m of BF16_ROWS) {
    for (const k of BF16_DEPTHS) {
      for (const accumulate of [false, true]) {
        const rounded = (n: number) => roundToBf16(Float32Array.from({ length: n }, random))
        const [a, b] = [rounded(m * k), rounded(k * BF16_COLUMNS)]
        const [as, bs] = [a, b].map(widenBf16)
        const c = (a.length + b.length) / 2
        halves.set(a, 0)
        halves.set(b, a.length)
        const before = Float32Array.from({ length: m * BF16_COLUMNS }, () => (accumulate ? random() : Number.NaN))
        data.set(before, c)
        data.fill(SENTINEL, c + before.length, c + before.length + PADDING)

        bind({ m, k, accumulate })(at, at + a.length * 2, at + c * 4)

        for (let i = 0; i < m; i++) {
          for (let j = 0; j < BF16_COLUMNS; j++) {
            let want = accumulate ? before[i * BF16_COLUMNS + j] : 0
            let magnitude = Math.abs(want)
            for (let p = 0; p < k; p++) {
              const pair = (p >> 1) * 2 * BF16_COLUMNS + 2 * j + (p & 1)
              const term = as[i * k + p] * bs[pair]
              want += term
              magnitude += Math.abs(term)
            }
            const got = data[c + i * BF16_COLUMNS + j]
            if (!(Math.abs(got - want) <= 2 * gamma(k + 2) * magnitude)) {
              const what = `bf16 ${m}x${BF16_COLUMNS}x${k}${accumulate ? ', added to c' : ''}`
              throw new UnfitLibrary(`gives wrong values: ${what}: element (${i}, ${j}) is ${got}, expected ${want}`)
            }
          }
        }
        const past = data.subarray(c + before.length, c + before.length + PADDING)
        if (past.some(x => x !== SENTINEL))
          throw new UnfitLibrary(`writes outside of its result: bf16 ${m}x${BF16_COLUMNS}x${k}`)
        products++
      }
    }
  }
  return products
}

/** Pseudorandom numbers in [-1, 1), the same every time. */
function numbers(): () => number {
  let state = 1
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0
    return Math.fround(state / 2 ** 31)
  }
}

const MEASURED = { m: 128, n: 256, k: 256 } as const
const MEASURE_RUNS = 8
const PLAIN_RUNS = 3

export interface Speed {
  readonly gflops: number
  /** Speed relative to a plain loop in JavaScript: a measure that other work on the machine changes little. */
  readonly timesPlain: number
}

/** Measures the speed in about 50 ms. The workspace must hold all three matrices of the measured product. */
export function measureSpeed(gemm: NativeGemm, { data, at }: Workspace): Speed {
  const { m, n, k } = MEASURED
  const b = m * k
  const c = b + k * n
  const random = numbers()
  for (let i = 0; i < c + m * n; i++) data[i] = random() // written before it is timed: never-written pages are one page
  const run = gemm.bind({ form: 'nn', m, n, k, lda: k, ldb: n, ldc: n, accumulate: false })
  const best = (runs: number, work: () => void) => {
    let ms = Number.POSITIVE_INFINITY
    for (let i = 0; i < runs; i++) {
      const started = performance.now()
      work()
      ms = Math.min(ms, performance.now() - started)
    }
    return ms
  }
  const native = best(MEASURE_RUNS, () => run(at, at + b * 4, at + c * 4))
  const plain = best(PLAIN_RUNS, () => {
    for (let i = 0; i < m; i++) {
      for (let p = 0; p < k; p++) {
        const x = data[i * k + p]
        for (let j = 0; j < n; j++) data[c + i * n + j] += x * data[b + p * n + j]
      }
    }
  })
  return { gflops: (2 * m * n * k) / native / 1e6, timesPlain: plain / native }
}

export const MEASURE_ELEMS = MEASURED.m * MEASURED.k + MEASURED.k * MEASURED.n + MEASURED.m * MEASURED.n

/** Products of the native libraries on this machine against plain float64 loops. */
import { Worker } from 'node:worker_threads'
import t, { type Test } from 'tap'
import { addressOf, adviseHugePages } from '../../src/ffi/memory.js'
import { openNative } from '../../src/kernels/native/open.js'
import type { NativeGemm, ProductForm, ProductShape } from '../../src/kernels/products.js'
import { createArena } from '../../src/tensor/arena.js'
import type { ProductsTask } from '../fixtures/native-products.js'
import { nativeLibrary, ownCache } from '../helpers/native-library.js'
import { gamma } from './tally.js'

ownCache(t)

const FORMS: readonly ProductForm[] = ['nn', 'nt', 'tn']
/** Around the edges of registers and blocks, thin, and with one long side. */
const SIZES: readonly (readonly [m: number, n: number, k: number])[] = [
  ...([1, 2, 7, 8, 9, 31] as const).flatMap(m => ([1, 15, 16, 17] as const).map(n => [m, n, 2 * m + 1] as const)),
  [1, 500, 3],
  [500, 1, 3],
  [3, 5, 1000],
  [64, 96, 300],
  [129, 257, 65],
]
const PADDINGS = [0, 1, 16]
const SENTINEL = -77

/** Deterministic, in [-1, 1). */
function fill(values: Float32Array, seed: number): void {
  let state = seed
  for (let i = 0; i < values.length; i++) {
    state = (Math.imul(state, 1103515245) + 12345) | 0
    values[i] = state / 2 ** 31
  }
}

/** Elements of the three matrices of a shape. */
const extents = ({ form, m, n, k, lda, ldb, ldc }: ProductShape) => ({
  a: (form === 'tn' ? k : m) * lda,
  b: (form === 'nt' ? n : k) * ldb,
  c: m * ldc,
})

function shapeOf(
  form: ProductForm,
  [m, n, k]: readonly [number, number, number],
  padding: number,
  accumulate: boolean,
) {
  const lda = (form === 'tn' ? m : k) + padding
  const ldb = (form === 'nt' ? k : n) + 2 * padding
  return { form, m, n, k, lda, ldb, ldc: n + 3 * padding, accumulate } satisfies ProductShape
}

/** The worst element of one product, as a share of its bound; beyond 1 it is wrong. NaN counts as wrong. */
function shareOfBound(gemm: NativeGemm, base: number, all: Float32Array, shape: ProductShape): number {
  const { form, m, n, k, lda, ldb, ldc, accumulate } = shape
  const size = extents(shape)
  const at = { a: 5, b: 5 + size.a, c: 5 + size.a + size.b } // not aligned to anything
  const a = all.subarray(at.a, at.b)
  const b = all.subarray(at.b, at.c)
  const c = all.subarray(at.c, at.c + size.c)
  fill(a, m + 3)
  fill(b, n + 5)
  if (accumulate) fill(c, k + 7)
  else c.fill(Number.NaN)
  const outside = (i: number) => i % ldc >= n
  for (let i = 0; i < c.length; i++) if (outside(i)) c[i] = SENTINEL
  const guards = [at.c - 1, at.c + size.c]
  all[guards[1]] = SENTINEL
  const before = [all[guards[0]], SENTINEL]
  const old = Float32Array.from(c)

  gemm.bind(shape)(base + at.a * 4, base + at.b * 4, base + at.c * 4)

  let worst = 0
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      let want = accumulate ? old[i * ldc + j] : 0
      let magnitude = Math.abs(want)
      for (let p = 0; p < k; p++) {
        const x = form === 'tn' ? a[p * lda + i] : a[i * lda + p]
        const y = form === 'nt' ? b[j * ldb + p] : b[p * ldb + j]
        want += x * y
        magnitude += Math.abs(x * y)
      }
      const share = Math.abs(c[i * ldc + j] - want) / (gamma(k + 1) * magnitude)
      worst = share <= worst ? worst : share
    }
  }
  const changed = c.some((x, i) => outside(i) && x !== SENTINEL) || guards.some((g, i) => all[g] !== before[i])
  return changed ? Number.POSITIVE_INFINITY : worst
}

for (const backend of ['blas', 'onednn'] as const) {
  t.test(
    `${backend}: every form, size, stride, added or not: error <= γ(k + 1) · |a|·|b|, nothing else written`,
    async t => {
      const library = await nativeLibrary(t, backend)
      if (!library) return
      const memory = createArena(8 << 20)
      const base = await addressOf(memory)
      const { gemm } = await openNative(library)
      const all = new Float32Array(memory.buffer)
      let cases = 0
      for (const form of FORMS) {
        for (const size of SIZES) {
          for (const padding of PADDINGS) {
            for (const accumulate of [false, true]) {
              const shape = shapeOf(form, size, padding, accumulate)
              const share = shareOfBound(gemm, base, all, shape)
              if (!(share <= 1)) t.fail(`${JSON.stringify(shape)}: ${share} times the bound`)
              cases++
            }
          }
        }
      }
      t.equal(cases, FORMS.length * SIZES.length * PADDINGS.length * 2, 'every case ran')
    },
  )

  t.test(`${backend}: a bound product runs many times, at other addresses too`, async t => {
    const library = await nativeLibrary(t, backend)
    if (!library) return
    const memory = createArena(1 << 20)
    const base = await addressOf(memory)
    const all = new Float32Array(memory.buffer)
    const run = (await openNative(library)).gemm.bind(shapeOf('nn', [1, 1, 1], 0, true))
    all[100] = 3
    all[200] = 5
    all[300] = 7
    run(base + 400, base + 800, base + 1600) // c[400] += 15
    run(base + 400, base + 1200, base + 1600) // c[400] += 21
    run(base + 400, base + 1200, base + 2000) // c[500] += 21
    run(base + 400, base + 800, base + 1600) // c[400] += 15
    t.same([all[400], all[500]], [51, 21])
  })

  t.test(`${backend}: two worker threads at once give the bits of one alone`, async t => {
    const library = await nativeLibrary(t, backend)
    if (!library) return
    const shapes = FORMS.map(form => shapeOf(form, [70, 130, 90], 3, false))
    const task = (memory: WebAssembly.Memory, thread: number, threads: number): ProductsTask => {
      let end = 64
      const place = (elems: number) => {
        end += elems
        return end - elems
      }
      const products = shapes.map(shape => {
        const size = extents(shape)
        const [a, b] = [place(size.a), place(size.b)]
        const c = Array.from({ length: threads }, () => place(size.c))[thread]
        return { shape, a, b, c }
      })
      return { library, memory, repeats: 300, products }
    }
    const results = (memory: WebAssembly.Memory, { products }: ProductsTask) =>
      products.map(({ shape, c }) => Array.from(new Float32Array(memory.buffer, c * 4, extents(shape).c)))
    const filled = () => {
      const memory = createArena(4 << 20)
      fill(new Float32Array(memory.buffer), 1)
      return memory
    }

    const alone = filled()
    const single = task(alone, 0, 2)
    await multiply(single)
    const together = filled()
    const tasks = [0, 1].map(thread => task(together, thread, 2))
    await Promise.all(tasks.map(each => run(t, each)))
    // The padding of c is not written, and differs by place.
    const numbers = (rows: number[][]) => rows.map((row, s) => row.filter((_, i) => i % shapes[s].ldc < shapes[s].n))
    const want = numbers(results(alone, single))
    t.equal(want[0].length, 70 * 130)
    // Counted: a list of thousands of differences would take minutes to print.
    for (const each of tasks) {
      const got = numbers(results(together, each))
      const wrong = want.map((row, i) => row.filter((x, j) => !Object.is(x, got[i][j])).length)
      t.strictSame(wrong, [0, 0, 0], 'numbers that differ, by form')
    }
  })
}

/** Opens the products as a worker does, in this thread, once. */
async function multiply({ library, memory, products }: ProductsTask): Promise<void> {
  const { gemm } = await openNative(library)
  const base = await addressOf(memory)
  for (const { shape, a, b, c } of products) gemm.bind(shape)(base + a * 4, base + b * 4, base + c * 4)
}

/** Ends when the worker has ended well. */
function run(t: Test, workerData: ProductsTask): Promise<void> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('../fixtures/native-products.js', import.meta.url), { workerData })
    t.teardown(() => worker.terminate())
    worker.on('error', reject)
    worker.on('exit', code => (code === 0 ? resolve() : reject(new Error(`the worker ended with ${code}`))))
  })
}

t.test('the arena has an address below 2^53, on a page; huge pages are advice that never throws', async t => {
  const memory = createArena(1 << 20)
  const address = await addressOf(memory)
  t.ok(Number.isSafeInteger(address) && address > 0 && address % 4096 === 0, String(address))
  t.type(await adviseHugePages(memory.buffer), 'boolean')
  t.equal(await adviseHugePages({} as ArrayBuffer), false)
})

/**
 * Convolutions in machine code, on this machine: against plain float64 loops over windows, strides, channels and filters, with what lies
 * around the results untouched; the same bits however many rows are computed at once. Backends: test/kernels/maps.test.ts.
 */
import t from 'tap'
import type { PatchSizes } from '../../../src/kernels/products.js'
import { openPatches } from '../../../src/kernels/x64/convolutions.js'
import { sparseObstacle } from '../../../src/kernels/x64/sparse-products.js'
import { createArena } from '../../../src/tensor/arena.js'
import { randoms } from '../lab.js'
import { gamma } from '../tally.js'

/** Widths and runs below, at and above the 14 rows that registers hold; one vector of filters, two, and more. */
const CASES: readonly (readonly [
  rows: number,
  width: number,
  channels: number,
  size: number,
  stride: number,
  vectors: number,
])[] = [
  [1, 1, 1, 1, 1, 1],
  [2, 3, 1, 3, 1, 2],
  [5, 13, 2, 2, 1, 1],
  [3, 14, 3, 3, 1, 2],
  [4, 15, 5, 3, 1, 3],
  [2, 28, 16, 3, 1, 4],
  [3, 29, 7, 4, 1, 1],
  [2, 9, 33, 5, 1, 2],
  [3, 16, 4, 3, 2, 2],
  [2, 43, 3, 7, 3, 5],
]
const SENTINEL = -77
const LANES = 16

const memory = createArena(8 << 20)
const all = new Float32Array(memory.buffer)
const patches = await openPatches(memory)
const skip = patches === null && (sparseObstacle() ?? 'the system does not let memory become code')

/** Sizes in bytes, and the places of a, b and c in floats, with a sentinel around c. */
function place([rows, width, channels, size, stride, vectors]: (typeof CASES)[number], gradient: boolean) {
  const pictureRow = ((width - 1) * stride + size) * channels
  const run = size * channels
  const [bRow, cRow] = [vectors * LANES + (gradient ? 16 : 0), vectors * LANES + (gradient ? 0 : 32)]
  const sizes: PatchSizes = {
    ...{ size, run, width, vectors, step: 4 * stride * channels, rowStep: 4 * stride * pictureRow },
    ...{ pictureRow: 4 * pictureRow, bRow: 4 * bRow, cRow: 4 * cRow },
  }
  const b = 3 + ((rows - 1) * stride + size) * pictureRow
  const c = b + (gradient ? rows * width : size * run) * bRow + 5
  const end = c + (gradient ? size * run : rows * width) * cRow
  return { sizes, a: 3, b, c, end, bRow, cRow, pictureRow, run }
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array) => Buffer.from(buffer, byteOffset, byteLength)
const sameBits = (a: Float32Array, b: Float32Array): boolean => bytesOf(a).equals(bytesOf(b))
const indices = (n: number) => Array.from({ length: n }, (_, i) => i)

t.test(
  `${CASES.length} products of patches: near float64, same bits row by row, nothing else is written`,
  { skip },
  t => {
    for (const [seed, of] of CASES.entries()) {
      const [rows, width, channels, size, stride, vectors] = of
      const { sizes, a, b, c, end, bRow, cRow, pictureRow, run } = place(of, false)
      const random = randoms(seed + 1)
      for (const i of indices(end)) all[i] = random()
      all.fill(SENTINEL, c, end + 64)
      const product = patches!.product(sizes)
      product(4 * a, 4 * b, 4 * c, rows)
      const got = all.slice(c, end + 64)
      let worst = 0
      const expected = new Float32Array(got.length).fill(SENTINEL)
      for (const p of indices(rows * width)) {
        const patch = a + Math.floor(p / width) * stride * pictureRow + (p % width) * stride * channels
        for (const o of indices(vectors * LANES)) {
          let sum = 0
          for (const ky of indices(size)) {
            for (const k of indices(run)) sum += all[patch + ky * pictureRow + k] * all[b + (ky * run + k) * bRow + o]
          }
          worst = Math.max(worst, Math.abs(got[p * cRow + o] - sum))
          expected[p * cRow + o] = got[p * cRow + o]
        }
      }
      t.ok(worst <= size * run * gamma(size * run + 1), `${of.join(' ')}: difference ${worst}`)
      t.ok(sameBits(got, expected), `${of.join(' ')}: what lies between and behind the rows is as before`)
      all.fill(SENTINEL, c, end + 64)
      for (const row of indices(rows)) {
        product(4 * (a + row * stride * pictureRow), 4 * b, 4 * (c + row * width * cRow), 1)
      }
      t.ok(sameBits(all.slice(c, end + 64), got), `${of.join(' ')}: row by row`)
    }
    t.end()
  },
)

t.test(
  `${CASES.length} gradients of patches: near float64, same bits row by row, nothing else is written`,
  { skip },
  t => {
    for (const [seed, of] of CASES.entries()) {
      const [rows, width, channels, size, stride, vectors] = of
      const { sizes, a, b, c, end, bRow, cRow, pictureRow, run } = place(of, true)
      const random = randoms(seed + 1)
      for (const i of indices(end)) all[i] = random()
      const before = all.slice(c, end)
      all.fill(SENTINEL, end, end + 64)
      const gradient = patches!.gradient(sizes)
      gradient(4 * a, 4 * b, 4 * c, rows, true)
      const got = all.slice(c, end + 64)
      let worst = 0
      for (const k of indices(size * run)) {
        for (const o of indices(vectors * LANES)) {
          let sum = before[k * cRow + o]
          for (const p of indices(rows * width)) {
            const patch = a + Math.floor(p / width) * stride * pictureRow + (p % width) * stride * channels
            sum += all[patch + Math.floor(k / run) * pictureRow + (k % run)] * all[b + p * bRow + o]
          }
          worst = Math.max(worst, Math.abs(got[k * cRow + o] - sum))
        }
      }
      t.ok(worst <= (rows * width + 1) * gamma(rows * width + 2), `${of.join(' ')}: difference ${worst}`)
      t.ok(
        got.slice(end - c).every(x => x === SENTINEL),
        `${of.join(' ')}: what lies behind is as before`,
      )
      all.set(before, c)
      for (const row of indices(rows)) {
        gradient(4 * (a + row * stride * pictureRow), 4 * (b + row * width * bRow), 4 * c, 1, true)
      }
      t.ok(sameBits(all.slice(c, end), got.slice(0, end - c)), `${of.join(' ')}: row by row`)
      // From nothing: what was there does not count.
      all.fill(Number.NaN, c, end)
      gradient(4 * a, 4 * b, 4 * c, rows, false)
      const fresh = all.slice(c, end)
      all.fill(0, c, end)
      gradient(4 * a, 4 * b, 4 * c, rows, true)
      t.ok(sameBits(all.slice(c, end), fresh), `${of.join(' ')}: overwritten as if from zeros`)
    }
    t.end()
  },
)

t.test('zeros are written to whole vectors, and to no more', { skip }, t => {
  all.fill(SENTINEL, 0, 200)
  patches!.clear(4 * 7, 3)
  t.same([...all.slice(0, 7 + 48 + 9)], [...Array(7).fill(SENTINEL), ...Array(48).fill(0), ...Array(9).fill(SENTINEL)])
  t.end()
})

/**
 * Products in several blocks, where what multiplies them gives bits that depend on its shape: they are then those of the blocks, however
 * many are bound as one. Any thread.
 */
import { F32_BYTES } from './layouts.js'
import type { NativeGemm } from './products.js'

/** Products block by block where a shape says so; `gemm` binds each at the first use. */
export const inBlocks = (gemm: NativeGemm): NativeGemm => ({
  bind({ block, ...shape }) {
    const { m, n, lda, ldc, form } = shape
    if (block === undefined || (block.rows >= m && block.columns >= n)) return gemm.bind(shape)
    if (form !== 'nn') throw new TypeError(`products: the form is ${form}, expected nn where there are blocks`)
    const parts = pieces(m, block.rows).flatMap(([row, rows]) =>
      pieces(n, block.columns).map(([column, columns]) => ({
        a: row * lda * F32_BYTES,
        b: column * F32_BYTES,
        c: (row * ldc + column) * F32_BYTES,
        shape: { ...shape, m: rows, n: columns },
      })),
    )
    let runs: ReturnType<NativeGemm['bind']>[] | undefined
    return (a, b, c) => {
      runs ??= parts.map(part => gemm.bind(part.shape))
      for (const [i, part] of parts.entries()) runs[i](a + part.a, b + part.b, c + part.c)
    }
  },
})

/** First number and count of each piece of `total` in pieces of `size`. */
const pieces = (total: number, size: number): (readonly [first: number, count: number])[] =>
  Array.from({ length: Math.ceil(total / size) }, (_, i) => [i * size, Math.min(size, total - i * size)] as const)

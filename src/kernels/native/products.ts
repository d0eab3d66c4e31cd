/**
 * Products of the open library over the arena, bound once for each shape. Runs in workers: what is bound belongs to the
 * calling thread.
 */
import type { NativeGemm, ProductForm, ProductShape } from '../products.js'

/**
 * c (m, n) = a · b, or plus that; a, b, c: byte offsets in the arena; rows of c have ldc elements. `block`: see
 * ProductShape.
 */
export type Multiply = (
  ...of: [m: number, n: number, k: number, a: number, b: number, c: number, ldc: number, block?: ProductShape['block']]
) => void
/** The products of one form between matrices with these row lengths. */
export type Products = (shape: {
  form: ProductForm
  lda: number
  ldb: number
  accumulate?: boolean
  densest?: number
}) => Multiply

/** Binds each size at its first use. Blocks of a layer have few sizes: a list is searched faster than a map. */
export function productsOf(gemm: NativeGemm, base: number): Products {
  return ({ accumulate = false, ...shape }) => {
    const known: (Pick<ProductShape, 'm' | 'n' | 'k' | 'ldc' | 'block'> & { run: ReturnType<NativeGemm['bind']> })[] =
      []
    return (m, n, k, a, b, c, ldc, block) => {
      let bound = known.find(
        size => size.m === m && size.n === n && size.k === k && size.ldc === ldc && size.block === block,
      )
      if (!bound) {
        bound = { m, n, k, ldc, block, run: gemm.bind({ ...shape, accumulate, m, n, k, ldc, block }) }
        known.push(bound)
      }
      bound.run(base + a, base + b, base + c)
    }
  }
}

/** Placeholder when weights are only stored and loaded, and no library is open. */
export const noProducts: Products = () => () => {
  throw new TypeError('native: the library is not open in this thread')
}

/** What the native backends take from a library: matrix products. Types only. */

export interface NativeLibrary {
  readonly backend: 'blas' | 'onednn'
  readonly path: string
  readonly name: string
  readonly version: string
  readonly detail: string
}

/** op(a) · op(b): `nn` a · b, `nt` a · bᵀ, `tn` aᵀ · b. */
export type ProductForm = 'nn' | 'nt' | 'tn'

export interface ProductShape {
  readonly form: ProductForm
  readonly m: number
  readonly n: number
  readonly k: number
  /** Elements from row to row. */
  readonly lda: number
  readonly ldb: number
  readonly ldc: number
  /** Adds to c; else overwrites it. */
  readonly accumulate: boolean
}

export interface NativeGemm {
  /**
   * Bound once per shape, run many times. c (m, n) = op(a) · op(b), all row-major f32, in the calling thread alone. a is
   * (m, k), for `tn` (k, m); b is (k, n), for `nt` (n, k). The bound function takes absolute addresses.
   */
  bind(shape: ProductShape): (a: number, b: number, c: number) => void
}

/** Matrix products that the native backends take from a library. Types only. */
import type { WasmExports } from './abi.js'

export interface NativeLibrary {
  readonly backend: 'blas' | 'onednn'
  readonly path: string
  readonly name: string
  readonly version: string
  readonly detail: string
  readonly bf16: Bf16Support
  /** Kernel that OpenBLAS is loaded with; null or absent: as it chooses. */
  readonly coreType?: string | null
}

/** Kernel that multiplies bf16, such as `brg:avx512_core_amx_bf16`, or the reason why there is none. */
export type Bf16Support = { readonly kernel: string } | { readonly obstacle: string }

/** op(a) · op(b): `nn` a · b, `nt` a · bᵀ, `tn` aᵀ · b. */
export type ProductForm = 'nn' | 'nt' | 'tn'

export interface ProductShape {
  readonly form: ProductForm
  readonly m: number
  readonly n: number
  readonly k: number
  /** Elements between consecutive rows. */
  readonly lda: number
  readonly ldb: number
  readonly ldc: number
  /** Adds to c; else overwrites it. */
  readonly accumulate: boolean
  /** Rows and columns of c that are multiplied as if by themselves, where b is not transposed and a neither; absent: all. */
  readonly block?: { readonly rows: number; readonly columns: number } | undefined
  /** Share of numbers of a that are not zero up to which products that skip the others are tried; absent: as x64/sparse-bind.ts has it. */
  readonly densest?: number | undefined
}

export interface NativeGemm {
  /**
   * Bound once per shape, run many times. c (m, n) = op(a) · op(b), all row-major f32, in the calling thread alone. a is
   * (m, k), for `tn` (k, m); b is (k, n), for `nt` (n, k). The bound function takes absolute addresses.
   */
  bind(shape: ProductShape): (a: number, b: number, c: number) => void
}

export interface Bf16Shape {
  readonly m: number
  /** A multiple of BF16_DEPTH. */
  readonly k: number
  /** Adds to c; else overwrites it. */
  readonly accumulate: boolean
}

/**
 * c (m, 64) f32 = a (m, k) bf16 · b (k, 64) bf16, sums in f32. a and c are dense, row-major; b is in pairs of rows,
 * `(k / 2, 64, 2)`. Bound once per shape, run many times with absolute addresses.
 */
export type BindBf16 = (shape: Bf16Shape) => (a: number, b: number, c: number) => void

export interface Bf16BlocksShape extends Bf16Shape {
  /** 64-column blocks of b and c. */
  readonly blocks: number
  /** Bytes from one block of b, and of c, to the next. */
  readonly bBlock: number
  readonly cBlock: number
}

/** Products of one a with several blocks of b. */
export type BindBf16Blocks = (shape: Bf16BlocksShape) => (a: number, b: number, c: number) => void

export interface Bf16Products {
  readonly bind: BindBf16Blocks
  /** Blocks of a product that is worth its call: 1 where each is a call of its own. */
  readonly blocks: number
}

/** Sizes that code of a convolution is made for, over a picture with its border, channels last. In bytes, but for counts. */
export interface PatchSizes {
  /** Rows of a window. */
  readonly size: number
  /** Values of a patch in one row of the picture. */
  readonly run: number
  /** Positions in a row of the output. */
  readonly width: number
  /** From a patch to that of the next position, to that of the next row of positions, and from a row of the picture to the next. */
  readonly step: number
  readonly rowStep: number
  readonly pictureRow: number
  /** Vectors of a row of the result: one or two. */
  readonly vectors: number
  /** From a row of the weights, or of the deltas, to the next. */
  readonly bRow: number
  /** From a row of the result to the next. */
  readonly cRow: number
}

/** Convolution over pictures with a border: sizes as x64/convolution-kernels.ts has them, but for any number of vectors. */
export interface PatchKernels {
  /** c = patches in a · b, of `rows` rows of positions; byte offsets in the arena. */
  product(sizes: PatchSizes): (a: number, b: number, c: number, rows: number) => void
  /** c = patches in a, transposed, · b, or plus that. */
  gradient(sizes: PatchSizes): (a: number, b: number, c: number, rows: number, adds: boolean) => void
  /** Writes zeros to whole vectors of 64 bytes. */
  clear(to: number, vectors: number): void
}

/** The products of the open library, and where the arena begins. */
export interface NativeProducts {
  readonly gemm: NativeGemm
  /** Null if nothing is multiplied in bf16. */
  readonly bf16: Bf16Products | null
  readonly base: number
  /** Replaces some functions of the WASM module by faster ones, with the same bits; null if nothing does. */
  readonly faster: ((wasm: WasmExports) => WasmExports) | null
  /** Null where this CPU or this system cannot: then patches are gathered and multiplied by `gemm`. */
  readonly patches: PatchKernels | null
}

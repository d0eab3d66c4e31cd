/** Partition of a product that skips zeros: panels of b, and how they are read. Pure; any thread. */
import type { ProductShape } from '../products.js'
import { F32_BYTES, LANES, VECTOR_BYTES } from './constants.js'
import { depthOf, LINES_AHEAD, WIDEST } from './sparse-kernels.js'

/** Rows of a up to which rows of b are read where they lie: packing them takes longer, whatever is multiplied. */
export const FEW_ROWS = 16
/** Bytes of a that a second-level cache keeps beside panels and sums. */
const CACHED_BYTES = 512 * 1024
/** Sets of the first-level cache: a set holds lines whose addresses are the same modulo 4096. */
const SETS = 64
/** Lines of a set that rows of a panel may have beyond their equal share: more, and they drive each other out. */
const MORE_LINES = 2

/** Partition of a product: panels of `columns` columns and `depth` rows. Rows of matrices in bytes. */
export interface Partition {
  readonly transposesA: boolean
  readonly transposesB: boolean
  readonly aRow: number
  readonly bRow: number
  readonly cRow: number
  readonly panels: number
  readonly vectors: number
  /** Vectors of the last panel, which may be narrower. */
  readonly lastVectors: number
  readonly columns: number
  readonly depth: number
  /** True if b is one panel whose rows lie as they would be packed. */
  readonly isPacked: boolean
  /** True if panels can be read where they lie in b, if b begins at a cache line. */
  readonly liesWell: boolean
  /** True if a second-level cache does not keep a from one part of k to the next. */
  readonly isLarge: boolean
  /**
   * Groups of lines of a row of a panel, if rows of b that no row of a needs are left out of what is prefetched and packed; else 0: it takes a
   * table, which pays for several panels.
   */
  readonly groups: number
  /** Cache lines that are prefetched with each row of a: a row of the panel where rows are too few for four. */
  readonly linesAhead: number
}

/** True if whole lines are read, and the rows of a panel are spread over the sets of the first-level cache. */
function spreads(rowBytes: number, rows: number, vectors: number): boolean {
  if (rowBytes % VECTOR_BYTES !== 0) return false
  const lines = new Uint16Array(SETS)
  for (let row = 0; row < rows; row++) {
    for (let v = 0; v < vectors; v++) lines[((row * rowBytes) / VECTOR_BYTES + v) % SETS]++
  }
  return Math.max(...lines) <= Math.ceil((rows * vectors) / SETS) + MORE_LINES
}

/** Vectors in a row of one of several panels, at most: more of k lies in the first-level cache, and rows of c are read and written less often. */
const SEVERAL_WIDEST = 8
const panelsOf = (n: number): number => (n <= WIDEST * LANES ? 1 : Math.ceil(n / (SEVERAL_WIDEST * LANES)))
/** Vectors in a row of a panel, but for the last one. */
export const vectorsOf = (n: number): number => Math.ceil(n / (panelsOf(n) * LANES))

export function partitionOf({ form, m, n, k, lda, ldb, ldc }: ProductShape): Partition {
  const panels = panelsOf(n)
  const vectors = vectorsOf(n)
  const columns = vectors * LANES
  const bRow = ldb * F32_BYTES
  const depth = depthOf(vectors)
  return {
    ...{ transposesA: form === 'tn', transposesB: form === 'nt' },
    ...{ aRow: lda * F32_BYTES, bRow, cRow: ldc * F32_BYTES },
    ...{ panels, vectors, columns, depth },
    lastVectors: Math.ceil((n - (panels - 1) * columns) / LANES),
    isPacked: form !== 'nt' && panels === 1 && bRow === vectors * VECTOR_BYTES && n % LANES === 0,
    liesWell: form !== 'nt' && spreads(bRow, Math.min(depth, k), vectors),
    isLarge: m * k * F32_BYTES > CACHED_BYTES,
    groups: form === 'nn' && m > FEW_ROWS && panels > 1 ? Math.ceil(vectors / LINES_AHEAD) : 0,
    linesAhead: m * LINES_AHEAD < (depth * vectors) / 2 ? Math.max(vectors, LINES_AHEAD) : LINES_AHEAD,
  }
}

/**
 * Packed panels. A matrix (rows, cols) is kept in panels of 12 columns: panel p holds columns 12p..12p+11 of every row,
 * row after row, so that element (r, c) lies at panel ⌊c/12⌋, then r, then c mod 12. Columns past the last are zero and
 * stay zero. Weights (I, O) are such a matrix with I rounded up to a multiple of 12; their transpose is (O, I)
 * likewise. Then the weights need no packing, a GEMM writes what the next one reads, and the gradient's blocks of
 * 12 x 12 are contiguous in the weights, in their moments and in the transpose.
 *
 * All pointers are bytes; strides between panels are bytes; `rows`, `panels` count.
 *
 * What is not a matrix product takes row-major matrices too, those of native libraries: one panel as wide as the matrix.
 * There a matrix `z` is given by its place (z, zPanel, zRow): its first byte, bytes from panel to panel and from row to
 * row; and by its extent (rows, panels, vectors): vectors of four in a panel's row.
 */

import { PANEL } from '../../layouts'

export { PANEL }
/** One row of a panel. */
// @ts-expect-error: decorator
@inline export const ROW_BYTES: usize = 48
/** A block of 12 rows of a panel. */
// @ts-expect-error: decorator
@inline export const BLOCK_BYTES: usize = 576

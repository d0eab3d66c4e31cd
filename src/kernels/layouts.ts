/**
 * Sizes of the layouts that several parts of kernels/ share, in one place; assembly/ imports them too, so this file holds
 * plain integers only. Any thread.
 *
 * | layout            | shape of (rows, cols)        | who uses it                                                  |
 * |-------------------|------------------------------|--------------------------------------------------------------|
 * | packed panels     | (⌈cols / 12⌉, rows, 12)      | all matrices of the portable backend (wasm/panels.ts)        |
 * | row-major         | (rows, cols padded to 16)    | all matrices of blas and onednn in f32 (native/f32.ts)       |
 * | 64-column blocks  | (⌈cols / 64⌉, rows, 64) f32  | weights and results of products in bf16 (native/bf16-*.ts)   |
 * | pairs of rows     | (rows / 2, 64, 2) bf16       | the second operand of such a product, one for each 64 columns |
 */

/** Columns of a packed panel: three vectors of four. */
export const PANEL = 12

export const F32_BYTES = 4
export const BF16_BYTES = 2

/** Columns of the second operand of a product in bf16, and of its result. */
export const BF16_COLUMNS = 64
/** Unit of the inner dimension of such products. */
export const BF16_DEPTH = 32
/** Bytes of a row of a 64-column block in f32. */
export const BLOCK_ROW_BYTES = BF16_COLUMNS * F32_BYTES
/** Bytes of two rows of a 64-column block in bf16. */
export const PAIR_BYTES = 2 * BF16_COLUMNS * BF16_BYTES

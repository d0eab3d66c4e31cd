/** Sizes that kernels in machine code share, in lanes and bytes; layouts.ts has those of the matrices. Pure; any thread. */
import { BF16_BYTES, BF16_COLUMNS } from '../layouts.js'

export { BLOCK_ROW_BYTES, F32_BYTES, PAIR_BYTES } from '../layouts.js'

/** Lanes of a vector, 32 bits each. */
export const LANES = 16
export const VECTOR_BYTES = 64
/** Bytes of a row of a 64-column block in bf16. */
export const BF16_ROW_BYTES = BF16_COLUMNS * BF16_BYTES
/** Rows of weights that are transposed together: four cache lines of each pair of columns make 64 of them. */
export const GROUP = 16

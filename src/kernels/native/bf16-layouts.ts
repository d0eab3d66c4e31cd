/**
 * Layouts of matrices for products in bf16, and where in the arena each lies. Pure; any thread.
 *
 * oneDNN 2.6 has fast kernels (`brg`) only for dense operands; with any other stride it falls back to slow ones without a
 * message. So a product is c (m, 64) = a (m, k) · b (k, 64), a and c dense, b in pairs of rows as the instructions want it,
 * and everything lies in blocks of 64 columns:
 *
 * - a batch matrix (B, cols) has up to three layouts, one after another: f32 row-major, rows padded to 64; bf16 (B, depth),
 *   dense, which a product reads as a; and what a gradient reads: of deltas, bf16 in pairs of rows, one 64-column block
 *   after another, as b; of activations, bf16 transposed, (cols, B), as a;
 * - a weight (I, O), its moments and gradients: f32, `(O / 64, I, 64)`, so that the tile of a product is contiguous;
 * - derived from it: bf16 in pairs of rows, which `linear` reads as b, and its transpose, for `linearBackward`.
 */
import { byteOffsetOf, type Matrix } from '../../tensor/tensor.js'
import type { WeightTensors } from '../backend.js'
import { BF16_BYTES, BF16_COLUMNS, BF16_DEPTH, BLOCK_ROW_BYTES, F32_BYTES, PAIR_BYTES } from '../layouts.js'

const upTo = (n: number, unit: number): number => Math.ceil(n / unit) * unit
export const widthOf = (cols: number): number => upTo(cols, BF16_COLUMNS)
export const depthOf = (n: number): number => upTo(n, BF16_DEPTH)

/** Bytes of a (k, n) operand in pairs of rows. */
const pairsBytes = (k: number, n: number): number => depthOf(k) * widthOf(n) * BF16_BYTES

/** Physical shapes, as the backend's contract has them. */
export const matrixShape = (rows: number, cols: number): number[] =>
  // Both bf16 layouts together take as much as the f32 one.
  [2 * depthOf(rows), widthOf(cols)]
export const weightShape = (inputs: number, outputs: number): number[] => [
  widthOf(outputs) / BF16_COLUMNS,
  inputs,
  BF16_COLUMNS,
]
export const derivedShape = (inputs: number, outputs: number, hasTranspose: boolean): number[] => [
  (pairsBytes(inputs, outputs) + (hasTranspose ? pairsBytes(outputs, inputs) : 0)) / F32_BYTES,
]

/** Locations of a batch matrix's layouts: byte offsets and strides in bytes, unless stated otherwise. */
export interface MatrixLayouts {
  /** f32 (B, cols), row-major. */
  readonly at: number
  readonly stride: number
  /** bf16 (B, depth), dense. */
  readonly rowsAt: number
  readonly depth: number
  /** Deltas: bf16 in pairs of rows, and bytes from one 64-column block to the next. */
  readonly pairsAt: number
  readonly pairsBlockBytes: number
  /** Activations, in the same place: bf16 transposed, (cols, B), and how many rows B is. */
  readonly transposedAt: number
  readonly capacity: number
}

export function layoutsOf({ cols, tensor }: Matrix): MatrixLayouts {
  const at = byteOffsetOf(tensor)
  const capacity = tensor.shape[0] / 2
  const stride = tensor.shape[1] * F32_BYTES
  const rowsAt = at + capacity * stride
  const depth = depthOf(cols)
  const last = rowsAt + capacity * depth * BF16_BYTES
  const pairsBlockBytes = (capacity * PAIR_BYTES) / 2
  return { at, stride, rowsAt, depth, pairsAt: last, pairsBlockBytes, transposedAt: last, capacity }
}

/** Byte offset of the transposed weights in bf16. */
export function transposedOf({ derived, inputs, outputs }: WeightTensors): number {
  if (!derived) throw new TypeError('linearBackward: w.derived is null, expected the bf16 layouts of the weights')
  return byteOffsetOf(derived) + pairsBytes(inputs, outputs)
}

/**
 * Locations of inputs [inputStart, inputStart + height) of a 64-column block in the master and in the derived layouts, as
 * `bf16_weights` takes them. `inputStart` is a multiple of 64.
 */
export function weightBlocks({ master, derived, inputs, outputs }: WeightTensors) {
  if (!derived) {
    return () => {
      throw new TypeError('bf16: w.derived is null, expected the bf16 layouts of the weights')
    }
  }
  const from = byteOffsetOf(master)
  const pairsAt = byteOffsetOf(derived)
  const pairsBlockBytes = depthOf(inputs) * BF16_COLUMNS * BF16_BYTES
  const hasTranspose = derived.shape[0] * F32_BYTES > pairsBytes(inputs, outputs)
  const transposedAt = pairsAt + pairsBytes(inputs, outputs)
  const depth = depthOf(outputs)
  const transposedBlockBytes = depth * BF16_COLUMNS * BF16_BYTES
  return (block: number, inputStart: number, height: number) => {
    const column = block * BF16_COLUMNS
    const transposed = transposedAt + ((inputStart / BF16_COLUMNS) * depth + column) * BF16_COLUMNS * BF16_BYTES
    const transposedPairs = Math.min(BF16_COLUMNS, depth - column) / 2
    return [
      ...([from + (block * inputs + inputStart) * BLOCK_ROW_BYTES, height, depthOf(height)] as const),
      ...([pairsAt + block * pairsBlockBytes + (inputStart / 2) * PAIR_BYTES] as const),
      ...([hasTranspose ? transposed : 0, transposedBlockBytes, transposedPairs] as const),
    ] as const
  }
}

/** Visits row i of the weights block by block: index into the master's data, outputs [start, end). */
export function eachBlockOfRow(
  { master, outputs }: WeightTensors,
  i: number,
  visit: (at: number, start: number, end: number) => void,
): void {
  for (let start = 0; start < outputs; start += BF16_COLUMNS) {
    visit(master.index(start / BF16_COLUMNS, i, 0), start, Math.min(start + BF16_COLUMNS, outputs))
  }
}

/** Rows of batch matrices, whichever form a backend keeps them in. Any thread; reads the matrix. */
import type { Matrix } from '../../tensor/tensor.js'

/** Copies a row of a batch matrix, plain `(rows, cols)` or in panels `(panels, rows, panelWidth)`, to `out` at `at`. */
export function copyRow(out: Float32Array, at: number, { cols, tensor }: Matrix, row: number): void {
  const { data, offset, shape, stride } = tensor
  const panelWidth = shape.length === 3 ? shape[2] : cols
  const [panelStride, rowStride] = shape.length === 3 ? stride : [0, stride[0]]
  for (let col = 0; col < cols; col += panelWidth) {
    const from = offset + (col / panelWidth) * panelStride + row * rowStride
    out.set(data.subarray(from, from + Math.min(panelWidth, cols - col)), at + col)
  }
}

/** Copies the first `count` rows of a batch matrix to `out` (N, cols), from `at` on. */
export function copyRows(out: Float32Array, at: number, matrix: Matrix, count: number): void {
  const { cols, tensor } = matrix
  const { data, offset, shape, stride } = tensor
  if (shape.length === 3) {
    for (let row = 0; row < count; row++) copyRow(out, at + row * cols, matrix, row)
    return
  }
  // Few columns: a loop takes less than a view of each row.
  for (let row = 0; row < count; row++) {
    const from = offset + row * stride[0]
    for (let col = 0; col < cols; col++) out[at + row * cols + col] = data[from + col]
  }
}

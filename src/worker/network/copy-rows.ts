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
export function copyRows(out: Float32Array, at: number, { cols, tensor }: Matrix, count: number): void {
  const { data, offset, shape, stride } = tensor
  const panelWidth = shape.length === 3 ? shape[2] : cols
  const [panelStride, rowStride] = shape.length === 3 ? stride : [0, stride[0]]
  // Loops: rows are short, and a view of each would take longer than its numbers.
  for (let first = 0; first < cols; first += panelWidth) {
    const width = Math.min(panelWidth, cols - first)
    for (let row = 0; row < count; row++) {
      const from = offset + (first / panelWidth) * panelStride + row * rowStride
      const to = at + row * cols + first
      for (let col = 0; col < width; col++) out[to + col] = data[from + col]
    }
  }
}

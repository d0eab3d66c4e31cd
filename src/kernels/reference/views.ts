/** Views of row-major tensors that the reference kernels work on. Nothing is copied. Runs on any thread. */
import ndarray from 'ndarray'
import type { FloatTensor, Matrix } from '../../tensor/tensor.js'
import type { Columns, Tile } from '../backend.js'

/** Rows [row, row + rows) of a matrix: (rows, cols). */
export function rowsOf({ tensor, cols }: Matrix, row: number, rows: number): FloatTensor {
  return tensor.lo(row, 0).hi(rows, cols)
}

/** Rows [row, row + rows) and columns [start, end) of a matrix: (rows, end - start). */
export function columnsOf({ tensor }: Matrix, row: number, rows: number, start: number, end: number): FloatTensor {
  return tensor.lo(row, start).hi(rows, end - start)
}

export const allColumns = ({ cols }: Matrix): Columns => ({ start: 0, end: cols })

/** Rows [row, row + rows) and some columns of a matrix: (rows, end - start). */
export function blockOf(matrix: Matrix, row: number, rows: number, columns: Columns): FloatTensor {
  return withColumns(rowsOf(matrix, row, rows), columns)
}

/** Some columns of a tensor (rows, cols). */
export function withColumns(tensor: FloatTensor, { start, end }: Columns): FloatTensor {
  return tensor.lo(0, start).hi(tensor.shape[0], end - start)
}

/** The tile of a tensor (I, O). */
export function tileOf(tensor: FloatTensor, { inputStart, inputEnd, outputStart, outputEnd }: Tile): FloatTensor {
  return tensor.lo(inputStart, outputStart).hi(inputEnd - inputStart, outputEnd - outputStart)
}

/** A vector (O) as every row of a matrix (rows, O): a view whose rows lie 0 elements apart. */
export function repeated(vector: FloatTensor, rows: number): FloatTensor {
  return ndarray(vector.data, [rows, vector.shape[0]], [0, vector.stride[0]], vector.offset)
}

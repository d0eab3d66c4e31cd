/** Layout of row-major matrices, for native libraries and for the WASM module's kernels. Pure; any thread. */
import { byteOffsetOf, type FloatTensor } from '../../tensor/tensor.js'
import type { Columns } from '../backend.js'
import { F32_BYTES } from '../layouts.js'
import type { PartOf } from '../module/part.js'

const VECTOR = 4
/** Columns that a row is padded to: a cache line, so that blocks of columns share none. */
export const LINE = 16

export const paddedTo = (cols: number): number => Math.ceil(cols / LINE) * LINE
export const vectorsOf = (cols: number): number => Math.ceil(cols / VECTOR)
export const allColumns = (cols: number): Columns => ({ start: 0, end: cols })

/** Byte offset of the first element and bytes per row, elements per row. */
export interface RowMajor {
  readonly at: number
  readonly stride: number
  readonly elems: number
}

export function rowMajor(tensor: FloatTensor): RowMajor {
  const elems = tensor.shape[1]
  return { at: byteOffsetOf(tensor), stride: elems * F32_BYTES, elems }
}

export const partOf: PartOf = ({ cols, tensor }) => {
  const { at, stride } = rowMajor(tensor)
  return (row, { start, end } = allColumns(cols)) => ({
    place: [at + row * stride + start * F32_BYTES, 0, stride],
    panels: 1,
    vectors: vectorsOf(end - start),
    offset: start * F32_BYTES,
  })
}

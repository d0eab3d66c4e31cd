/**
 * Rows of embeddings into a batch matrix, and its deltas back into their gradient: copies and sums in the order of the rows, the same
 * code for every backend, whatever form its matrices have. Bound once; runs in workers. Writes the rows of the batch that it is given,
 * and the range of the gradient.
 *
 * Letters: `B` rows of the batch buffers, `E` embedded features, `I` inputs of the first layer, `N` samples, `F` features.
 */
import type { EmbeddingPlace } from '../model/embedding.js'
import {
  type ByteTensor,
  bindShapes,
  type FloatTensor,
  type IntTensor,
  type Matrix,
  matrixShape,
} from '../tensor/tensor.js'
import type { EmbeddedFeatures, Range, RowKernel } from './backend.js'

/** Location of some columns of a batch matrix in its data: element (row, k) is at row · rowStride + columns[k]. */
function locate({ cols, tensor }: Matrix, { at, size }: Pick<EmbeddingPlace, 'at' | 'size'>) {
  const { data, offset, shape, stride } = tensor
  const panelWidth = shape.length === 3 ? shape[2] : cols
  const [panelStride, rowStride] = shape.length === 3 ? stride : [0, stride[0]]
  const columns = Int32Array.from({ length: size }, (_, k) => {
    const column = at + k
    return offset + Math.floor(column / panelWidth) * panelStride + (column % panelWidth)
  })
  return { data, rowStride, columns }
}

/** Binds the copy of the rows of all embedded features, and of their indices. */
export function bindEmbedding(
  out: Matrix, // (B, I) columns of embedded features are overwritten
  features: ByteTensor | FloatTensor, // (N, F)
  samples: IntTensor, // (B)
  { places, tables, indices }: EmbeddedFeatures,
): RowKernel {
  bindShapes('embedding', [
    ['out', matrixShape(out), ['B', 'I']],
    ['places', { shape: [places.length] }, ['E']],
    ['tables', { shape: [tables.length] }, ['E']],
    ['indices', indices, ['E', 'B']],
  ])
  const width = features.shape[1]
  const { data: from, offset: fromAt } = features
  const copies = places.map((place, e) => {
    const { data, rowStride, columns } = locate(out, place)
    const table = tables[e]
    const [values, first] = [table.data, table.offset]
    const kept = indices.data
    const keptAt = indices.index(e, 0)
    const { rows: count, size, feature } = place
    return (row: number, rows: number) => {
      for (let r = row; r < row + rows; r++) {
        const index = from[fromAt + samples.data[r] * width + feature]
        const chosen = index >= 0 && index < count ? Math.trunc(index) : 0
        kept[keptAt + r] = chosen
        const start = first + chosen * size
        const to = r * rowStride
        for (let k = 0; k < size; k++) data[to + columns[k]] = values[start + k]
      }
    }
  })
  return (row, rows) => {
    for (const copy of copies) copy(row, rows)
  }
}

/** Adds the deltas of some rows of the batch to the gradient, or overwrites it if `first`, in the order of the rows. */
export type AddGradient = (buffer: FloatTensor, range: Range, row: number, rows: number, first: boolean) => void

/**
 * Binds the gradient of embedding `e`. A range has whole rows of the table, and its sums do not depend on other ranges: bits
 * depend on none.
 */
export function bindEmbeddingGradient(
  dx: Matrix, // (B, I) deltas of the inputs
  indices: IntTensor, // (E, B)
  e: number,
  place: EmbeddingPlace,
): AddGradient {
  const { data, rowStride, columns } = locate(dx, place)
  const kept = indices.data
  const keptAt = indices.index(e, 0)
  const { size } = place
  return ({ data: to, offset }, { start, end }, row, rows, first) => {
    if (first) to.fill(0, offset + start, offset + end)
    for (let r = row; r < row + rows; r++) {
      const at = kept[keptAt + r] * size
      if (at < start || at >= end) continue
      const from = r * rowStride
      for (let k = 0; k < size; k++) to[offset + at + k] += data[from + columns[k]]
    }
  }
}

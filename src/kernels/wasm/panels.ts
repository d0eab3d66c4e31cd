/**
 * Packed panels, as module/assembly/layout.ts describes them: a matrix (rows, cols) lies in panels of 12
 * columns, `(panels, rows, 12)`. Weights (I, O) and their transposes (O, I) are such matrices, their rows rounded
 * up to whole blocks of 12. Pure; runs on any thread.
 */
import type { FloatTensor, Matrix } from '../../tensor/tensor.js'
import { byteOffsetOf } from '../../tensor/tensor.js'
import type { WeightTensors } from '../backend.js'
import { F32_BYTES, PANEL } from '../layouts.js'

export { PANEL }
export const ROW_BYTES = PANEL * F32_BYTES
export const BLOCK_BYTES = PANEL * ROW_BYTES
/** Bytes of an entry of an index list, and of the head of its spans, as in module/assembly/lists.ts. */
export const ENTRY_BYTES = 8
export const SPANS_HEAD = 8

export const panelsOf = (cols: number): number => Math.ceil(cols / PANEL)

/**
 * Four more rows than asked for: without them the panels of a batch of 256 lie a multiple of 4 KiB apart, and their
 * rows fall into the same cache sets.
 */
const SPARE_ROWS = 4

export const batchShape = (rows: number, cols: number): number[] => [panelsOf(cols), rows + SPARE_ROWS, PANEL]
export const weightShape = (inputs: number, outputs: number): number[] => [
  panelsOf(outputs),
  panelsOf(inputs) * PANEL,
  PANEL,
]

/** Location of a matrix in packed panels: byte offset of its first panel, bytes from panel to panel, panels. */
export interface Panels {
  readonly at: number
  readonly stride: number
  readonly count: number
}

export function panelsAt(tensor: FloatTensor): Panels {
  const [count, rows] = tensor.shape
  return { at: byteOffsetOf(tensor), stride: rows * ROW_BYTES, count }
}

export const matrixPanels = (matrix: Matrix): Panels => panelsAt(matrix.tensor)

/** Visits the elements of row i of the weights: output and index in the master's data. */
function eachOfRow({ master, outputs }: WeightTensors, i: number, visit: (o: number, index: number) => void): void {
  const panelElems = master.shape[1] * PANEL
  for (let o = 0; o < outputs; o++) {
    visit(o, master.offset + Math.floor(o / PANEL) * panelElems + i * PANEL + (o % PANEL))
  }
}

/** Copies values (O) into row i of the weights (I, O). */
export function storeRow(w: WeightTensors, i: number, values: Float32Array): void {
  const { data } = w.master
  eachOfRow(w, i, (o, index) => {
    data[index] = values[o]
  })
}

/** Copies row i of the weights (I, O) into values (O). */
export function loadRow(w: WeightTensors, i: number, values: Float32Array): void {
  const { data } = w.master
  eachOfRow(w, i, (o, index) => {
    values[o] = data[index]
  })
}

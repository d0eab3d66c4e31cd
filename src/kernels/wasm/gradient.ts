/**
 * Gradient of a part of a tile in packed panels: the non-zeros of the inputs are listed once for a range of inputs, then
 * multiplied with the deltas of one to four panels of outputs. Runs in workers; writes the thread's scratch.
 */
import type { WasmExports } from '../abi.js'
import type { Tile } from '../backend.js'
import { BLOCK_BYTES, ENTRY_BYTES, PANEL, type Panels, panelsOf, ROW_BYTES, SPANS_HEAD } from './panels.js'

/** Panels of outputs whose gradient is computed at once: the width of the micro-kernel. */
export const WIDE = 4

/** A part of a tile, in panels: some of inputs by one to WIDE of outputs. */
export interface Chunk {
  readonly iPanel: number
  readonly iPanels: number
  readonly oPanel: number
  readonly oPanels: number
}

export function chunkOf({ inputStart, inputEnd, outputStart, outputEnd }: Tile): Chunk {
  const [iPanel, oPanel] = [inputStart / PANEL, outputStart / PANEL]
  return { iPanel, iPanels: panelsOf(inputEnd) - iPanel, oPanel, oPanels: panelsOf(outputEnd) - oPanel }
}

/** Batch rows of one pass over a chunk: four panels of them, 24 KB, stay in the first-level cache (256: 9 % slower). */
const PASS_ROWS = 128
const passesOf = (rows: number): number => Math.ceil(rows / PASS_ROWS)
const spanBytesOf = (iPanels: number): number => SPANS_HEAD + iPanels * PANEL * 4

/** Bytes of the gradient of a chunk. */
export const gradientScratchBytes = (iPanels: number): number => WIDE * iPanels * BLOCK_BYTES
/** Bytes of the index lists of a chunk's inputs for batches of this many rows, and of each pass's table of where they end. */
export const gradientListBytes = (iPanels: number, rows: number): number =>
  passesOf(rows) * spanBytesOf(iPanels) + iPanels * PANEL * rows * ENTRY_BYTES

export interface WeightGradient {
  /** Lists the nonzeros of some panels of x over the rows [row, row + rows), which `gradient` reads until the next call. */
  list(row: number, rows: number, iPanel: number, iPanels: number): void
  /** Gradient of a chunk of the listed inputs; its panels lie gStride bytes apart. Overwrites it, or adds to it. */
  gradient(g: number, gStride: number, row: number, rows: number, chunk: Chunk, accumulate: boolean): void
}

/** `lists`: byte offset of `gradientListBytes` of scratch memory. */
export function bindWeightGradient(
  wasm: WasmExports,
  lists: number,
  chunkPanels: number,
  x: Panels, //  (B, I)
  dz: Panels, // (B, O)
): WeightGradient {
  const spanBytes = spanBytesOf(chunkPanels)
  return {
    list(row, rows, iPanel, iPanels) {
      let to = lists + passesOf(rows) * spanBytes
      for (let r = 0, spans = lists; r < rows; r += PASS_ROWS, spans += spanBytes) {
        const from = x.at + iPanel * x.stride + (row + r) * ROW_BYTES
        to = wasm.list_columns(to, spans, from, x.stride, Math.min(PASS_ROWS, rows - r), iPanels)
      }
    },
    gradient(g, gStride, row, rows, { iPanels, oPanel, oPanels }, accumulate) {
      for (let r = 0, spans = lists; r < rows; r += PASS_ROWS, spans += spanBytes) {
        const from = dz.at + oPanel * dz.stride + (row + r) * ROW_BYTES
        wasm.weight_gradient(g, gStride, spans, from, dz.stride, iPanels, oPanels, Number(accumulate || r > 0))
      }
    },
  }
}

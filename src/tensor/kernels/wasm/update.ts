/**
 * Phase 2 of a step in WASM: gradient of a tile into scratch that stays in cache, optimizer on the tile, and its
 * transposed form, all while the tile is hot. Runs in workers; writes the parameters' tiles and the thread's scratch.
 */
import type { OptimizerStep } from '../../../model/optimizer.js'
import { bindShapes, byteOffsetOf, type FloatTensor, type Matrix, matrixShape } from '../../tensor.js'
import type { BiasTensors, BiasUpdate, Tile, WeightTensors, WeightUpdate } from '../backend.js'
import type { WasmExports } from './exports.js'
import { BLOCK_BYTES, ENTRY_BYTES, matrixPanels, PANEL, panelsAt, panelsOf, ROW_BYTES } from './panels.js'

/** Applies an optimizer to n floats of a parameter at `w`, with its moments, and the gradient at `g`. */
export type Apply = (w: number, moments: readonly number[], g: number, n: number, decay: number, step: OptimizerStep) => void

export function bindOptimizer(wasm: WasmExports): Apply {
  return (w, moments, g, n, decay, step) => {
    const { stepSize, beta1, beta2 } = step
    switch (step.type) {
      case 'adam':
        return wasm.adam(
          w,
          moments[0],
          moments[1],
          g,
          n,
          stepSize,
          beta1,
          1 - beta1,
          beta2,
          1 - beta2,
          step.secondCorrection,
          step.epsilon,
          decay,
        )
      case 'momentum':
        return wasm.momentum(w, moments[0], g, n, stepSize, beta1, 1 - beta1, decay)
      case 'sgd':
        return wasm.sgd(w, g, n, stepSize, decay)
      default:
        return step.type satisfies never
    }
  }
}

/**
 * A tile is walked in chunks: one panel of outputs x at most `chunkPanels` panels of inputs, contiguous in the master.
 * begin(first input panel, input panels) before those of the same inputs, then for each
 * visit(offset in the master in bytes, first input panel, input panels, output panel).
 */
function eachChunk(
  tile: Tile,
  panelBytes: number,
  chunkPanels: number,
  visit: (offset: number, iPanel: number, iPanels: number, oPanel: number) => void,
  begin?: (iPanel: number, iPanels: number) => void,
): void {
  const iEnd = panelsOf(tile.inputEnd)
  const oEnd = panelsOf(tile.outputEnd)
  for (let i = tile.inputStart / PANEL; i < iEnd; i += chunkPanels) {
    const iPanels = Math.min(chunkPanels, iEnd - i)
    begin?.(i, iPanels)
    for (let o = tile.outputStart / PANEL; o < oEnd; o++) visit(o * panelBytes + i * BLOCK_BYTES, i, iPanels, o)
  }
}

/** Columns of x that the micro-kernel takes at once. */
const GROUP = 3
const groupsOf = (iPanels: number): number => iPanels * (PANEL / GROUP)

/** Gradient of a chunk, then the lengths of its lists. */
export const gradientScratchBytes = (iPanels: number): number => iPanels * BLOCK_BYTES + groupsOf(iPanels) * 4
/** Lists of a chunk for batches of so many rows. */
export const gradientListBytes = (iPanels: number, rows: number): number => groupsOf(iPanels) * rows * ENTRY_BYTES

export function bindWeightUpdate(
  wasm: WasmExports,
  scratch: number,
  lists: number,
  chunkPanels: number,
  w: WeightTensors,
  x: Matrix, //  (B, I)
  dz: Matrix, // (B, O)
): WeightUpdate {
  bindShapes('weightUpdate', [
    ['w', { shape: [w.inputs, w.outputs] }, ['I', 'O']],
    ['x', matrixShape(x), ['B', 'I']],
    ['dz', matrixShape(dz), ['B', 'O']],
  ])
  const apply = bindOptimizer(wasm)
  const master = panelsAt(w.master)
  const moments = w.moments.map(byteOffsetOf)
  const xs = matrixPanels(x)
  const dzs = matrixPanels(dz)
  const transposed = w.transposed && panelsAt(w.transposed)

  const counts = scratch + chunkPanels * BLOCK_BYTES
  const list = (row: number, rows: number) => (i: number, iPanels: number) =>
    wasm.list_columns(lists, counts, xs.at + i * xs.stride + row * ROW_BYTES, xs.stride, rows, iPanels)
  const gradient = (g: number, row: number, rows: number, iPanels: number, o: number, add: boolean) => {
    const from = dzs.at + o * dzs.stride + row * ROW_BYTES
    wasm.weight_gradient(g, lists, counts, from, rows, iPanels, Number(add))
  }
  const transpose = (offset: number, i: number, iPanels: number, o: number) => {
    if (!transposed) return
    const to = transposed.at + i * transposed.stride + o * BLOCK_BYTES
    wasm.transpose_blocks(to, transposed.stride, master.at + offset, iPanels)
  }
  const update = (g: number, offset: number, i: number, iPanels: number, o: number, step: OptimizerStep) => {
    const at = moments.map(moment => moment + offset)
    apply(master.at + offset, at, g, iPanels * PANEL * PANEL, step.decay, step)
    transpose(offset, i, iPanels, o)
  }

  return {
    fused(tile, rows, step) {
      const visit = (offset: number, i: number, iPanels: number, o: number) => {
        gradient(scratch, 0, rows, iPanels, o, false)
        update(scratch, offset, i, iPanels, o, step)
      }
      eachChunk(tile, master.stride, chunkPanels, visit, list(0, rows))
    },
    accumulate(buffer, tile, row, rows, first) {
      const at = byteOffsetOf(buffer)
      const visit = (offset: number, _i: number, iPanels: number, o: number) =>
        gradient(at + offset, row, rows, iPanels, o, !first)
      eachChunk(tile, master.stride, chunkPanels, visit, list(row, rows))
    },
    reduce(buffers, tile, step) {
      const [sum, ...others] = buffers.map(byteOffsetOf)
      eachChunk(tile, master.stride, chunkPanels, (offset, i, iPanels, o) => {
        for (const other of others) wasm.add(sum + offset, other + offset, iPanels * PANEL * PANEL)
        update(sum + offset, offset, i, iPanels, o, step)
      })
    },
    derive(tile) {
      eachChunk(tile, master.stride, chunkPanels, transpose)
    },
  }
}

export function bindBiasUpdate(
  wasm: WasmExports,
  scratch: number,
  bias: BiasTensors,
  dz: Matrix, // (B, O)
): BiasUpdate {
  bindShapes('biasUpdate', [
    ['bias', { shape: [bias.outputs] }, ['O']],
    ['dz', matrixShape(dz), ['B', 'O']],
  ])
  const apply = bindOptimizer(wasm)
  const master = byteOffsetOf(bias.master)
  const moments = bias.moments.map(byteOffsetOf)
  const dzs = matrixPanels(dz)

  const sums = (g: number, panel: number, row: number, rows: number, add: boolean) =>
    wasm.column_sums(g, dzs.at + panel * dzs.stride + row * ROW_BYTES, rows, Number(add))
  const update = (g: number, panel: number, step: OptimizerStep) => {
    const offset = panel * ROW_BYTES
    apply(
      master + offset,
      moments.map(moment => moment + offset),
      g,
      PANEL,
      0,
      step,
    )
  }

  return {
    fused(rows, step) {
      for (let p = 0; p < dzs.count; p++) {
        sums(scratch, p, 0, rows, false)
        update(scratch, p, step)
      }
    },
    accumulate(buffer: FloatTensor, row, rows, first) {
      const at = byteOffsetOf(buffer)
      for (let p = 0; p < dzs.count; p++) sums(at + p * ROW_BYTES, p, row, rows, !first)
    },
    reduce(buffers, step) {
      const [sum, ...others] = buffers.map(byteOffsetOf)
      for (const other of others) wasm.add(sum, other, dzs.count * PANEL)
      for (let p = 0; p < dzs.count; p++) update(sum + p * ROW_BYTES, p, step)
    },
  }
}

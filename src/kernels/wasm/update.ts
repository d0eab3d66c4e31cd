/**
 * Phase 2 of a step in WASM: gradient of a tile into scratch that stays in cache, optimizer on the tile, and its
 * transposed form, all while the tile is hot. Runs in workers; writes the parameters' tiles and the thread's scratch.
 */
import type { OptimizerStep } from '../../model/optimizer.js'
import { byteOffsetOf, type FloatTensor, type Matrix } from '../../tensor/tensor.js'
import type { WasmExports } from '../abi.js'
import type { BiasTensors, BiasUpdate, Tile, WeightTensors, WeightUpdate } from '../backend.js'
import { checkBiasUpdate, checkWeightUpdate } from '../shapes.js'
import {
  BLOCK_BYTES,
  ENTRY_BYTES,
  matrixPanels,
  PANEL,
  type Panels,
  panelsAt,
  panelsOf,
  ROW_BYTES,
  SPANS_HEAD,
} from './panels.js'

/** Applies an optimizer to n floats of a weight or a bias at `w`, with its moments, and the gradient at `g`, which may be clipped. */
export type Apply = (
  w: number,
  moments: readonly number[],
  g: number,
  n: number,
  kind: 'weight' | 'bias',
  step: OptimizerStep,
) => void

/** Numbers of a step of Adam, as the WASM module's functions take them. */
export function adamNumbers(
  { stepSize, beta1, beta2, secondCorrection, epsilon }: OptimizerStep,
  decay: number,
  weightDecay: number,
) {
  return [stepSize, beta1, 1 - beta1, beta2, 1 - beta2, secondCorrection, epsilon, decay, weightDecay] as const
}

export const isAdam = ({ type }: OptimizerStep): boolean => type === 'adam' || type === 'adamw'

export function bindOptimizer(wasm: WasmExports): Apply {
  return (w, [first, second], g, n, kind, step) => {
    const { stepSize, beta1, beta2, epsilon, clip } = step
    const decay = kind === 'weight' ? step.decay : 0
    const weightDecay = kind === 'weight' ? step.weightDecay : 0
    // A pass of its own, over what is in the cache: without a limit it costs nothing.
    if (clip < Number.POSITIVE_INFINITY) wasm.clip(g, n, clip)
    switch (step.type) {
      case 'adam':
      case 'adamw':
        return wasm.adam(w, first, second, g, n, ...adamNumbers(step, decay, weightDecay))
      case 'momentum':
        return wasm.momentum(w, first, g, n, stepSize, beta1, 1 - beta1, decay, weightDecay)
      case 'nesterov':
        return wasm.nesterov(w, first, g, n, stepSize, beta1, decay, weightDecay)
      case 'rmsprop':
        return wasm.rmsprop(w, first, g, n, stepSize, beta2, 1 - beta2, epsilon, decay, weightDecay)
      case 'lion':
        return wasm.lion(w, first, g, n, stepSize, beta1, 1 - beta1, beta2, 1 - beta2, decay, weightDecay)
      case 'sgd':
        return wasm.sgd(w, g, n, stepSize, decay, weightDecay)
      default:
        return step.type satisfies never
    }
  }
}

/** Visits a tile's numbers in runs: bytes from the first of the matrix, floats. */
export type EachRun = (tile: Tile, visit: (offset: number, n: number) => void) => void

/** What is done to a tile's numbers wherever they lie; `master`: the place of the weights' first. */
export function bindRuns(
  wasm: WasmExports,
  master: number,
  eachRun: EachRun,
): Pick<WeightUpdate, 'squares' | 'scale' | 'average'> {
  return {
    squares(buffer, tile) {
      const at = byteOffsetOf(buffer)
      let sum = 0
      eachRun(tile, (offset, n) => {
        sum += wasm.squares(at + offset, n)
      })
      return sum
    },
    scale(buffer, tile, factor) {
      const at = byteOffsetOf(buffer)
      eachRun(tile, (offset, n) => wasm.scale(at + offset, n, factor))
    },
    average(average, tile, share) {
      const at = byteOffsetOf(average)
      eachRun(tile, (offset, n) => wasm.approach(at + offset, master + offset, n, share))
    },
  }
}

/** Panels of outputs whose gradient is computed at once: the width of the micro-kernel. */
export const WIDE = 4

/** A part of a tile: some panels of inputs by one to WIDE panels of outputs. */
export interface Chunk {
  readonly iPanel: number
  readonly iPanels: number
  readonly oPanel: number
  readonly oPanels: number
}

/** A tile is walked in chunks of at most `chunkPanels` panels of inputs; begin(...) before those of the same inputs. */
function eachChunk(
  tile: Tile,
  chunkPanels: number,
  visit: (chunk: Chunk) => void,
  begin?: (iPanel: number, iPanels: number) => void,
): void {
  const iEnd = panelsOf(tile.inputEnd)
  const oEnd = panelsOf(tile.outputEnd)
  for (let iPanel = tile.inputStart / PANEL; iPanel < iEnd; iPanel += chunkPanels) {
    const iPanels = Math.min(chunkPanels, iEnd - iPanel)
    begin?.(iPanel, iPanels)
    for (let oPanel = tile.outputStart / PANEL; oPanel < oEnd; oPanel += WIDE) {
      visit({ iPanel, iPanels, oPanel, oPanels: Math.min(WIDE, oEnd - oPanel) })
    }
  }
}

/** Batch rows of one pass over a chunk: four panels of them, 24 KB, stay in the first-level cache (256: 9 % slower). */
const PASS_ROWS = 128
const passesOf = (rows: number): number => Math.ceil(rows / PASS_ROWS)
const spanBytesOf = (iPanels: number): number => SPANS_HEAD + iPanels * PANEL * 4

/** Gradient of a chunk. */
export const gradientScratchBytes = (iPanels: number): number => WIDE * iPanels * BLOCK_BYTES
/** Lists of a chunk's inputs for batches of so many rows, and of each pass the spans that say where they lie. */
export const gradientListBytes = (iPanels: number, rows: number): number =>
  passesOf(rows) * spanBytesOf(iPanels) + iPanels * PANEL * rows * ENTRY_BYTES

export interface WeightGradient {
  /** Lists some panels of x over the rows [row, row + rows): what `gradient` multiplies by, until the next call. */
  list(row: number, rows: number, iPanel: number, iPanels: number): void
  /** Gradient of a chunk of the listed inputs; its panels lie gStride bytes apart. Overwrites it, or adds to it. */
  gradient(g: number, gStride: number, row: number, rows: number, chunk: Chunk, add: boolean): void
}

/** `lists` takes `gradientListBytes`. */
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
    gradient(g, gStride, row, rows, { iPanels, oPanel, oPanels }, add) {
      for (let r = 0, spans = lists; r < rows; r += PASS_ROWS, spans += spanBytes) {
        const from = dz.at + oPanel * dz.stride + (row + r) * ROW_BYTES
        wasm.weight_gradient(g, gStride, spans, from, dz.stride, iPanels, oPanels, Number(add || r > 0))
      }
    },
  }
}

export function bindWeightUpdate(
  wasm: WasmExports,
  scratch: number,
  lists: number,
  chunkPanels: number,
  w: WeightTensors,
  x: Matrix, //  (B, I)
  dz: Matrix, // (B, O)
): WeightUpdate {
  checkWeightUpdate(w, x, dz)
  const apply = bindOptimizer(wasm)
  const master = panelsAt(w.master)
  const moments = w.moments.map(byteOffsetOf)
  const xs = matrixPanels(x)
  const dzs = matrixPanels(dz)
  const transpose = bindTranspose(wasm, w)
  const { list, gradient } = bindWeightGradient(wasm, lists, chunkPanels, xs, dzs)

  /** Of the first element of input panel i and output panel o in the master's form, in bytes. */
  const offsetOf = (i: number, o: number) => o * master.stride + i * BLOCK_BYTES
  /** From the gradient at g, its panels gStride bytes apart. */
  const update = (g: number, gStride: number, chunk: Chunk, step: OptimizerStep) => {
    const { iPanel, iPanels, oPanel, oPanels } = chunk
    for (let p = 0; p < oPanels; p++) {
      const offset = offsetOf(iPanel, oPanel + p)
      const at = moments.map(moment => moment + offset)
      apply(master.at + offset, at, g + p * gStride, iPanels * PANEL * PANEL, 'weight', step)
    }
    transpose(chunk)
  }

  const eachRun: EachRun = (tile, visit) => {
    const i = tile.inputStart / PANEL
    const n = (panelsOf(tile.inputEnd) - i) * PANEL * PANEL
    for (let o = tile.outputStart / PANEL; o < panelsOf(tile.outputEnd); o++) visit(offsetOf(i, o), n)
  }

  return {
    fused(tile, rows, step) {
      const visit = (chunk: Chunk) => {
        const gStride = chunk.iPanels * BLOCK_BYTES
        gradient(scratch, gStride, 0, rows, chunk, false)
        update(scratch, gStride, chunk, step)
      }
      eachChunk(tile, chunkPanels, visit, (i, iPanels) => list(0, rows, i, iPanels))
    },
    accumulate(buffer, tile, row, rows, first) {
      const at = byteOffsetOf(buffer)
      const visit = (chunk: Chunk) =>
        gradient(at + offsetOf(chunk.iPanel, chunk.oPanel), master.stride, row, rows, chunk, !first)
      eachChunk(tile, chunkPanels, visit, (i, iPanels) => list(row, rows, i, iPanels))
    },
    reduce(buffers, tile, step) {
      const [sum, ...others] = buffers.map(byteOffsetOf)
      eachChunk(tile, chunkPanels, chunk => {
        const { iPanel, iPanels, oPanel, oPanels } = chunk
        for (let o = oPanel; o < oPanel + oPanels; o++) {
          const offset = offsetOf(iPanel, o)
          for (const other of others) wasm.add(sum + offset, other + offset, iPanels * PANEL * PANEL)
        }
        update(sum + offsetOf(iPanel, oPanel), master.stride, chunk, step)
      })
    },
    limit({ start, end }, limit) {
      const tile = { inputStart: 0, inputEnd: w.inputs, outputStart: start, outputEnd: end }
      for (let o = start / PANEL; o < panelsOf(end); o++) {
        wasm.limit_columns(master.at + offsetOf(0, o), ROW_BYTES, w.inputs, PANEL / 4, limit)
      }
      eachChunk(tile, chunkPanels, transpose)
    },
    ...bindRuns(wasm, master.at, eachRun),
  }
}

/** Writes the transposed form of a chunk, where there is one. */
function bindTranspose(wasm: WasmExports, { master: weights, derived }: WeightTensors): (chunk: Chunk) => void {
  if (!derived) return () => {}
  const [master, transposed] = [weights, derived].map(panelsAt)
  return ({ iPanel, iPanels, oPanel, oPanels }) => {
    for (let o = oPanel; o < oPanel + oPanels; o++) {
      const to = transposed.at + iPanel * transposed.stride + o * BLOCK_BYTES
      wasm.transpose_blocks(to, transposed.stride, master.at + o * master.stride + iPanel * BLOCK_BYTES, iPanels)
    }
  }
}

export function bindDerive(wasm: WasmExports, chunkPanels: number, w: WeightTensors): (tile: Tile) => void {
  const transpose = bindTranspose(wasm, w)
  return tile => eachChunk(tile, chunkPanels, transpose)
}

export function bindBiasUpdate(
  wasm: WasmExports,
  scratch: number,
  bias: BiasTensors,
  dz: Matrix, // (B, O)
): BiasUpdate {
  checkBiasUpdate(bias, dz)
  const apply = bindOptimizer(wasm)
  const master = byteOffsetOf(bias.master)
  const moments = bias.moments.map(byteOffsetOf)
  const dzs = matrixPanels(dz)

  const sums = (g: number, panel: number, row: number, rows: number, add: boolean) =>
    wasm.column_sums(g, dzs.at + panel * dzs.stride + row * ROW_BYTES, ROW_BYTES, rows, PANEL / 4, Number(add))
  const update = (g: number, panel: number, step: OptimizerStep) => {
    const offset = panel * ROW_BYTES
    apply(
      master + offset,
      moments.map(moment => moment + offset),
      g,
      PANEL,
      'bias',
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

/**
 * Tiles of weights in packed panels: gradient into scratch that stays in cache, update, and the transposed layout while
 * the tile is hot. Runs in workers; writes the parameters' tiles and the thread's scratch.
 */
import { byteOffsetOf, type Matrix } from '../../tensor/tensor.js'
import type { WasmExports } from '../abi.js'
import type { BiasTensors, BiasUpdate, Tile, WeightTensors, WeightUpdate } from '../backend.js'
import { F32_BYTES } from '../layouts.js'
import { bindOptimizer, type EachRun } from '../module/optimizers.js'
import {
  type BiasPart,
  bindMomentPlace,
  bindBiasUpdate as bindParts,
  bindWeightUpdate,
  type TileLayout,
} from '../module/parameter-update.js'
import { checkBiasUpdate, checkWeightUpdate } from '../shapes.js'
import { bindWeightGradient, chunkOf, WIDE } from './gradient.js'
import { BLOCK_BYTES, matrixPanels, PANEL, panelsAt, panelsOf, ROW_BYTES } from './panels.js'

const BLOCK_FLOATS = PANEL * PANEL
const WIDE_OUTPUTS = WIDE * PANEL

/** Splits a tile into chunks of at most `chunkInputs` inputs by WIDE panels of outputs. */
function eachChunk(chunkInputs: number): TileLayout['eachPart'] {
  return ({ inputStart: first, inputEnd: last, outputStart, outputEnd }, visit, prepare) => {
    for (let inputStart = first; inputStart < last; inputStart += chunkInputs) {
      const inputEnd = Math.min(inputStart + chunkInputs, last)
      prepare?.({ inputStart, inputEnd, outputStart, outputEnd })
      for (let o = outputStart; o < outputEnd; o += WIDE_OUTPUTS) {
        visit({ inputStart, inputEnd, outputStart: o, outputEnd: Math.min(o + WIDE_OUTPUTS, outputEnd) })
      }
    }
  }
}

/** Operations of a kind of layer on its weights in panels: its gradient, and their derived layout. */
type PanelGradient = Pick<TileLayout, 'splitsBuffers' | 'prepare' | 'gradient'> & { derivePart(part: Tile): void }

/** Binds the update of a weight. `scratch` takes `gradientScratchBytes`, `lists` `gradientListBytes`. */
export function bindPanelUpdate(
  wasm: WasmExports,
  scratch: number,
  lists: number,
  chunkPanels: number,
  w: WeightTensors,
  x: Matrix, //  (B, I)
  dz: Matrix, // (B, O)
): WeightUpdate {
  checkWeightUpdate(w, x, dz)
  const { list, gradient } = bindWeightGradient(wasm, lists, chunkPanels, matrixPanels(x), matrixPanels(dz))
  return bindPanelUpdateOf(wasm, scratch, chunkPanels, w, {
    splitsBuffers: true,
    prepare({ inputStart, inputEnd }, row, rows) {
      const iPanel = inputStart / PANEL
      list(row, rows, iPanel, panelsOf(inputEnd) - iPanel)
    },
    gradient: (g, stride, part, row, rows, accumulate) => gradient(g, stride, row, rows, chunkOf(part), accumulate),
    derivePart: bindTranspose(wasm, w),
  })
}

/** The same, with any gradient. */
export function bindPanelUpdateOf(
  wasm: WasmExports,
  scratch: number,
  chunkPanels: number,
  w: WeightTensors,
  { derivePart, ...gradient }: PanelGradient,
): WeightUpdate {
  const apply = bindOptimizer(wasm)
  const master = panelsAt(w.master)
  const moments = w.moments.map(byteOffsetOf)
  const eachPart = eachChunk(chunkPanels * PANEL)
  const denseStride = ({ inputStart, inputEnd }: Tile) => (panelsOf(inputEnd) - inputStart / PANEL) * BLOCK_BYTES
  const offsetIn = ({ inputStart, outputStart }: Pick<Tile, 'inputStart' | 'outputStart'>, stride: number) =>
    (outputStart / PANEL) * stride + (inputStart / PANEL) * BLOCK_BYTES
  const offsetOf = (tile: Tile) => offsetIn(tile, master.stride)
  const momentPlace = bindMomentPlace(w, master.stride, offsetIn, denseStride)
  const eachRun: EachRun = (tile, visit) => {
    const { iPanels, oPanels } = chunkOf(tile)
    const offset = offsetOf(tile)
    for (let p = 0; p < oPanels; p++) visit(offset + p * master.stride, iPanels * BLOCK_FLOATS)
  }
  return bindWeightUpdate(wasm, scratch, w, {
    ...gradient,
    eachPart,
    update(g, stride, part, step) {
      const { iPanels, oPanels } = chunkOf(part)
      const first = offsetOf(part)
      const place = momentPlace(part)
      for (let p = 0; p < oPanels; p++) {
        const offset = first + p * master.stride
        const at = moments.map(moment => moment + place.offset + p * place.stride)
        apply(master.at + offset, at, g + p * stride, iPanels * BLOCK_FLOATS, 'weight', step)
      }
      derivePart(part)
    },
    eachRun,
    offsetOf,
    stride: master.stride,
    denseStride,
    momentPlace,
    limit({ start, end }, limit) {
      for (let o = start / PANEL; o < panelsOf(end); o++) {
        wasm.limit_columns(master.at + o * master.stride, ROW_BYTES, w.inputs, PANEL / 4, limit)
      }
    },
    derive: tile => eachPart(tile, derivePart),
  })
}

/** Writes the transposed layout of a part, if there is one. */
function bindTranspose(wasm: WasmExports, { master: weights, derived }: WeightTensors): (part: Tile) => void {
  if (!derived) return () => {}
  const [master, transposed] = [weights, derived].map(panelsAt)
  return part => {
    const { iPanel, iPanels, oPanel, oPanels } = chunkOf(part)
    for (let o = oPanel; o < oPanel + oPanels; o++) {
      const to = transposed.at + iPanel * transposed.stride + o * BLOCK_BYTES
      wasm.transpose_blocks(to, transposed.stride, master.at + o * master.stride + iPanel * BLOCK_BYTES, iPanels)
    }
  }
}

export function bindDerive(wasm: WasmExports, chunkPanels: number, w: WeightTensors): (tile: Tile) => void {
  const transpose = bindTranspose(wasm, w)
  const eachPart = eachChunk(chunkPanels * PANEL)
  return tile => eachPart(tile, transpose)
}

/** Binds the update of a bias. `scratch` takes a row of a panel. */
export function bindBiasUpdate(
  wasm: WasmExports,
  scratch: number,
  bias: BiasTensors,
  dz: Matrix, // (B, O)
): BiasUpdate {
  checkBiasUpdate(bias, dz)
  if (dz.tensor.shape.length === 2) {
    const [at, stride] = [byteOffsetOf(dz.tensor), dz.tensor.shape[1] * F32_BYTES]
    return bindParts(wasm, scratch, bias, [{ first: 0, units: dz.tensor.shape[1], dz: at, stride }])
  }
  const { at, stride, count } = matrixPanels(dz)
  const parts = Array.from({ length: count }, (_, panel): BiasPart => {
    return { first: panel * PANEL, units: PANEL, dz: at + panel * stride, stride: ROW_BYTES }
  })
  return bindParts(wasm, scratch, bias, parts)
}

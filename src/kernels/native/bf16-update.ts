/**
 * Tiles of weights in 64-column blocks: the gradient of a block is one product in bf16, then the update in f32 and the
 * rounding of the new weights. Runs in workers; writes the parameters' tiles and the thread's scratch.
 */
import { byteOffsetOf, type Matrix } from '../../tensor/tensor.js'
import type { WasmExports } from '../abi.js'
import type { Tile, WeightTensors, WeightUpdate } from '../backend.js'
import { BF16_BYTES, BF16_COLUMNS, BLOCK_ROW_BYTES, F32_BYTES, PAIR_BYTES } from '../layouts.js'
import { adamScalars, bindOptimizer, type EachRun, isAdam } from '../module/optimizers.js'
import { bindWeightUpdate, type TileLayout } from '../module/parameter-update.js'
import { checkWeightUpdate } from '../shapes.js'
import { depthOf, layoutsOf, weightBlocks } from './bf16-layouts.js'
import type { MultiplyBf16 } from './bf16-products.js'

const VECTOR = 4

/** Tile size: a product of 256 x 64 is worth its call, and its weights, moments and gradient stay in the second-level cache. */
export const TILE = { inputs: 512, outputs: 512 }

/** Bytes of a tile's transposed inputs, for batches of this many rows; the gradient of a block lies behind them. */
const transposedBytes = (rows: number): number => TILE.inputs * depthOf(rows) * BF16_BYTES

/** Scratch for both. */
export const updateScratchBytes = (rows: number, blocks: number): number =>
  transposedBytes(rows) + TILE.inputs * blocks * BLOCK_ROW_BYTES

const heightOf = ({ inputStart, inputEnd }: Tile): number => inputEnd - inputStart

/** Splits a tile into parts of `blocks` blocks of 64 columns and at most TILE.inputs rows. */
const partsOf =
  (blocks: number): TileLayout['eachPart'] =>
  (tile, visit, prepare) => {
    const { outputStart, outputEnd } = tile
    const columns = blocks * BF16_COLUMNS
    for (let inputStart = tile.inputStart; inputStart < tile.inputEnd; inputStart += TILE.inputs) {
      const inputEnd = Math.min(inputStart + TILE.inputs, tile.inputEnd)
      prepare?.({ inputStart, inputEnd, outputStart, outputEnd })
      for (let start = outputStart; start < outputEnd; start += columns) {
        visit({ inputStart, inputEnd, outputStart: start, outputEnd: Math.min(start + columns, outputEnd) })
      }
    }
  }

const blocksIn = ({ outputStart, outputEnd }: Tile): number => Math.ceil((outputEnd - outputStart) / BF16_COLUMNS)

/** `scratch`: byte offset of `updateScratchBytes`. */
export function bindBlocksUpdate(
  wasm: WasmExports,
  multiply: MultiplyBf16,
  scratch: number,
  w: WeightTensors,
  x: Matrix, //  (B, I)
  dz: Matrix, // (B, O)
): WeightUpdate {
  checkWeightUpdate(w, x, dz)
  const apply = bindOptimizer(wasm)
  const { inputs } = w
  const master = byteOffsetOf(w.master)
  const moments = w.moments.map(byteOffsetOf)
  const [xs, dzs] = [layoutsOf(x), layoutsOf(dz)]
  const gradientScratch = scratch + transposedBytes(xs.capacity)
  const blocksOf = weightBlocks(w)
  const derive = bindDerive(wasm, w)
  const offsetOf = ({ inputStart, outputStart }: Tile) =>
    ((outputStart / BF16_COLUMNS) * inputs + inputStart) * BLOCK_ROW_BYTES
  const eachRun: EachRun = (tile, visit) => {
    const n = heightOf(tile) * BF16_COLUMNS
    let offset = offsetOf(tile)
    for (let start = tile.outputStart; start < tile.outputEnd; start += BF16_COLUMNS) {
      visit(offset, n)
      offset += inputs * BLOCK_ROW_BYTES
    }
  }
  return bindWeightUpdate(wasm, gradientScratch, w, {
    eachPart: partsOf(multiply.blocks),
    splitsBuffers: true,
    /** Transposes the inputs again if there are fewer rows than the maximum. */
    prepare(part, row, rows) {
      const depth = depthOf(rows)
      if (depth === xs.capacity) return
      const from = xs.at + row * xs.stride + part.inputStart * F32_BYTES
      const vectors = Math.ceil(heightOf(part) / VECTOR)
      wasm.bf16_columns(scratch, depth * BF16_BYTES, from, xs.stride, rows, vectors, depth)
    },
    gradient(g, cBlock, part, row, rows, accumulate) {
      const depth = depthOf(rows)
      const kept = xs.transposedAt + part.inputStart * depth * BF16_BYTES
      const deltas = dzs.pairsAt + (part.outputStart / BF16_COLUMNS) * dzs.pairsBlockBytes + (row / 2) * PAIR_BYTES
      const shape = {
        m: heightOf(part),
        k: depth,
        accumulate,
        blocks: blocksIn(part),
        bBlock: dzs.pairsBlockBytes,
        cBlock,
      }
      multiply.run(shape, depth === xs.capacity ? kept : scratch, deltas, g)
    },
    update(g, gBlock, part, step) {
      const height = heightOf(part)
      const n = height * BF16_COLUMNS
      for (let i = 0; i < blocksIn(part); i++) {
        const outputStart = part.outputStart + i * BF16_COLUMNS
        const block = { ...part, outputStart, outputEnd: Math.min(outputStart + BF16_COLUMNS, part.outputEnd) }
        const offset = offsetOf(block)
        const at = moments.map(moment => moment + offset)
        const gradient = g + i * gBlock
        if (isAdam(step) && w.derived) {
          if (step.clip < Number.POSITIVE_INFINITY) wasm.clip(gradient, n, step.clip)
          const blocks = blocksOf(outputStart / BF16_COLUMNS, part.inputStart, height)
          wasm.bf16_adam(...blocks, at[0], at[1], gradient, ...adamScalars(step, step.l2, step.decoupledDecay))
          continue
        }
        apply(master + offset, at, gradient, n, 'weight', step)
        derive(block)
      }
    },
    eachRun,
    offsetOf,
    stride: inputs * BLOCK_ROW_BYTES,
    denseStride: part => heightOf(part) * BLOCK_ROW_BYTES,
    limit({ start, end }, limit) {
      for (let column = start; column < end; column += BF16_COLUMNS) {
        const vectors = Math.ceil(Math.min(BF16_COLUMNS, end - column) / VECTOR)
        const at = master + (column / BF16_COLUMNS) * inputs * BLOCK_ROW_BYTES
        wasm.limit_columns(at, BLOCK_ROW_BYTES, inputs, vectors, limit)
      }
    },
    derive,
  })
}

/** Writes the bf16 layouts of a tile, whose inputs begin at a multiple of 64, from the master. */
export function bindDerive(wasm: WasmExports, w: WeightTensors): (tile: Tile) => void {
  if (!w.derived) return () => {}
  const blocksOf = weightBlocks(w)
  return ({ inputStart, inputEnd, outputStart, outputEnd }) => {
    for (let column = outputStart; column < outputEnd; column += BF16_COLUMNS) {
      wasm.bf16_weights(...blocksOf(column / BF16_COLUMNS, inputStart, inputEnd - inputStart))
    }
  }
}

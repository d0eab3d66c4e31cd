/**
 * Tiles of row-major weights: the gradient of a tile is one product of the library, then the update runs in WASM over
 * rows. Runs in workers; writes the parameters' tiles and the thread's scratch.
 */
import { byteOffsetOf, type Matrix } from '../../tensor/tensor.js'
import type { WasmExports } from '../abi.js'
import type { BiasTensors, BiasUpdate, Tile, WeightTensors, WeightUpdate } from '../backend.js'
import { F32_BYTES } from '../layouts.js'
import { adamScalars, bindOptimizer, type EachRun, isAdam } from '../module/optimizers.js'
import { bindBiasUpdate, bindMomentPlace, bindWeightUpdate, type TileLayout } from '../module/parameter-update.js'
import { checkBiasUpdate, checkWeightUpdate } from '../shapes.js'
import type { Products } from './products.js'
import { paddedTo, rowMajor, vectorsOf } from './row-major.js'

/**
 * Tile size: long rows of weights and moments, so that the update runs at the speed of memory. The gradient of a tile fits the
 * second-level cache, and a panel of deltas is packed for many inputs if zeros are skipped. (48 x 2048 is as fast,
 * 192 x 256 takes 1.1 times as long.)
 */
export const TILE = { inputs: 96, outputs: 1024 }

const heightOf = ({ inputStart, inputEnd }: Tile): number => inputEnd - inputStart
/** Whole cache lines, as rows are padded: past the last column dz is zero, and so is the gradient. */
const widthOf = ({ outputStart, outputEnd }: Tile): number => paddedTo(outputEnd - outputStart)

/** Splits a tile into parts whose gradient fits the scratch: mostly the tile itself. */
const eachPart: TileLayout['eachPart'] = (tile, visit) => {
  for (let inputStart = tile.inputStart; inputStart < tile.inputEnd; inputStart += TILE.inputs) {
    const inputEnd = Math.min(inputStart + TILE.inputs, tile.inputEnd)
    for (let outputStart = tile.outputStart; outputStart < tile.outputEnd; outputStart += TILE.outputs) {
      const outputEnd = Math.min(outputStart + TILE.outputs, tile.outputEnd)
      visit({ inputStart, inputEnd, outputStart, outputEnd })
    }
  }
}

/** `scratch`: byte offset of the memory for the gradient of a TILE. */
export function bindF32Update(
  wasm: WasmExports,
  products: Products,
  scratch: number,
  w: WeightTensors,
  x: Matrix, //  (B, I)
  dz: Matrix, // (B, O)
): WeightUpdate {
  checkWeightUpdate(w, x, dz)
  const [xs, dzs] = [rowMajor(x.tensor), rowMajor(dz.tensor)]
  const shape = { form: 'tn', lda: xs.elems, ldb: dzs.elems } as const
  const [overwrite, add] = [products({ ...shape, accumulate: false }), products({ ...shape, accumulate: true })]
  return bindF32UpdateOf(wasm, scratch, w, {
    /** g = xᵀ · dz over the part, or plus that. */
    gradient(g, stride, part, row, rows, accumulate) {
      const a = xs.at + row * xs.stride + part.inputStart * F32_BYTES
      const b = dzs.at + row * dzs.stride + part.outputStart * F32_BYTES
      const multiply = accumulate ? add : overwrite
      multiply(heightOf(part), widthOf(part), rows, a, b, g, stride / F32_BYTES)
    },
    derivePart: () => {},
  })
}

/** The same, with any gradient, and what derives another layout of a part. */
export function bindF32UpdateOf(
  wasm: WasmExports,
  scratch: number,
  w: WeightTensors,
  { gradient, derivePart }: Pick<TileLayout, 'gradient'> & { derivePart(part: Tile): void },
): WeightUpdate {
  const apply = bindOptimizer(wasm)
  const master = rowMajor(w.master)
  const moments = w.moments.map(byteOffsetOf)
  const offsetIn = ({ inputStart, outputStart }: Pick<Tile, 'inputStart' | 'outputStart'>, stride: number) =>
    inputStart * stride + outputStart * F32_BYTES
  const offsetOf = (tile: Tile) => offsetIn(tile, master.stride)
  const denseStride = (tile: Tile) => widthOf(tile) * F32_BYTES
  const momentPlace = bindMomentPlace(w, master.stride, offsetIn, denseStride)
  const eachRun: EachRun = (tile, visit) => {
    const [width, height] = [widthOf(tile), heightOf(tile)]
    const isWhole = width === master.elems
    for (let i = 0; i < (isWhole ? 1 : height); i++) {
      visit(offsetOf(tile) + i * master.stride, isWhole ? height * width : width)
    }
  }
  return bindWeightUpdate(wasm, scratch, w, {
    eachPart,
    splitsBuffers: false,
    gradient,
    update(g, stride, part, step) {
      const [width, height] = [widthOf(part), heightOf(part)]
      const offset = offsetOf(part)
      // Parts and gradients of whole rows are contiguous.
      const isWhole = width === master.elems && stride === master.stride
      const place = momentPlace(part)
      if (isAdam(step) && !isWhole && step.clip === Number.POSITIVE_INFINITY) {
        const [m, v] = moments.map(moment => moment + place.offset)
        const scalars = adamScalars(step, step.l2, step.decoupledDecay)
        wasm.adam_rows(
          master.at + offset,
          m,
          v,
          g,
          ...([width, height, master.stride, place.stride, stride] as const),
          ...scalars,
        )
        derivePart(part)
        return
      }
      const n = isWhole ? height * width : width
      for (let i = 0; i < (isWhole ? 1 : height); i++) {
        const at = moments.map(moment => moment + place.offset + i * place.stride)
        apply(master.at + offset + i * master.stride, at, g + i * stride, n, 'weight', step)
      }
      derivePart(part)
    },
    eachRun,
    offsetOf,
    stride: master.stride,
    denseStride,
    momentPlace,
    limit({ start, end }, limit) {
      const at = master.at + start * F32_BYTES
      wasm.limit_columns(at, master.stride, w.inputs, vectorsOf(end - start), limit)
    },
    derive: derivePart,
  })
}

/** `scratch`: byte offset of the memory for the gradient of the whole bias. */
export function bindF32BiasUpdate(
  wasm: WasmExports,
  scratch: number,
  bias: BiasTensors,
  dz: Matrix, // (B, O)
): BiasUpdate {
  checkBiasUpdate(bias, dz)
  const { at, stride } = rowMajor(dz.tensor)
  return bindBiasUpdate(wasm, scratch, bias, [{ first: 0, units: 4 * vectorsOf(bias.outputs), dz: at, stride }])
}

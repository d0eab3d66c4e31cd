/**
 * Binds the kernels of feature maps: those that do not depend on a backend's weights, of assembly/maps.ts, to row-major maps, and the parts
 * in which backends differ. Runs in workers.
 */
import type { FeatureShape, Window } from '../../model/convolution.js'
import { positionsOf, unitsOf } from '../../model/convolution.js'
import { byteOffsetOf, type Matrix } from '../../tensor/tensor.js'
import type { WasmExports } from '../abi.js'
import type { MapKernels, RowKernel, WeightTensors } from '../backend.js'
import { F32_BYTES } from '../layouts.js'
import { checkConvolution, checkDropoutOfMaps, checkFlatten, checkPool } from '../shapes.js'
import { bindMask } from './elementwise.js'
import { NOWHERE, type PartOf } from './part.js'

const VECTOR = 4
const vectorsOf = (cols: number): number => Math.ceil(cols / VECTOR)

/** Location of maps: bytes from position to position, and from sample to sample. */
export interface Places {
  readonly at: number
  readonly position: number
  readonly sample: number
}

/** Locates maps, (B · positions, channels), or the features of pictures, (B, height · width · channels). */
export function placesOf(matrix: Matrix, shape: FeatureShape): Places {
  const { tensor, cols } = matrix
  const [at, row] = [byteOffsetOf(tensor), tensor.shape[1] * F32_BYTES]
  return cols === unitsOf(shape) && cols !== shape.channels
    ? { at, position: shape.channels * F32_BYTES, sample: row }
    : { at, position: row, sample: positionsOf(shape) * row }
}

/** Some columns of a row-major matrix. */
export const partOfMaps: PartOf = ({ cols, tensor }) => {
  const [at, stride] = [byteOffsetOf(tensor), tensor.shape[1] * F32_BYTES]
  return (row, { start, end } = { start: 0, end: cols }) => ({
    place: [at + row * stride + start * F32_BYTES, 0, stride],
    panels: 1,
    vectors: vectorsOf(end - start),
    offset: start * F32_BYTES,
  })
}

/** Parts of the kernels of maps in which backends differ; their operands are checked. */
export interface MapParts {
  /** out = windows of x · b; `backward`: of deltas, for the inputs that they come from. */
  convolve(
    out: readonly [Matrix, FeatureShape],
    x: readonly [Matrix, FeatureShape],
    b: WeightTensors['master'],
    window: Window,
    backward: boolean,
  ): RowKernel
  readonly update: MapKernels['convolutionUpdate']
  readonly derive: MapKernels['derive']
  readonly batchNorm: MapKernels['batchNorm']
  /** Copies maps to rows, or back. */
  flat(flat: Matrix, maps: Matrix, toFlat: boolean): RowKernel
}

/** All kernels of maps. `scratch` takes DROPOUT_SCRATCH_BYTES. */
export function bindMapKernels(
  wasm: WasmExports,
  scratch: number,
  { convolve, update, derive, flat, batchNorm }: MapParts,
): MapKernels {
  return {
    convolution(out, x, w, window) {
      checkConvolution('convolution', out, x, w, window)
      return convolve([out, window.output], [x, window.input], w.master, window, false)
    },
    convolutionBackward(dx, dz, w, window) {
      checkConvolution('convolutionBackward', dz, dx, w, window)
      if (!w.derived)
        throw new TypeError('convolutionBackward: w.derived is null, expected the weight by tap and filter')
      return convolve([dx, window.input], [dz, window.output], w.derived, window, true)
    },
    convolutionUpdate(w, x, dz, window) {
      checkConvolution('convolutionUpdate', dz, x, w, window)
      return update(w, x, dz, window)
    },
    derive,
    ...bindPlainMaps(wasm, scratch),
    batchNorm,
    flatten(out, x) {
      checkFlatten(out, x)
      return flat(out, x, true)
    },
    unflatten(dx, dz) {
      checkFlatten(dz, dx)
      return flat(dz, dx, false)
    },
  }
}

function bindPlainMaps(wasm: WasmExports, scratch: number): Pick<MapKernels, 'pool' | 'poolBackward' | 'dropout'> {
  return {
    pool(out, x, window, type) {
      checkPool('pool', out, x, window)
      const { input, output, size } = window
      const [to, from] = [placesOf(out, output), placesOf(x, input)]
      const vectors = vectorsOf(input.channels)
      return (row, rows) => {
        for (let sample = row; sample < row + rows; sample++) {
          wasm.pool(
            ...([to.at + sample * to.sample, to.position, output.height, output.width] as const),
            ...([from.at + sample * from.sample, from.position, input.width, vectors, size] as const),
            Number(type === 'average'),
          )
        }
      }
    },

    poolBackward(dx, dz, x, window, type) {
      checkPool('poolBackward', dz, dx, window)
      checkPool('poolBackward', dz, x, window)
      const { input, output, size } = window
      const [to, deltas, values] = [placesOf(dx, input), placesOf(dz, output), placesOf(x, input)]
      const vectors = vectorsOf(input.channels)
      return (row, rows) => {
        for (let sample = row; sample < row + rows; sample++) {
          wasm.pool_backward(
            ...([to.at + sample * to.sample, to.position, input.height, input.width] as const),
            ...([deltas.at + sample * deltas.sample, deltas.position, output.height, output.width] as const),
            ...([values.at + sample * values.sample, values.position, vectors, size] as const),
            Number(type === 'average'),
          )
        }
      }
    },

    dropout(x, maps, dropout) {
      checkDropoutOfMaps(x, maps, dropout)
      const { at, position, sample } = placesOf(x, maps)
      const vectors = vectorsOf(maps.channels)
      const maskOf = bindMask(dropout, scratch)
      // Positions that touch are one row of the mask.
      const touch = position === vectors * VECTOR * F32_BYTES
      const [parts, width] = touch ? [1, positionsOf(maps) * vectors] : [positionsOf(maps), vectors]
      return (row, rows, epoch) => {
        for (let p = 0; p < parts; p++) {
          const place = [at + row * sample + p * position, 0, sample] as const
          wasm.dropout(...place, ...NOWHERE, rows, 1, width, p * width, ...maskOf(row, epoch))
        }
      }
    },
  }
}

/** Height and width under a window, and its places, as kernels take them. */
export const slideOf = ({ size, stride, top, left }: Window) => [size, stride, top, left] as const

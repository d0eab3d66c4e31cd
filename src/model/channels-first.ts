/**
 * Weights as PyTorch and ONNX have them, channels first, and as this program has them, channels last: kernels of convolutions, and the
 * rows of a dense layer whose inputs are maps. Pure; any thread.
 */
import type { FeatureShape } from './convolution.js'

/** Rows of a convolution's weight (size · size · channels, filters) in the order row, column, channel. */
export interface Kernel {
  readonly size: number
  readonly channels: number
}

/** Which form values have; they are turned into the other. */
type From = 'first' | 'last'

/** A kernel (size, size, channels, filters) from (filters, channels, size, size), or the other way. */
export function turnKernel(values: ArrayLike<number>, { size, channels }: Kernel, filters: number, from: From) {
  const turned = new Float32Array(values.length)
  const area = size ** 2
  for (let tap = 0; tap < area; tap++) {
    for (let c = 0; c < channels; c++) {
      for (let o = 0; o < filters; o++) {
        const [last, first] = [(tap * channels + c) * filters + o, (o * channels + c) * area + tap]
        if (from === 'first') turned[last] = values[first]
        else turned[first] = values[last]
      }
    }
  }
  return turned
}

/**
 * Rows of a weight (inputs, units) whose inputs are maps (height, width, channels), from those over maps (channels, height, width), or the
 * other way.
 */
export function turnRows(
  values: ArrayLike<number>,
  { height, width, channels }: FeatureShape,
  units: number,
  from: From,
) {
  const turned = new Float32Array(values.length)
  const positions = height * width
  for (let p = 0; p < positions; p++) {
    for (let c = 0; c < channels; c++) {
      const [last, first] = [(p * channels + c) * units, (c * positions + p) * units]
      const [at, to] = from === 'first' ? [first, last] : [last, first]
      for (let u = 0; u < units; u++) turned[to + u] = values[at + u]
    }
  }
  return turned
}

/** Shape of a kernel in files, channels first. */
export const kernelShape = ({ size, channels }: Kernel, filters: number): number[] => [filters, channels, size, size]

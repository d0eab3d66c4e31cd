/**
 * Convolution, pooling, and what else is done with feature maps, in float64. Runs in workers; changes the samples it is given.
 *
 * Letters: `B` samples, `P` positions of a map, `C` channels, `O` filters.
 */
import ops from 'ndarray-ops'
import { type FeatureShape, patchSize, positionsOf, unitsOf, type Window } from '../../model/convolution.js'
import { dropoutThreshold, keyOf, Purpose, philox } from '../../tensor/random.js'
import type { Matrix } from '../../tensor/tensor.js'
import type { DropoutSpec, MapKernels, WeightTensors } from '../backend.js'
import type { MapNorm } from '../map-norm.js'
import { checkConvolution, checkDropoutOfMaps, checkFlatten, checkMapNorm, checkPool } from '../shapes.js'
import { weightUpdateOf } from './update.js'

/** Index of a value in the matrix that holds maps, or rows of features. */
function indexOf({ cols, tensor }: Matrix, shape: FeatureShape) {
  const { channels } = shape
  const [row, column] = tensor.stride
  const isFlat = cols === unitsOf(shape)
  const sampleStride = isFlat ? row : positionsOf(shape) * row
  const positionStride = isFlat ? channels * column : row
  return (sample: number, position: number, channel: number): number =>
    tensor.offset + sample * sampleStride + position * positionStride + channel * column
}

/** Positions of the input under the window at each position of the output, by row and column; -1: outside, where zeros are. */
function taps({ input, output, size, stride, top, left }: Window): number[][] {
  return Array.from({ length: positionsOf(output) }, (_, position) => {
    const row = Math.floor(position / output.width) * stride - top
    const column = (position % output.width) * stride - left
    return Array.from({ length: size * size }, (_, tap) => {
      const [r, c] = [row + Math.floor(tap / size), column + (tap % size)]
      return r >= 0 && r < input.height && c >= 0 && c < input.width ? r * input.width + c : -1
    })
  })
}

/** Visits every patch of some samples, as the indices of its values, in the order of row, column, channel. */
function eachPatch(
  x: Matrix,
  window: Window,
  row: number,
  rows: number,
  visit: (indices: Int32Array, sample: number, position: number) => void,
): void {
  const { channels } = window.input
  const from = indexOf(x, window.input)
  const indices = new Int32Array(patchSize(window)) // of the values of x; -1: a zero outside
  const positions = taps(window)
  for (let sample = row; sample < row + rows; sample++) {
    for (const [position, under] of positions.entries()) {
      for (let k = 0; k < indices.length; k++) {
        const at = under[Math.floor(k / channels)]
        indices[k] = at < 0 ? -1 : from(sample, at, k % channels)
      }
      visit(indices, sample, position)
    }
  }
}

/** The weight as rows of plain numbers (K, O). */
const rowsOfWeight = ({ master, inputs, outputs }: WeightTensors): number[][] =>
  Array.from({ length: inputs }, (_, k) => Array.from({ length: outputs }, (_, o) => master.get(k, o)))

function convolution(out: Matrix, x: Matrix, w: WeightTensors, window: Window): ReturnType<MapKernels['convolution']> {
  checkConvolution('convolution', out, x, w, window)
  const to = indexOf(out, window.output)
  return (row, rows) => {
    const [values, results, weight] = [x.tensor.data, out.tensor.data, rowsOfWeight(w)]
    eachPatch(x, window, row, rows, (indices, sample, position) => {
      for (let o = 0; o < w.outputs; o++) {
        let sum = 0
        for (let k = 0; k < indices.length; k++) if (indices[k] >= 0) sum += values[indices[k]] * weight[k][o]
        results[to(sample, position, o)] = sum
      }
    })
  }
}

function convolutionBackward(
  dx: Matrix,
  dz: Matrix,
  w: WeightTensors,
  window: Window,
): ReturnType<MapKernels['convolutionBackward']> {
  checkConvolution('convolutionBackward', dz, dx, w, window)
  const [to, from] = [indexOf(dx, window.input), indexOf(dz, window.output)]
  return (row, rows) => {
    const [results, deltas, weight] = [dx.tensor.data, dz.tensor.data, rowsOfWeight(w)]
    for (let sample = row; sample < row + rows; sample++) {
      for (let p = 0; p < positionsOf(window.input); p++) {
        for (let c = 0; c < window.input.channels; c++) results[to(sample, p, c)] = 0
      }
    }
    eachPatch(dx, window, row, rows, (indices, sample, position) => {
      for (let k = 0; k < indices.length; k++) {
        if (indices[k] < 0) continue
        let sum = 0
        for (let o = 0; o < w.outputs; o++) sum += deltas[from(sample, position, o)] * weight[k][o]
        results[indices[k]] += sum
      }
    })
  }
}

function convolutionUpdate(
  w: WeightTensors,
  x: Matrix,
  dz: Matrix,
  window: Window,
): ReturnType<MapKernels['convolutionUpdate']> {
  checkConvolution('convolutionUpdate', dz, x, w, window)
  const from = indexOf(dz, window.output)
  return weightUpdateOf(w, (g, _whole, row, rows, accumulate) => {
    if (!accumulate) ops.assigns(g, 0)
    const [values, deltas] = [x.tensor.data, dz.tensor.data]
    eachPatch(x, window, row, rows, (indices, sample, position) => {
      for (let k = 0; k < indices.length; k++) {
        if (indices[k] < 0) continue
        for (let o = 0; o < w.outputs; o++) {
          g.data[g.index(k, o)] += values[indices[k]] * deltas[from(sample, position, o)]
        }
      }
    })
  })
}

function pool(out: Matrix, x: Matrix, window: Window, type: 'max' | 'average'): ReturnType<MapKernels['pool']> {
  checkPool('pool', out, x, window)
  const [to, from] = [indexOf(out, window.output), indexOf(x, window.input)]
  const { data } = x.tensor
  const under = taps(window)
  return (row, rows) => {
    for (let sample = row; sample < row + rows; sample++) {
      for (let position = 0; position < positionsOf(window.output); position++) {
        for (let c = 0; c < window.output.channels; c++) {
          let [most, sum] = [Number.NEGATIVE_INFINITY, 0]
          for (const at of under[position]) {
            const value = data[from(sample, at, c)]
            sum += value
            most = Math.max(most, value) // NaN if one is
          }
          out.tensor.data[to(sample, position, c)] = type === 'max' ? most : sum / window.size ** 2
        }
      }
    }
  }
}

function poolBackward(
  dx: Matrix,
  dz: Matrix,
  x: Matrix,
  window: Window,
  type: 'max' | 'average',
): ReturnType<MapKernels['poolBackward']> {
  checkPool('poolBackward', dz, dx, window)
  checkPool('poolBackward', dz, x, window)
  const [to, from] = [indexOf(dx, window.input), indexOf(dz, window.output)]
  const [values, { data }] = [x.tensor.data, dx.tensor]
  const placeOfValue = indexOf(x, window.input)
  const under = taps(window)
  return (row, rows) => {
    for (let sample = row; sample < row + rows; sample++) {
      for (let c = 0; c < window.input.channels; c++) {
        for (let p = 0; p < positionsOf(window.input); p++) data[to(sample, p, c)] = 0
        for (let position = 0; position < positionsOf(window.output); position++) {
          const delta = dz.tensor.data[from(sample, position, c)]
          let largest = -1
          for (const at of under[position]) {
            if (largest < 0 || values[placeOfValue(sample, at, c)] > values[placeOfValue(sample, largest, c)])
              largest = at
            if (type === 'average') data[to(sample, at, c)] = delta / window.size ** 2
          }
          if (type === 'max') data[to(sample, largest, c)] = delta
        }
      }
    }
  }
}

function dropout(
  x: Matrix,
  maps: FeatureShape,
  { rate, seed, layer, samples }: DropoutSpec,
): ReturnType<MapKernels['dropout']> {
  checkDropoutOfMaps(x, maps, { samples })
  const [k0, k1] = keyOf(seed, Purpose.dropout)
  const threshold = dropoutThreshold(rate)
  const words = new Uint32Array(4)
  const at = indexOf(x, maps)
  const fours = Math.ceil(maps.channels / 4)
  return (row, rows, epoch) => {
    for (let sample = row; sample < row + rows; sample++) {
      for (let position = 0; position < positionsOf(maps); position++) {
        for (let c = 0; c < maps.channels; c++) {
          if (c % 4 === 0) philox(words, position * fours + c / 4, layer, samples.get(sample), epoch, k0, k1)
          x.tensor.data[at(sample, position, c)] *= words[c % 4] >= threshold ? 1 / (1 - rate) : 0
        }
      }
    }
  }
}

/** Copies between maps (B · P, C) and rows (B, P · C): both have their values in the same order. */
function copySamples(to: Matrix, from: Matrix, samples: number): ReturnType<MapKernels['flatten']> {
  const [toRows, fromRows] = [to.rows / samples, from.rows / samples]
  return (row, rows) => {
    for (let i = 0; i < rows * fromRows * from.cols; i++) {
      const value = from.tensor.get(row * fromRows + Math.floor(i / from.cols), i % from.cols)
      to.tensor.set(row * toRows + Math.floor(i / to.cols), i % to.cols, value)
    }
  }
}

const batchNorm: MapKernels['batchNorm'] = (z, normed, dz) => {
  checkMapNorm(z, normed, dz)
  const sumsOf =
    (a: Matrix | null, b: Matrix | null): MapNorm['sums'] =>
    (sums, group, row, rows, first) => {
      for (let c = 0; c < z.cols; c++) {
        let [product, sum] = first ? [0, 0] : [sums.get(group, 0, c), sums.get(group, 1, c)]
        for (let r = row; r < row + rows; r++) {
          product += a!.tensor.get(r, c) * b!.tensor.get(r, c)
          sum += a!.tensor.get(r, c)
        }
        sums.set(group, 0, c, product)
        sums.set(group, 1, c, sum)
      }
    }
  return {
    sums: sumsOf(z, z),
    gradientSums: sumsOf(dz, normed),
    normalise(row, rows, [mean, inverse, scale], keeps) {
      for (let r = row; r < row + rows; r++) {
        for (let c = 0; c < z.cols; c++) {
          const n = (z.tensor.get(r, c) - mean[c]) * inverse[c]
          if (keeps) normed!.tensor.set(r, c, n)
          z.tensor.set(r, c, n * scale[c])
        }
      }
    },
    backward(row, rows, [factor, shift, scale]) {
      let finite = true
      for (let r = row; r < row + rows; r++) {
        for (let c = 0; c < z.cols; c++) {
          const delta = factor[c] * (dz!.tensor.get(r, c) - shift[c] - normed!.tensor.get(r, c) * scale[c])
          finite &&= Number.isFinite(delta)
          dz!.tensor.set(r, c, delta)
        }
      }
      return finite
    },
  }
}

export const maps: MapKernels = {
  convolution,
  convolutionBackward,
  convolutionUpdate,
  derive: () => () => {}, // no kernel here reads another layout
  pool,
  poolBackward,
  dropout,
  batchNorm,
  flatten(out, x) {
    checkFlatten(out, x)
    return copySamples(out, x, out.rows)
  },
  unflatten(dx, dz) {
    checkFlatten(dz, dx)
    return copySamples(dx, dz, dz.rows)
  },
}

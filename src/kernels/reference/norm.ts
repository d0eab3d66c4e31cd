/**
 * Batch normalisation (Ioffe and Szegedy 2015, arXiv 1502.03167) and layer normalisation (Ba, Kiros and Hinton 2016,
 * arXiv 1607.06450), forward and backward, in float64. Runs in workers; changes the rows and columns it is given, and
 * their statistics.
 */
import { bindShapes, type FloatTensor, type Matrix, matrixShape } from '../../tensor/tensor.js'
import type { BatchStatistics, Kernels, NormGradients, NormSpec } from '../backend.js'
import { allFinite } from './activation.js'
import { allColumns, blockOf } from './views.js'

export function batchNorm(
  z: Matrix, // (B, O)
  { scale, bias, epsilon, normed }: NormSpec,
  running: Pick<BatchStatistics, 'mean' | 'variance'>,
  batch: BatchStatistics | null,
): ReturnType<Kernels['batchNorm']> {
  bindShapes('batchNorm', [
    ['z', matrixShape(z), ['B', 'O']],
    ['scale', scale, ['O']],
    ['bias', bias, ['O']],
    ['mean', running.mean, ['O']],
    ['variance', running.variance, ['O']],
    ...(normed ? [['normed', matrixShape(normed), ['B', 'O']] as const] : []),
  ])
  return {
    train(rows, columns = allColumns(z)) {
      if (!batch || !normed) throw new TypeError('batchNorm: has no place for statistics, expected one to train')
      for (let o = columns.start; o < columns.end; o++) {
        let mean = 0
        for (let r = 0; r < rows; r++) mean += z.tensor.get(r, o)
        mean /= rows
        let variance = 0
        for (let r = 0; r < rows; r++) variance += (z.tensor.get(r, o) - mean) ** 2
        variance /= rows
        const inverse = 1 / Math.sqrt(variance + epsilon)
        batch.mean.set(o, mean)
        batch.variance.set(o, variance)
        batch.factors.set(o, scale.get(o) * inverse)
        for (let r = 0; r < rows; r++) {
          const n = (z.tensor.get(r, o) - mean) * inverse
          normed.tensor.set(r, o, n)
          z.tensor.set(r, o, n * scale.get(o))
        }
      }
    },
    score(row, rows, columns = allColumns(z)) {
      for (let o = columns.start; o < columns.end; o++) {
        const factor = scale.get(o) / Math.sqrt(running.variance.get(o) + epsilon)
        const offset = bias.get(o) - running.mean.get(o)
        for (let r = row; r < row + rows; r++) z.tensor.set(r, o, (z.tensor.get(r, o) + offset) * factor)
      }
    },
  }
}

export function normSums(
  gradients: NormGradients,
  dy: Matrix, // (B, O)
  normed: Matrix, // (B, O)
): ReturnType<Kernels['normSums']> {
  bindShapes('normSums', [
    ['dy', matrixShape(dy), ['B', 'O']],
    ['normed', matrixShape(normed), ['B', 'O']],
    ['gradient of scale', gradients.scale, ['O']],
    ['gradient of shift', gradients.shift, ['O']],
  ])
  return (rows, columns = allColumns(dy)) => {
    for (let o = columns.start; o < columns.end; o++) {
      let [dScale, dShift] = [0, 0]
      for (let r = 0; r < rows; r++) {
        dScale += dy.tensor.get(r, o) * normed.tensor.get(r, o)
        dShift += dy.tensor.get(r, o)
      }
      gradients.scale.set(o, dScale)
      gradients.shift.set(o, dShift)
    }
  }
}

export function batchNormBackward(
  dy: Matrix, // (B, O)
  normed: Matrix, // (B, O)
  gradients: NormGradients,
  factors: FloatTensor, // (O)
): ReturnType<Kernels['batchNormBackward']> {
  bindShapes('batchNormBackward', [
    ['dy', matrixShape(dy), ['B', 'O']],
    ['normed', matrixShape(normed), ['B', 'O']],
    ['factors', factors, ['O']],
  ])
  return (rows, columns = allColumns(dy)) => {
    for (let o = columns.start; o < columns.end; o++) {
      const dShift = gradients.shift.get(o) / rows
      const dScale = gradients.scale.get(o) / rows
      for (let r = 0; r < rows; r++) {
        const d = dy.tensor.get(r, o) - dShift - normed.tensor.get(r, o) * dScale
        dy.tensor.set(r, o, factors.get(o) * d)
      }
    }
    return allFinite(blockOf(dy, 0, rows, columns))
  }
}

export function layerNorm(
  z: Matrix, // (B, O)
  { scale, bias, epsilon, normed }: NormSpec,
  inverses: FloatTensor | null, // (B)
): ReturnType<Kernels['layerNorm']> {
  bindShapes('layerNorm', [
    ['z', matrixShape(z), ['B', 'O']],
    ['scale', scale, ['O']],
    ['bias', bias, ['O']],
    ...(normed && inverses
      ? ([
          ['normed', matrixShape(normed), ['B', 'O']],
          ['inverses', inverses, ['B']],
        ] as const)
      : []),
  ])
  const O = z.cols
  return (row, rows) => {
    for (let r = row; r < row + rows; r++) {
      let mean = 0
      for (let o = 0; o < O; o++) mean += z.tensor.get(r, o) + bias.get(o)
      mean /= O
      let variance = 0
      for (let o = 0; o < O; o++) variance += (z.tensor.get(r, o) + bias.get(o) - mean) ** 2
      const inverse = 1 / Math.sqrt(variance / O + epsilon)
      inverses?.set(r, inverse)
      for (let o = 0; o < O; o++) {
        const n = (z.tensor.get(r, o) + bias.get(o) - mean) * inverse
        normed?.tensor.set(r, o, n)
        z.tensor.set(r, o, n * scale.get(o))
      }
    }
  }
}

export function layerNormBackward(
  dy: Matrix, // (B, O)
  normed: Matrix, // (B, O)
  scale: FloatTensor, // (O)
  inverses: FloatTensor, // (B)
): ReturnType<Kernels['layerNormBackward']> {
  bindShapes('layerNormBackward', [
    ['dy', matrixShape(dy), ['B', 'O']],
    ['normed', matrixShape(normed), ['B', 'O']],
    ['scale', scale, ['O']],
    ['inverses', inverses, ['B']],
  ])
  const O = dy.cols
  return (row, rows) => {
    for (let r = row; r < row + rows; r++) {
      let [mean, product] = [0, 0]
      for (let o = 0; o < O; o++) {
        const g = dy.tensor.get(r, o) * scale.get(o)
        mean += g / O
        product += (g * normed.tensor.get(r, o)) / O
      }
      for (let o = 0; o < O; o++) {
        const g = dy.tensor.get(r, o) * scale.get(o)
        dy.tensor.set(r, o, inverses.get(r) * (g - mean - normed.tensor.get(r, o) * product))
      }
    }
    return allFinite(blockOf(dy, row, rows, allColumns(dy)))
  }
}

/**
 * Binds the normalisation kernels of assembly/norm.ts, which serve panels and row-major matrices alike, to tensors in
 * either layout, by the location of a part of a matrix. Runs in workers.
 */
import { bindShapes, byteOffsetOf, matrixShape } from '../../tensor/tensor.js'
import type { WasmExports } from '../abi.js'
import type { BatchStatistics, Kernels, NormGradients } from '../backend.js'
import { extentOf, NOWHERE, type PartOf } from './part.js'

type Norms = Pick<Kernels, 'batchNorm' | 'normSums' | 'batchNormBackward' | 'layerNorm' | 'layerNormBackward'>

export function bindNorms(wasm: WasmExports, partOf: PartOf): Norms {
  return {
    batchNorm(z, { scale, bias, epsilon, normed }, running, batch) {
      const { O } = bindShapes('batchNorm', [
        ['z', matrixShape(z), ['B', 'O']],
        ...(normed ? [['normed', matrixShape(normed), ['B', 'O']] as const] : []),
      ])
      expectUnits('batchNorm', O, { scale, bias, ...running, ...batch })
      const partOfZ = partOf(z)
      const partOfNormed = normed && partOf(normed)
      const [g, b, mean, variance] = [scale, bias, running.mean, running.variance].map(byteOffsetOf)
      const to = batch && addressesOf(batch)
      return {
        train(rows, columns) {
          if (!to || !partOfNormed) throw new TypeError('batchNorm: has no place for statistics, expected one to train')
          const part = partOfZ(0, columns)
          const { offset } = part
          wasm.batch_norm(
            ...([...part.place, ...partOfNormed(0, columns).place, ...extentOf(rows, part)] as const),
            ...([g + offset, to.mean + offset, to.variance + offset, to.factors + offset, epsilon] as const),
          )
        },
        score(row, rows, columns) {
          const part = partOfZ(row, columns)
          const { offset } = part
          wasm.batch_norm_score(
            ...([...part.place, ...extentOf(rows, part)] as const),
            ...([g + offset, b + offset, mean + offset, variance + offset, epsilon] as const),
          )
        },
      }
    },

    normSums(gradients, dy, normed) {
      const { O } = bindShapes('normSums', [
        ['dy', matrixShape(dy), ['B', 'O']],
        ['normed', matrixShape(normed), ['B', 'O']],
      ])
      expectUnits('normSums', O, gradients)
      const [partOfDy, partOfNormed] = [partOf(dy), partOf(normed)]
      const to = gradientAddresses(gradients)
      return (rows, columns) => {
        const part = partOfDy(0, columns)
        const sums = [to.scale + part.offset, to.shift + part.offset] as const
        wasm.norm_sums(...sums, ...part.place, ...partOfNormed(0, columns).place, ...extentOf(rows, part))
      }
    },

    batchNormBackward(dy, normed, gradients, factors) {
      const { O } = bindShapes('batchNormBackward', [
        ['dy', matrixShape(dy), ['B', 'O']],
        ['normed', matrixShape(normed), ['B', 'O']],
      ])
      expectUnits('batchNormBackward', O, { ...gradients, factors })
      const [partOfDy, partOfNormed] = [partOf(dy), partOf(normed)]
      const sums = gradientAddresses(gradients)
      const f = byteOffsetOf(factors)
      return (rows, columns) => {
        const part = partOfDy(0, columns)
        const { offset } = part
        const bad = wasm.batch_norm_backward(
          ...([...part.place, ...partOfNormed(0, columns).place, ...extentOf(rows, part)] as const),
          ...([sums.scale + offset, sums.shift + offset, f + offset] as const),
        )
        return bad === 0
      }
    },

    layerNorm(z, { scale, bias, epsilon, normed }, inverses) {
      const { O } = bindShapes('layerNorm', [
        ['z', matrixShape(z), ['B', 'O']],
        ...(normed && inverses
          ? ([['normed', matrixShape(normed), ['B', 'O']] as const, ['inverses', inverses, ['B']] as const] as const)
          : []),
      ])
      expectUnits('layerNorm', O, { scale, bias })
      const partOfZ = partOf(z)
      const partOfNormed = normed && partOf(normed)
      const [g, b] = [scale, bias].map(byteOffsetOf)
      const inverse = inverses && byteOffsetOf(inverses)
      return (row, rows) => {
        const part = partOfZ(row)
        wasm.layer_norm(
          ...([...part.place, ...(partOfNormed?.(row).place ?? NOWHERE), ...extentOf(rows, part)] as const),
          ...([O, g, b, inverse === null ? 0 : inverse + row * 8, epsilon] as const),
        )
      }
    },

    layerNormBackward(dy, normed, scale, inverses) {
      const { O } = bindShapes('layerNormBackward', [
        ['dy', matrixShape(dy), ['B', 'O']],
        ['normed', matrixShape(normed), ['B', 'O']],
        ['inverses', inverses, ['B']],
      ])
      expectUnits('layerNormBackward', O, { scale })
      const [partOfDy, partOfNormed] = [partOf(dy), partOf(normed)]
      const [g, inverse] = [scale, inverses].map(byteOffsetOf)
      return (row, rows) => {
        const part = partOfDy(row)
        const bad = wasm.layer_norm_backward(
          ...([...part.place, ...partOfNormed(row).place, ...extentOf(rows, part)] as const),
          ...([O, g, inverse + row * 8] as const),
        )
        return bad === 0
      }
    },
  }
}

const addressesOf = ({ mean, variance, factors }: BatchStatistics) => ({
  mean: byteOffsetOf(mean),
  variance: byteOffsetOf(variance),
  factors: byteOffsetOf(factors),
})

const gradientAddresses = ({ scale, shift }: NormGradients) => ({
  scale: byteOffsetOf(scale),
  shift: byteOffsetOf(shift),
})

/** Vectors of units are padded, so only too few are noticed. */
function expectUnits(op: string, units: number, tensors: object): void {
  for (const [name, tensor] of Object.entries(tensors) as [string, { shape: readonly number[] }][]) {
    if (tensor.shape[0] < units) throw new TypeError(`${op}: ${name} has ${tensor.shape[0]} units, expected ${units}`)
  }
}

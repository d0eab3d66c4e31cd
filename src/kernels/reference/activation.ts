/**
 * Activations with inverted dropout, forward and backward, in float64. Runs in workers; changes the rows it is given, nothing
 * else.
 */
import ndarray from 'ndarray'
import ops from 'ndarray-ops'
import { activations } from '../../model/activation.js'
import { dropoutThreshold, keyOf, Purpose, philox } from '../../tensor/random.js'
import type { FloatTensor, Matrix } from '../../tensor/tensor.js'
import type { ActivationSpec, BiasTensors, CheckedBlockKernel, Columns, DropoutSpec, Kernels } from '../backend.js'
import { checkBiasActivate, checkDropout, derivativesOf } from '../shapes.js'
import { allColumns, blockOf, repeated } from './views.js'

export function biasActivate(
  z: Matrix,
  bias: BiasTensors,
  activation: ActivationSpec,
  dropout: DropoutSpec,
): ReturnType<Kernels['biasActivate']> {
  checkBiasActivate(z, bias, activation, dropout)
  const { type, derivatives } = activation
  const { of, slope } = activations[type]
  return (row, rows, epoch, training, columns = allColumns(z)) => {
    const a = blockOf(z, row, rows, columns)
    const { start, end } = columns
    ops.addeq(a, repeated(bias.master.lo(start).hi(end - start), rows))
    const finite = allFinite(a)
    const derivative = training && derivatives && blockOf(derivatives, row, rows, columns)
    for (let r = 0; r < rows; r++) {
      for (let o = 0; o < a.shape[1]; o++) {
        const x = a.get(r, o)
        a.set(r, o, of(x))
        if (derivative) derivative.set(r, o, slope(x))
      }
    }
    if (training && dropout.rate > 0) {
      const factors = dropoutFactors(dropout, row, rows, columns, epoch)
      ops.muleq(a, factors)
      if (derivative) ops.muleq(derivative, factors)
    }
    return finite
  }
}

export function dropout(x: Matrix, spec: DropoutSpec): ReturnType<Kernels['dropout']> {
  checkDropout(x, spec)
  const columns = allColumns(x)
  return (row, rows, epoch) =>
    ops.muleq(blockOf(x, row, rows, columns), dropoutFactors(spec, row, rows, columns, epoch))
}

export function activateBackward(dx: Matrix, a: Matrix, activation: ActivationSpec, rate: number): CheckedBlockKernel {
  const from = derivativesOf(dx, a, activation)
  const { type } = activation
  return (row, rows, columns = allColumns(dx)) => {
    const d = blockOf(dx, row, rows, columns)
    const on = blockOf(from, row, rows, columns)
    for (let r = 0; r < rows; r++) {
      for (let i = 0; i < d.shape[1]; i++) {
        const derivative = type === 'relu' ? Number(on.get(r, i) > 0) / (1 - rate) : on.get(r, i)
        // Set, not multiplied by 0, which would keep a NaN.
        d.set(r, i, derivative === 0 ? 0 : d.get(r, i) * derivative)
      }
    }
    return allFinite(d)
  }
}

/** (rows, end - start): 1 / (1 - rate) if a unit is kept, 0 if it is dropped; the rule is in backend.ts. */
function dropoutFactors(
  { rate, seed, layer, samples }: DropoutSpec,
  row: number,
  rows: number,
  { start, end }: Columns,
  epoch: number,
): FloatTensor {
  const [k0, k1] = keyOf(seed, Purpose.dropout)
  const threshold = dropoutThreshold(rate)
  const words = new Uint32Array(4)
  const factors = ndarray(new Float64Array(rows * (end - start)), [rows, end - start])
  for (let r = 0; r < rows; r++) {
    for (let u = start; u < end; u++) {
      if (u === start || u % 4 === 0) philox(words, u >>> 2, layer, samples.get(row + r), epoch, k0, k1)
      if (words[u % 4] >= threshold) factors.set(r, u - start, 1 / (1 - rate))
    }
  }
  return factors
}

/** True if all values are finite: one NaN or infinity makes the sum of magnitudes NaN or infinite. */
export function allFinite(x: FloatTensor): boolean {
  return Number.isFinite(ops.norm1(x))
}

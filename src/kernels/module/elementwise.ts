/**
 * Binds the kernels between the matrix products, of assembly/elementwise.ts, assembly/gather.ts and assembly/losses.ts, to tensors in
 * panels or in rows, by the location of a part of a matrix. Runs in workers.
 */
import { dropoutThreshold, keyOf, Purpose } from '../../tensor/random.js'
import { byteOffsetOf } from '../../tensor/tensor.js'
import type { WasmExports } from '../abi.js'
import type { DropoutSpec, Kernels, RowKernel } from '../backend.js'
import { bindEmbedding } from '../embedding.js'
import {
  checkBiasActivate,
  checkDropout,
  checkGather,
  checkSoftmaxLoss,
  checkTargetLoss,
  derivativesOf,
} from '../shapes.js'
import { activationCode } from './activations.js'
import { bindMixed } from './mixed.js'
import { extentOf, NOWHERE, type PartOf } from './part.js'

/** The random words of a vector of units, for four rows. */
export const DROPOUT_SCRATCH_BYTES = 64

const VECTOR_BYTES = 16
const WORD_BYTES = 4
const F32_BYTES = 4
const F64_BYTES = 8

type Elementwise = Pick<
  Kernels,
  'gather' | 'biasActivate' | 'dropout' | 'softmaxLoss' | 'squaredLoss' | 'sigmoidLoss' | 'activateBackward'
>

/** Binds the dropout mask, for rows from some row on. `scratch` takes DROPOUT_SCRATCH_BYTES. */
export function bindMask({ rate, seed, layer, samples }: DropoutSpec, scratch: number) {
  const [k0, k1] = keyOf(seed, Purpose.dropout)
  const index = byteOffsetOf(samples)
  const [threshold, scale] = [dropoutThreshold(rate), 1 / (1 - rate)]
  return (row: number, epoch: number) =>
    [index + row * WORD_BYTES, scratch, k0, k1, layer, epoch, threshold, scale] as const
}

/** `scratch` takes DROPOUT_SCRATCH_BYTES. */
export function bindElementwise(wasm: WasmExports, scratch: number, partOf: PartOf): Elementwise {
  return {
    gather(out, features, samples, scaling, embedded = null) {
      checkGather(out, features, samples, scaling, embedded)
      const width = features.shape[1]
      const partOfOut = partOf(out)
      const from = byteOffsetOf(features)
      const index = byteOffsetOf(samples)
      if (!scaling) {
        return (row, rows) => {
          const to = partOfOut(row)
          wasm.gather(...to.place, ...extentOf(rows, to), width, from, index + row * WORD_BYTES)
        }
      }
      const [offset, factor] = [byteOffsetOf(scaling.offset), byteOffsetOf(scaling.factor)]
      const floats = Number(features.dtype === 'float32')
      const gather: RowKernel = (row, rows) => {
        const to = partOfOut(row)
        const sample = index + row * WORD_BYTES
        wasm.gather_scaled(...to.place, ...extentOf(rows, to), width, from, floats, sample, offset, factor)
      }
      if (!embedded) return gather
      const embed = bindEmbedding(out, features, samples, embedded)
      return (row, rows) => {
        gather(row, rows)
        embed(row, rows)
      }
    },

    biasActivate(z, bias, { type, derivatives }, dropout) {
      checkBiasActivate(z, bias, { type, derivatives }, dropout)
      const partOfZ = partOf(z)
      const b = byteOffsetOf(bias.master)
      const maskOf = bindMask(dropout, scratch)
      if (type === 'relu') {
        return (row, rows, epoch, training, columns) => {
          const to = partOfZ(row, columns)
          const { place, offset } = to
          const extent = extentOf(rows, to)
          if (!training || dropout.rate === 0) return wasm.bias_relu(...place, ...extent, b + offset) === 0
          const first = offset / VECTOR_BYTES
          return wasm.bias_relu_dropout(...place, ...extent, first, b + offset, ...maskOf(row, epoch)) === 0
        }
      }
      const partOfDerivatives = derivatives && partOf(derivatives)
      const code = activationCode[type]
      return (row, rows, epoch, training, columns) => {
        const to = partOfZ(row, columns)
        const { place, offset } = to
        const derivative = (training && partOfDerivatives?.(row, columns).place) || NOWHERE
        const extent = extentOf(rows, to)
        const width = z.cols - offset / F32_BYTES
        const bad = wasm.bias_activate(...place, ...derivative, ...extent, b + offset, code, width)
        if (training && dropout.rate > 0) {
          wasm.dropout(...place, ...derivative, ...extent, offset / VECTOR_BYTES, ...maskOf(row, epoch))
        }
        return bad === 0
      }
    },

    dropout(x, dropout) {
      checkDropout(x, dropout)
      const partOfX = partOf(x)
      const maskOf = bindMask(dropout, scratch)
      return (row, rows, epoch) => {
        const to = partOfX(row)
        wasm.dropout(...to.place, ...NOWHERE, ...extentOf(rows, to), 0, ...maskOf(row, epoch))
      }
    },

    softmaxLoss(args) {
      checkSoftmaxLoss(args)
      const { z, bias, labels, samples, losses, correct, smoothing } = args
      const partOfZ = partOf(z)
      const weigh = bindWeights(wasm, partOfZ, args)
      const mix = bindMixed(partOfZ, args)
      const [b, label, index, loss, hit] = [bias.master, labels, samples, losses, correct].map(byteOffsetOf)
      return (row, rows, deltaScale) => {
        const to = partOfZ(row)
        if (deltaScale > 0) mix?.before(row, rows)
        const bad = wasm.softmax_loss(
          ...([...to.place, ...extentOf(rows, to), z.cols, b, label, index + row * WORD_BYTES] as const),
          ...([loss + row * F64_BYTES, hit + row * WORD_BYTES, deltaScale, smoothing] as const),
        )
        if (deltaScale > 0) mix?.after(row, rows, deltaScale)
        return bad === 0 && (deltaScale === 0 || weigh === null || weigh(row, rows))
      }
    },

    squaredLoss: args => bindTargetLoss(wasm, partOf, 'squaredLoss', wasm.squared_loss, args),
    sigmoidLoss: args => bindTargetLoss(wasm, partOf, 'sigmoidLoss', wasm.sigmoid_loss, args),

    activateBackward(dx, a, activation, rate) {
      const partOfDx = partOf(dx)
      const partOfLeft = partOf(derivativesOf(dx, a, activation))
      const scale = 1 / (1 - rate)
      return (row, rows, columns) => {
        const to = partOfDx(row, columns)
        const left = partOfLeft(row, columns).place
        const extent = extentOf(rows, to)
        return activation.type === 'relu'
          ? wasm.relu_backward(...to.place, ...left, ...extent, scale) === 0
          : wasm.derivative_backward(...to.place, ...left, ...extent) === 0
      }
    },
  }
}

type LossArgs = Parameters<Kernels['squaredLoss']>[0]

/** Binds a loss of outputs and targets; both kernels take the same. */
function bindTargetLoss(
  wasm: WasmExports,
  partOf: PartOf,
  name: 'squaredLoss' | 'sigmoidLoss',
  kernel: WasmExports['squared_loss'],
  args: LossArgs,
): ReturnType<Kernels['squaredLoss']> {
  checkTargetLoss(name, args)
  const { z, bias, targets, samples, losses, correct } = args
  const partOfZ = partOf(z)
  const weigh = bindWeights(wasm, partOfZ, args)
  const [b, wanted, index, loss, hit] = [bias.master, targets, samples, losses, correct].map(byteOffsetOf)
  return (row, rows, deltaScale) => {
    const to = partOfZ(row)
    const bad = kernel(
      ...([...to.place, ...extentOf(rows, to), z.cols, b, wanted, index + row * WORD_BYTES] as const),
      ...([loss + row * F64_BYTES, hit + row * WORD_BYTES, deltaScale] as const),
    )
    return bad === 0 && (deltaScale === 0 || weigh === null || weigh(row, rows))
  }
}

/** Multiplies deltas and losses by the weights of their samples; null: there are none. */
function bindWeights(
  wasm: WasmExports,
  partOfZ: ReturnType<PartOf>,
  { weights, samples, losses }: Pick<LossArgs, 'weights' | 'samples' | 'losses'>,
): ((row: number, rows: number) => boolean) | null {
  if (!weights) return null
  const [weight, index, loss] = [weights, samples, losses].map(byteOffsetOf)
  return (row, rows) => {
    const to = partOfZ(row)
    const at = [weight, index + row * WORD_BYTES, loss + row * F64_BYTES] as const
    return wasm.weigh_rows(...to.place, ...extentOf(rows, to), ...at) === 0
  }
}

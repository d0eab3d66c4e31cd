/**
 * A dense layer bound to one worker's kernels: z (B, O) = x (B, I) · weight (I, O) + bias (O), with the block's activation
 * where it ends the block. Runs in workers; declared in src/model/layers/dense.ts, kernels `linear*`, whose truth is
 * src/kernels/reference/matmul.ts. The gradient xᵀ · dz of the weights is computed where they are updated: ../parameters.ts,
 * by the backend: kernels/reference/update.ts, kernels/wasm/update.ts, kernels/native/f32-update.ts, kernels/native/bf16-update.ts.
 *
 * Who adds the bias: the activation where one follows at once, batch and layer normalisation, or the loss.
 */
import type { BiasTensors, CheckedBlockKernel, Kernels } from '../../../kernels/backend.js'
import type { Matrix } from '../../../tensor/tensor.js'
import { fault } from '../../plan/faults.js'
import { gradientGroups } from '../../plan/sharing.js'
import { bindForward } from '../forward.js'
import { inputDropout } from '../input.js'
import type { BindLayer, BlockActivation, Layer, LayerContext, LayerTensors, PassPart } from '../network.js'
import {
  bindBias,
  bindVectors,
  bindWeight,
  groupedBias,
  unusedBias,
  type VectorGradients,
  viewGroups,
} from '../parameters.js'

export const bindDense: BindLayer = context => {
  const { spec, tensors, x, z, activation } = context
  const weight = tensors.weight!
  const bias = tensors.vectors.get('bias')!
  return {
    spec,
    forward: [forwardPart(context)],
    backward: backwardParts(context),
    weight: bindWeight(context, weight, x),
    vectors: bindVectors(context, biasOf(context, bias)),
    derivativeLeft: activation && { ...activation, outputs: z },
  }
}

/** The bias, whose gradient is summed over all rows, or over groups of them. */
function biasOf(context: LayerContext, bias: BiasTensors): VectorGradients {
  const { plan, kernels, dz, next } = context
  if (next === 'batch-norm') return unusedBias
  const groups = viewGroups(context, 'bias')
  if (groups.length === 0 || !dz) return bindBias(context, bias)
  const { accumulate } = kernels.biasUpdate(bias, dz)
  return {
    ...groupedBias(context, groups, rows => gradientGroups(plan, rows)),
    computeGroup: (group, { row, rows }) => accumulate(groups[group], row, rows, true),
  }
}

function forwardPart(context: LayerContext): PassPart {
  const { kernels, spec, x, z, activation } = context
  const { block, inputs, outputs } = spec
  const kept = activation?.activation.derivatives
  const writes = { matrices: [z], kept: kept ? [kept] : [] }
  const part = { name: `forward ${block}`, over: 'blocks', outputs, depth: inputs, writes } as const
  if (!activation) {
    const product = bindForward(context, ({ weight }) => kernels.linear(z, x, weight!))
    return {
      ...part,
      run(pass, { row, rows }, columns) {
        product.of(pass)(row, rows, columns)
        return 0
      },
    }
  }
  const activated = bindForward(context, tensors => bindActivated(context, tensors, activation))
  const code = fault.forward(block)
  return {
    ...part,
    run: (pass, { row, rows }, columns) =>
      activated.of(pass)(row, rows, pass.epoch, pass.deltaScale > 0, columns) ? 0 : code,
  }
}

/** Product, bias, activation and dropout: in one kernel where the backend has it. */
function bindActivated(
  { kernels, x, z }: LayerContext,
  { weight, vectors }: LayerTensors,
  { activation, dropout }: BlockActivation,
): ReturnType<Kernels['biasActivate']> {
  const bias = vectors.get('bias')!
  const fused = kernels.linearActivate?.(z, x, weight!, bias, activation, dropout)
  if (fused) return fused
  const product = kernels.linear(z, x, weight!)
  const activate = kernels.biasActivate(z, bias, activation, dropout)
  return (row, rows, epoch, training, columns) => {
    product(row, rows, columns)
    return activate(row, rows, epoch, training, columns)
  }
}

/** Deltas of the inputs, through the activation of the block before where that is left to it. */
function backwardParts(context: LayerContext): PassPart[] {
  const { kernels, spec, tensors, dx, dz, before } = context
  if (!dx || !dz) return []
  if (!before) return [embeddedPart(context, dx, dz)]
  const to = spec.block - 1
  const writes = { matrices: [dx] }
  const part = { name: `backward ${to}`, over: 'blocks', outputs: spec.inputs, depth: spec.outputs, writes } as const
  const left = before.layer.derivativeLeft
  if (!left) {
    const product = kernels.linearBackward(dx, dz, tensors.weight!)
    return [
      {
        ...part,
        run(_pass, { row, rows }, columns) {
          product(row, rows, columns)
          return 0
        },
      },
    ]
  }
  const deltas = bindDeltas(context, left)
  const code = fault.backward(to)
  return [{ ...part, run: (_pass, { row, rows }, columns) => (deltas(row, rows, columns) ? 0 : code) }]
}

/** Deltas of the inputs that are embedded, the last ones, through the dropout of inputs. */
function embeddedPart(context: LayerContext, dx: Matrix, dz: Matrix): PassPart {
  const { plan, kernels, spec, tensors, embedded } = context
  const columns = { start: embedded!.deltasFrom, end: spec.inputs }
  const product = kernels.linearBackward(dx, dz, tensors.weight!)
  const drop = plan.inputDropout > 0 ? kernels.dropout(dx, inputDropout(plan, embedded!.samples)) : null
  return {
    ...{ name: 'backward inputs', over: 'rows', outputs: spec.inputs, depth: spec.outputs },
    writes: { matrices: [dx] },
    run({ epoch }, { row, rows }) {
      product(row, rows, columns)
      drop?.(row, rows, epoch)
      return 0
    },
  }
}

function bindDeltas(
  { kernels, tensors, dx, dz }: LayerContext,
  { activation, dropout, outputs }: NonNullable<Layer['derivativeLeft']>,
): CheckedBlockKernel {
  const weight = tensors.weight!
  const fused = kernels.linearActivateBackward?.(dx!, dz!, weight, outputs, activation, dropout.rate)
  if (fused) return fused
  const product = kernels.linearBackward(dx!, dz!, weight)
  const derivative = kernels.activateBackward(dx!, outputs, activation, dropout.rate)
  return (row, rows, columns) => {
    product(row, rows, columns)
    return derivative(row, rows, columns)
  }
}

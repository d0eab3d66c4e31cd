/**
 * A convolution bound to one worker's kernels: z (B · P, O) = patches of x · weight + bias, with the activation where no normalisation
 * follows. Runs in workers; declared in src/model/layers/convolution.ts, kernels `maps.convolution*`, whose truth is
 * src/kernels/reference/maps.ts.
 *
 * All passes are divided into groups of samples, the same for any number of workers. A group's task of the backward pass also sums the
 * gradients of weight and bias over its samples, in their order, into a buffer of the group; where the weight is updated, the groups are
 * added in their order. A tile over all samples would read all maps anew, and there are more samples than tiles.
 */
import type { CheckedBlockKernel, WeightUpdate } from '../../../kernels/backend.js'
import { convolutionWork, positionsOf } from '../../../model/convolution.js'
import type { FloatTensor } from '../../../tensor/tensor.js'
import { fault } from '../../plan/faults.js'
import { groupHeight, groupsOf } from '../../plan/tiles.js'
import { bindForward } from '../forward.js'
import type { BindLayer, LayerContext, PassPart } from '../network.js'
import { bindVectors, bindWeightOf, groupedBias, noUpdate, unusedBias, viewGroups } from '../parameters.js'

export const bindConvolution: BindLayer = context => {
  const { plan, kernels, spec, tensors, x, dz, next } = context
  const weight = tensors.weight!
  const window = spec.window!
  const groups = groupGradients(context)
  const updates = dz ? kernels.maps.convolutionUpdate(weight, x, dz, window) : noUpdate
  const groupsIn = (rows: number) => groupsOf(rows, groupHeight(plan))
  return {
    spec,
    forward: [forwardPart(context)],
    backward: dz ? [backwardPart(context, groups, updates)] : [],
    weight: bindWeightOf(context, weight, {
      groups: groups.weight,
      updates,
      fused: (tile, rows, step) => updates.reduce(groups.weight.slice(0, groupsIn(rows)), tile, step),
      keep: (kept, tile, rows, first) => updates.sum(kept, groups.weight.slice(0, groupsIn(rows)), tile, first),
      derive: kernels.maps.derive(weight, window),
    }),
    vectors: bindVectors(context, next === 'batch-norm' ? unusedBias : groupedBias(context, groups.bias, groupsIn)),
    derivativeLeft: null,
  }
}

/** Gradients of each group. */
interface Groups {
  readonly weight: readonly FloatTensor[]
  readonly bias: readonly FloatTensor[]
}

const groupGradients = (context: LayerContext): Groups => ({
  weight: viewGroups(context, 'weight'),
  bias: viewGroups(context, 'bias'),
})

/** Product, and bias and activation where no normalisation follows. */
function forwardPart(context: LayerContext): PassPart {
  const { plan, kernels, spec, x, z, activation } = context
  const window = spec.window!
  const positions = positionsOf(window.output)
  const bound = bindForward(context, ({ weight, vectors }) => ({
    product: kernels.maps.convolution(z, x, weight!, window),
    activate: activation && kernels.biasActivate(z, vectors.get('bias')!, activation.activation, activation.dropout),
  }))
  const code = fault.forward(spec.block)
  return {
    ...partOf(context, `convolution ${spec.block}`),
    height: groupHeight(plan),
    writes: { matrices: [z], kept: activation?.activation.derivatives ? [activation.activation.derivatives] : [] },
    run(pass, { row, rows }) {
      const { product, activate } = bound.of(pass)
      product(row, rows)
      if (!activate) return 0
      return activate(row * positions, rows * positions, pass.epoch, pass.deltaScale > 0) ? 0 : code
    },
  }
}

const partOf = ({ spec }: LayerContext, name: string) => {
  const { window, inputs: depth, outputs } = spec
  return { ...{ name, outputs, depth }, over: 'rows', work: convolutionWork({ window: window! }) } as const
}

/** Deltas through the activation, the group's gradients, deltas of the inputs where something before learns. */
function backwardPart(context: LayerContext, groups: Groups, updates: Pick<WeightUpdate, 'accumulate'>): PassPart {
  const { plan, kernels, spec, tensors, z, dx, dz, activation, next } = context
  const window = spec.window!
  const height = groupHeight(plan)
  const positions = positionsOf(window.output)
  const { inputs, outputs } = tensors.weight!
  const whole = { inputStart: 0, inputEnd: inputs, outputStart: 0, outputEnd: outputs }
  const derivative: CheckedBlockKernel | null =
    activation && kernels.activateBackward(dz!, z, activation.activation, activation.dropout.rate)
  const bias = next === 'batch-norm' ? null : kernels.biasUpdate(tensors.vectors.get('bias')!, dz!)
  const backward = dx && kernels.maps.convolutionBackward(dx, dz!, tensors.weight!, window)
  const part = partOf(context, `convolution backward ${spec.block}`)
  const code = fault.backward(spec.block)
  return {
    ...part,
    work: part.work * (dx ? 2 : 1),
    height,
    writes: { matrices: dx ? [dx, dz!] : [dz!], ofPieces: bias ? [groups.bias] : [] },
    run(_pass, { row, rows }) {
      const [first, count] = [row * positions, rows * positions]
      if (derivative && !derivative(first, count)) return code
      const group = row / height
      updates.accumulate(groups.weight[group], whole, row, rows, true)
      bias?.accumulate(groups.bias[group], first, count, true)
      backward?.(row, rows)
      return 0
    },
  }
}

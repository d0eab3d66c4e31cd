/**
 * Batch normalisation of feature maps bound to one worker's kernels `maps.batchNorm`, whose truth is src/kernels/reference/maps.ts: every
 * position of a sample is a row. Runs in workers.
 *
 * Statistics of a mini-batch are sums over groups of samples, the tasks of a convolution's passes; after a barrier each task adds them, in
 * the order of the groups, for itself. So all workers have work for any number of channels, and the bits are the same for all of them.
 */
import ndarray from 'ndarray'
import type { ChannelTable } from '../../../kernels/map-norm.js'
import { positionsOf } from '../../../model/convolution.js'
import { viewSlot } from '../../../tensor/arena.js'
import type { FloatTensor } from '../../../tensor/tensor.js'
import { fault } from '../../plan/faults.js'
import { groupHeight, groupsOf } from '../../plan/tiles.js'
import { bindForward } from '../forward.js'
import type { BindLayer, LayerContext, LayerTensors, PassPart } from '../network.js'
import { bindVectors } from '../parameters.js'
import { bindNormUpdates, type NormSlots, type NormTraining, noBuffers, viewNormTraining } from './norm-updates.js'

/** Tensors of a mini-batch that is trained on. */
interface Training extends NormTraining {
  readonly groupSums: FloatTensor // (G, 2, W) float64
  readonly groupGradients: FloatTensor
}

export const bindMapNormLayer: BindLayer = context => {
  const { plan, memory, kernels, spec, slots, z, dz, trains, tensors, before } = context
  const { vectors } = tensors
  const workspace = slots.workspace as NormSlots
  const training: Training | null = trains
    ? {
        ...viewNormTraining(memory, workspace, dz!),
        groupSums: viewSlot(memory, workspace.groupSums),
        groupGradients: viewSlot(memory, workspace.groupGradients),
      }
    : null
  const kernel = kernels.maps.batchNorm(z, training?.normed ?? null, dz)
  const positions = positionsOf(spec.maps!)
  const updates = training
    ? bindNormUpdates(
        {
          ...{ norm: plan.norm, kernels, bias: before!.tensors.vectors.get('bias')! },
          ...{ scale: vectors.get('scale')!, shift: vectors.get('shift')!, running: runningOf(tensors) },
        },
        training,
      )
    : null
  return {
    spec,
    forward: forwardParts(context, kernel, training),
    backward: training ? backwardParts(context, kernel, training) : [],
    weight: null,
    vectors: bindVectors(context, {
      kept: updates?.gradients ?? [],
      // Kept gradients have kept running statistics beside them, which need no number of rows.
      apply: (source, amount, optimizer) => updates?.update(source === 'rows' ? amount * positions : 0, optimizer),
      accumulate: noBuffers,
      keep: (rows, first) => updates?.keep(rows * positions, first),
    }),
    derivativeLeft: null,
  }
}

type Kernel = ReturnType<LayerContext['kernels']['maps']['batchNorm']>

const runningOf = ({ vectors }: LayerTensors) => ({
  mean: vectors.get('mean')!.master,
  variance: vectors.get('variance')!.master,
})

/** The table of a kernel: a thread's own. */
const emptyTable = (channels: number): ChannelTable => [
  new Float64Array(channels),
  new Float64Array(channels),
  new Float64Array(channels),
]

/** The sums of each group as a vector. */
function groupsIn({ data, shape, offset }: FloatTensor): FloatTensor[] {
  const [count, two, width] = shape
  const numbers = two * width
  return Array.from({ length: count }, (_, group) => ndarray(data, [numbers], [1], offset + group * numbers))
}

/** Adds the groups' sums in their order: of both numbers of channel c, divided by the rows. */
function meanOf(groups: FloatTensor, count: number, which: number, c: number, rows: number): number {
  const [, two, width] = groups.shape
  let sum = 0
  for (let g = 0; g < count; g++) sum += groups.data[groups.offset + (g * two + which) * width + c]
  return sum / rows
}

/** [sums of a group] [normalisation, shift, activation]; scoring needs the second alone. */
function forwardParts(context: LayerContext, kernel: Kernel, training: Training | null): PassPart[] {
  const { plan, kernels, spec, z, activation: end } = context
  const { block, outputs: channels } = spec
  const { activation, dropout } = end!
  const positions = positionsOf(spec.maps!)
  const height = groupHeight(plan)
  const { epsilon } = plan.norm
  const table = emptyTable(channels)
  const [means, inverses, scales] = table
  const bound = bindForward(context, (tensors, before) => ({
    ...{ running: runningOf(tensors), scale: tensors.vectors.get('scale')!.master },
    bias: before!.vectors.get('bias')!.master,
    activate: kernels.biasActivate(z, tensors.vectors.get('shift')!, activation, dropout),
  }))
  const code = fault.forward(block)

  /** Statistics of the mini-batch; the first task keeps them for the update. */
  const takeBatch = ({ groupSums, batch }: Training, samples: number, scale: FloatTensor, keeps: boolean) => {
    const [count, rows] = [groupsOf(samples, height), samples * positions]
    for (let c = 0; c < channels; c++) {
      const mean = meanOf(groupSums, count, 1, c, rows)
      const variance = Math.max(0, meanOf(groupSums, count, 0, c, rows) - mean * mean)
      means[c] = mean
      inverses[c] = 1 / Math.sqrt(variance + epsilon)
      scales[c] = scale.get(c)
      if (!keeps) continue
      batch.mean.set(c, mean)
      batch.variance.set(c, variance)
      batch.factors.set(c, scales[c] * inverses[c])
    }
  }
  const takeRunning = ({ running, scale, bias }: ReturnType<typeof bound.of>) => {
    for (let c = 0; c < channels; c++) {
      means[c] = running.mean.get(c) - bias.get(c)
      inverses[c] = 1 / Math.sqrt(running.variance.get(c) + epsilon)
      scales[c] = scale.get(c)
    }
  }
  const part = { over: 'rows', outputs: channels, depth: 0, height } as const
  const sums: PassPart = {
    ...part,
    name: `statistics ${block}`,
    writes: { matrices: [], ofPieces: training ? [groupsIn(training.groupSums)] : [] },
    run({ deltaScale }, { row, rows }) {
      if (deltaScale > 0) {
        kernel.sums(training!.groupSums, row / height, row * positions, rows * positions, true)
      }
      return 0
    },
  }
  const normalise: PassPart = {
    ...part,
    name: `normalise ${block}`,
    waits: true,
    writes: { matrices: [z], ofPieces: training ? Object.values(training.batch).map(vector => [vector]) : [] },
    run(pass, samples) {
      const trained = pass.deltaScale > 0
      const form = bound.of(pass)
      if (trained) takeBatch(training!, pass.rows, form.scale, samples.row === 0)
      else takeRunning(form)
      const [row, rows] = [samples.row * positions, samples.rows * positions]
      kernel.normalise(row, rows, table, trained)
      return form.activate(row, rows, pass.epoch, trained) ? 0 : code
    },
  }
  return [sums, normalise]
}

/** [deltas through the activation, their sums of a group] [deltas of what was normalised]. */
function backwardParts(
  { plan, kernels, spec, z, dz, activation: end }: LayerContext,
  kernel: Kernel,
  { groupGradients, gradients, batch }: Training,
): PassPart[] {
  const { block, outputs: channels } = spec
  const { activation, dropout } = end!
  const positions = positionsOf(spec.maps!)
  const height = groupHeight(plan)
  const table = emptyTable(channels)
  const [factors, shifts, scales] = table
  const derivative = kernels.activateBackward(dz!, z, activation, dropout.rate)
  const code = fault.backward(block)
  const part = { over: 'rows', outputs: channels, depth: 0, height } as const
  return [
    {
      ...part,
      name: `normalise backward ${block}`,
      writes: { matrices: [dz!], ofPieces: [groupsIn(groupGradients)] },
      run(_pass, samples) {
        const [row, rows] = [samples.row * positions, samples.rows * positions]
        const finite = derivative(row, rows)
        kernel.gradientSums(groupGradients, samples.row / height, row, rows, true)
        return finite ? 0 : code
      },
    },
    {
      ...part,
      name: `normalise deltas ${block}`,
      waits: true,
      writes: { matrices: [dz!], ofPieces: [[gradients.scale], [gradients.shift]] },
      run(pass, samples) {
        const [count, total] = [groupsOf(pass.rows, height), pass.rows * positions]
        for (let c = 0; c < channels; c++) {
          factors[c] = batch.factors.get(c)
          scales[c] = meanOf(groupGradients, count, 0, c, total)
          shifts[c] = meanOf(groupGradients, count, 1, c, total)
          if (samples.row !== 0) continue
          gradients.scale.set(c, scales[c] * total)
          gradients.shift.set(c, shifts[c] * total)
        }
        return kernel.backward(samples.row * positions, samples.rows * positions, table) ? 0 : code
      },
    },
  ]
}

/**
 * What a normalisation keeps from a mini-batch and does with it when parameters change: gradients of scale and shift, running statistics.
 * Running statistics change with the parameters, in the last stage of a step: a step that is left out has changed nothing. Runs in workers.
 */
import type { BatchStatistics, BiasTensors, Kernels, NormGradients } from '../../../kernels/backend.js'
import type { NormWorkspace } from '../../../model/layers/norm.js'
import type { OptimizerStep } from '../../../model/optimizer.js'
import { viewSlot } from '../../../tensor/arena.js'
import type { FloatTensor, Matrix } from '../../../tensor/tensor.js'
import type { FloatSlot, MatrixSlot, WorkspaceSlot } from '../../plan/layout.js'
import type { RunPlan } from '../../plan/run-plan.js'

export type NormSlots = {
  readonly [K in keyof NormWorkspace]: NormWorkspace[K] extends { form: 'matrix' } ? MatrixSlot : FloatSlot
} & Readonly<Record<string, WorkspaceSlot>>

/** Tensors of the backward pass. */
export interface NormTraining {
  readonly dz: Matrix // (B, O)
  readonly normed: Matrix // (B, O)
  readonly batch: BatchStatistics
  readonly inverses: FloatTensor // (B) float64
  readonly gradients: NormGradients
  /** Gradients of the step so far, and running statistics after it; null: it has one mini-batch, applied at once. */
  readonly kept: (NormGradients & Running) | null
}

export function viewNormTraining(memory: WebAssembly.Memory, slots: NormSlots, dz: Matrix): NormTraining {
  const view = (slot: FloatSlot): FloatTensor => viewSlot(memory, slot)
  const { normed, mean, variance, factors, inverses, scale, shift } = slots
  const { keptScale, keptShift, keptMean, keptVariance } = slots
  return {
    dz,
    normed: { rows: normed.rows, cols: normed.cols, tensor: view(normed.slot) },
    batch: { mean: view(mean), variance: view(variance), factors: view(factors) },
    inverses: view(inverses),
    gradients: { scale: view(scale), shift: view(shift) },
    // Gradients are reserved only if the plan keeps them.
    kept: keptScale && {
      ...{ scale: view(keptScale), shift: view(keptShift) },
      ...{ mean: view(keptMean), variance: view(keptVariance) },
    },
  }
}

export interface Running {
  readonly mean: FloatTensor
  readonly variance: FloatTensor
}

export interface UpdateParts {
  readonly norm: Pick<RunPlan['norm'], 'momentum'>
  readonly kernels: Kernels
  readonly bias: BiasTensors
  readonly scale: BiasTensors
  readonly shift: BiasTensors
  /** Running statistics of batch normalisation; null: it is layer normalisation. */
  readonly running: Running | null
}

export interface NormUpdates {
  /** Gradients of scale and shift that `update` takes; none where nothing is trained. */
  readonly gradients: readonly FloatTensor[]
  /** Adds the mini-batch's gradients to the kept ones of the step, or begins them; where a step keeps its gradient. */
  keep(rows: number, first: boolean): void
  /** Updates scale and shift from the gradients, running statistics from the mini-batch's. */
  update(rows: number, step: OptimizerStep): void
}

export function bindNormUpdates(
  { norm: { momentum }, kernels, bias, scale, shift, running }: UpdateParts,
  { dz, batch, gradients, kept }: NormTraining,
): NormUpdates {
  const applied = kept ?? gradients
  const updates = [
    [kernels.biasUpdate(scale, dz), [applied.scale]],
    [kernels.biasUpdate(shift, dz), [applied.shift]],
  ] as const
  return {
    gradients: [applied.scale, applied.shift],
    keep(rows, first) {
      for (const kind of ['scale', 'shift'] as const) {
        const [from, to] = [gradients[kind].data, kept![kind].data]
        for (let o = 0; o < from.length; o++) to[o] = first ? from[o] : to[o] + from[o]
      }
      if (running) remember(first ? running : kept!, kept!, batch, bias, rows, momentum)
    },
    update(rows, step) {
      for (const [update, sum] of updates) update.reduce(sum, step)
      if (running && kept) {
        running.mean.data.set(kept.mean.data)
        running.variance.data.set(kept.variance.data)
      } else if (running) remember(running, running, batch, bias, rows, momentum)
    },
  }
}

/** Running statistics as PyTorch has them: of products with their bias, the variance unbiased. One row has no variance. */
function remember(
  before: Running,
  after: Running, // overwritten; may be the same
  batch: Running,
  bias: BiasTensors,
  rows: number,
  momentum: number,
): void {
  if (rows < 2) {
    after.mean.data.set(before.mean.data)
    after.variance.data.set(before.variance.data)
    return
  }
  const unbiased = rows / (rows - 1)
  for (let o = 0; o < bias.outputs; o++) {
    const mean = batch.mean.get(o) + bias.master.get(o)
    after.mean.set(o, (1 - momentum) * before.mean.get(o) + momentum * mean)
    after.variance.set(o, (1 - momentum) * before.variance.get(o) + momentum * unbiased * batch.variance.get(o))
  }
}

export function noBuffers(): never {
  throw new TypeError('normalisation: the gradient is not summed in buffers')
}

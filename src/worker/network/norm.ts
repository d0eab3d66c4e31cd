/**
 * The normalisation of one hidden layer, bound to one worker's kernels: what stands between its product and its
 * activation, the way back, and the update of what it learns and remembers. Runs in workers.
 *
 * Statistics of a mini-batch need all of its rows, so that the passes run layer by layer. Running statistics change with
 * the parameters, in the last stage of a step: a step that is left out has changed nothing.
 */

import type { BatchStatistics, BiasTensors, Columns, Kernels, NormGradients, Rows } from '../../kernels/backend.js'
import type { OptimizerStep } from '../../model/optimizer.js'
import { viewSlot } from '../../tensor/arena.js'
import type { FloatTensor, Matrix } from '../../tensor/tensor.js'
import type { NormSlots } from '../plan/layout.js'
import type { RunPlan } from '../plan/run-plan.js'

export interface Normalisation {
  /** The product z becomes what the activation adds the shift to. `batch` in training: the rows are all of the mini-batch. */
  forward(rows: Rows, training: boolean, columns?: Columns): void
  /** Gradients of scale and shift over the rows [0, rows), from the deltas of what `forward` left. */
  sums(rows: number, columns?: Columns): void
  /** Deltas of the product, after `sums`. `batch`: of all rows, and any columns. Says whether they are finite. */
  backward(rows: Rows, columns?: Columns): boolean
  /** The gradients of scale and shift that `update` takes; none where nothing is trained. */
  readonly gradients: readonly FloatTensor[]
  /** Where the gradient is kept: adds what the mini-batch left to that of the step, or begins it. Not called elsewhere. */
  keep(rows: number, first: boolean): void
  /** Scale and shift from the gradients, running statistics from the mini-batch's. */
  update(rows: number, step: OptimizerStep): void
}

export interface NormParts {
  readonly norm: Pick<RunPlan['norm'], 'momentum' | 'epsilon'>
  readonly kernels: Kernels
  /** (B, O) The layer's product. */
  readonly z: Matrix
  readonly bias: BiasTensors
  readonly scale: BiasTensors
  readonly shift: BiasTensors
  /** Of batch normalisation. */
  readonly running: Running | null
  /** null where nothing is trained. */
  readonly training: NormTraining | null
}

/** What the way back needs. */
export interface NormTraining {
  readonly dz: Matrix // (B, O)
  readonly normed: Matrix // (B, O)
  readonly batch: BatchStatistics
  readonly inverses: FloatTensor // (B) float64
  readonly gradients: NormGradients
  /** Gradients of the step so far, and running statistics after it; null: it has one mini-batch, applied at once. */
  readonly kept: (NormGradients & Running) | null
}

interface Running {
  readonly mean: FloatTensor
  readonly variance: FloatTensor
}

/** Its places in the arena. */
export function viewNormTraining(memory: WebAssembly.Memory, slots: NormSlots, dz: Matrix): NormTraining {
  const { normed, mean, variance, factors, inverses, scale, shift, kept } = slots
  const view = (slot: NormSlots['mean']) => viewSlot(memory, slot)
  return {
    dz,
    normed: { rows: normed.rows, cols: normed.cols, tensor: view(normed.slot) },
    batch: { mean: view(mean), variance: view(variance), factors: view(factors) },
    inverses: viewSlot(memory, inverses),
    gradients: { scale: view(scale), shift: view(shift) },
    kept: kept && {
      ...{ scale: view(kept.scale), shift: view(kept.shift) },
      ...{ mean: view(kept.mean), variance: view(kept.variance) },
    },
  }
}

export function bindNorm(parts: NormParts): Normalisation {
  const { norm, kernels, z, bias, scale, shift, running, training: view } = parts
  const { momentum, epsilon } = norm
  const spec = { scale: scale.master, bias: bias.master, epsilon, normed: view?.normed ?? null }
  const ofBatch = running && kernels.batchNorm(z, spec, running, view?.batch ?? null)
  const ofRows = running ? null : kernels.layerNorm(z, spec, view?.inverses ?? null)
  const forward: Normalisation['forward'] = ({ row, rows }, training, columns) => {
    if (ofRows) ofRows(row, rows)
    else if (training) ofBatch!.train(rows, columns)
    else ofBatch!.score(row, rows, columns)
  }
  if (!view) {
    return { forward, gradients: [], sums: untrained, backward: untrained, keep: untrained, update: untrained }
  }

  const { dz, normed, batch, inverses, gradients, kept } = view
  const applied = kept ?? gradients
  const backOfBatch = running && kernels.batchNormBackward(dz, normed, gradients, batch.factors)
  const backOfRows = running ? null : kernels.layerNormBackward(dz, normed, scale.master, inverses)
  const updates = [
    [kernels.biasUpdate(scale, dz), [applied.scale]],
    [kernels.biasUpdate(shift, dz), [applied.shift]],
  ] as const
  return {
    forward,
    gradients: [applied.scale, applied.shift],
    sums: kernels.normSums(gradients, dz, normed),
    backward: ({ row, rows }, columns) => (backOfRows ? backOfRows(row, rows) : backOfBatch!(rows, columns)),
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

function untrained(): never {
  throw new TypeError('normalisation: the plan trains nothing')
}

/** PyTorch's running statistics: of products with their bias, the variance unbiased. One row has no variance. */
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

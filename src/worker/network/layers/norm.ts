/**
 * Batch and layer normalisation bound to one worker's kernels: what stands between the product of a hidden block and its
 * activation, forward and backward, with the update of scale and shift and of the running statistics. Runs in workers;
 * declared in src/model/layers/norm.ts, kernels `batchNorm*`, `layerNorm*` and `normSums`, whose truth is
 * src/kernels/reference/norm.ts.
 *
 * Statistics of a mini-batch need all of its rows, so that the passes run layer by layer. Running statistics change with
 * the parameters, in the last stage of a step: a step that is left out has changed nothing.
 */

import type { BatchStatistics, BiasTensors, Columns, Kernels, NormGradients, Rows } from '../../../kernels/backend.js'
import { positionsOf } from '../../../model/convolution.js'
import type { NormWorkspace } from '../../../model/layers/norm.js'
import type { OptimizerStep } from '../../../model/optimizer.js'
import { viewSlot } from '../../../tensor/arena.js'
import type { FloatTensor, Matrix } from '../../../tensor/tensor.js'
import { fault } from '../../plan/faults.js'
import type { FloatSlot, MatrixSlot, WorkspaceSlot } from '../../plan/layout.js'
import type { RunPlan } from '../../plan/run-plan.js'
import { bindForward, type Forms } from '../forward.js'
import type { BindLayer, LayerContext, LayerTensors, PassPart } from '../network.js'
import { bindVectors, untrained } from '../parameters.js'

/** A normalisation works in place: its x and z are the same matrix. */
export const bindNormLayer: BindLayer = context => {
  const { kernels, spec, z, activation: end, trains } = context
  const { activation, dropout } = end!
  const positions = spec.maps ? positionsOf(spec.maps) : 1
  const bound = bindForward(context, (tensors, before) => ({
    norm: normOf(context, tensors, before!),
    activate: kernels.biasActivate(z, tensors.vectors.get('shift')!, activation, dropout),
  }))
  const { norm } = bound.trained
  return {
    spec,
    forward: [forwardPart(context, bound, positions)],
    backward: trains ? backwardParts(context, norm, positions) : [],
    weight: null,
    vectors: bindVectors(context, {
      kept: norm.gradients,
      // Kept gradients have kept running statistics beside them, which need no number of rows.
      apply: (source, amount, optimizer) => norm.update(source === 'rows' ? amount * positions : 0, optimizer),
      accumulate: noBuffers,
      keep: (rows, first) => norm.keep(rows * positions, first),
    }),
    derivativeLeft: null,
  }
}

function noBuffers(): never {
  throw new TypeError('normalisation: the gradient is not summed in buffers')
}

type BoundForward = Forms<{ readonly norm: Normalisation; readonly activate: ReturnType<Kernels['biasActivate']> }>

/** Normalisation, shift, activation, dropout. Of feature maps every position of a sample is a row. */
function forwardPart({ spec, z, activation: end }: LayerContext, bound: BoundForward, positions: number): PassPart {
  const { type, block, outputs } = spec
  const { written } = bound.trained.norm
  const kept = end?.activation.derivatives
  const code = fault.forward(block)
  return {
    name: `normalise ${block}`,
    over: type === 'batch-norm' ? 'columns' : 'rows',
    outputs,
    depth: 0,
    ...(positions === 1 && {
      writes: { ...written, matrices: [z], kept: [...(kept ? [kept] : []), ...written.kept] },
    }),
    run(pass, samples, columns) {
      const { norm, activate } = bound.of(pass)
      const of = { row: samples.row * positions, rows: samples.rows * positions }
      const training = pass.deltaScale > 0
      norm.forward(of, training, columns)
      return activate(of.row, of.rows, pass.epoch, training, columns) ? 0 : code
    },
  }
}

/**
 * Deltas through dropout and activation, gradients of scale and shift; then the deltas of what was normalised, which with
 * layer normalisation need the sums of all columns.
 */
function backwardParts(
  { kernels, spec, z, dz, activation: end }: LayerContext,
  norm: Normalisation,
  positions: number,
): PassPart[] {
  const { activation, dropout } = end!
  const derivative = kernels.activateBackward(dz!, z, activation, dropout.rate)
  const ofBatch = spec.type === 'batch-norm'
  const code = fault.backward(spec.block)
  const name = `normalise backward ${spec.block}`
  const part = { outputs: spec.outputs, depth: 0, writes: { matrices: [dz!] } }
  const columnPart: PassPart = {
    ...part,
    name,
    over: 'columns',
    ...(positions === 1 && { writes: { matrices: [dz!], ofColumns: norm.sumsWritten } }),
    run(_pass, samples, columns) {
      const rows = samples.rows * positions
      let finite = derivative(0, rows, columns)
      norm.sums(rows, columns)
      if (ofBatch) finite = norm.backward({ row: 0, rows }, columns) && finite
      return finite ? 0 : code
    },
  }
  if (ofBatch) return [columnPart]
  const run: PassPart['run'] = (_pass, rows) => (norm.backward(rows) ? 0 : code)
  return [columnPart, { ...part, name: `${name}, rows`, over: 'rows', run }]
}

function normOf(
  { plan, memory, kernels, slots, z, dz, trains }: LayerContext,
  { vectors }: LayerTensors,
  before: LayerTensors,
): Normalisation {
  const [mean, variance] = [vectors.get('mean')?.master, vectors.get('variance')?.master]
  return bindNorm({
    norm: plan.norm,
    kernels,
    z,
    bias: before.vectors.get('bias')!,
    scale: vectors.get('scale')!,
    shift: vectors.get('shift')!,
    running: mean && variance ? { mean, variance } : null,
    training: trains ? viewNormTraining(memory, slots.workspace as NormSlots, dz!) : null,
  })
}

type NormSlots = {
  readonly [K in keyof NormWorkspace]: NormWorkspace[K] extends { form: 'matrix' } ? MatrixSlot : FloatSlot
} & Readonly<Record<string, WorkspaceSlot>>

function viewNormTraining(memory: WebAssembly.Memory, slots: NormSlots, dz: Matrix): NormTraining {
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

/** The arithmetic of one normalisation. */
export interface Normalisation {
  /** The product z becomes what the activation adds the shift to. Batch normalisation in training: of all rows of the mini-batch. */
  forward(rows: Rows, training: boolean, columns?: Columns): void
  /** Gradients of scale and shift over the rows [0, rows), from the deltas of what `forward` left. */
  sums(rows: number, columns?: Columns): void
  /** Deltas of the product, after `sums`. Batch normalisation: of all rows, and any columns. Returns whether they are finite. */
  backward(rows: Rows, columns?: Columns): boolean
  /** Tensors that `forward` writes in training beside z, and `sums`. */
  readonly written: {
    readonly kept: readonly Matrix[]
    readonly ofColumns: readonly FloatTensor[]
    readonly ofRows: readonly FloatTensor[]
  }
  readonly sumsWritten: readonly FloatTensor[]
  /** Gradients of scale and shift that `update` takes; none where nothing is trained. */
  readonly gradients: readonly FloatTensor[]
  /** Adds the mini-batch's gradients to the kept ones of the step, or begins them; where a step keeps its gradient. */
  keep(rows: number, first: boolean): void
  /** Updates scale and shift from the gradients, running statistics from the mini-batch's. */
  update(rows: number, step: OptimizerStep): void
}

export interface NormParts {
  readonly norm: Pick<RunPlan['norm'], 'momentum' | 'epsilon'>
  readonly kernels: Kernels
  /** (B, O) Product of the layer before. */
  readonly z: Matrix
  readonly bias: BiasTensors
  readonly scale: BiasTensors
  readonly shift: BiasTensors
  /** Running statistics of batch normalisation; null: it is layer normalisation. */
  readonly running: Running | null
  /** null where nothing is trained. */
  readonly training: NormTraining | null
}

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

interface Running {
  readonly mean: FloatTensor
  readonly variance: FloatTensor
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
    const written = { kept: [], ofColumns: [], ofRows: [] }
    return {
      forward,
      written,
      sumsWritten: [],
      gradients: [],
      sums: untrained,
      backward: untrained,
      keep: untrained,
      update: untrained,
    }
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
    written: {
      kept: [normed],
      ofColumns: running ? [batch.mean, batch.variance, batch.factors] : [],
      ofRows: running ? [] : [inverses],
    },
    sumsWritten: [gradients.scale, gradients.shift],
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

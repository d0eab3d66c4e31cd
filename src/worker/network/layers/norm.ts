/**
 * Batch and layer normalisation bound to one worker's kernels: what stands between the product of a hidden block and its
 * activation, forward and backward, with the update of scale and shift and of the running statistics. Runs in workers;
 * declared in src/model/layers/norm.ts, kernels `batchNorm*`, `layerNorm*` and `normSums`, whose truth is
 * src/kernels/reference/norm.ts.
 *
 * Statistics of a mini-batch need all of its rows, so that the passes run layer by layer. Running statistics change with
 * the parameters, in the last stage of a step: a step that is left out has changed nothing.
 */

import type { Columns, Kernels, Rows } from '../../../kernels/backend.js'
import type { FloatTensor, Matrix } from '../../../tensor/tensor.js'
import { fault } from '../../plan/faults.js'
import type { RunPlan } from '../../plan/run-plan.js'
import { bindForward, type Forms } from '../forward.js'
import type { BindLayer, LayerContext, LayerTensors, PassPart } from '../network.js'
import { bindVectors, untrained } from '../parameters.js'
import { bindMapNormLayer } from './map-norm.js'
import {
  bindNormUpdates,
  type NormSlots,
  type NormTraining,
  type NormUpdates,
  noBuffers,
  type UpdateParts,
  viewNormTraining,
} from './norm-updates.js'

/** A normalisation works in place: its x and z are the same matrix. */
export const bindNormLayer: BindLayer = context => {
  if (context.spec.maps) return bindMapNormLayer(context)
  const { kernels, spec, z, activation: end, trains } = context
  const { activation, dropout } = end!
  const bound = bindForward(context, (tensors, before) => ({
    norm: normOf(context, tensors, before!),
    activate: kernels.biasActivate(z, tensors.vectors.get('shift')!, activation, dropout),
  }))
  const { norm } = bound.trained
  return {
    spec,
    forward: [forwardPart(context, bound)],
    backward: trains ? backwardParts(context, norm) : [],
    weight: null,
    vectors: bindVectors(context, {
      kept: norm.gradients,
      // Kept gradients have kept running statistics beside them, which need no number of rows.
      apply: (source, amount, optimizer) => norm.update(source === 'rows' ? amount : 0, optimizer),
      accumulate: noBuffers,
      keep: norm.keep,
    }),
    derivativeLeft: null,
  }
}

type BoundForward = Forms<{ readonly norm: Normalisation; readonly activate: ReturnType<Kernels['biasActivate']> }>

/** Normalisation, shift, activation, dropout. */
function forwardPart({ spec, z, activation: end }: LayerContext, bound: BoundForward): PassPart {
  const { type, block, outputs } = spec
  const { written } = bound.trained.norm
  const kept = end?.activation.derivatives
  const code = fault.forward(block)
  return {
    name: `normalise ${block}`,
    over: type === 'batch-norm' ? 'columns' : 'rows',
    outputs,
    depth: 0,
    writes: { ...written, matrices: [z], kept: [...(kept ? [kept] : []), ...written.kept] },
    run(pass, rows, columns) {
      const { norm, activate } = bound.of(pass)
      const training = pass.deltaScale > 0
      norm.forward(rows, training, columns)
      return activate(rows.row, rows.rows, pass.epoch, training, columns) ? 0 : code
    },
  }
}

/**
 * Deltas through dropout and activation, gradients of scale and shift; then the deltas of what was normalised, which with
 * layer normalisation need the sums of all columns.
 */
function backwardParts({ kernels, spec, z, dz, activation: end }: LayerContext, norm: Normalisation): PassPart[] {
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
    writes: { matrices: [dz!], ofColumns: norm.sumsWritten },
    run(_pass, { rows }, columns) {
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

/** The arithmetic of one normalisation. */
export interface Normalisation extends NormUpdates {
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
}

export interface NormParts extends UpdateParts {
  readonly norm: Pick<RunPlan['norm'], 'momentum' | 'epsilon'>
  /** (B, O) Product of the layer before. */
  readonly z: Matrix
  /** null where nothing is trained. */
  readonly training: NormTraining | null
}

export function bindNorm(parts: NormParts): Normalisation {
  const { norm, kernels, z, bias, scale, running, training: view } = parts
  const { epsilon } = norm
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

  const { dz, normed, batch, inverses, gradients } = view
  const backOfBatch = running && kernels.batchNormBackward(dz, normed, gradients, batch.factors)
  const backOfRows = running ? null : kernels.layerNormBackward(dz, normed, scale.master, inverses)
  return {
    forward,
    written: {
      kept: [normed],
      ofColumns: running ? [batch.mean, batch.variance, batch.factors] : [],
      ofRows: running ? [] : [inverses],
    },
    sumsWritten: [gradients.scale, gradients.shift],
    sums: kernels.normSums(gradients, dz, normed),
    backward: ({ row, rows }, columns) => (backOfRows ? backOfRows(row, rows) : backOfBatch!(rows, columns)),
    ...bindNormUpdates(parts, view),
  }
}

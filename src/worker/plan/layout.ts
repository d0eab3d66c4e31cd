/**
 * Where everything of a run lies in the arena. Computed from the plan alone, by every thread for itself, and so the
 * same everywhere. It does not depend on `plan.rows`, which is known only after the labels have been loaded.
 *
 * Letters: `B` rows the batch buffers hold, `N` images of a file, `F` features, `W` workers, `L` layers.
 */

import type { Backend } from '../../kernels/backend.js'
import { needsGates } from '../../model/activation.js'
import { momentCount } from '../../model/optimizer.js'
import { isLearned, type Parameter, parameterTable } from '../../model/parameters.js'
import { Reservations, type Slot } from '../../tensor/arena.js'
import type { RunPlan, Split } from './run-plan.js'
import { gradientParts, keepsGradient } from './tiles.js'
import { controlWords, Stat } from './words.js'

type FloatSlot = Slot<'float32'> | Slot<'float64'>
type FeatureSlot = Slot<'uint8'> | Slot<'float32'>

export interface ParameterSlots {
  readonly parameter: Parameter
  /** In the backend's form, as are the moments, the last of which is the average where there is one, and gradients. */
  readonly master: FloatSlot
  readonly moments: readonly FloatSlot[]
  /** What products read in the weights' place, where the backend keeps such a form. */
  readonly derived: FloatSlot | null
  /** Of weight and bias: a buffer for each worker with `allReduce: "buffers"`, one where the gradient is kept; else none. */
  readonly gradients: readonly FloatSlot[]
}

export interface MatrixSlot {
  readonly rows: number
  readonly cols: number
  readonly slot: FloatSlot
}

export interface NormSlots {
  /** (B, widths[i + 1]) before scale and shift. */
  readonly normed: MatrixSlot
  /** Of the mini-batch, in the form of a bias; used with batch normalisation. */
  readonly mean: FloatSlot
  readonly variance: FloatSlot
  readonly factors: FloatSlot
  /** (B) 1 / √(variance + ε) of each row; used with layer normalisation. */
  readonly inverses: Slot<'float64'>
  /** Gradients of scale and shift, in the form of a bias. */
  readonly scale: FloatSlot
  readonly shift: FloatSlot
  /** Where the gradient is kept: those of the step so far, and running statistics after it; all in the form of a bias. */
  readonly kept: Readonly<Record<'scale' | 'shift' | 'mean' | 'variance', FloatSlot>> | null
}

export interface Layout {
  /** Size of the arena. */
  readonly bytes: number
  readonly reservations: Reservations
  /** B: enough for a mini-batch, and for evaluation in pieces of at least EVALUATION_ROWS. */
  readonly bufferRows: number
  readonly control: Slot<'int32'>
  readonly stats: Slot<'float64'>
  /** Row lists: for each row of a split, the index of its image. (N), of which the split's rows are used. */
  readonly order: Readonly<Record<Split, Slot<'int32'>>>
  readonly images: { readonly train: FeatureSlot; readonly test: FeatureSlot } // (N, F)
  /** Of the features; null: bytes are divided by 255. */
  readonly scaling: { readonly offset: Slot<'float32'>; readonly factor: Slot<'float32'> } | null // (F) each
  readonly labels: { readonly train: Slot<'int32'>; readonly test: Slot<'int32'> } // (N)
  /** What a squared error is the distance from; empty with cross-entropy. */
  readonly targets: { readonly train: Slot<'float32'>; readonly test: Slot<'float32'> } // (N, C)
  /** The mini-batch's images as they have been changed, and 0, 1, 2 …, the image of each row; null: as they are. */
  readonly augmented: { readonly images: Slot<'uint8'> /* (B, F) */; readonly rows: Slot<'int32'> /* (B) */ } | null
  readonly batch: {
    readonly samples: Slot<'int32'> //   (B) image of each row
    readonly losses: Slot<'float64'> //  (B)
    readonly correct: Slot<'int32'> //   (B) 1 or 0
  }
  /** Inputs of layer i at index i, (B, widths[i]); the logits come last. */
  readonly activations: readonly MatrixSlot[]
  /** Gates of hidden layer i, (B, widths[i + 1]); none with ReLU. */
  readonly gates: readonly MatrixSlot[]
  /** Deltas of the outputs of layer i at index i, (B, widths[i + 1]). The last layer's lie in its logits. */
  readonly deltas: readonly MatrixSlot[]
  /** What the normalisation of hidden layer i leaves for the way back; none where nothing is normalised or trained. */
  readonly norms: readonly NormSlots[]
  readonly parameters: readonly ParameterSlots[]
  /** Sums of squares of the gradient's parts, in the order of the tasks that make them; for clipNorm. */
  readonly squares: Slot<'float64'>
  readonly scratch: readonly Slot<'uint8'>[]
}

/** Rows of a piece of evaluation, at least: fewer would leave workers without a shard. */
const EVALUATION_ROWS = 256

export function planLayout(plan: RunPlan, backend: Backend): Layout {
  const at = new Reservations()
  const { widths, workers } = plan
  const training = plan.purpose === 'train'
  const bufferRows = Math.max(Math.min(plan.batchSize, plan.images.train), EVALUATION_ROWS)
  const features = widths[0]

  const control = at.reserve('control', 'int32', [controlWords(workers)])
  const stats = at.reserve('stats', 'float64', [Stat.COUNT])
  const matrix = (name: string, cols: number): MatrixSlot => ({
    rows: bufferRows,
    cols,
    slot: at.reserve(name, backend.dtype, backend.matrixShape(bufferRows, cols)),
  })

  const batch = {
    samples: at.reserve('batch.samples', 'int32', [bufferRows]),
    losses: at.reserve('batch.losses', 'float64', [bufferRows]),
    correct: at.reserve('batch.correct', 'int32', [bufferRows]),
  }
  const activations = widths.map((width, i) => matrix(`activations.${i}`, width))
  const hidden = widths.slice(1, -1)
  const gates = training && needsGates(plan.activation) ? hidden.map((width, i) => matrix(`gates.${i}`, width)) : []
  const deltas = training ? hidden.map((width, i) => matrix(`deltas.${i}`, width)) : []
  if (training) deltas.push(activations[activations.length - 1])

  const norms = (training && plan.norm.type !== 'none' ? hidden : []).map((width, i): NormSlots => {
    const units = (name: string) => at.reserve(`norms.${i}.${name}`, backend.dtype, backend.biasShape(width))
    return {
      normed: matrix(`norms.${i}.normed`, width),
      ...{ mean: units('mean'), variance: units('variance'), factors: units('factors') },
      inverses: at.reserve(`norms.${i}.inverses`, 'float64', [bufferRows]),
      ...{ scale: units('scale'), shift: units('shift') },
      kept: keepsGradient(plan)
        ? {
            ...{ scale: units('kept.scale'), shift: units('kept.shift') },
            ...{ mean: units('kept.mean'), variance: units('kept.variance') },
          }
        : null,
    }
  })

  const gradients = plan.allReduce === 'buffers' ? workers : keepsGradient(plan) ? 1 : 0
  const parameters = parameterTable(widths, plan.norm.type).map((parameter): ParameterSlots => {
    const { name, dims, kind, layer } = parameter
    const shape = kind === 'weight' ? backend.weightShape(dims[0], dims[1]) : backend.biasShape(dims[0])
    const reserve = (suffix: string, of = shape): FloatSlot => at.reserve(`${name}${suffix}`, backend.dtype, of)
    const several = (count: number, suffix: string) =>
      Array.from({ length: training && isLearned(parameter) ? count : 0 }, (_, i) => reserve(`${suffix}${i}`))
    const derivedShape =
      kind === 'weight' ? backend.derivedShape(dims[0], dims[1], { training, first: layer === 0 }) : null
    return {
      parameter,
      master: reserve(''),
      moments: [
        ...several(momentCount[plan.optimizer.type], '.moment'),
        ...(training && plan.ema !== null && isLearned(parameter) ? [reserve('.average')] : []),
      ],
      derived: derivedShape && reserve('.derived', derivedShape),
      gradients: kind === 'weight' || kind === 'bias' ? several(gradients, '.gradient') : [],
    }
  })

  const squares = at.reserve('squares', 'float64', [training ? gradientParts(plan, backend) : 0])
  const scratchBytes = backend.scratchBytes(Math.max(...widths), bufferRows, plan.augmentation)
  const scratch = Array.from({ length: workers }, (_, id) => at.reserve(`scratch.${id}`, 'uint8', [scratchBytes]))
  const order = {
    train: at.reserve('order.train', 'int32', [plan.images.train]),
    validation: at.reserve('order.validation', 'int32', [plan.images.train]),
    test: at.reserve('order.test', 'int32', [plan.images.test]),
  }
  const labels = {
    train: at.reserve('labels.train', 'int32', [plan.images.train]),
    test: at.reserve('labels.test', 'int32', [plan.images.test]),
  }
  const targetShape = (rows: number) => [plan.loss === 'mean-squared-error' ? rows : 0, widths[widths.length - 1]]
  const targets = {
    train: at.reserve('targets.train', 'float32', targetShape(plan.images.train)),
    test: at.reserve('targets.test', 'float32', targetShape(plan.images.test)),
  }
  const images = {
    train: at.reserve('images.train', plan.input.dtype, [plan.images.train, features]) as FeatureSlot,
    test: at.reserve('images.test', plan.input.dtype, [plan.images.test, features]) as FeatureSlot,
  }
  const scaling = plan.input.scaled
    ? {
        offset: at.reserve('scaling.offset', 'float32', [features]),
        factor: at.reserve('scaling.factor', 'float32', [features]),
      }
    : null
  const augmented = plan.augmentation && {
    images: at.reserve('augmented.images', 'uint8', [bufferRows, features]),
    rows: at.reserve('augmented.rows', 'int32', [bufferRows]),
  }
  // The gather of a last, short row may read a whole vector past the end.
  at.reserve('end', 'uint8', [64])

  return {
    bytes: at.bytes,
    reservations: at,
    bufferRows,
    control,
    stats,
    order,
    images,
    scaling,
    labels,
    targets,
    augmented,
    batch,
    activations,
    gates,
    deltas,
    norms,
    parameters,
    squares,
    scratch,
  }
}

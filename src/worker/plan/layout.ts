/**
 * Memory layout of a run: the location of every tensor in the arena. Computed from the plan alone, by every thread for
 * itself, and so the same everywhere. It does not depend on `plan.rows`, which is known only after the labels have been
 * loaded. Pure; any thread.
 *
 * Letters: `B` rows of the batch buffers, `N` samples of a file, `F` features, `O` outputs of a layer, `C` classes.
 */

import type { Backend } from '../../kernels/backend.js'
import { mapNormWidth } from '../../kernels/shapes.js'
import { exchangeWords } from '../../machines/words.js'
import { keepsDerivatives } from '../../model/activation.js'
import { type FeatureShape, outputOf, positionsOf } from '../../model/convolution.js'
import { embeddingParameters } from '../../model/embedding.js'
import { layerDeclarations, networkLayers, worksInPlace } from '../../model/layers/kinds.js'
import type { LayerSpec, Parameter } from '../../model/layers/layer.js'
import { momentCount } from '../../model/optimizer.js'
import { isLearned, shapeOf } from '../../model/parameters.js'
import { Reservations, type Slot } from '../../tensor/arena.js'
import { bytesPerElement, sizeOf } from '../../tensor/tensor.js'
import { gatheredBytes, type MomentPlaces, momentPlaces, sliceBytes } from './exchange-memory.js'
import { gradientCount, gradientsOfGroups } from './gradient-memory.js'
import type { RunPlan, Split } from './run-plan.js'
import { mostGroups, placesOfTree } from './sharing.js'
import { gradientParts, groupCount, keepsGradient } from './tiles.js'
import { type PackedTiles, packedTiles } from './weight-use.js'
import { rowsInMemory } from './windows.js'
import { controlWords, statWords } from './words.js'

export type FloatSlot = Slot<'float32'> | Slot<'float64'>
type FeatureSlot = Slot<'uint8'> | Slot<'float32'>

export interface ParameterSlots {
  readonly parameter: Parameter
  /** Parameter in the backend's layout, as are moments and gradients. */
  readonly master: FloatSlot
  /** The optimizer's moments, then the average where the run keeps one: of weights in a run over ranks, of this rank's tiles. */
  readonly moments: readonly FloatSlot[]
  /** Tiles of this rank, and a matrix that brings a moment of all tiles together; null: moments are as large as the parameter. */
  readonly owned: { readonly tiles: PackedTiles['tiles']; readonly whole: FloatSlot } | null
  /** Layout of the weights that products read, if the backend keeps one beside the master. */
  readonly derived: FloatSlot | null
  /**
   * Gradients of weights, biases and embeddings: a buffer for each worker with `allReduce: "buffers"`, one where a step keeps its
   * gradient, and for embeddings in any case; else none.
   */
  readonly gradients: readonly FloatSlot[]
  /** Gradients of a convolution's weights and bias over each group of samples; else none. */
  readonly groups: readonly FloatSlot[]
}

export interface MatrixSlot {
  readonly rows: number
  readonly cols: number
  readonly slot: FloatSlot
}

/** A tensor of a layer's workspace, as its declaration lists it. */
export type WorkspaceSlot = MatrixSlot | FloatSlot

/** The slots of one layer of the network. */
export interface LayerSlots {
  readonly layer: LayerSpec
  readonly parameters: readonly ParameterSlots[]
  /** Workspace tensors by the names of the declaration; empty if nothing is trained. */
  readonly workspace: Readonly<Record<string, WorkspaceSlot>>
  /** Outputs and their deltas of a layer whose outputs another layer of its block takes; null: they are the block's. */
  readonly inner: { readonly outputs: MatrixSlot; readonly deltas: MatrixSlot | null } | null
}

export interface Layout {
  /** Size of the arena. */
  readonly bytes: number
  readonly reservations: Reservations
  /** B: enough for a mini-batch, and for evaluation in pieces of at least EVALUATION_ROWS. */
  readonly bufferRows: number
  readonly control: Slot<'int32'>
  readonly stats: Slot<'float64'>
  readonly batch: {
    readonly samples: Slot<'int32'> //   (B) sample index of each row
    readonly places: Slot<'int32'> | null // (B) row of its features in memory; null: its sample index
    readonly losses: Slot<'float64'> //  (B)
    readonly correct: Slot<'int32'> //   (B) 1 or 0; number of right labels
  }
  /**
   * Inputs of block i at index i, (B, widths[i]), between two convolutions (B · positions, channels); the logits come last.
   */
  readonly activations: readonly MatrixSlot[]
  /** Derivatives of the activation of hidden block i, of the form of what it is applied to; none with ReLU. */
  readonly derivatives: readonly MatrixSlot[]
  /** Deltas of the outputs of block i at index i, of their form. Those of the output block lie in its logits. */
  readonly deltas: readonly MatrixSlot[]
  /** Embeddings before the first layer; null: there are none. */
  readonly embedded: {
    readonly parameters: readonly ParameterSlots[] // (E)
    /** Row of each sample of the batch. */
    readonly indices: Slot<'int32'> // (E, B)
    /** Deltas of the first layer's inputs, of which those of embedded features are computed; null: nothing is trained. */
    readonly deltas: MatrixSlot | null // (B, I)
    /** First of the columns that are computed, where a backend's columns may begin; all embedded ones follow. */
    readonly deltasFrom: number
  } | null
  /** Layers in the order of the forward pass. */
  readonly layers: readonly LayerSlots[]
  /** All parameters, in the order of the parameter table. */
  readonly parameters: readonly ParameterSlots[]
  /** Sums of squares of the gradient's parts, in the order of the tasks that make them; for clipNorm. */
  readonly squares: Slot<'float64'>
  /** Scratch memory of each worker. */
  readonly scratch: readonly Slot<'uint8'>[]
  /** Places of each worker for gradients of groups of a tile: (places, bytes); none where rows are not grouped. */
  readonly partials: readonly Slot<'uint8'>[]
  /** Words and buffer of exchanges with other ranks (program/ranks.ts); null: there are none. */
  readonly exchange: {
    readonly words: Slot<'int32'>
    /** What all ranks get; then, from byte `slicesAt` on, what is for one of them (program/slices.ts). */
    readonly buffer: Slot<'uint8'>
    readonly slicesAt: number
    readonly moments: MomentPlaces
  } | null
  /** Sample index of each row of a split. (N), of which the split's rows are used. */
  readonly sampleIndices: Readonly<Record<Split, Slot<'int32'>>>
  readonly labels: { readonly train: Slot<'int32'>; readonly test: Slot<'int32'> } // (N)
  /** Weights of the training samples; null: all count the same. */
  readonly weights: Slot<'float32'> | null // (N)
  /** Targets of a squared error, or labels of 0 and 1; empty with the cross-entropy of classes. */
  readonly targets: { readonly train: Slot<'float32'>; readonly test: Slot<'float32'> } // (N, C)
  /** Features of the samples; of training samples in windows, those that are loaded. */
  readonly features: { readonly train: FeatureSlot; readonly test: FeatureSlot } // (N, F)
  /** Shift and scale of the features; null: bytes are divided by 255. */
  readonly scaling: { readonly offset: Slot<'float32'>; readonly factor: Slot<'float32'> } | null // (F) each
  /** Augmented images of the mini-batch, and 0, 1, 2 …, the index there of each row; null: images are not augmented. */
  readonly augmented: {
    readonly images: Slot<'uint8'> // (B, F)
    readonly rows: Slot<'int32'> // (B)
    /** Images that those are mixed with; null: none. */
    readonly mixed: Slot<'uint8'> | null // (B, F)
  } | null
}

/** Least rows of a piece of evaluation: fewer would leave workers without a shard. */
const EVALUATION_ROWS = 256
/** The same where feature maps need much memory, and a few samples are work enough for a task. */
const CONVOLVED_ROWS = 64

/** Facts that the reservations of a section depend on. */
interface Context {
  readonly at: Reservations
  readonly plan: RunPlan
  readonly backend: Backend
  readonly bufferRows: number
  readonly trains: boolean
  readonly features: number
  readonly hidden: readonly number[]
  readonly layers: readonly LayerSpec[]
  /** By layer of weights, the tiles of this rank; null: all. */
  readonly packed: readonly PackedTiles[] | null
  /** Reserves a matrix (B, cols) of the batch. */
  matrix(name: string, cols: number): MatrixSlot
  /** Reserves feature maps (B · positions, channels). */
  maps(name: string, shape: FeatureShape): MatrixSlot
}

/** The sections of the arena: the order of the keys is their order in memory. */
const sections = {
  control: ({ at, plan }: Context) => at.reserve('control', 'int32', [controlWords(plan.workers)]),
  stats: ({ at, plan: { loss, widths } }: Context) =>
    at.reserve('stats', 'float64', [statWords(loss === 'mean-squared-error' ? widths[widths.length - 1] : 0)]),
  batch: ({ at, plan, bufferRows }: Context) => ({
    samples: at.reserve('batch.samples', 'int32', [bufferRows]),
    places: plan.windows && at.reserve('batch.places', 'int32', [bufferRows]),
    losses: at.reserve('batch.losses', 'float64', [bufferRows]),
    correct: at.reserve('batch.correct', 'int32', [bufferRows]),
  }),
  activations: (context: Context) => context.plan.widths.map((_, i) => boundary(context, `activations.${i}`, i)),
  derivatives: ({ plan, trains, hidden, matrix, maps }: Context) =>
    trains && keepsDerivatives(plan.activation)
      ? hidden.map((width, i) => {
          const convolution = plan.convolutions[i]
          return convolution ? maps(`derivatives.${i}`, convolution.window.output) : matrix(`derivatives.${i}`, width)
        })
      : [],
  hiddenDeltas: (context: Context) =>
    context.trains ? context.hidden.map((_, i) => boundary(context, `deltas.${i}`, i + 1)) : [],
  inners: (context: Context) => context.layers.map((layer, l) => reserveInner(context, layer, l)),
  workspaces: (context: Context) => context.layers.map(layer => reserveWorkspace(context, layer)),
  embedded: (context: Context) => reserveEmbeddings(context),
  parameters: (context: Context) =>
    context.layers.map(layer =>
      layerDeclarations[layer.type].parameters(layer).map(parameter => reserveParameter(context, parameter, layer)),
    ),
  squares: ({ at, plan, backend, trains }: Context) =>
    at.reserve('squares', 'float64', [trains ? gradientParts(plan, backend) : 0]),
  scratch({ at, plan, backend, bufferRows }: Context) {
    const widest = Math.max(...plan.widths.filter((_, i) => i === 0 || i >= plan.convolutions.length))
    const bytes = Math.max(
      backend.scratchBytes(widest, bufferRows, plan.augmentation),
      ...plan.convolutions.map(({ window }) => backend.convolutionScratchBytes(window)),
    )
    return Array.from({ length: plan.workers }, (_, id) => at.reserve(`scratch.${id}`, 'uint8', [bytes]))
  },
  partials({ at, plan, backend, trains }: Context) {
    const { bestTile, dtype } = backend
    const place = bestTile.inputs * bestTile.outputs * bytesPerElement[dtype]
    const places = trains && plan.gradientRows !== null ? placesOfTree(mostGroups(plan)) : 0
    return Array.from({ length: plan.workers }, (_, id) => at.reserve(`partials.${id}`, 'uint8', [places, place]))
  },
  exchange({ at, plan, backend, trains }: Context) {
    if (!trains || !plan.ranks) return null
    const moments = momentPlaces(plan, at.slots)
    const slicesAt = gatheredBytes(plan, at.slots, moments)
    return {
      moments,
      words: at.reserve('exchange.words', 'int32', [exchangeWords(plan.ranks.size)]),
      buffer: at.reserve('exchange.buffer', 'uint8', [slicesAt + sliceBytes(plan, backend)]),
      slicesAt,
    }
  },
  sampleIndices: ({ at, plan }: Context) => ({
    train: at.reserve('sampleIndices.train', 'int32', [plan.images.train]),
    validation: at.reserve('sampleIndices.validation', 'int32', [plan.images.train]),
    test: at.reserve('sampleIndices.test', 'int32', [plan.images.test]),
  }),
  labels: ({ at, plan }: Context) => ({
    train: at.reserve('labels.train', 'int32', [plan.images.train]),
    test: at.reserve('labels.test', 'int32', [plan.images.test]),
  }),
  weights: ({ at, plan }: Context) => (plan.weighted ? at.reserve('weights', 'float32', [plan.images.train]) : null),
  targets({ at, plan }: Context) {
    const shape = (rows: number) => [plan.loss === 'cross-entropy' ? 0 : rows, plan.widths.at(-1)!]
    return {
      train: at.reserve('targets.train', 'float32', shape(plan.images.train)),
      test: at.reserve('targets.test', 'float32', shape(plan.images.test)),
    }
  },
  features: ({ at, plan, features }: Context) => ({
    train: at.reserve('features.train', plan.input.dtype, [
      plan.windows ? rowsInMemory(plan.windows) : plan.images.train,
      features,
    ]) as FeatureSlot,
    test: at.reserve('features.test', plan.input.dtype, [plan.images.test, features]) as FeatureSlot,
  }),
  scaling: ({ at, plan, features }: Context) =>
    plan.input.scaled
      ? {
          offset: at.reserve('scaling.offset', 'float32', [features]),
          factor: at.reserve('scaling.factor', 'float32', [features]),
        }
      : null,
  augmented: ({ at, plan, bufferRows, features }: Context) =>
    plan.augmentation && {
      images: at.reserve('augmented.images', 'uint8', [bufferRows, features]),
      rows: at.reserve('augmented.rows', 'int32', [bufferRows]),
      mixed: plan.augmentation.mixup > 0 ? at.reserve('augmented.mixed', 'uint8', [bufferRows, features]) : null,
    },
  // The gather of a last, short row may read a whole vector past the end.
  end: ({ at }: Context) => at.reserve('end', 'uint8', [64]),
}

type Sections = { [K in keyof typeof sections]: ReturnType<(typeof sections)[K]> }

export function planLayout(plan: RunPlan, backend: Backend): Layout {
  const at = new Reservations()
  const trains = plan.purpose === 'train'
  const evaluationRows = trains && plan.convolutions.length > 0 ? CONVOLVED_ROWS : EVALUATION_ROWS
  const bufferRows = Math.max(Math.min(plan.batchSize, plan.images.train), evaluationRows)
  const layers = networkLayers(shapeOf(plan))
  const context: Context = {
    at,
    plan,
    backend,
    bufferRows,
    trains,
    features: plan.features,
    hidden: plan.widths.slice(1, -1),
    layers,
    packed: trains ? packedTiles(plan, backend) : null,
    matrix: (name, cols) => ({
      rows: bufferRows,
      cols,
      slot: at.reserve(name, backend.dtype, backend.matrixShape(bufferRows, cols)),
    }),
    maps(name, shape) {
      const [rows, cols] = [bufferRows * positionsOf(shape), shape.channels]
      return { rows, cols, slot: at.reserve(name, backend.dtype, backend.mapsShape(rows, cols)) }
    },
  }
  const {
    hiddenDeltas,
    inners,
    workspaces,
    parameters: reserved,
    end,
    ...slots
  } = Object.fromEntries(Object.entries(sections).map(([name, reserve]) => [name, reserve(context)])) as Sections
  const parameters = reserved.map(list => list.map(of => withOwned(context, of, slots.exchange)))
  return {
    ...slots,
    bytes: at.bytes,
    reservations: at,
    bufferRows,
    deltas: context.trains ? [...hiddenDeltas, slots.activations.at(-1)!] : [],
    layers: layers.map((layer, l) => ({
      layer,
      parameters: parameters[l],
      workspace: workspaces[l],
      inner: inners[l],
    })),
    parameters: [...(slots.embedded?.parameters ?? []), ...parameters.flat()],
  }
}

/** A weight whose moments are those of this rank's tiles, with their places. */
function withOwned({ packed }: Context, slots: ParameterSlots, exchange: Layout['exchange']): ParameterSlots {
  const { kind, layer } = slots.parameter
  if (!packed || !exchange || kind !== 'weight') return slots
  const byteOffset = exchange.buffer.byteOffset + exchange.moments.whole[layer]
  return { ...slots, owned: { tiles: packed[layer].tiles, whole: { ...slots.master, byteOffset } } }
}

/** Inputs of block i, or their deltas: what the first convolution takes are features, what follows one are maps. */
function boundary({ plan, backend, at, bufferRows, matrix, maps }: Context, name: string, i: number): MatrixSlot {
  const { convolutions, widths } = plan
  if (i > 0 && i < convolutions.length) return maps(name, outputOf(convolutions[i - 1]))
  if (i > 0 || convolutions.length === 0) return matrix(name, widths[i])
  const cols = widths[0]
  return { rows: bufferRows, cols, slot: at.reserve(name, backend.dtype, backend.mapsShape(bufferRows, cols)) }
}

function reserveInner({ layers, trains, maps }: Context, layer: LayerSpec, l: number): LayerSlots['inner'] {
  const followed = layers.slice(l + 1).some(later => later.block === layer.block && !worksInPlace(later))
  if (!followed || worksInPlace(layer) || !layer.maps) return null
  const name = `${layer.block}.${layer.type}`
  return {
    outputs: maps(`activations.${name}`, layer.maps),
    deltas: trains ? maps(`deltas.${name}`, layer.maps) : null,
  }
}

function reserveWorkspace({ at, plan, backend, bufferRows, trains, matrix, maps }: Context, layer: LayerSpec) {
  const { workspace } = layerDeclarations[layer.type]
  const needed = Object.entries(workspace).filter(([, { keptGradient }]) => !keptGradient || keepsGradient(plan))
  const reserved = trains ? needed.filter(([, { form }]) => form !== 'groups' || layer.maps) : []
  const slots = reserved.map(([key, { form }]): [string, WorkspaceSlot] => {
    const name = `workspace.${layer.block}.${key}`
    if (form === 'groups') return [key, at.reserve(name, 'float64', [groupCount(plan), 2, mapNormWidth(layer.outputs)])]
    if (form === 'matrix') return [key, layer.maps ? maps(name, layer.maps) : matrix(name, layer.outputs)]
    if (form === 'rows') return [key, at.reserve(name, 'float64', [bufferRows])]
    return [key, at.reserve(name, backend.dtype, backend.biasShape(layer.outputs))]
  })
  return Object.fromEntries(slots)
}

function reserveEmbeddings(context: Context): Layout['embedded'] {
  const { at, plan, backend, trains, bufferRows, matrix } = context
  if (plan.embeddings.length === 0) return null
  const first = plan.features - plan.embeddings.length
  return {
    deltasFrom: first - (first % backend.tileUnit.outputs),
    indices: at.reserve('batch.embedded', 'int32', [plan.embeddings.length, bufferRows]),
    deltas: trains ? matrix('deltas.inputs', plan.widths[0]) : null,
    parameters: embeddingParameters(plan.embeddings).map(parameter => reserveParameter(context, parameter, null)),
  }
}

function reserveParameter(
  context: Context,
  parameter: Parameter,
  /** null: an embedding. */
  layer: LayerSpec | null,
): ParameterSlots {
  const { at, plan, backend, trains, packed } = context
  const { name, dims, kind } = parameter
  const isWeight = kind === 'weight'
  const shape = isWeight ? backend.weightShape(dims[0], dims[1]) : backend.biasShape(sizeOf(dims))
  const reserve = (suffix: string, of = shape): FloatSlot => at.reserve(`${name}${suffix}`, backend.dtype, of)
  const several = (count: number, suffix: string, of = shape) =>
    Array.from({ length: trains && isLearned(parameter) ? count : 0 }, (_, i) => reserve(`${suffix}${i}`, of))
  const momentShape = isWeight && packed ? [packed[parameter.layer].elements] : shape
  const derivedShape = isWeight && layer ? derivedShapeOf(context, layer, dims) : null
  return {
    parameter,
    master: reserve(''),
    moments: [
      ...several(momentCount[plan.optimizer.type], '.moment', momentShape),
      ...(trains && plan.ema !== null && isLearned(parameter) ? [reserve('.average', momentShape)] : []),
    ],
    owned: null,
    derived: derivedShape && reserve('.derived', derivedShape),
    gradients: several(gradientCount(plan, kind), '.gradient'),
    groups: several(gradientsOfGroups(plan, kind, layer), '.gradientOfGroup'),
  }
}

function derivedShapeOf(context: Context, layer: LayerSpec, [inputs, outputs]: readonly number[]) {
  const { plan, backend, trains: training } = context
  // Inputs of a first layer need no deltas, unless some are embedded.
  const use = { training, first: layer.block === 0 && plan.embeddings.length === 0 }
  return layer.window ? backend.convolutionDerivedShape(layer.window, use) : backend.derivedShape(inputs, outputs, use)
}

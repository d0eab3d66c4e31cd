/**
 * Memory layout of a run: the location of every tensor in the arena. Computed from the plan alone, by every thread for
 * itself, and so the same everywhere. It does not depend on `plan.rows`, which is known only after the labels have been
 * loaded. Pure; any thread.
 *
 * Letters: `B` rows of the batch buffers, `N` samples of a file, `F` features, `O` outputs of a layer, `C` classes.
 */

import { HUGE_PAGE_BYTES } from '../../ffi/memory.js'
import type { Backend } from '../../kernels/backend.js'
import { mapNormWidth } from '../../kernels/shapes.js'
import { exchangeWords, headWords } from '../../machines/words.js'
import { keepsDerivatives } from '../../model/activation.js'
import { type FeatureShape, outputOf, positionsOf } from '../../model/convolution.js'
import { embeddingParameters } from '../../model/embedding.js'
import { layerDeclarations, networkLayers, worksInPlace } from '../../model/layers/kinds.js'
import type { LayerSpec, Parameter } from '../../model/layers/layer.js'
import { momentCount } from '../../model/optimizer.js'
import { isLearned, shapeOf } from '../../model/parameters.js'
import { Reservations } from '../../tensor/arena.js'
import { bytesPerElement, sizeOf } from '../../tensor/tensor.js'
import { gatheredBytes, momentPlaces, sliceBytes } from './exchange-memory.js'
import { gradientCount, gradientsOfGroups } from './gradient-memory.js'
import type { RunPlan } from './run-plan.js'
import { mostGroups, placesOfTree } from './sharing.js'
import type { FeatureSlot, FloatSlot, LayerSlots, Layout, MatrixSlot, ParameterSlots, WorkspaceSlot } from './slots.js'
import { gradientParts, groupCount, keepsGradient } from './tiles.js'
import { type PackedTiles, packedTiles } from './weight-use.js'
import { rowsInMemory } from './windows.js'
import { controlWords, statWords } from './words.js'

export type { FloatSlot, LayerSlots, Layout, MatrixSlot, ParameterSlots, WorkspaceSlot } from './slots.js'

/** Rows of a piece of scores: fewer would leave workers without a shard. */
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
  meeting: ({ at, plan }: Context) =>
    plan.host && {
      words: at.reserve('exchange.words', 'int32', [exchangeWords(plan.host.size)]),
      heads: inSecond(at, () => at.reserve('exchange.heads', 'int32', [headWords(plan.host!.size)])),
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

/**
 * Sections that each of the ranks that share memory has for itself: control words of its own workers, their scratch memory, and the data, which
 * each reads.
 */
const OWN: ReadonlySet<string> = new Set<keyof typeof sections>([
  ...(['control', 'scratch', 'partials', 'meeting', 'sampleIndices', 'labels', 'weights', 'targets'] as const),
  ...(['features', 'scaling', 'end'] as const),
])

function inSecond<T>(at: Reservations, reserve: () => T): T {
  at.use('second')
  const reserved = reserve()
  at.use('first')
  return reserved
}

type Sections = { [K in keyof typeof sections]: ReturnType<(typeof sections)[K]> }

export function planLayout(plan: RunPlan, backend: Backend): Layout {
  const layout = layOut(plan, backend, new Reservations())
  if (!plan.host) return layout
  // The places of the second region follow from the size of the first, and where the arena begins; until that is known, it has room for any.
  const { pagesOfFirst } = layout.reservations
  const { hugeOffset } = plan.host
  const intoPage = hugeOffset === null ? 0 : (pagesOfFirst + hugeOffset) % HUGE_PAGE_BYTES
  return layOut(plan, backend, new Reservations(pagesOfFirst + HUGE_PAGE_BYTES - intoPage))
}

function layOut(plan: RunPlan, backend: Backend, at: Reservations): Layout {
  const trains = plan.purpose === 'train'
  const scoreRows = plan.convolutions.length > 0 ? CONVOLVED_ROWS : EVALUATION_ROWS
  // A model that only predicts takes as many rows at a time as without convolutions.
  const bufferRows = Math.max(Math.min(plan.batchSize, plan.images.train), trains ? scoreRows : EVALUATION_ROWS)
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
  } = Object.fromEntries(
    Object.entries(sections).map(([name, reserve]) => [
      name,
      plan.host && !OWN.has(name) ? inSecond(at, () => reserve(context)) : reserve(context),
    ]),
  ) as Sections
  const parameters = reserved.map(list => list.map(of => withOwned(context, of, slots.exchange)))
  return {
    ...slots,
    bytes: at.bytes,
    reservations: at,
    hostMemory: at.second,
    bufferRows,
    scoreRows,
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
  const derivedShape = isWeight && layer && !scoresAverages(plan) ? derivedShapeOf(context, layer, dims) : null
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

/**
 * True where averages of weights lie in the place of the weights to be scored. A training scores them from f32, since they have no
 * bf16 form there; whoever scores them later does so as well, for the same digits.
 */
const scoresAverages = ({ purpose, ema, precision }: RunPlan): boolean =>
  purpose !== 'train' && ema !== null && precision === 'bf16'

function derivedShapeOf(context: Context, layer: LayerSpec, [inputs, outputs]: readonly number[]) {
  const { plan, backend, trains: training } = context
  // Inputs of a first layer need no deltas, unless some are embedded.
  const use = { training, first: layer.block === 0 && plan.embeddings.length === 0 }
  return layer.window ? backend.convolutionDerivedShape(layer.window, use) : backend.derivedShape(inputs, outputs, use)
}

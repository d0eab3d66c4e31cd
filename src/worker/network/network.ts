/**
 * The network as programs see it: layers, the parts of their passes, the updates of their parameters. Interfaces, and the
 * pass over some rows; bound by bind.ts, runs in workers and in the predictor.
 *
 * Letters: `B` rows of the batch buffers, `O` outputs of a layer.
 */
import type {
  ActivationSpec,
  BiasTensors,
  Columns,
  DropoutSpec,
  Kernels,
  Range,
  Rows,
  Tile,
  TileGradients,
  WeightTensors,
} from '../../kernels/backend.js'
import type { LayerSpec, LayerType, Parameter, VectorKind } from '../../model/layers/layer.js'
import type { FloatTensor, IntTensor, Matrix } from '../../tensor/tensor.js'
import type { StepContext } from '../plan/clock.js'
import type { LayerSlots } from '../plan/layout.js'
import type { RunPlan } from '../plan/run-plan.js'

/** A pass over the batch buffers: the same for all of its rows. */
export interface Pass {
  readonly images: 'train' | 'test'
  /** Decides, with the sample, which units are dropped. */
  readonly epoch: number
  /** Rows of the mini-batch; of no use where deltaScale is 0. */
  readonly rows: number
  /** Factor of the loss's deltas, 1 / rows of the step; 0: score only, without dropout and deltas. */
  readonly deltaScale: number
}

/**
 * A part of a layer's pass. It writes only the rows and columns that it is given, and reads of earlier parts' outputs
 * only what `over` says, so that tasks of one part may run in any order, and a barrier stands between two parts.
 */
export interface PassPart {
  /** Name of the stage, for people. */
  readonly name: string
  /**
   * Division of the outputs into tasks. `blocks`: of rows and columns; reads whole rows. `columns`: all rows, some
   * columns; reads the same columns. `rows`: whole rows; reads the same rows.
   */
  readonly over: 'blocks' | 'columns' | 'rows'
  /** Rows of each task, of a part over rows that decides them itself; absent: as the backend likes. */
  readonly height?: number
  /** True if it also reads numbers that tasks of earlier parts wrote at other rows. */
  readonly waits?: boolean
  /** Columns of what it writes. */
  readonly outputs: number
  /** Terms of each sum of products; 0: it multiplies no matrices. */
  readonly depth: number
  /** Multiplications for a row, where they are not outputs · depth. */
  readonly work?: number
  /** Returns 0 or the code of a fault (see plan/faults.ts). */
  run(pass: Pass, rows: Rows, columns?: Columns): number
  /** Tensors that it writes in training, for a run over several ranks; absent: such a run is refused. */
  readonly writes?: Written
}

/** Tensors that a part of a pass writes: at the rows and columns that it is given. */
export interface Written {
  /** (B, ·) Read by other parts and by updates, at any rows and columns. */
  readonly matrices: readonly Matrix[]
  /** (B, ·) Read only at the same rows and columns, by the backward pass. */
  readonly kept?: readonly Matrix[]
  /** Vectors that each piece of a part over rows writes, by piece, or the first pieces alone: read by every rank. */
  readonly ofPieces?: readonly (readonly FloatTensor[])[]
  /** A number for each column, or for each row. */
  readonly ofColumns?: readonly FloatTensor[]
  readonly ofRows?: readonly (FloatTensor | IntTensor)[]
}

/**
 * Source of the gradient of an update, which also decides the meaning of its `amount`. `rows`: computed from the batch rows
 * [0, amount); `buffers`: the sum over the first `amount` workers' buffers; `kept`: what the step kept, times `amount`.
 */
export type GradientSource = 'rows' | 'buffers' | 'kept'

/** Facts of a step that its updates need. */
export type UpdateStep = Pick<StepContext, 'optimizer' | 'averageShare'>

/** The weight matrix of a layer. */
export interface LayerWeight {
  readonly inputs: number
  readonly outputs: number
  /** Updates the weights of a tile, then their average where the run keeps one and no limit of the weights follows. */
  update(tile: Tile, source: GradientSource, amount: number, step: UpdateStep): void
  /** Limits the norm of the incoming weights of some outputs, then moves their average. */
  limit(columns: Columns, limit: number, step: UpdateStep): void
  /** Adds the gradient of some rows to the worker's buffer; overwrites it if `first`. */
  accumulate(worker: number, rows: Rows, first: boolean): void
  /** Adds the gradient over batch rows [0, rows) to the kept one; overwrites it if `first`. */
  keep(tile: Tile, rows: number, first: boolean): void
  /** Sum of squares of a tile of the kept gradient. */
  keptSquares(tile: Tile): number
  /** Gradients of tiles by themselves; their update is followed by that of the average, as above. */
  readonly tiles: Omit<TileGradients, 'apply' | 'store'> & {
    apply(at: number, tile: Tile, step: UpdateStep): void
    /** Adds the gradient to the kept one; overwrites it if `first`. */
    keep(at: number, tile: Tile, first: boolean): void
  }
  /** Gradients over each group of samples, where the backward pass leaves them; else none. In the layout of the weights. */
  readonly groups: readonly FloatTensor[]
  /** Writes the form of a tile that products read, after weights were stored from outside. */
  derive(tile: Tile): void
  /**
   * Copies row i of the weights, or of a moment of them, from or to row-major values (O). Over ranks, of the matrix that a moment is
   * brought together in.
   */
  storeRow(moment: number | null, i: number, values: Float32Array): void
  loadRow(moment: number | null, i: number, values: Float32Array): void
}

/** The vectors of a layer: all that it has for each output. */
export interface LayerVectors {
  /** Vectors with their moments, in the backend's layout. */
  readonly tensors: ReadonlyMap<VectorKind, BiasTensors>
  /** Updates all learned vectors and their averages, and running statistics. */
  update(source: GradientSource, amount: number, step: UpdateStep): void
  /** Adds the gradients of some rows to the worker's buffers; overwrites them if `first`. */
  accumulate(worker: number, rows: Rows, first: boolean): void
  keep(rows: number, first: boolean): void
  /** The kept gradients (O). */
  readonly kept: readonly FloatTensor[]
  /** Gradients over each group of rows or samples, of which the sum is made; none: it is made of the rows. (O) each */
  readonly groups: readonly FloatTensor[]
  /** Computes the gradient of a group, where no part of the backward pass does. */
  computeGroup?(group: number, rows: Rows): void
}

/** The table of one embedded feature. */
export interface Embedding {
  readonly tensors: BiasTensors
  /** Ranges of whole rows, the same for any number of workers: tasks of an update. */
  readonly ranges: readonly Range[]
  /** Updates a range and its average where the run keeps one. */
  update(range: Range, source: GradientSource, amount: number, step: UpdateStep): void
  /** Adds the gradient of some rows of the batch to the worker's buffer; overwrites it if `first`. */
  accumulate(worker: number, rows: Rows, first: boolean): void
  /** Adds the gradient over batch rows [0, rows) to the kept one; overwrites it if `first`. */
  keep(range: Range, rows: number, first: boolean): void
  /** Sum of squares of a range of the kept gradient. */
  keptSquares(range: Range): number
}

/** Activation and dropout at the end of a block. */
export interface BlockActivation {
  readonly activation: ActivationSpec
  readonly dropout: DropoutSpec
}

export interface Layer {
  readonly spec: LayerSpec
  /** What it reads and writes, as its context has it. */
  readonly matrices: Pick<LayerContext, 'x' | 'z' | 'dx' | 'dz'>
  /** Parts of the forward pass in their order. */
  readonly forward: readonly PassPart[]
  /** Parts of the backward pass in their order; none where nothing is trained. */
  readonly backward: readonly PassPart[]
  /** null: it has none. */
  readonly weight: LayerWeight | null
  readonly vectors: LayerVectors
  /**
   * The activation whose derivative is left to the layer that computes the deltas of this one's outputs, since backends
   * apply it to them at once. null: there is none, or this layer's own backward pass begins with it.
   */
  readonly derivativeLeft: (BlockActivation & { readonly outputs: Matrix }) | null
}

/** Everything that a kind of layer binds its kernels to. */
export interface LayerContext {
  readonly plan: RunPlan
  readonly memory: WebAssembly.Memory
  readonly kernels: Kernels
  readonly spec: LayerSpec
  readonly slots: LayerSlots
  readonly trains: boolean
  /** (B, inputs) and (B, outputs), or maps; a normalisation works in place, so that both are the same. */
  readonly x: Matrix
  readonly z: Matrix
  /** Deltas of inputs and outputs; null where there are none. */
  readonly dx: Matrix | null
  readonly dz: Matrix | null
  readonly tensors: LayerTensors
  /** Index of the average among the moments; null: the run keeps none. */
  readonly average: number | null
  /** The layer before this one, already bound; null: the inputs. */
  readonly before: { readonly layer: Layer; readonly tensors: LayerTensors } | null
  /** The layer that follows in the same block; null: this one ends it. */
  readonly next: LayerType | null
  /** Activation of a hidden block, where this layer is the one that ends with it. */
  readonly activation: BlockActivation | null
  /** Dropout of a hidden block, for a layer that is nothing else. */
  readonly dropout: DropoutSpec
  /** Inputs of the network that are embedded: samples of the batch, and the first column whose deltas are computed. */
  readonly embedded: { readonly samples: IntTensor; readonly deltasFrom: number } | null
}

/** The parameters of a layer. */
export interface LayerTensors {
  readonly weight: WeightTensors | null
  readonly vectors: ReadonlyMap<VectorKind, BiasTensors>
}

/** The executable half of a kind of layer; src/model/layers has the declarations. */
export type BindLayer = (context: LayerContext) => Omit<Layer, 'matrices'>

export interface Network {
  /** Tables of embedded features, before the first layer. */
  readonly embeddings: readonly Embedding[]
  /** Layers in the order of the forward pass. The last one leaves the logits, without their bias, to the loss. */
  readonly layers: readonly Layer[]
  /** Buffers of a mini-batch. (B) each */
  readonly batch: {
    /** Sample index of each row: written before a pass. */
    readonly samples: IntTensor
    /** Row in memory of its features, where training samples are loaded in windows; null: its sample index. */
    readonly places: IntTensor | null
    readonly losses: FloatTensor
    readonly correct: IntTensor
  }
  /** Outputs of the last layer, (B, K): of a pass that only scores they are as the loss saw them. */
  readonly outputs: Matrix
  /** Targets of a squared error, or labels; empty with the cross-entropy of classes. */
  readonly targets: Readonly<Record<'train' | 'test', FloatTensor>> // (N, K)
  /** Writes the inputs of the samples: gathered, augmented, dropped as training asks for. */
  gather(pass: Pass, rows: Rows): void
  /** Losses and hits from the logits and, with a deltaScale, the deltas of the logits. Returns 0 or the code of a fault. */
  loss(pass: Pass, rows: Rows): number
}

/** Weight matrices by block. */
export const weightsOf = ({ layers }: Pick<Network, 'layers'>): LayerWeight[] =>
  layers.flatMap(({ weight }) => weight ?? [])

/** Layers grouped by block. */
export function blocksOf({ layers }: Pick<Network, 'layers'>): Layer[][] {
  const blocks: Layer[][] = []
  for (const layer of layers) {
    blocks[layer.spec.block] ??= []
    blocks[layer.spec.block].push(layer)
  }
  return blocks
}

/** The tensors of a vector, or of an embedding, which is flat. */
export function vectorOf(
  { layers, embeddings }: Pick<Network, 'layers' | 'embeddings'>,
  { layer: block, kind }: Parameter,
): BiasTensors {
  if (kind === 'embedding') return embeddings[block].tensors
  const tensors = layers
    .filter(({ spec }) => spec.block === block)
    .map(({ vectors }) => vectors.tensors.get(kind as VectorKind))
    .find(found => found !== undefined)
  if (!tensors) throw new TypeError(`layers.${block} has no vector '${kind}'`)
  return tensors
}

/** A pass over some rows through all layers, for a program whose tasks are shards of rows. */
export type RowsPass = (pass: Pass, rows: Rows) => number

/**
 * Returns a whole pass over some rows: forward, loss and, with a deltaScale, backward. No part of it may need other rows,
 * as statistics of a mini-batch do in training. It ends at the first fault and returns its code.
 */
export function rowsPass(network: Network): RowsPass {
  const forward = network.layers.flatMap(layer => layer.forward)
  const backward = network.layers.toReversed().flatMap(layer => layer.backward)
  return (pass, rows) => {
    network.gather(pass, rows)
    for (const part of forward) {
      const code = part.run(pass, rows)
      if (code !== 0) return code
    }
    const code = network.loss(pass, rows)
    if (code !== 0 || pass.deltaScale === 0) return code
    for (const part of backward) {
      const code = part.run(pass, rows)
      if (code !== 0) return code
    }
    return 0
  }
}

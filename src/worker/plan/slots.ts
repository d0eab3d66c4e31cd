/** Tensors of a run with their places in the arena, as layout.ts assigns them. Types only; any thread. */
import type { Place } from '../../machines/protocol.js'
import type { LayerSpec, Parameter } from '../../model/layers/layer.js'
import type { Reservations, Slot } from '../../tensor/arena.js'
import type { MomentPlaces } from './exchange-memory.js'
import type { Split } from './run-plan.js'
import type { PackedTiles } from './weight-use.js'

export type FloatSlot = Slot<'float32'> | Slot<'float64'>
export type FeatureSlot = Slot<'uint8'> | Slot<'float32'>

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
  /** B: enough for a mini-batch, and for a piece of scores. */
  readonly bufferRows: number
  /** Rows of a piece of scores, in training as in evaluation: the bits of a library's products may depend on it. At most B. */
  readonly scoreRows: number
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
    /** Parts that all ranks get; then, from byte `slicesAt` on, those that are for one of them (program/slices.ts). */
    readonly buffer: Slot<'uint8'>
    readonly slicesAt: number
    readonly moments: MomentPlaces
  } | null
  /** Words in which ranks that share memory meet (threads/meeting.ts); null: there are none. */
  readonly meeting: { readonly words: Slot<'int32'>; readonly heads: Slot<'int32'> } | null
  /** Memory that they share: all but control words, scratch memory and data; null: there is none. */
  readonly hostMemory: Place | null
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

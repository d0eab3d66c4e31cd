/**
 * The declaration of a kind of layer: what it learns, and which memory it needs. Types only; any thread.
 *
 * A kind of layer is two files and two rows: its declaration in src/model/layers (a row in kinds.ts), from which the
 * parameter table, checkpoints, the memory layout and summaries derive, and its passes and updates in
 * src/worker/network/layers (a row in kinds.ts there), from which the program derives its stages. The kernels that it calls
 * are methods of `Kernels` in src/kernels/backend.ts, whose `reference` implementation says what is right. Besides: its name in
 * `LayerType`, its place in the network (`networkLayers` in kinds.ts, from settings in src/config/schema/model.ts), its sizes if
 * inputs and outputs do not say all, and its form in files of other programs (src/export, src/import).
 *
 * Layers form a chain. One with a second input, such as a residual sum, also needs `LayerContext` (worker/network/network.ts),
 * its wiring in worker/network/bind.ts, and room for more deltas in worker/plan/layout.ts.
 */

import type { Kernel } from '../channels-first.js'
import type { FeatureShape, Window } from '../convolution.js'

/** A product, what may stand between it and its activation, and what may follow that of a convolution. */
export type LayerType = 'dense' | 'convolution' | 'batch-norm' | 'layer-norm' | 'pool' | 'dropout' | 'flatten'

/** One layer of a network. */
export interface LayerSpec {
  readonly type: LayerType
  /**
   * Index of its block, which is what files call `layers.<i>`: a product with all that follows it up to its activation. The
   * output block has a product alone.
   */
  readonly block: number
  /** Units, or channels where there are maps; of a convolution's inputs the size of a patch: the rows of its weight. */
  readonly inputs: number
  readonly outputs: number
  /** Of a layer over feature maps, the maps that it puts out, and the window that moves over its inputs; else absent. */
  readonly maps?: FeatureShape
  readonly window?: Window
  readonly pool?: 'max' | 'average'
  /** Maps whose values are the inputs of the first dense layer behind convolutions; else absent. */
  readonly rowsOf?: FeatureShape
}

/** Vectors (outputs) of a layer. Mean and variance are running statistics, all others are learned. */
export type VectorKind = 'bias' | 'scale' | 'shift' | 'mean' | 'variance'

/** One tensor of a model. Dims are logical: weights (inputs, outputs), embeddings (rows, size), all others (outputs). */
export interface Parameter {
  /**
   * `layers.<block>.weight`, `layers.<block>.bias`, or `layers.<block>.norm.` and its kind, as in files; of an embedded feature
   * `embeddings.<index>.weight`.
   */
  readonly name: string
  readonly kind: 'weight' | 'embedding' | VectorKind
  /** Index of its block, or of the embedded feature. */
  readonly layer: number
  readonly dims: readonly number[]
  /** Of the weight of a convolution, whose inputs are (size, size, channels); else absent. */
  readonly kernel?: Kernel
  /** Maps whose values are the inputs of this weight, of the first dense layer behind convolutions; else absent. */
  readonly rowsOf?: FeatureShape
  /** `random`: drawn as `model.init` says. */
  readonly init: 'random' | 'zeros' | 'ones'
}

/** A tensor that training needs beside parameters and batch matrices. */
export interface WorkspaceTensor {
  /**
   * `matrix`: (B, outputs) of the batch, or (B · positions, channels); `vector`: (outputs), in the form of a bias; `rows`: (B) in float64;
   * `groups`: two sums of each channel over each group of samples, in float64; reserved for maps alone.
   */
  readonly form: 'matrix' | 'vector' | 'rows' | 'groups'
  /** Needed only where a step keeps its gradient between two stages. */
  readonly keptGradient?: true
}

export interface LayerDeclaration {
  /** Parameters in the order of files. */
  parameters(layer: LayerSpec): Parameter[]
  /** Workspace tensors, in the order of memory. */
  readonly workspace: Readonly<Record<string, WorkspaceTensor>>
}

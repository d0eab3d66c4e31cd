/**
 * The contract of a backend: how it stores matrices and weights, and the kernels of a training step. Types only.
 *
 * Kernels are bound once to their tensors, when a worker opens the plan, and run many times: a bound kernel checks
 * nothing, allocates nothing, and takes only row ranges and the numbers of the step.
 *
 * Dimension letters of this folder: `B` rows the batch buffers hold, `I` inputs, `O` outputs, `C` classes,
 * `N` samples of the data set, `F` features of a sample. Row ranges are [row, row + rows) of B.
 */
import type { MixedLabels } from '../augment/mixup.js'
import type { Augmentation } from '../augment/transform.js'
import type { Activation } from '../model/activation.js'
import type { FeatureShape, Window } from '../model/convolution.js'
import type { EmbeddingPlace } from '../model/embedding.js'
import type { OptimizerStep } from '../model/optimizer.js'
import type { ByteTensor, FloatTensor, IntTensor, Matrix } from '../tensor/tensor.js'
import type { MapNorm } from './map-norm.js'
import type { NativeProducts } from './products.js'
import type { TableUpdate } from './table-update.js'
import type { OwnedTiles, Tile, TileGradients } from './tile.js'

export type { Range, TableUpdate } from './table-update.js'
export type { OwnedTiles, PackedTile, Tile, TileGradients } from './tile.js'

/** A weight matrix (I, O), its moments, and the layout that products read, where that differs. */
export interface WeightTensors {
  readonly inputs: number
  readonly outputs: number
  readonly master: FloatTensor
  /** Moments of the optimizer, followed by the average of the weights where one is kept: in the master's layout, or `owned` tiles. */
  readonly moments: readonly FloatTensor[]
  /** Over several ranks, the tiles that moments are kept of; null or absent: of all. */
  readonly owned?: OwnedTiles | null
  /** Layout that the backend derives from the master for its products; null if it needs none, or this weight has none. */
  readonly derived: FloatTensor | null
}

/** A bias (O) and its moments. */
export interface BiasTensors {
  readonly outputs: number
  readonly master: FloatTensor
  readonly moments: readonly FloatTensor[]
}

/** Precision of products: operands in f32, or rounded to bfloat16 with sums in f32. */
export type Precision = 'f32' | 'bf16'

export interface ActivationSpec {
  readonly type: Activation
  /**
   * (B, O) In training, takes the derivative at z + bias times dropout's factor, by which the backward pass multiplies.
   * null for relu, whose outputs are enough, and if nothing is trained.
   */
  readonly derivatives: Matrix | null
}

export interface DropoutSpec {
  /** Probability of dropping a unit; kept ones are scaled by 1 / (1 - rate). */
  readonly rate: number
  readonly seed: number
  /** Index of the layer whose outputs are dropped. */
  readonly layer: number
  readonly samples: IntTensor // (B) sample index of each row
}

/** Operands of batch and layer normalisation: out = scale · (z + bias - mean) / √(variance + ε). */
export interface NormSpec {
  readonly scale: FloatTensor // (O)
  /** Bias of the product that is normalised. */
  readonly bias: FloatTensor // (O)
  readonly epsilon: number
  /** (B, O) In training, the normalised values, which `scale` multiplies; null if nothing is trained. */
  readonly normed: Matrix | null
}

/** Scaling of the features: (x - offset) · factor. float32 in every backend. */
export interface InputScaling {
  readonly offset: FloatTensor // (F)
  readonly factor: FloatTensor // (F)
}

/** Statistics of the columns of a mini-batch. */
export interface BatchStatistics {
  /** Mean of z without its bias. */
  readonly mean: FloatTensor // (O)
  /** The mean square distance from the mean, not the unbiased one. */
  readonly variance: FloatTensor // (O)
  /** scale / √(variance + ε), by which the backward pass multiplies. */
  readonly factors: FloatTensor // (O)
}

export interface NormGradients {
  readonly scale: FloatTensor // (O)
  readonly shift: FloatTensor // (O)
}

/** Runs over the rows [0, rows), whose sums it needs, and all columns unless some are given. */
export type ColumnKernel = (rows: number, columns?: Columns) => void

/** Rows [row, row + rows) of the batch buffers. */
export interface Rows {
  readonly row: number
  readonly rows: number
}

/** Columns [start, end) of a batch matrix; `start` is a multiple of `tileUnit.outputs`, `end` too or the last column. */
export interface Columns {
  readonly start: number
  readonly end: number
  /** Size of each block, where they are several: a product whose bits depend on its shape has them one by one. Absent: one block. */
  readonly block?: BlockSize
}

/** Rows and columns. */
export interface BlockSize {
  readonly rows: number
  readonly columns: number
}

/** Runs over the rows [row, row + rows). */
export type RowKernel = (row: number, rows: number) => void
/** Runs over a block of what it writes: some rows, and all columns unless some are given. */
export type BlockKernel = (row: number, rows: number, columns?: Columns) => void
/** A block kernel that returns whether every value it wrote is finite. */
export type CheckedBlockKernel = (row: number, rows: number, columns?: Columns) => boolean

/** The gradient and the update of one weight matrix or bias, for both kinds of all-reduce. */
export interface WeightUpdate {
  readonly tiles: TileGradients
  /** Gradient of the tile over batch rows [0, rows), summed in row order, then update, then the derived layout. */
  fused(tile: Tile, rows: number, step: OptimizerStep): void
  /** Adds the gradient of the rows [row, row + rows) of the tile to a buffer of the master's layout (overwrites it if `first`). */
  accumulate(buffer: FloatTensor, tile: Tile, row: number, rows: number, first: boolean): void
  /** Sums the tile over the buffers in their order, then update, then the derived layout. Overwrites the first buffer's tile. */
  reduce(buffers: readonly FloatTensor[], tile: Tile, step: OptimizerStep): void
  /**
   * Scales the incoming weights of an output down to the limit if their norm, the square root of their sum of squares in the order
   * of the inputs, exceeds it. Then the derived layout.
   */
  limit(columns: Columns, limit: number): void
  /** Adds the tile of the buffers, in their order, to that of another one; overwrites it if `first`. */
  sum(to: FloatTensor, buffers: readonly FloatTensor[], tile: Tile, first: boolean): void
  /** The sum of squares of a buffer's tile, in f64 and an order that the tile alone decides. */
  squares(buffer: FloatTensor, tile: Tile): number
  /** Multiplies a buffer's tile. */
  scale(buffer: FloatTensor, tile: Tile, factor: number): void
  /** average += share · (master - average), over the tile. */
  average(average: FloatTensor, tile: Tile, share: number): void
}

/** Embedded features of a gather: the rows of their tables that it copies. */
export interface EmbeddedFeatures {
  readonly places: readonly EmbeddingPlace[] // (E)
  /** Tables by place, each (rows, size) row-major in the dtype of the backend. */
  readonly tables: readonly FloatTensor[]
  /** (E, B) rows that were copied, for the gradient. */
  readonly indices: IntTensor
}

export interface BiasUpdate {
  fused(rows: number, step: OptimizerStep): void
  accumulate(buffer: FloatTensor, row: number, rows: number, first: boolean): void
  reduce(buffers: readonly FloatTensor[], step: OptimizerStep): void
}

/** Weight of each sample, (N) float32 in every backend: with deltas, a row's loss and deltas are multiplied by it. null: none. */
type SampleWeights = FloatTensor | null

/** Kernels of one thread. Scratch memory, where a kernel needs it, is the thread's own. */
export interface Kernels {
  /**
   * out (B, F) = (features[samples[row]] - offset) · factor, or, without a scaling, bytes / 255. Overwrites out. With
   * embedded features, the last ones, out is (B, I): each of them becomes a row of its table, row 0 if it is no row's index.
   */
  gather(
    out: Matrix,
    features: ByteTensor | FloatTensor /* (N, F) uint8, or float32 in every backend */,
    samples: IntTensor /* (B) */,
    scaling: InputScaling | null,
    embedded?: EmbeddedFeatures | null,
  ): RowKernel
  /** out (B, F) = images[samples[row]], changed as src/augment/transform.ts draws it; the same bits in every backend. */
  augment(args: {
    readonly out: ByteTensor // (B, F)
    readonly images: ByteTensor // (N, F)
    readonly labels: IntTensor // (N)
    readonly samples: IntTensor // (B)
    readonly seed: number
    readonly augmentation: Augmentation
  }): (row: number, rows: number, epoch: number) => void
  /** out (B, O) = x (B, I) · w (I, O). Overwrites out. */
  linear(out: Matrix, x: Matrix, w: WeightTensors): BlockKernel
  /**
   * z (B, O) becomes activation(z + bias), in place; with `training` and a rate above 0 also dropped: unit u of sample s in
   * epoch e is kept if word u % 4 of philox(⌊u/4⌋, layer, s, e) under the dropout key is at least `dropoutThreshold`.
   * With `training`, the derivatives too. Returns whether every z + bias was finite, before ReLU and dropout hide what was not.
   */
  biasActivate(
    z: Matrix,
    bias: BiasTensors,
    activation: ActivationSpec,
    dropout: DropoutSpec,
  ): (row: number, rows: number, epoch: number, training: boolean, columns?: Columns) => boolean
  /**
   * `linear`, then `biasActivate`, with the bits of both, for a backend that fuses them; null, or no such kernel,
   * if they are no faster than one after the other.
   */
  linearActivate?(
    out: Matrix,
    x: Matrix,
    w: WeightTensors,
    bias: BiasTensors,
    activation: ActivationSpec,
    dropout: DropoutSpec,
  ): ReturnType<Kernels['biasActivate']> | null
  /** x (B, F) as `biasActivate` drops its outputs. */
  dropout(x: Matrix, dropout: DropoutSpec): (row: number, rows: number, epoch: number) => void
  /**
   * For logits z (B, C), bias not yet added: losses[row] = -log softmax(z + bias)[label], correct[row] = 1 where the
   * first largest logit is the label's, else 0. With deltaScale > 0, z becomes (softmax - onehot) · deltaScale.
   * Otherwise z holds the probabilities. With deltas, `mixed` puts a mixture of two labels in place of onehot, label smoothing ε
   * (1 - ε)·that + ε/C, and losses are the cross-entropies with it; scores are plain. Returns whether all is finite.
   */
  softmaxLoss(args: {
    readonly z: Matrix
    readonly bias: BiasTensors
    readonly labels: IntTensor // (N)
    readonly samples: IntTensor // (B)
    readonly losses: FloatTensor // (B) float64 in every backend
    readonly correct: IntTensor // (B)
    readonly smoothing: number // ε, from 0 to less than 1
    readonly weights?: SampleWeights
    readonly mixed?: MixedLabels // with deltas
  }): (row: number, rows: number, deltaScale: number) => boolean
  /**
   * For outputs z (B, C), bias not yet added: losses[row] = 1/C · Σ (z + bias - target)², correct[row] = 1 where the first
   * largest output is the target's, else 0. With deltaScale > 0, z becomes 2/C · (z + bias - target) · deltaScale, else
   * z + bias. Returns whether all losses are finite.
   */
  squaredLoss(args: {
    readonly z: Matrix
    readonly bias: BiasTensors
    readonly targets: FloatTensor // (N, C) float32 in every backend, row-major
    readonly samples: IntTensor // (B)
    readonly losses: FloatTensor // (B) float64 in every backend
    readonly correct: IntTensor // (B)
    readonly weights?: SampleWeights
  }): (row: number, rows: number, deltaScale: number) => boolean
  /**
   * For logits z (B, C) of independent yes/no outputs, bias not yet added, and targets of 0 and 1, with y = z + bias:
   * losses[row] = 1/C · Σ max(y, 0) - y·target + log(1 + exp(-|y|)), correct[row] = number of outputs whose probability is on the
   * target's side of 0.5. With deltaScale > 0, z becomes (sigmoid(y) - target) / C · deltaScale, else sigmoid(y). Returns
   * whether all losses are finite.
   */
  sigmoidLoss(args: Parameters<Kernels['squaredLoss']>[0]): (row: number, rows: number, deltaScale: number) => boolean
  /** dx (B, I) = dz (B, O) · wᵀ. Overwrites dx. */
  linearBackward(dx: Matrix, dz: Matrix, w: WeightTensors): BlockKernel
  /**
   * dx (B, I), the delta of a = dropout(activation(z)), becomes that of z in place. For relu: times 1/(1 - rate) where
   * a > 0, else 0. For others: times the derivative; 0 where that is 0.
   */
  activateBackward(dx: Matrix, a: Matrix, activation: ActivationSpec, rate: number): CheckedBlockKernel
  /** `linearBackward`, then `activateBackward`, fused or null as `linearActivate`. */
  linearActivateBackward?(
    dx: Matrix,
    dz: Matrix,
    w: WeightTensors,
    a: Matrix,
    activation: ActivationSpec,
    rate: number,
  ): CheckedBlockKernel | null
  /**
   * Batch normalisation of z (B, O), in place, without the shift. `train` takes mean and variance from the rows [0, rows),
   * each summed in row order, overwrites `batch` and `normed`, and needs no bias, which the mean would take away.
   * `score` takes the running ones. A column depends on no other, so columns may be partitioned at will.
   */
  batchNorm(
    z: Matrix,
    norm: NormSpec,
    running: Pick<BatchStatistics, 'mean' | 'variance'>,
    batch: BatchStatistics | null,
  ): { train: ColumnKernel; score: BlockKernel }
  /** Gradients of scale, Σ dy · normed, and of shift, Σ dy, summed over the rows [0, rows) in their order. Overwrites them. */
  normSums(gradients: NormGradients, dy: Matrix /* (B, O) */, normed: Matrix /* (B, O) */): ColumnKernel
  /** dy (B, O) becomes the delta of what was normalised, from its sums. Returns whether all of it is finite. */
  batchNormBackward(
    dy: Matrix,
    normed: Matrix,
    gradients: NormGradients,
    factors: FloatTensor /* (O) */,
  ): (rows: number, columns?: Columns) => boolean
  /**
   * Layer normalisation of the rows of z (B, O), in place, without the shift: each by mean and variance of its own columns.
   * Overwrites `normed` and inverses[row] = 1 / √(variance + ε), which are null if nothing is trained.
   */
  layerNorm(z: Matrix, norm: NormSpec, inverses: FloatTensor | null /* (B) float64 in every backend */): RowKernel
  /** dy (B, O) becomes the delta of what was normalised. Returns whether all of it is finite. */
  layerNormBackward(
    dy: Matrix,
    normed: Matrix,
    scale: FloatTensor /* (O) */,
    inverses: FloatTensor /* (B) */,
  ): (row: number, rows: number) => boolean
  weightUpdate(w: WeightTensors, x: Matrix /* (B, I) */, dz: Matrix /* (B, O) */): WeightUpdate
  /**
   * Kernels of feature maps, (B · positions, channels) as src/model/convolution.ts has them. Row ranges are samples; no sample's
   * result depends on another one, and every sum runs in the order of row, column, channel of its window.
   */
  readonly maps: MapKernels
  biasUpdate(bias: BiasTensors, dz: Matrix /* (B, O) */): BiasUpdate
  tableUpdate(table: BiasTensors): TableUpdate
  /** Writes the derived layout of a tile from the master, after weights were stored from outside. */
  derive(w: WeightTensors): (tile: Tile) => void
  /** Copies row i of the weights, outputs [0, O), from or to a plain array. */
  storeRow(w: WeightTensors, i: number, values: Float32Array): void
  loadRow(w: WeightTensors, i: number, values: Float32Array): void
}

export interface MapKernels {
  /** out (B · P, O) = patches of x · w (size · size · C, O). Overwrites out. x: maps, or rows of features (B, H · W · C). */
  convolution(out: Matrix, x: Matrix, w: WeightTensors, window: Window): RowKernel
  /** dx: at each position the sum over the windows that it lies in of dz · wᵀ, from `derived` where a backend has one. Overwrites dx. */
  convolutionBackward(dx: Matrix, dz: Matrix, w: WeightTensors, window: Window): RowKernel
  /** As `weightUpdate`, whose rows are samples: `fused` is not there, since gradients are summed over groups of samples. */
  convolutionUpdate(w: WeightTensors, x: Matrix, dz: Matrix, window: Window): Omit<WeightUpdate, 'fused'>
  /** Writes the derived layout of a tile from the master, after weights were stored from outside. */
  derive(w: WeightTensors, window: Window): (tile: Tile) => void
  /** out: of each window of x the largest value, a NaN before all, or the mean. Overwrites out. */
  pool(out: Matrix, x: Matrix, window: Window, type: 'max' | 'average'): RowKernel
  /** dx: to the first of each window's largest values its dz, 0 to all others; or to each value its share. Overwrites dx. */
  poolBackward(dx: Matrix, dz: Matrix, x: Matrix, window: Window, type: 'max' | 'average'): RowKernel
  /** Drops values as `biasActivate` drops units: channel c of position p is unit p · (channels, rounded up to 4) + c of its sample. */
  dropout(x: Matrix, maps: FeatureShape, dropout: DropoutSpec): (row: number, rows: number, epoch: number) => void
  /** Batch normalisation of maps z (B · P, C) in place; `normed` and `dz` are of the same form, null where nothing is trained. */
  batchNorm(z: Matrix, normed: Matrix | null, dz: Matrix | null): MapNorm
  /** Maps (B · P, C) as rows (B, P · C) of a dense layer, or back. Overwrites what is written. */
  flatten(out: Matrix, x: Matrix): RowKernel
  unflatten(dx: Matrix, dz: Matrix): RowKernel
}

export interface KernelContext {
  readonly memory: WebAssembly.Memory
  /** Scratch of this thread, of `scratchBytes`. */
  readonly scratchByteOffset: number
  /** Compiled code that the coordinator passes to every worker; null for a backend that has none. */
  readonly module: WebAssembly.Module | null
  /** Products of the open library and the arena's address; null for a backend that has none, or only moves weights. */
  readonly native: NativeProducts | null
}

/** Use of a weight, which decides what is derived from it. */
export interface WeightUse {
  readonly training: boolean
  /** True for a first layer whose inputs have no deltas, since nothing before it is learned. */
  readonly first: boolean
}

export interface Backend {
  readonly name: 'reference' | 'wasm' | 'blas' | 'onednn'
  readonly dtype: 'float32' | 'float64'
  /**
   * True if a product's bits depend on how it is partitioned. Then nothing is partitioned by the number of workers, and the forward and
   * backward passes run layer by layer over a fixed grid of blocks; else by shards.
   */
  readonly bitsDependOnPartition: boolean
  /** Tiles and blocks begin at multiples of these; `best*` is the measured tile, in the same units. */
  readonly tileUnit: { readonly inputs: number; readonly outputs: number }
  readonly bestTile: { readonly inputs: number; readonly outputs: number }
  /** Preferred unit of a block's columns; itself a multiple of `tileUnit.outputs`. */
  readonly blockColumns: number
  /** Tasks over rows begin at multiples of this. */
  readonly blockRows: number
  /** Cost of a product of such a block, in any unit; absent if square blocks are cheapest. */
  blockCost?(rows: number, columns: number): number
  /** Measured rows of a shard for a network with this many weights. No function of the number of workers: shards decide bits. */
  shardRows(weights: number): number
  /**
   * Scratch of one thread for a model whose widest layer boundary has this many units, batches of this many rows, and images
   * augmented in this way (null: not).
   */
  scratchBytes(widest: number, rows: number, augmentation: Augmentation | null): number
  /** Physical shape of a batch matrix, of a weight and its moments, of a bias; and of what is derived from a weight (null: nothing). */
  matrixShape(rows: number, cols: number): readonly number[]
  weightShape(inputs: number, outputs: number): readonly number[]
  derivedShape(inputs: number, outputs: number, of: WeightUse): readonly number[] | null
  biasShape(outputs: number): readonly number[]
  /** The same of feature maps, or of rows of features that a convolution takes; rows are contiguous, in row-major form. */
  mapsShape(rows: number, cols: number): readonly number[]
  convolutionDerivedShape(window: Window, of: WeightUse): readonly number[] | null
  /** Scratch of one thread for a convolution. */
  convolutionScratchBytes(window: Window): number
  /** Code to compile once, on the coordinator. */
  compile(): Promise<WebAssembly.Module | null>
  instantiate(context: KernelContext): Kernels
}

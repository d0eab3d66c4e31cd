/**
 * The plan of a run: everything that layout, network and program are built from. Types and the version of the protocol;
 * made by plan.ts on the main thread, read by every thread.
 */
import type { Augmentation } from '../../augment/transform.js'
import type { Experiment } from '../../config/schema.js'
import type { Backend, Precision } from '../../kernels/backend.js'
import type { NativeLibrary } from '../../kernels/products.js'
import type { Activation } from '../../model/activation.js'
import type { Convolution } from '../../model/convolution.js'
import type { EmbeddingShape } from '../../model/embedding.js'
import type { Initialisation } from '../../model/init.js'
import type { SettledOptimizer } from '../../model/optimizer.js'
import type { NormType } from '../../model/parameters.js'
import type { Windows } from './windows.js'

/** Version of this file and of layout.ts: changes with either; a worker refuses a coordinator of another version. */
export const PROTOCOL = 15

export type Split = 'train' | 'validation' | 'test'

/** This rank and the others. */
export interface PlannedRanks {
  readonly rank: number
  readonly size: number
  readonly workers: number
  /** By block: whether sums of gradients are exchanged in place of the rows that they are made of. */
  readonly partials: readonly boolean[]
}

/** This rank and the others of its host, which share memory (ffi/host-memory.ts), and the workers of all together. */
export interface HostRanks extends Pick<PlannedRanks, 'rank' | 'size' | 'workers'> {
  /** Byte of a huge page where the arena of this process begins: what is shared begins with such a page. null: there is no arena yet. */
  readonly hugeOffset: number | null
}

/** A run, reduced to what its workers need. Plain data: the same plan gives the same layout and program on every thread. */
export interface RunPlan {
  readonly protocol: number
  /** `evaluate` reserves neither moments nor deltas and trains nothing. */
  readonly purpose: 'train' | 'evaluate'
  readonly seed: number
  /**
   * Units at every boundary of blocks: inputs, values after each convolution, hidden layers, classes. Inputs are the features, embedded
   * ones as vectors.
   */
  readonly widths: readonly number[]
  /** Convolutions in front of the hidden layers: the first blocks. */
  readonly convolutions: readonly Convolution[]
  /** Features of a sample. */
  readonly features: number
  /** Embeddings of the last features. */
  readonly embeddings: readonly EmbeddingShape[]
  readonly activation: Activation
  readonly init: Initialisation
  /** Gain of orthogonal weights; null: by the activation that follows the layer. */
  readonly initGain: number | null
  /** Dropout rate of each hidden block, and of the inputs. */
  readonly dropout: readonly number[]
  readonly inputDropout: number
  /** Normalisation of hidden layers; `momentum` is that of running statistics. */
  readonly norm: { readonly type: NormType; readonly momentum: number; readonly epsilon: number }
  readonly l2: number
  readonly clipValue: number | null
  /** Limit of the norm of a hidden unit's incoming weights; null: none. */
  readonly maxNorm: number | null
  /** Limit of the norm of the whole gradient; null: none. */
  readonly clipNorm: number | null
  readonly loss: Experiment['train']['loss']
  readonly labelSmoothing: number
  /** True if losses and gradients of the training samples are weighted. */
  readonly weighted: boolean
  /** Decay of the averages of all parameters, which then are scored in their place; null: there are none. */
  readonly ema: number | null
  readonly batchSize: number
  /** Mini-batches of an optimizer step. */
  readonly accumulateSteps: number
  /** Augmentation of the images of a mini-batch; null: none. */
  readonly augmentation: Augmentation | null
  readonly shardRows: number
  /** Rows of a group whose gradients of dense layers are summed apart (sharing.ts); null: all rows are one sum. */
  readonly gradientRows: number | null
  /** Division of passes over the mini-batch into tasks; see program/passes.ts. */
  readonly passes: 'shards' | 'layers'
  readonly optimizer: SettledOptimizer
  readonly schedule: Experiment['schedule']
  /** Epochs of the whole run; some schedules depend on it. */
  readonly epochs: number
  readonly backend: Backend['name']
  /** Native library that every worker opens; null: none. */
  readonly library: NativeLibrary | null
  /** Precision of matrix products. */
  readonly precision: Precision
  readonly allReduce: Experiment['compute']['allReduce']
  readonly workers: number
  /** Ranks that share the steps (program/ranks.ts), and the workers of all of them together; null: this process alone. */
  readonly ranks: PlannedRanks | null
  /** Ranks of one host, whose workers are one team over memory that all have; `ranks` is null then. null: there are none. */
  readonly host: HostRanks | null
  /** Turns of the barrier's loop before it sleeps; 0 where threads outnumber cores. */
  readonly spinTurns: number
  /** Rows of each split of the run. */
  readonly rows: Readonly<Record<Split, number>>
  /** Type of each feature in the data set, and whether it is shifted and scaled; a byte that is not is divided by 255. */
  readonly input: { readonly dtype: 'uint8' | 'float32'; readonly scaled: boolean }
  /** Windows in which training rows are loaded; null: all are in memory. */
  readonly windows: Windows | null
  /** Images in each file: those of `train` are shared by training and validation rows. */
  readonly images: { readonly train: number; readonly test: number }
}

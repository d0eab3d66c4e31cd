/**
 * The plan of a run: everything that layout, network and program are built from. Types and the version of the protocol;
 * made by plan.ts on the main thread, read by every thread.
 */
import type { Augmentation } from '../../augment/transform.js'
import type { Experiment } from '../../config/schema.js'
import type { Precision } from '../../kernels/backend.js'
import type { NativeLibrary } from '../../kernels/products.js'
import type { Activation } from '../../model/activation.js'
import type { Initialisation } from '../../model/init.js'
import type { NormType } from '../../model/parameters.js'

/** Changes with anything in this file or in layout.ts; a worker refuses a coordinator of another version. */
export const PROTOCOL = 6

export type Split = 'train' | 'validation' | 'test'

/** A run, reduced to what its workers need. Plain data: the same plan gives the same layout and program on every thread. */
export interface RunPlan {
  readonly protocol: number
  /** `evaluate` reserves neither moments nor deltas and trains nothing. */
  readonly purpose: 'train' | 'evaluate'
  readonly seed: number
  /** Units at every layer boundary: features, hidden layers, classes. */
  readonly widths: readonly number[]
  readonly activation: Activation
  readonly init: Initialisation
  /** Of orthogonal weights; null: by what follows the layer. */
  readonly initGain: number | null
  /** Of each hidden layer, and of the inputs. */
  readonly dropout: readonly number[]
  readonly inputDropout: number
  /** Of hidden layers; `momentum` is of running statistics. */
  readonly norm: { readonly type: NormType; readonly momentum: number; readonly epsilon: number }
  readonly l2: number
  readonly clipValue: number | null
  /** Of the incoming weights of a hidden unit; null: no limit. */
  readonly maxNorm: number | null
  /** Of the whole gradient; null: no limit. */
  readonly clipNorm: number | null
  readonly loss: Experiment['train']['loss']
  readonly labelSmoothing: number
  /** Decay of the averages of all parameters, which then are scored in their place; null: there are none. */
  readonly ema: number | null
  readonly batchSize: number
  /** Mini-batches of an optimizer step. */
  readonly accumulateSteps: number
  /** How the images of a mini-batch are changed; null: not. */
  readonly augmentation: Augmentation | null
  readonly shardRows: number
  /** How passes over the mini-batch are divided into tasks; see program/passes.ts. */
  readonly passes: 'shards' | 'layers'
  readonly optimizer: Experiment['optimizer']
  readonly schedule: Experiment['schedule']
  /** Of the whole run: some schedules end with it. */
  readonly epochs: number
  readonly backend: BackendName
  /** Of a native backend: what every worker opens. */
  readonly library: NativeLibrary | null
  /** Numbers that matrices are multiplied in. */
  readonly precision: Precision
  readonly allReduce: Experiment['compute']['allReduce']
  readonly workers: number
  /** Turns of the barrier's loop before it sleeps; 0 where threads outnumber cores. */
  readonly spinTurns: number
  /** Rows of each split of the run. */
  readonly rows: Readonly<Record<Split, number>>
  /** What the data set has of each feature, and whether it is shifted and scaled; a byte that is not is divided by 255. */
  readonly input: { readonly dtype: 'uint8' | 'float32'; readonly scaled: boolean }
  /** Images in each file: those of `train` are shared by training and validation rows. */
  readonly images: { readonly train: number; readonly test: number }
}

export type BackendName = 'reference' | 'wasm' | 'blas' | 'onednn'

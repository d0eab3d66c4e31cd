/**
 * What coordinator and workers agree on: the plan, the control words in shared memory, and the calls. Types and
 * constants only; imported by both threads.
 */
import type { MessagePort } from 'node:worker_threads'
import type { Augmentation } from '../../augment/transform.js'
import type { Experiment } from '../../config/schema.js'
import type { Precision } from '../../kernels/backend.js'
import type { NativeLibrary } from '../../kernels/products.js'
import type { Activation } from '../../model/activation.js'
import type { Initialisation } from '../../model/init.js'
import type { NormType } from '../../model/parameters.js'

/** Changes with anything in this file or in layout.ts; a worker refuses a coordinator of another version. */
export const PROTOCOL = 5

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
  /** How phase 1 and evaluation are cut; see passes.ts. */
  readonly phase1: 'shards' | 'layers'
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

/**
 * Control words, Int32, Atomics only. Words that different threads write at the same time lie on cache lines of their
 * own, 16 words apart.
 */
export const Control = {
  /** Counts barriers passed; waiting workers sleep on it. */
  generation: 0,
  arrived: 16,
  /** Next task of the stage. Reset by the last worker to arrive at a barrier, when nobody claims any more. */
  claim: 32,
  /** Not 0: leave as soon as possible; numbers in shared memory may be half written. */
  abort: 48,
  /** Set by the coordinator: stop after the current step. */
  stop: 64,
  /** Copy of `stop` made at the last barrier of a step, so that all workers stop after the same one. */
  stopped: 80,
  /** 0, or the smallest code of a fault that a task reported; see `fault` below. */
  fault: 96,
  /**
   * Copy of `fault` made at each barrier. Workers decide by this one: a fast worker may report the next stage's fault
   * while a slow one has not yet looked at this stage's.
   */
  latchedFault: 112,
  /** 1 from the barrier before the stage that changes the state to the one after it, else 0. */
  updating: 128,
  /** From here one word for each worker, 16 apart: the step it is in. */
  workerStep: 144,
} as const
export const CONTROL_STRIDE = 16
export const controlWords = (workers: number): number => Control.workerStep + CONTROL_STRIDE * workers

/**
 * Sums over the rows of the epoch so far (or of an evaluation), written by one task per step; and the same with those of
 * the mini-batches of a step that is not done yet. Float64.
 */
export const Stat = { step: 0, loss: 1, correct: 2, rows: 3, pending: 4, COUNT: 7 } as const

/** Where a number first stopped being finite. The smallest code wins: forward before loss before backward. */
export const fault = {
  forward: (layer: number): number => 1 + layer,
  loss: 1_000_000,
  gradient: (layer: number): number => 1_500_000 + layer,
  /** Deltas appear from the last layer down. */
  backward: (layer: number): number => 2_000_000 - layer,
  /** Found in a snapshot: the state of a layer's parameters. */
  state: (layer: number): number => 3_000_000 + layer,
}

/** Whether the weights themselves are not finite: no other mini-batch would help. */
export const isOfState = (code: number): boolean => code > 2_000_000

/** The words for a code of `fault`. */
export function faultText(code: number): string {
  if (code === fault.loss) return 'the loss is not finite'
  if (code < fault.loss) return `layer ${code - 1}: outputs are not finite`
  if (code < 1_900_000) return `layer ${code - 1_500_000}: the gradient is not finite`
  if (!isOfState(code)) return `layer ${2_000_000 - code}: deltas are not finite`
  return `layer ${code - 3_000_000}: weights or their moments are not finite`
}

export interface StageTime {
  readonly name: string
  /** Milliseconds this worker computed, waited at the stage's barrier, and tasks it took. */
  readonly workMs: number
  readonly waitMs: number
  readonly tasks: number
}

export interface SpanOptions {
  /** Multiplies the learning rate of the schedule. Default: 1. */
  readonly rateFactor?: number
  /** Report each step's times. */
  readonly trace?: boolean
}

export interface SpanReport {
  /** The step after the last one done: `toStep`, unless stopped. */
  readonly step: number
  readonly stages: readonly StageTime[]
  /** Not 0: the step `step` found this fault and changed nothing. */
  readonly fault: number
  /** Of each step, where the call asked for it: milliseconds from its begin to its end, and of these computing. */
  readonly steps?: { readonly totalMs: Float64Array; readonly workMs: Float64Array }
}

/** What the coordinator calls in every worker, all at the same time. Each call blocks its thread until it is done. */
export interface TrainWorker {
  /** Maps the memory and builds the programs. */
  open(
    plan: RunPlan,
    memory: WebAssembly.Memory,
    module: WebAssembly.Module | null,
    id: number,
  ): Promise<{ protocol: number }>
  /** Draws the initial weights. */
  initialise(): void
  /** Writes what a backend derives from the weights, after they were stored from outside. */
  derive(): void
  /**
   * Copies all state to or from a snapshot: f32, as the state table of model/state.ts says. `snapshot` returns 0, or the
   * code of a fault if a number is not finite.
   */
  snapshot(to: SharedArrayBuffer): number
  restore(from: SharedArrayBuffer): void
  /** Trains steps [fromStep, toStep); ends early through `Control.stop`. */
  run(fromStep: number, toStep: number, options?: SpanOptions): SpanReport
  /** Scores all rows of a split; the sums are in the stats. */
  evaluate(split: Split): SpanReport
}

/** What piscina hands to the hosting task. */
export interface HostTask {
  readonly port: MessagePort
}

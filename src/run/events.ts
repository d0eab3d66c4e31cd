/**
 * What a run tells its observers, as typed events. The coordinator emits them; `metrics.jsonl` stores one a line,
 * the CLI renders them, and library users receive them through `onEvent`. Types only.
 */
import type { Experiment } from '../config/schema.js'

/** Mean loss and accuracy (0 to 1) over the rows of one split. */
export interface Score {
  readonly loss: number
  readonly accuracy: number
}

export interface StartEvent {
  readonly type: 'start'
  readonly name: string
  /** Absolute path of the run directory, or null for a run that writes no files. */
  readonly runDir: string | null
  readonly experiment: Experiment
  /** Units at every layer boundary: features, hidden layers, classes. */
  readonly widths: readonly number[]
  readonly backend: string
  readonly backendReason: string
  /** What would make it faster on this machine; null where nothing is known. */
  readonly backendAdvice: string | null
  readonly workers: number
  readonly parameters: number
  readonly rows: { readonly train: number; readonly validation: number; readonly test: number }
  readonly stepsPerEpoch: number
  /** Shared memory of the run, in bytes. */
  readonly memoryBytes: number
}

/** Sent about ten times a second while steps run. Not stored in metrics.jsonl. */
export interface ProgressEvent {
  readonly type: 'progress'
  /** From 1. */
  readonly epoch: number
  readonly epochs: number
  /** Steps done in the whole run, and in this epoch. */
  readonly step: number
  readonly stepInEpoch: number
  readonly stepsPerEpoch: number
  /** Over the epoch so far: mean loss and running accuracy on the training rows, with dropout on. */
  readonly loss: number
  readonly accuracy: number
  readonly samplesPerSecond: number
  /** Seconds to the end of the run. */
  readonly etaSeconds: number
}

/** A line for the log every so many steps: the mean over the steps since the last one. */
export interface StepsEvent {
  readonly type: 'steps'
  readonly step: number
  readonly epoch: number
  readonly loss: number
  readonly accuracy: number
  readonly learningRate: number
  readonly samplesPerSecond: number
}

export interface EpochEvent {
  readonly type: 'epoch'
  readonly epoch: number
  readonly epochs: number
  readonly step: number
  readonly train: Score
  readonly validation?: Score
  readonly learningRate: number
  readonly seconds: number
  readonly samplesPerSecond: number
}

/** Final scores are being computed, or files written: nothing trains any more. */
export interface FinishingEvent {
  readonly type: 'finishing'
  readonly what: 'evaluate' | 'save'
}

export interface EndEvent {
  readonly type: 'end'
  readonly summary: RunSummary
}

export type TrainEvent = StartEvent | ProgressEvent | StepsEvent | EpochEvent | FinishingEvent | EndEvent

/** The content of `summary.json`. */
export interface RunSummary {
  readonly name: string
  readonly status: 'completed' | 'interrupted' | 'failed'
  readonly error?: string
  readonly seed: number
  readonly backend: string
  readonly precision: string
  readonly workers: number
  readonly shardRows: number
  readonly allReduce: string
  /** Epochs finished, steps done, training rows seen. */
  readonly epochs: number
  readonly steps: number
  readonly rowsSeen: number
  /** Wall time of training alone: start-up, evaluation and files excluded. */
  readonly seconds: number
  readonly samplesPerSecond: number
  readonly parameters: number
  /**
   * Of the final weights over all training rows; of an interrupted run, the running loss of its last epoch, without
   * accuracy. null in a failed run, as is `test`.
   */
  readonly train: { readonly loss: number; readonly accuracy?: number } | null
  readonly validation?: Score
  readonly test: Score | null
  /**
   * Over the parameters' little-endian f32 bytes, in parameter-table order. null where a failure may have left the
   * weights half updated: then they are not saved either.
   */
  readonly weightsSha256: string | null
  /** Path of the final weights relative to the run directory; null if none were saved. */
  readonly checkpoint: string | null
}

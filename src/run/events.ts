/**
 * What a run tells its observers, as typed events. The coordinator emits them; `metrics.jsonl` stores one a line,
 * the CLI renders them, and library users receive them through `onEvent`. Types only.
 */
import type { Experiment } from '../config/schema.js'

/** Means over the rows of one split. */
export interface Score {
  readonly loss: number
  /** From 0 to 1; of classification. */
  readonly accuracy?: number
  /**
   * R² of regression: 1 - squared errors / squared deviations from the mean of the rows that are scored; the mean over
   * several targets. 1 is perfect, 0 as good as always predicting that mean. null: undefined, as for a constant target.
   */
  readonly r2?: number | null
  /** Root mean squared error of regression with one target, in its unit. */
  readonly rmse?: number
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
  /** What is learned from, in short lines. Absent in files of older versions. */
  readonly notes?: readonly string[]
  readonly stepsPerEpoch: number
  /** Shared memory of the run, in bytes. */
  readonly memoryBytes: number
}

/** Sent about ten times a second while steps run, with scores over the epoch so far, dropout on. Not stored in metrics.jsonl. */
export interface ProgressEvent extends Score {
  readonly type: 'progress'
  /** From 1. */
  readonly epoch: number
  readonly epochs: number
  /** Steps done in the whole run, and in this epoch. */
  readonly step: number
  readonly stepInEpoch: number
  readonly stepsPerEpoch: number
  readonly samplesPerSecond: number
  /** Seconds to the end of the run. */
  readonly etaSeconds: number
}

/** A worker's time over some steps, in milliseconds. */
export interface WorkerTime {
  /** Forward pass, loss and backward pass. */
  readonly computeMs: number
  /** Gradients and updates of the weights. */
  readonly updateMs: number
  /** Waiting for other workers at barriers. */
  readonly waitMs: number
  /** Tasks of the first stage, shards or blocks of them, that the worker took: a measure of its share of the rows. */
  readonly tasks: number
}

/** A line for the log every so many steps: the mean over the steps since the last one. */
export interface StepsEvent extends Score {
  readonly type: 'steps'
  /** Steps (from, step] are meant. */
  readonly from: number
  readonly step: number
  readonly epoch: number
  readonly learningRate: number
  readonly samplesPerSecond: number
  /** By worker; missing where one of them failed and the times are lost. */
  readonly workers?: readonly WorkerTime[]
}

export interface EpochEvent {
  readonly type: 'epoch'
  readonly epoch: number
  readonly epochs: number
  readonly step: number
  /** Mean over the mini-batches of the epoch; null where all of them were left out. */
  readonly train: Score | null
  /** null: not finite. Missing where there are no validation rows. */
  readonly validation?: Score | null
  readonly learningRate: number
  readonly seconds: number
  readonly samplesPerSecond: number
}

/** The validation rows were scored between two epochs. */
export interface EvaluationEvent {
  readonly type: 'evaluation'
  readonly step: number
  /** null: not finite. */
  readonly validation: Score | null
}

/** A checkpoint is whole on disk. */
export interface CheckpointEvent {
  readonly type: 'checkpoint'
  readonly step: number
  /** Relative to the run directory. */
  readonly file: string
  readonly weightsSha256: string
  readonly stateSha256: string
  /** To hash and to write, while training went on. */
  readonly seconds: number
}

/** Workers failed, and new ones took their place. */
export interface RestartEvent {
  readonly type: 'restart'
  /** Where the run goes on. */
  readonly step: number
  /** The state in memory was that of a step's end; or that of a checkpoint was loaded, or there was none yet. */
  readonly from: 'memory' | 'checkpoint' | 'beginning'
  readonly error: string
  /** Restarts so far, this one included. */
  readonly restarts: number
}

/** A mini-batch came to numbers that are not finite, and `train.onNonFinite` says that training goes on. */
export interface NonFiniteEvent {
  readonly type: 'non-finite'
  /** Where the run goes on. */
  readonly step: number
  /** The step that was not done. */
  readonly at: number
  readonly action: 'skip' | 'rollback'
  readonly fault: string
  /** Skips and rollbacks so far, this one included, and what multiplies the learning rate from here. */
  readonly count: number
  readonly rateFactor: number
}

/** A score was not finite, and is null. Training goes on as if nobody had looked. */
export interface ScoreFaultEvent {
  readonly type: 'score-fault'
  /** Steps done. */
  readonly step: number
  readonly split: 'train' | 'validation' | 'test'
  readonly fault: string
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

export type TrainEvent =
  | StartEvent
  | ProgressEvent
  | StepsEvent
  | EpochEvent
  | EvaluationEvent
  | CheckpointEvent
  | RestartEvent
  | NonFiniteEvent
  | ScoreFaultEvent
  | FinishingEvent
  | EndEvent

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
   * Score of the final weights over all training rows; of an interrupted run, the running loss of its last epoch
   * alone. A score is null where it is not finite, and in a failed run.
   */
  readonly train: Score | null
  /** Missing where there are no validation rows, or none was scored yet. */
  readonly validation?: Score | null
  readonly test: Score | null
  /**
   * Over the parameters' little-endian f32 bytes, in parameter-table order. null where a failure may have left the
   * weights half updated: then they are not saved either.
   */
  readonly weightsSha256: string | null
  /** Path of the final weights relative to the run directory; null if none were saved. */
  readonly checkpoint: string | null
  /** Why a completed run has fewer epochs than asked for: no better score for long enough, or out of time. */
  readonly stopped?: 'early' | 'time'
  /** Splits whose score is not finite, and so null. */
  readonly notFinite?: readonly ('train' | 'validation' | 'test')[]
  /** The step after which the weights were as they are, where that is not the last one: that of the best epoch. */
  readonly weightsStep?: number
  /** Why the final weights are not saved, where they should have been; `checkpoint` is then the last one that is whole. */
  readonly notSaved?: string
}

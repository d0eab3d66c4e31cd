/**
 * Events of a run, and `RunSummary`, the content of `summary.json`. The coordinator emits them; `metrics.jsonl` stores one a line,
 * the CLI renders them, and library users receive them through `onEvent`. Types only.
 */
import type { Experiment } from '../config/schema.js'
import type { ScoreName, ScoreValues } from '../config/scores.js'
import type { EmbeddingShape } from '../model/embedding.js'

/**
 * Scores of one split: means over its samples, and the scores of config/scores.ts, all of them in a summary's `test` and
 * `validation`, elsewhere those that `checkpoint.bestMetric` needs.
 */
export interface Score extends ScoreValues {
  readonly loss: number
  /** Fraction from 0 to 1; for classification. */
  readonly accuracy?: number
  /**
   * R² of regression: 1 - squared errors / squared deviations from the mean of the scored samples; the mean over
   * several targets. 1 is perfect, 0 as good as always predicting that mean. null: undefined, as for a constant target.
   */
  readonly r2?: number | null
  /** Root mean squared error of regression with one target, in its unit. */
  readonly rmse?: number | null
  /** Reason why a score is null. */
  readonly reasons?: Readonly<Partial<Record<ScoreName, string>>>
}

export interface StartEvent {
  readonly type: 'start'
  readonly name: string
  /** Absolute path of the run directory, or null for a run that writes no files. */
  readonly runDir: string | null
  readonly experiment: Experiment
  /** Units at every layer boundary: inputs, which are the features, embedded ones as vectors; hidden layers, classes. */
  readonly widths: readonly number[]
  /** The network in one line, where it has convolutions. */
  readonly network?: string
  /** Tables of vectors of embedded features; absent: there are none. */
  readonly embeddings?: readonly EmbeddingShape[]
  readonly backend: string
  readonly backendReason: string
  /** Advice on what would make the backend faster on this machine; null if there is none. */
  readonly backendAdvice: string | null
  readonly workers: number
  readonly parameters: number
  readonly rows: { readonly train: number; readonly validation: number; readonly test: number }
  /** Notes on the data, in short lines. Absent in files of older versions. */
  readonly notes?: readonly string[]
  readonly stepsPerEpoch: number
  /** Shared memory of the run, in bytes. */
  readonly memoryBytes: number
}

/** Sent about ten times a second while steps run, with scores over the epoch so far, dropout on. Not stored in metrics.jsonl. */
export interface ProgressEvent extends Score {
  readonly type: 'progress'
  /** Number of the epoch, from 1. */
  readonly epoch: number
  readonly epochs: number
  /** Completed steps in the whole run, and in this epoch. */
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

/** A line of the log at regular intervals: the mean over the steps since the last one. */
export interface StepsEvent extends Score {
  readonly type: 'steps'
  /** Covers the steps (from, step]. */
  readonly from: number
  readonly step: number
  readonly epoch: number
  readonly learningRate: number
  readonly samplesPerSecond: number
  /** Times of each worker; missing if one of them failed and the times are lost. */
  readonly workers?: readonly WorkerTime[]
  /** Of each rank of a run over several. */
  readonly ranks?: readonly RankTraffic[]
  /** Milliseconds of these steps. */
  readonly totalMs?: number
}

/** Exchanges of a rank: milliseconds of waiting for other ranks and for data, and bytes that came from them. */
export interface RankTraffic {
  readonly exchangeMs: number
  readonly receivedBytes: number
}

export interface EpochEvent {
  readonly type: 'epoch'
  readonly epoch: number
  readonly epochs: number
  readonly step: number
  /** Mean over the mini-batches of the epoch; null if all of them were skipped. */
  readonly train: Score | null
  /** null: not finite. Missing if there is no validation split. */
  readonly validation?: Score | null
  readonly learningRate: number
  readonly seconds: number
  readonly samplesPerSecond: number
}

/** Score of the validation split between two epochs. */
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
  /** Time to hash and to write, while training continued. */
  readonly seconds: number
}

/** Workers failed and were replaced. */
export interface RestartEvent {
  readonly type: 'restart'
  /** Step after which the run continues. */
  readonly step: number
  /** Source of the state: the memory, which had that of a step's end; a checkpoint; or none yet. */
  readonly from: 'memory' | 'checkpoint' | 'beginning'
  readonly error: string
  /** Restarts so far, this one included. */
  readonly restarts: number
}

/** The loss or gradient of a mini-batch was not finite, and training continues by `train.onNonFinite`. */
export interface NonFiniteEvent {
  readonly type: 'non-finite'
  /** Step after which the run continues. */
  readonly step: number
  /** The step that was skipped or rolled back. */
  readonly at: number
  readonly action: 'skip' | 'rollback'
  readonly fault: string
  /** Skips and rollbacks so far, this one included, and the resulting factor on the learning rate. */
  readonly count: number
  readonly rateFactor: number
}

/** A score was not finite, and is null. Training is not affected. */
export interface ScoreFaultEvent {
  readonly type: 'score-fault'
  /** Completed steps. */
  readonly step: number
  readonly split: 'train' | 'validation' | 'test'
  readonly fault: string
}

/** Training is done; final scores are being computed, or files written. */
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
  /** Finished epochs, completed steps, training samples seen. */
  readonly epochs: number
  readonly steps: number
  readonly rowsSeen: number
  /** Wall time of training alone, without start-up, evaluation and files. */
  readonly seconds: number
  readonly samplesPerSecond: number
  /** Of each rank of a run over several, the share of the time of steps that it spent in exchanges, since this process began. */
  readonly exchangeShares?: readonly number[]
  readonly parameters: number
  /**
   * Score of the final weights on the training split; for an interrupted run, the running loss of its last epoch
   * alone. A score is null if it is not finite, and in a failed run.
   */
  readonly train: Score | null
  /** Missing if there is no validation split, or it was not scored yet. */
  readonly validation?: Score | null
  readonly test: Score | null
  /**
   * Digest of the parameters' little-endian f32 bytes, in parameter-table order. null if a failure may have left the
   * weights half updated: then they are not saved either.
   */
  readonly weightsSha256: string | null
  /** Path of the final weights relative to the run directory; null if none were saved. */
  readonly checkpoint: string | null
  /** Reason why a completed run has fewer epochs than asked for: no better score for long enough, or out of time. */
  readonly stopped?: 'early' | 'time'
  /** Splits whose score is not finite, and so null. */
  readonly notFinite?: readonly ('train' | 'validation' | 'test')[]
  /** Step that the weights belong to, if that is not the last one: the end of the best epoch. */
  readonly weightsStep?: number
  /** Reason why the final weights are not saved, if they should have been; `checkpoint` is then the last one that is whole. */
  readonly notSaved?: string
}

/**
 * Checkpoints of a run: a snapshot between two steps, then a write in the background while training continues.
 * Main thread. One snapshot is kept at a time, as large as weights and moments together. A checkpoint on schedule that
 * falls due while the previous one is being written waits for the end of a later span; for one of the best epoch so far,
 * training waits until the disk is done, so that which epoch is `best` does not depend on the disk.
 */
import { performance } from 'node:perf_hooks'
import type { Experiment } from '../config/schema.js'
import type { CheckpointState, Digests } from '../run/checkpoint-file.js'
import type { CheckpointStore } from '../run/checkpoints.js'
import type { BestCheckpoint, TrainingState } from '../run/training-state.js'
import type { EpochScore } from './early-stopping.js'
import type { StateSnapshot } from './session.js'

export interface SavedCheckpoint extends Digests {
  readonly step: number
  readonly file: string
  /** Time from the snapshot to the whole file. */
  readonly seconds: number
}

/** The state of a run between two steps, as a checkpoint records it; which checkpoint is the best is decided here. */
export interface RunPoint extends Omit<CheckpointState, 'training'> {
  readonly training: Omit<TrainingState, keyof Marks>
  /** Completed epochs, if the step is the last of one, and the score that the epoch is judged by. */
  readonly epochEnd: { readonly done: number; readonly score: EpochScore } | null
}

/** Checkpoints with a role: the best one, and the two newest on schedule, to roll back to. */
export type Marks = Pick<TrainingState, 'best' | 'rollback' | 'rollbackBefore'>
export const NO_MARKS: Marks = { best: null, rollback: null, rollbackBefore: null }

export interface CheckpointingOptions {
  readonly store: CheckpointStore
  readonly policy: Experiment['checkpoint']
  /** Checkpoints on schedule are never late: the bits of the run may come to depend on them. */
  readonly punctual: boolean
  /** Every epoch that is the best so far is saved, whatever the schedule, and stays until there is a better one. */
  readonly keepsBest: boolean
  readonly marks: Marks
  readonly onSaved: (saved: SavedCheckpoint) => void
  readonly onWarning: (message: string) => void
}

export class Checkpointing {
  readonly #store: CheckpointStore
  readonly #policy: Experiment['checkpoint']
  readonly #punctual: boolean
  readonly #keepsBest: boolean
  readonly #onSaved: (saved: SavedCheckpoint) => void
  readonly #onWarning: (message: string) => void
  #writing: Promise<void> | undefined
  #due = false
  #lastMs = performance.now()
  #saved: SavedCheckpoint | undefined
  #marks: Marks
  /** Best epoch of the current write, which becomes that of `#marks` once the file is whole. */
  #bestInFlight: BestCheckpoint | null = null
  #failure: string | undefined

  constructor({ store, policy, punctual, keepsBest, marks, onSaved, onWarning }: CheckpointingOptions) {
    this.#store = store
    this.#policy = policy
    this.#punctual = punctual
    this.#keepsBest = keepsBest
    this.#marks = marks
    this.#onSaved = onSaved
    this.#onWarning = onWarning
  }

  /** The checkpoint with the best score, once it is whole. */
  get bestStep(): number | null {
    return this.#marks.best?.step ?? null
  }

  /**
   * Step of the checkpoint to roll back to from a step that failed, the newest on schedule before it: from one of that very step,
   * the same mini-batch would meet the same weights. null: the beginning.
   */
  async rollbackStep(failed: number): Promise<number | null> {
    // Whether the disk has been as fast as the training must not decide where it continues.
    await this.settled()
    const { rollback, rollbackBefore } = this.#marks
    return rollback === failed ? rollbackBefore : rollback
  }

  /** Reason why the newest attempt to save failed; undefined if it did not. */
  get failure(): string | undefined {
    return this.#failure
  }

  /** Continues from an earlier checkpoint, or from the beginning: later checkpoints no longer count, and are removed. */
  async goBackTo(step: number, marks: Marks): Promise<void> {
    this.#marks = marks
    this.#saved = undefined
    this.#due = false
    await this.#store.dropAfter(step, this.#keepsBest ? (marks.best?.step ?? null) : null).catch(error => {
      this.#onWarning(`checkpoints after step ${step} are not removed: ${error.message}`)
    })
  }

  /** The newest checkpoint of this process that is whole on disk. */
  get saved(): SavedCheckpoint | undefined {
    return this.#saved
  }

  /** Steps until the policy must be asked again: a span must not run past a multiple of `everySteps`. */
  stepsLeft(step: number): number {
    const { everySteps } = this.#policy
    return everySteps === null ? Number.POSITIVE_INFINITY : everySteps - (step % everySteps)
  }

  /** Requests a checkpoint, whatever the policy. */
  request(): void {
    this.#due = true
  }

  /** True if a checkpoint is due; called after every span. A checkpoint stays due until it can be saved. */
  async isDue(point: RunPoint): Promise<boolean> {
    const { everySeconds } = this.#policy
    const onSchedule = this.#isOnSchedule(point)
    const isBest = this.isNewBest(point)
    const onTime = everySeconds !== null && performance.now() - this.#lastMs >= 1000 * everySeconds
    this.#due ||= onSchedule || isBest || onTime
    if (isBest || (onSchedule && this.#punctual)) await this.settled()
    return this.#due && this.#writing === undefined
  }

  /** True if the best epoch is kept, and this is the end of one better than all before; among equals the first stays. */
  isNewBest({ epochEnd }: RunPoint): boolean {
    if (!this.#keepsBest || epochEnd === null || epochEnd.score.value === null) return false
    const best = this.#bestInFlight ?? this.#marks.best
    return best === null || epochEnd.score.value > best.value
  }

  #isOnSchedule({ step, epochEnd }: RunPoint): boolean {
    const { everyEpochs, everySteps } = this.#policy
    return (
      (everyEpochs !== null && epochEnd !== null && epochEnd.done % everyEpochs === 0) ||
      (everySteps !== null && step > 0 && step % everySteps === 0)
    )
  }

  /** Begins to write a snapshot, which must not be touched until `settled`. A failure is a warning, and is tried again. */
  begin(snapshot: StateSnapshot, point: RunPoint): void {
    this.#due = false
    this.#lastMs = performance.now()
    this.#writing = this.#write(snapshot, point)
      .catch(error => {
        this.#due = true
        const failure = `checkpoint of step ${point.step} is not saved: ${error.message}`
        // Every span tries again: warn once.
        if (this.#failure === undefined) this.#onWarning(`${failure}; training continues, and tries again`)
        this.#failure = failure
      })
      .finally(() => {
        this.#writing = undefined
      })
  }

  /** Waits for the current write. */
  async settled(): Promise<void> {
    await this.#writing
  }

  /** Writes and waits; rejects if that fails. Does nothing if this step has been saved already. */
  async finish(snapshot: StateSnapshot, point: RunPoint): Promise<SavedCheckpoint> {
    await this.settled()
    if (this.#saved?.step !== point.step) {
      try {
        await this.#write(snapshot, point)
      } catch (error) {
        this.#failure = `checkpoint of step ${point.step} is not saved: ${(error as Error).message}`
        throw error
      }
    }
    return this.#saved!
  }

  async #write({ parameters, moments }: StateSnapshot, point: RunPoint): Promise<void> {
    const started = performance.now()
    const { epochEnd, training, ...state } = point
    const { step } = state
    const marks: Marks = {
      best: this.#bestWith(point),
      ...this.#rollbacksWith(point),
    }
    const best = marks.best?.step ?? null
    this.#bestInFlight = marks.best
    try {
      const whole = { ...state, training: { ...training, ...marks } satisfies TrainingState }
      const digests = await this.#store.save(parameters, moments, whole, best)
      this.#marks = marks
      this.#failure = undefined
      this.#saved = { ...digests, step, file: this.#store.file(step), seconds: (performance.now() - started) / 1000 }
    } finally {
      this.#bestInFlight = null
    }
    this.#onSaved(this.#saved)
    const rollbacks = this.#punctual ? [marks.rollback, marks.rollbackBefore] : []
    await this.#store.prune([best, ...rollbacks]).catch(error => {
      this.#onWarning(`old checkpoints are not removed: ${error.message}`)
    })
  }

  #rollbacksWith(point: RunPoint): Pick<Marks, 'rollback' | 'rollbackBefore'> {
    const { rollback, rollbackBefore } = this.#marks
    if (!this.#isOnSchedule(point) || rollback === point.step) return { rollback, rollbackBefore }
    return { rollback: point.step, rollbackBefore: rollback }
  }

  #bestWith(point: RunPoint): BestCheckpoint | null {
    if (!this.#keepsBest) return null
    const value = point.epochEnd?.score.value ?? null
    if (value === null || !this.isNewBest(point)) return this.#marks.best
    return { step: point.step, metric: point.epochEnd!.score.metric, value }
  }
}

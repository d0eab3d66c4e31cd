/**
 * When a run is saved, and how: a snapshot between two steps, then a write in the background while training goes on.
 * Main thread. One snapshot is kept at a time, as large as weights and moments together: a checkpoint that falls due
 * while the last one is being written waits for the end of a later span.
 */
import { performance } from 'node:perf_hooks'
import type { Experiment } from '../config/schema.js'
import type { CheckpointStore } from '../run/checkpoints.js'
import type { CheckpointState, Digests } from '../run/save.js'
import type { BestCheckpoint, TrainingState } from '../run/training-state.js'
import type { StateSnapshot } from './session.js'

export interface SavedCheckpoint extends Digests {
  readonly step: number
  readonly file: string
  /** From the snapshot to the whole file. */
  readonly seconds: number
}

/** A run between two steps, as a checkpoint records it; which checkpoint is the best is decided here. */
export interface Moment extends Omit<CheckpointState, 'training'> {
  readonly training: Omit<TrainingState, keyof Marks>
  /** Epochs done, if the step is the last of one, and the score that makes checkpoints better or worse. */
  readonly epochEnd: {
    readonly done: number
    readonly score: { readonly metric: string; readonly value: number }
  } | null
}

/** Checkpoints with a meaning: the best one, and the one to go back to when numbers overflow. */
export type Marks = Pick<TrainingState, 'best' | 'rollback'>

export interface CheckpointingOptions {
  readonly store: CheckpointStore
  readonly policy: Experiment['checkpoint']
  /** Checkpoints on schedule are never late: the bits of the run may come to depend on them. */
  readonly punctual: boolean
  /** Each epoch that is the best so far is saved: the run may end with its weights. */
  readonly keepsEveryBest: boolean
  readonly marks: Marks
  readonly onSaved: (saved: SavedCheckpoint) => void
  readonly onWarning: (message: string) => void
}

export class Checkpointing {
  readonly #store: CheckpointStore
  readonly #policy: Experiment['checkpoint']
  readonly #punctual: boolean
  readonly #keepsEveryBest: boolean
  readonly #onSaved: (saved: SavedCheckpoint) => void
  readonly #onWarning: (message: string) => void
  #writing: Promise<void> | undefined
  #due = false
  #lastMs = performance.now()
  #saved: SavedCheckpoint | undefined
  #marks: Marks
  #failure: string | undefined

  constructor({ store, policy, punctual, keepsEveryBest, marks, onSaved, onWarning }: CheckpointingOptions) {
    this.#store = store
    this.#policy = policy
    this.#punctual = punctual
    this.#keepsEveryBest = keepsEveryBest
    this.#marks = marks
    this.#onSaved = onSaved
    this.#onWarning = onWarning
  }

  /** The checkpoint with the best score, once it is whole. */
  get bestStep(): number | null {
    return this.#marks.best?.step ?? null
  }

  /** The checkpoint to go back to when numbers overflow; null: the beginning. */
  get rollbackStep(): number | null {
    return this.#marks.rollback
  }

  /** Why the newest attempt to save failed; undefined if it did not. */
  get failure(): string | undefined {
    return this.#failure
  }

  /** The run goes on from an earlier checkpoint, or from the beginning: what came after it does not count, and goes. */
  async goBackTo(step: number, marks: Marks): Promise<void> {
    this.#marks = marks
    this.#saved = undefined
    this.#due = false
    await this.#store.dropAfter(step).catch(error => {
      this.#onWarning(`checkpoints after step ${step} are not removed: ${error.message}`)
    })
  }

  /** The newest checkpoint of this process that is whole on disk. */
  get saved(): SavedCheckpoint | undefined {
    return this.#saved
  }

  /** Steps until the policy wants to look again: a span must not run past a multiple of `everySteps`. */
  stepsLeft(step: number): number {
    const { everySteps } = this.#policy
    return everySteps === null ? Number.POSITIVE_INFINITY : everySteps - (step % everySteps)
  }

  /** A checkpoint is wanted, whatever the policy says. */
  request(): void {
    this.#due = true
  }

  /** To be asked after every span; what is due stays due until it can be saved. */
  async isDue(moment: Moment): Promise<boolean> {
    const { everySeconds } = this.#policy
    const onSchedule = this.#isOnSchedule(moment) || (this.#keepsEveryBest && this.#isBetter(moment))
    this.#due ||= onSchedule || (everySeconds !== null && performance.now() - this.#lastMs >= 1000 * everySeconds)
    if (onSchedule && (this.#punctual || this.#keepsEveryBest)) await this.settled()
    return this.#due && this.#writing === undefined
  }

  #isOnSchedule({ step, epochEnd }: Moment): boolean {
    const { everyEpochs, everySteps } = this.#policy
    return (
      (everyEpochs !== null && epochEnd !== null && epochEnd.done % everyEpochs === 0) ||
      (everySteps !== null && step > 0 && step % everySteps === 0)
    )
  }

  /** Begins to write a snapshot; nobody may touch it until `settled`. A failure is a warning, and tried again. */
  begin(snapshot: StateSnapshot, moment: Moment): void {
    this.#due = false
    this.#lastMs = performance.now()
    this.#writing = this.#write(snapshot, moment)
      .catch(error => {
        this.#due = true
        const failure = `checkpoint of step ${moment.step} is not saved: ${error.message}`
        // Every span tries again: say it once.
        if (this.#failure === undefined) this.#onWarning(`${failure}; training goes on, and tries again`)
        this.#failure = failure
      })
      .finally(() => {
        this.#writing = undefined
      })
  }

  /** Waits for the write under way. */
  async settled(): Promise<void> {
    await this.#writing
  }

  /** Writes and waits; rejects if that fails. If this step has been saved already, that is enough. */
  async finish(snapshot: StateSnapshot, moment: Moment): Promise<SavedCheckpoint> {
    await this.settled()
    if (this.#saved?.step !== moment.step) {
      try {
        await this.#write(snapshot, moment)
      } catch (error) {
        this.#failure = `checkpoint of step ${moment.step} is not saved: ${(error as Error).message}`
        throw error
      }
    }
    return this.#saved!
  }

  async #write({ parameters, moments }: StateSnapshot, moment: Moment): Promise<void> {
    const started = performance.now()
    const { step } = moment
    const marks: Marks = {
      best: this.#bestWith(moment),
      rollback: this.#isOnSchedule(moment) ? step : this.#marks.rollback,
    }
    const { epochEnd, training, ...state } = moment
    const whole = { ...state, training: { ...training, ...marks } satisfies TrainingState }
    const best = marks.best?.step ?? null
    const digests = await this.#store.save(parameters, moments, whole, best)
    this.#marks = marks
    this.#failure = undefined
    this.#saved = { ...digests, step, file: this.#store.file(step), seconds: (performance.now() - started) / 1000 }
    this.#onSaved(this.#saved)
    await this.#store
      .prune({ best, rollback: this.#punctual ? marks.rollback : null }, this.#keepsEveryBest)
      .catch(error => {
        this.#onWarning(`old checkpoints are not removed: ${error.message}`)
      })
  }

  #bestWith(moment: Moment): BestCheckpoint | null {
    const { step, epochEnd } = moment
    return epochEnd !== null && this.#isBetter(moment) ? { step, ...epochEnd.score } : this.#marks.best
  }

  #isBetter({ epochEnd }: Moment): boolean {
    const { best } = this.#marks
    return epochEnd !== null && (best === null || epochEnd.score.value > best.value)
  }
}

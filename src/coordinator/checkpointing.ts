/**
 * When a run is saved, and how: a snapshot between two steps, then a write in the background while training goes on.
 * Main thread. One snapshot is kept at a time, as large as weights and moments together: a checkpoint that falls due
 * while the last one is being written waits for the end of a later span.
 */
import { performance } from 'node:perf_hooks'
import type { Experiment } from '../config/schema.js'
import type { CheckpointStore } from '../run/checkpoints.js'
import type { BestCheckpoint, TrainingState } from '../run/training-state.js'
import type { CheckpointState, Digests } from '../run/weights.js'
import type { StateSnapshot } from './session.js'

export interface SavedCheckpoint extends Digests {
  readonly step: number
  readonly file: string
}

/** A run between two steps, as a checkpoint records it; which checkpoint is the best is decided here. */
export interface Moment extends Omit<CheckpointState, 'training'> {
  readonly training: Omit<TrainingState, 'best'>
  /** Epochs done, if the step is the last of one, and the score that makes checkpoints better or worse. */
  readonly epochEnd: {
    readonly done: number
    readonly score: { readonly metric: string; readonly value: number }
  } | null
}

export class Checkpointing {
  readonly #store: CheckpointStore
  readonly #policy: Experiment['checkpoint']
  readonly #onWarning: (message: string) => void
  #writing: Promise<void> | undefined
  #due = false
  #lastMs = performance.now()
  #saved: SavedCheckpoint | undefined
  #best: BestCheckpoint | null

  constructor(
    store: CheckpointStore,
    policy: Experiment['checkpoint'],
    best: BestCheckpoint | null,
    onWarning: (message: string) => void,
  ) {
    this.#store = store
    this.#policy = policy
    this.#best = best
    this.#onWarning = onWarning
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
  isDue({ step, epochEnd }: Pick<Moment, 'step' | 'epochEnd'>): boolean {
    const { everyEpochs, everySteps, everySeconds } = this.#policy
    this.#due ||=
      (everyEpochs !== null && epochEnd !== null && epochEnd.done % everyEpochs === 0) ||
      (everySteps !== null && step % everySteps === 0) ||
      (everySeconds !== null && performance.now() - this.#lastMs >= 1000 * everySeconds)
    return this.#due && this.#writing === undefined
  }

  /** Begins to write a snapshot; nobody may touch it until `settled`. A failure is a warning, and tried again. */
  begin(snapshot: StateSnapshot, moment: Moment): void {
    this.#due = false
    this.#lastMs = performance.now()
    this.#writing = this.#write(snapshot, moment)
      .catch(error => {
        this.#due = true
        this.#onWarning(`checkpoint of step ${moment.step} is not saved: ${error.message}; training goes on`)
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
  async finish(snapshot: () => Promise<StateSnapshot>, moment: Moment): Promise<SavedCheckpoint> {
    await this.settled()
    if (this.#saved?.step !== moment.step) await this.#write(await snapshot(), moment)
    return this.#saved!
  }

  async #write({ parameters, moments }: StateSnapshot, moment: Moment): Promise<void> {
    const best = this.#bestWith(moment)
    const { epochEnd, training, ...state } = moment
    const whole = { ...state, training: { ...training, best } satisfies TrainingState }
    const digests = await this.#store.save(parameters, moments, whole, best?.step ?? null)
    this.#best = best
    this.#saved = { ...digests, step: moment.step, file: this.#store.file(moment.step) }
  }

  #bestWith({ step, epochEnd }: Moment): BestCheckpoint | null {
    if (epochEnd === null) return this.#best
    const { metric, value } = epochEnd.score
    return this.#best === null || value > this.#best.value ? { step, metric, value } : this.#best
  }
}

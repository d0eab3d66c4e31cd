/**
 * The end of a run: final weights, or the best ones if the run ends with them, final scores, `summary.json`.
 * Main thread.
 */
import type { RunError } from '../errors.js'
import { weightsSha256 } from '../run/checkpoint-file.js'
import type { RunSummary } from '../run/events.js'
import type { Scorer } from './scoring.js'
import type { StateSnapshot } from './session.js'
import { restoreFirst, startsIn } from './start.js'
import { endsWithBest, snapshotWhenSettled, type Training } from './training-context.js'

const NOTHING_SAVED = { weightsSha256: null, checkpoint: null } as const

type SavedFacts = Pick<RunSummary, 'weightsSha256' | 'checkpoint' | 'notSaved' | 'weightsStep'>

export class Finish {
  readonly #training: Training
  readonly #scorer: Scorer
  /** State after the best epoch of a run that has no directory to keep it in. */
  #bestCopy: { readonly step: number; readonly value: number; readonly state: StateSnapshot } | undefined

  constructor(training: Training, scorer: Scorer) {
    this.#training = training
    this.#scorer = scorer
  }

  /**
   * Copies the state after an epoch with this score if it is the best so far, the run ends with the best and has no directory. The
   * best is that of `Checkpointing.isNewBest`, whatever `minDelta`: a run ends with the same weights with and without a directory.
   */
  async keepBest(value: number | null): Promise<void> {
    const { directory, experiment, state } = this.#training
    if (directory || !endsWithBest(experiment) || value === null) return
    if (this.#bestCopy && value <= this.#bestCopy.value) return
    const { parameters, moments } = await snapshotWhenSettled(this.#training)
    const copied = (tensors: StateSnapshot['parameters']) =>
      tensors.map(({ name, shape, data }) => ({ name, shape, data: data.slice() }))
    this.#bestCopy = { step: state.step, value, state: { parameters: copied(parameters), moments: copied(moments) } }
  }

  /** Saves the final weights and writes the summary; `scores`: score the splits. Throws NonFiniteError. */
  async finish(status: 'completed' | 'interrupted', scores: boolean): Promise<RunSummary> {
    const { session, state, emit } = this.#training
    const running = session.meanOf(session.sums())
    const runningLoss = running && { loss: running.loss }
    emit({ type: 'finishing', what: 'save' })
    const last = await this.#save()
    const saved = status === 'completed' && scores ? { ...last, ...(await this.#takeBest()) } : last
    if (!scores) return this.#end({ ...state.facts(session, status), train: runningLoss, test: null, ...saved })
    emit({ type: 'finishing', what: 'evaluate' })
    const test = await this.#scorer.score('test', true)
    const train = status === 'completed' ? await this.#scorer.score('train') : runningLoss
    if (status === 'completed' && session.plan.rows.validation > 0) {
      state.validation = await this.#scorer.score('validation', true)
    }
    this.#scorer.report()
    const notFinite = [...this.#scorer.notFinite]
    return await this.#end({
      ...state.facts(session, status),
      train,
      ...(state.validation !== undefined && { validation: state.validation }),
      test,
      ...(notFinite.length > 0 && { notFinite }),
      ...saved,
    })
  }

  /** Records the failure, with the last good weights if there are any. The caller throws the error itself. */
  async fail(error: RunError, weightsAreWhole: boolean): Promise<void> {
    const { session, state, warn } = this.#training
    try {
      const saved = weightsAreWhole ? await this.#save().catch(() => NOTHING_SAVED) : NOTHING_SAVED
      await this.#end({ ...state.facts(session, 'failed'), error: error.message, train: null, test: null, ...saved })
    } catch (second) {
      warn(`the failure could not be recorded: ${(second as Error).message}`)
    }
  }

  /** Restores the weights of the best epoch, if the run is to end with them and they are not the last. */
  async #takeBest(): Promise<Partial<SavedFacts>> {
    const { session, state, experiment, directory, checkpointing, warn } = this.#training
    if (!endsWithBest(experiment)) return {}
    const step = directory ? checkpointing!.bestStep : (this.#bestCopy?.step ?? null)
    if (step === null || step === state.step) return {}
    let checkpoint: string | null = null
    if (directory) {
      const [start] = await startsIn(directory.checkpoints, warn, step)
      if (start?.checkpoint.step !== step || !(await restoreFirst(session, [start], warn))) {
        warn(`the weights of step ${step}, the best, cannot be read; the run keeps the last ones`)
        return {}
      }
      checkpoint = directory.relative(start.file)
    } else await session.restore(async into => copyState(into, this.#bestCopy!.state))
    const { parameters } = await snapshotWhenSettled(this.#training)
    return { weightsSha256: await weightsSha256(parameters), checkpoint, weightsStep: step }
  }

  /** Saves the final weights if the disk allows it: training is done, and its result must not be lost over a file. */
  async #save(): Promise<SavedFacts> {
    const { session, state, experiment, directory, checkpointing, warn } = this.#training
    // Take a snapshot in any case: it finds weights that are not finite.
    const snapshot = await snapshotWhenSettled(this.#training)
    const point = state.point(session)
    const isWanted = checkpointing !== null && (experiment.checkpoint.atEnd || checkpointing.isNewBest(point))
    if (isWanted) {
      try {
        const { weightsSha256, file } = await checkpointing.finish(snapshot, point)
        return { weightsSha256, checkpoint: directory!.relative(file) }
      } catch (error) {
        warn(`the final weights are not saved: ${(error as Error).message}`)
      }
    }
    const file = checkpointing?.saved?.file
    return {
      weightsSha256: await weightsSha256(snapshot.parameters),
      checkpoint: file === undefined ? null : directory!.relative(file),
      ...(isWanted && { notSaved: checkpointing.failure ?? 'the final weights' }),
    }
  }

  async #end(facts: RunSummary): Promise<RunSummary> {
    const { directory, warn, emit } = this.#training
    let summary = facts
    try {
      await directory?.writeSummary(summary)
    } catch (error) {
      warn((error as Error).message)
      summary = { ...facts, notSaved: facts.notSaved ?? (error as Error).message }
    }
    emit({ type: 'end', summary })
    return summary
  }
}

function copyState(into: StateSnapshot, from: StateSnapshot): void {
  for (const part of ['parameters', 'moments'] as const) {
    into[part].forEach(({ data }, i) => {
      data.set(from[part][i].data)
    })
  }
}

/**
 * Mini-batches whose loss, gradient or deltas are not finite, by `train.onNonFinite`: the run stops, skips them, or
 * rolls back with a smaller learning rate. Main thread. Scores are handled in scoring.ts.
 */
import { RunError } from '../errors.js'
import { formatCount } from '../format.js'
import { stepsPerEpoch } from '../worker/plan/clock.js'
import { faultText, isOfState } from '../worker/plan/faults.js'
import { goBack } from './recovery.js'
import { NO_SUMS } from './run-state.js'
import type { Training } from './training-context.js'

/** Steps that a warning names one by one. */
const NAMED_STEPS = 3

export class NonFiniteSteps {
  readonly #training: Training
  /** Steps skipped since the last report, and the fault of the first of them. */
  #skipped: number[] = []
  #fault = ''
  #warned = false

  constructor(training: Training) {
    this.#training = training
  }

  /**
   * Continues without the step that has the fault `code`, by the experiment's policy. Throws RunError if the policy is to
   * stop, if it has been applied too often, or if the weights themselves are not finite, which no skip can repair.
   */
  async leaveOut(code: number): Promise<void> {
    const { experiment, session, state } = this.#training
    const { onNonFinite: action, maxNonFinite, rollbackFactor } = experiment.train
    const at = state.step
    const error = state.faultError(session, code)
    session.clearFault()
    if (action === 'stop' || (action === 'skip' && isOfState(code))) throw error
    if (state.nonFinite === maxNonFinite) {
      throw new RunError(`${error.message}; train.maxNonFinite is ${maxNonFinite}`, { hint: error.hint })
    }
    const count = state.nonFinite + 1
    let rateFactor = state.backoff
    if (action === 'skip') this.#skip()
    else {
      rateFactor *= rollbackFactor
      await goBack(this.#training, (await this.#training.checkpointing?.rollbackStep(at)) ?? -1)
    }
    state.nonFinite = count
    state.backoff = rateFactor
    const fault = faultText(code)
    if (action === 'skip') this.#note(at, fault, error.message)
    else {
      const rate = `${rateFactor.toPrecision(3)} times the learning rate`
      this.#training.warn(`${error.message}; training continues from step ${state.step} with ${rate}`)
    }
    this.#training.emit({ type: 'non-finite', step: state.step, at, action, fault, count, rateFactor })
  }

  /** Emits one warning for all steps skipped since the last report; called at the end of every epoch. */
  report(): void {
    const steps = this.#skipped
    this.#skipped = []
    if (steps.length === 0) return
    const { session, warn } = this.#training
    const perEpoch = stepsPerEpoch(session.plan)
    const epoch = Math.floor(steps[0] / perEpoch) + 1
    const named = steps.slice(0, NAMED_STEPS).join(', ')
    const more = steps.length > NAMED_STEPS ? ` and ${formatCount(steps.length - NAMED_STEPS)} more` : ''
    const what = steps.length === 1 ? '1 mini-batch was' : `${formatCount(steps.length)} mini-batches were`
    warn(`training: epoch ${epoch}: ${what} skipped, at step ${named}${more}; the first: ${this.#fault}`)
  }

  /** Counts the step as done, with none of its rows in the sums. */
  #skip(): void {
    const { session, state } = this.#training
    const sums = state.step % stepsPerEpoch(session.plan) === 0 ? NO_SUMS : session.sums()
    state.step++
    session.setSums({ ...sums, step: state.step })
  }

  /** Warns at once of the first step that is skipped; the others of its epoch are reported together. */
  #note(at: number, fault: string, message: string): void {
    if (!this.#warned) {
      this.#warned = true
      this.#training.warn(`${message}; the mini-batch is skipped`)
      return
    }
    if (this.#skipped.length === 0) this.#fault = fault
    this.#skipped.push(at)
  }
}

/**
 * Scores of whole splits during a run and at its end. Main thread; the workers compute. A score that is not finite
 * is null, an event and a warning: it changes nothing about training.
 */

import { type ScoreName, scoreNamesOf, scoreOfMetric } from '../config/scores.js'
import { formatCount } from '../format.js'
import type { Score } from '../run/events.js'
import { faultText } from '../worker/plan/faults.js'
import type { Split } from '../worker/plan/run-plan.js'
import type { Training } from './training-context.js'

export class Scorer {
  readonly #training: Training
  #warnedOfUndefined = false
  /** Number of scores of a split that were not finite. */
  readonly #faults = new Map<Split, number>()

  constructor(training: Training) {
    this.#training = training
  }

  /** Splits whose last score was not finite. */
  readonly notFinite = new Set<Split>()

  /**
   * Score of a split; null: not finite, or an empty split. The sums of the epoch are preserved. `all`: with every score of
   * the task, else with the one that epochs are compared by.
   */
  async score(split: Split, all = false): Promise<Score | null> {
    const { session, restarts, experiment } = this.#training
    const judged = split === 'validation' ? scoreOfMetric(experiment.checkpoint.bestMetric) : null
    if (session.plan.rows[split] === 0) return null
    const sums = session.sums()
    try {
      const result = await restarts.repeat(session, () =>
        session.score(split, all ? scoreNamesOf(session.task) : judged === null ? [] : [judged]),
      )
      if (result.kind === 'score-fault') return this.#note(result.split, result.code)
      this.notFinite.delete(split)
      if (judged !== null && !all) this.#noteUndefined(judged, result.score)
      return result.score
    } finally {
      session.setSums(sums)
    }
  }

  /** Warns how often a score was not finite, if more than once. */
  report(): void {
    for (const [split, count] of this.#faults) {
      if (count > 1) this.#training.warn(`the ${split} score was not finite ${formatCount(count)} times`)
    }
    this.#faults.clear()
  }

  /** Warns once if epochs cannot be compared: the score that they are judged by is undefined for the validation rows. */
  #noteUndefined(name: ScoreName, { [name]: value, reasons }: Score): void {
    if (typeof value === 'number' || this.#warnedOfUndefined) return
    this.#warnedOfUndefined = true
    const { warn, experiment } = this.#training
    const why = reasons?.[name] ?? 'the data have several targets'
    warn(
      `checkpoint.bestMetric is "${experiment.checkpoint.bestMetric}", which is undefined for the validation rows: ${why}; no epoch counts as the best`,
    )
  }

  #note(split: Split, code: number): null {
    const { state, emit, warn } = this.#training
    const fault = faultText(code)
    this.notFinite.add(split)
    const count = (this.#faults.get(split) ?? 0) + 1
    this.#faults.set(split, count)
    emit({ type: 'score-fault', step: state.step, split, fault })
    if (count === 1) {
      warn(`scoring the ${split} split after step ${state.step}: ${fault}; the score is left empty`)
    }
    return null
  }
}

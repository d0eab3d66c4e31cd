/**
 * Scores of whole splits during a run and at its end. Main thread; the workers compute. A score that is not finite
 * is null, an event and a warning: it changes nothing about training.
 */
import { formatCount } from '../format.js'
import type { Score } from '../run/events.js'
import { faultText } from '../worker/plan/faults.js'
import type { Split } from '../worker/plan/run-plan.js'
import type { Training } from './training-context.js'

export class Scorer {
  readonly #training: Training
  /** Number of scores of a split that were not finite. */
  readonly #faults = new Map<Split, number>()

  constructor(training: Training) {
    this.#training = training
  }

  /** Splits whose last score was not finite. */
  readonly notFinite = new Set<Split>()

  /** Score of a split; null: not finite, or an empty split. The sums of the epoch are preserved. */
  async score(split: Split): Promise<Score | null> {
    const { session, restarts } = this.#training
    if (session.plan.rows[split] === 0) return null
    const sums = session.sums()
    try {
      const result = await restarts.repeat(session, () => session.score(split))
      if (result.kind === 'score-fault') return this.#note(result.split, result.code)
      this.notFinite.delete(split)
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

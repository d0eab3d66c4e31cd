/** Replaces failed workers, up to a limit. Main thread. */
import { RunError, WorkerError } from '../errors.js'
import type { Session } from './session.js'

export class Restarts {
  readonly #most: number
  readonly #onRestart: (message: string) => void
  #count = 0

  constructor(most: number, onRestart: (message: string) => void) {
    this.#most = most
    this.#onRestart = onRestart
  }

  /** Number of restarts so far. */
  get count(): number {
    return this.#count
  }

  /**
   * Replaces the workers after `error`. Throws it if no worker is to blame, or if the limit is reached.
   * Returns whether the state in memory is that of a step's end.
   */
  async restart(session: Session, error: unknown): Promise<{ readonly stateIsWhole: boolean }> {
    if (!(error instanceof WorkerError) || this.#most === 0) throw error
    if (this.#count === this.#most) {
      throw new RunError(`${error.message}; gave up after ${this.#count} restarts`, {
        cause: error,
        hint: 'compute.maxRestarts is the limit',
      })
    }
    this.#count++
    this.#onRestart(`${error.message}; workers are replaced (restart ${this.#count} of at most ${this.#most})`)
    try {
      return await session.restart()
    } catch (again) {
      return this.restart(session, again)
    }
  }

  /** Repeats an action that can start again from its beginning: it changes no state, or replaces all of it. */
  async repeat<T>(session: Session, act: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await act()
      } catch (error) {
        await this.restart(session, error)
      }
    }
  }
}

/**
 * Callbacks of a program that trains: whatever goes wrong in them ends the run after the current step, with its weights saved, and never
 * the process. Main thread.
 */
import { RunError } from '../errors.js'
import type { TrainEvent } from '../run/events.js'

interface Given {
  readonly onEvent?: ((event: TrainEvent) => unknown) | undefined
  readonly onWarning?: ((message: string) => unknown) | undefined
}

export class Callbacks {
  readonly #given: Given
  readonly #onFailure: () => void
  #failure: RunError | null = null
  #isClosed = false

  /** `onFailure`: called for the first callback that fails. */
  constructor(given: Given, onFailure: () => void) {
    this.#given = given
    this.#onFailure = onFailure
  }

  event(event: TrainEvent): void {
    this.#call(`onEvent: the callback failed at event "${event.type}"`, () => this.#given.onEvent?.(event))
  }

  warning(message: string): void {
    this.#call('onWarning: the callback failed', () => this.#given.onWarning?.(message))
  }

  get hasFailed(): boolean {
    return this.#failure !== null
  }

  /** Throws the error of the first callback that failed, with a hint. */
  expectNone(hint: string): void {
    if (this.#failure !== null) throw new RunError(this.#failure.message, { cause: this.#failure.cause, hint })
  }

  /** The run is over: promises that are rejected later become warnings of the process. */
  close(): void {
    this.#isClosed = true
  }

  /** Functions that return promises are called too, although nobody waits for them. */
  #call(what: string, call: () => unknown): void {
    try {
      const result = call()
      if (result instanceof Promise) result.catch(cause => this.#fail(what, cause))
    } catch (cause) {
      this.#fail(what, cause)
    }
  }

  #fail(what: string, cause: unknown): void {
    const text = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause)
    const message = `${what}: ${text}`
    if (this.#isClosed) process.emitWarning(message)
    else if (this.#failure === null) {
      this.#failure = new RunError(message, { cause })
      this.#onFailure()
    }
  }
}

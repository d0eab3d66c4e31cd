/**
 * Batches concurrent requests: while one batch is evaluated, the next one collects. Nobody waits for a timer, and batches
 * grow with the load. Any thread.
 */
import { TooBusyError } from './errors.js'

export interface BatcherOptions<Question, Answer> {
  /** Evaluates a batch; results in the order of the inputs. */
  readonly ask: (questions: readonly Question[]) => Promise<readonly Answer[]>
  readonly mostInBatch: number
  /** Inputs that may wait; more are refused, so that memory stays bounded. */
  readonly mostWaiting: number
}

interface Waiting<Question, Answer> {
  readonly question: Question
  readonly resolve: (answer: Answer) => void
  readonly reject: (cause: unknown) => void
}

export class Batcher<Question, Answer> {
  readonly #options: BatcherOptions<Question, Answer>
  #waiting: Waiting<Question, Answer>[] = []
  #busy = false

  constructor(options: BatcherOptions<Question, Answer>) {
    this.#options = options
  }

  /** Queues all inputs or none: throws TooBusyError where there is no room; rejects with what `ask` rejects with. */
  async askAll(questions: readonly Question[]): Promise<Answer[]> {
    const { mostWaiting } = this.#options
    if (this.#waiting.length + questions.length > mostWaiting) {
      throw new TooBusyError(`images: ${this.#waiting.length} are waiting, expected at most ${mostWaiting} with yours`)
    }
    const answers = questions.map(
      question =>
        new Promise<Answer>((resolve, reject) => {
          this.#waiting.push({ question, resolve, reject })
        }),
    )
    if (!this.#busy) {
      this.#busy = true
      // Inputs that arrive in this turn of the event loop join the same batch.
      setImmediate(() => void this.#work())
    }
    return Promise.all(answers)
  }

  /** Evaluates batches until nobody waits. Never rejects. */
  async #work(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, this.#options.mostInBatch)
      try {
        const answers = await this.#options.ask(batch.map(({ question }) => question))
        for (const [i, { resolve }] of batch.entries()) resolve(answers[i])
      } catch (error) {
        for (const { reject } of batch) reject(error)
      }
    }
    this.#busy = false
  }
}

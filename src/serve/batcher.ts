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

/** Inputs that were asked together; they may be in several batches. */
interface Group<Answer> {
  readonly answers: Answer[]
  /** Inputs that are not answered. */
  left: number
  readonly resolve: (answers: Answer[]) => void
  readonly reject: (cause: unknown) => void
}

interface Waiting<Question, Answer> {
  readonly question: Question
  readonly group: Group<Answer>
  /** Place of the answer in its group. */
  readonly place: number
}

export class Batcher<Question, Answer> {
  readonly #options: BatcherOptions<Question, Answer>
  #waiting: Waiting<Question, Answer>[] = []
  #busy = false

  constructor(options: BatcherOptions<Question, Answer>) {
    this.#options = options
  }

  /** Queues all inputs or none: rejects with TooBusyError where there is no room, and with what `ask` rejects with. */
  askAll(questions: readonly Question[]): Promise<Answer[]> {
    return new Promise((resolve, reject) => {
      const { mostWaiting } = this.#options
      const waiting = this.#waiting.length
      if (waiting + questions.length > mostWaiting) {
        throw new TooBusyError(`images: ${waiting} are waiting, expected at most ${mostWaiting} with yours`)
      }
      if (questions.length === 0) resolve([])
      const group = { answers: new Array<Answer>(questions.length), left: questions.length, resolve, reject }
      for (let place = 0; place < questions.length; place++) {
        this.#waiting.push({ question: questions[place], group, place })
      }
      if (this.#busy) return
      this.#busy = true
      // Inputs that arrive in this turn of the event loop join the same batch.
      setImmediate(() => void this.#work())
    })
  }

  /** Evaluates batches until nobody waits. Never rejects. */
  async #work(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, this.#options.mostInBatch)
      try {
        const answers = await this.#options.ask(batch.map(({ question }) => question))
        for (let i = 0; i < batch.length; i++) {
          const { group, place } = batch[i]
          group.answers[place] = answers[i]
          if (--group.left === 0) group.resolve(group.answers)
        }
      } catch (error) {
        for (const { group } of batch) group.reject(error)
      }
    }
    this.#busy = false
  }
}

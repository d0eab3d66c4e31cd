/**
 * Threads that run the network of a `Predictor`: they share its weights, and end with it. Calling thread.
 *
 * Letters: `B` samples, `F` features of one, `K` outputs.
 */
import { Piscina } from 'piscina'
import type { Features } from '../data/source.js'
import { weightCount } from '../model/parameters.js'
import type { SharedModel } from './forward.js'
import { answerOf, type Outcome } from './outcome.js'
import type { ThreadData } from './predict-thread.js'
import { PASS_ROWS } from './thread-layouts.js'

/** Work of a task, in multiplications, beside which a message costs little. */
const TASK_WORK = 2e7

/**
 * Threads of `file`, each with `data` as its workerData; `fewest` start now, and up to `most` when there is work. They live until the
 * pool is destroyed, and keep their batch buffers.
 */
export function startThreads<Task, Answer>(
  file: URL,
  data: Omit<ThreadData, 'begun'>,
  fewest: number,
  most: number,
): Piscina<Task, Answer> {
  const begun = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))
  return new Piscina({
    filename: file.href,
    ...{ minThreads: fewest, maxThreads: most, idleTimeout: Number.POSITIVE_INFINITY },
    ...{ workerData: { ...data, begun }, recordTiming: false, execArgv: [] },
  })
}

export class PredictPool {
  readonly #piscina: Piscina<Features, Outcome<Float32Array>>
  /** Rows of a task: a multiple of those of a pass, so that answers do not depend on the number of threads. */
  readonly #taskRows: number
  /** Calls that are not answered. */
  readonly #calls = new Set<Promise<unknown>>()

  /** `threads`: at most one less than the plan of the model has workers. */
  constructor(model: SharedModel, threads: number) {
    this.#piscina = startThreads(new URL('./predict-thread.js', import.meta.url), { model }, 0, threads)
    this.#taskRows = PASS_ROWS * Math.ceil(TASK_WORK / weightCount(model.plan.widths) / PASS_ROWS)
  }

  /** Outputs (B, K) of samples (B, F) of `features` numbers each; the samples may be changed once this has returned. */
  async outputs(samples: Features, features: number, outputs: number): Promise<Float32Array> {
    const rows = samples.length / features
    const out = new Float32Array(rows * outputs)
    const tasks = Array.from({ length: Math.ceil(rows / this.#taskRows) }, async (_, task) => {
      const first = task * this.#taskRows
      const part = samples.slice(first * features, (first + this.#taskRows) * features)
      const answer = this.#piscina.run(part, { transferList: [part.buffer as ArrayBuffer] })
      out.set(answerOf(await answer), first * outputs)
    })
    const call = Promise.allSettled(tasks)
    this.#calls.add(call)
    try {
      await Promise.all(tasks)
    } finally {
      void call.then(() => this.#calls.delete(call))
    }
    return out
  }

  /** Waits for calls that are not answered: a thread must not be ended inside a library. */
  async close(): Promise<void> {
    while (this.#calls.size > 0) await Promise.all(this.#calls)
    await this.#piscina.destroy()
  }
}

/**
 * Threads that run the network of a `Predictor`: they share its weights, and end with it. Calling thread.
 *
 * Letters: `B` samples, `F` features of one, `K` outputs.
 */
import { Piscina } from 'piscina'
import type { Features } from '../data/source.js'
import { multiplications } from '../model/parameters.js'
import { viewSlot } from '../tensor/arena.js'
import type { Layout } from '../worker/plan/layout.js'
import { copyActivations, refuseFault, type SharedModel } from './forward.js'
import { answerOf, type Outcome } from './outcome.js'
import type { ThreadData } from './predict-thread.js'
import { endPass, faultOfPass, openPass } from './shared-pass.js'
import { PASS_ROWS } from './thread-layouts.js'

/** Work of a task, in multiplications, beside which a message costs little. */
const TASK_WORK = 2e7
/** Least work of a call, in products, that pays for a message to every thread and a wait after each layer. */
const SHARED_WORK = 1e8

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
  readonly #piscina: Piscina<Features | null, Outcome<Float32Array | null>>
  readonly #model: SharedModel
  /** Batch buffers of a pass that all threads run together. */
  readonly #shared: Layout
  readonly #threads: number
  /** Rows of a task: a multiple of those of a pass, so that answers do not depend on the number of threads. */
  readonly #taskRows: number
  /** Calls that are not answered. */
  readonly #calls = new Set<Promise<unknown>>()

  /** `threads`: at most one less than the plan of the model has workers. */
  constructor(model: SharedModel, shared: Layout, threads: number) {
    this.#model = model
    this.#shared = shared
    this.#threads = threads
    this.#piscina = startThreads(new URL('./predict-thread.js', import.meta.url), { model }, 0, threads)
    this.#taskRows = PASS_ROWS * Math.ceil(TASK_WORK / multiplications(model.plan) / PASS_ROWS)
  }

  /** Outputs (B, K) of samples (B, F) of `features` numbers each, which nobody may change until this has resolved. */
  async outputs(samples: Features, features: number, outputs: number): Promise<Float32Array> {
    const rows = samples.length / features
    const out = new Float32Array(rows * outputs)
    const work = this.#isForAll(rows)
      ? [this.#together(samples, features, out)]
      : Array.from({ length: Math.ceil(rows / this.#taskRows) }, (_, task) => {
          const first = task * this.#taskRows
          return this.#inOneThread(
            samples.slice(first * features, (first + this.#taskRows) * features),
            out.subarray(first * outputs),
          )
        })
    const call = Promise.allSettled(work)
    this.#calls.add(call)
    try {
      await Promise.all(work)
    } finally {
      void call.then(() => this.#calls.delete(call))
    }
    return out
  }

  /** True for work that is too little for a task of each thread, and enough to be shared, if no other call needs threads. */
  #isForAll(rows: number): boolean {
    if (this.#threads === 1 || this.#calls.size > 0 || rows > PASS_ROWS * (this.#threads - 1)) return false
    return rows * multiplications(this.#model.plan) >= SHARED_WORK
  }

  async #inOneThread(samples: Features, out: Float32Array): Promise<void> {
    const answer = this.#piscina.run(samples, { transferList: [samples.buffer as ArrayBuffer] })
    out.set(answerOf(await answer)!)
  }

  /** One pass after the other, each run by all threads. */
  async #together(samples: Features, features: number, out: Float32Array): Promise<void> {
    const { memory, plan, together } = this.#model
    const into = viewSlot<'uint8' | 'float32'>(memory, this.#shared.features.test).data // (PASS_ROWS, F)
    const rows = samples.length / features
    for (let first = 0; first < rows; first += PASS_ROWS) {
      const count = Math.min(PASS_ROWS, rows - first)
      into.set(samples.subarray(first * features, (first + count) * features))
      openPass(together, count)
      // Waits for all: who comes late must not meet the next pass's buffers half written.
      const threads = Array.from({ length: this.#threads }, async () => {
        try {
          answerOf(await this.#piscina.run(null))
        } catch (error) {
          endPass(together)
          throw error
        }
      })
      for (const thread of await Promise.allSettled(threads)) if (thread.status === 'rejected') throw thread.reason
      refuseFault(this.#model, faultOfPass(together))
      copyActivations(this.#model, this.#shared, out, plan.widths.length - 1, first, count)
    }
  }

  /** Waits for calls that are not answered: a thread must not be ended inside a library. */
  async close(): Promise<void> {
    while (this.#calls.size > 0) await Promise.all(this.#calls)
    await this.#piscina.destroy()
  }
}

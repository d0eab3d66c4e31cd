/**
 * Training as a library user sees it: a promise of the result, its events one by one, and a way to stop it. Main thread.
 */
import { type LoadedExperiment, resolveExperiment } from '../config/load.js'
import type { ExperimentInput } from '../config/schema.js'
import type { EpochEvent, RunSummary, TrainEvent } from '../run/events.js'
import { type TrainOptions, train as trainExperiment } from './new-run.js'

/** Result of a run, with its history. */
export interface TrainResult extends RunSummary {
  /** One entry for each epoch, oldest first. */
  readonly history: readonly EpochRecord[]
  /** Absolute path of the run directory; null for a run that writes no files. */
  readonly runDir: string | null
}

/** An epoch of the history: training scores are those of the epoch's own steps, validation scores those after it. */
export type EpochRecord = Omit<EpochEvent, 'type' | 'epochs'>

/**
 * A run in progress. `await` it for the result, or read its events with `for await`; both may be done. Leaving the loop
 * early does not stop the training.
 */
export interface TrainingRun extends Promise<TrainResult>, AsyncIterable<TrainEvent>, AsyncDisposable {
  /** Ends the run after the current step, with status "interrupted" and the weights saved. */
  stop(): void
}

/**
 * Trains an experiment: a loaded one, or an object as in an experiment file. Rejects with ConfigError or DataError before
 * any thread starts; with RunError if training fails, after the failure is in `summary.json`.
 */
export function train(experiment: LoadedExperiment | ExperimentInput, options: TrainOptions = {}): TrainingRun {
  const stop = new AbortController()
  const events = new EventQueue()
  const history: EpochRecord[] = []
  let runDir: string | null = null
  const onEvent = (event: TrainEvent): unknown => {
    if (event.type === 'start') runDir = event.runDir
    if (event.type === 'epoch') {
      const { type: _, epochs: __, ...record } = event
      history.push(record)
    }
    events.push(event)
    return options.onEvent?.(event)
  }
  const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal
  const run = async (): Promise<TrainResult> => {
    const loaded = isLoaded(experiment) ? experiment : resolveExperiment(experiment)
    const summary = await trainExperiment(loaded, { ...options, signal, onEvent })
    return { ...summary, history, runDir }
  }
  const result = run()
  result.then(
    () => events.end(),
    error => events.fail(error),
  )
  return Object.assign(result, {
    stop: () => stop.abort(),
    [Symbol.asyncIterator]: () => events.iterate(result),
    async [Symbol.asyncDispose]() {
      stop.abort()
      await result.catch(() => {}) // the error goes to the caller that awaits the run
    },
  })
}

const isLoaded = (experiment: LoadedExperiment | ExperimentInput): experiment is LoadedExperiment =>
  typeof experiment === 'object' && experiment !== null && 'experiment' in experiment && 'baseDir' in experiment

/** Queue of events for readers that may start at any time; each has its own position. Unread progress is replaced by newer. */
class EventQueue {
  readonly #readers = new Set<Reader>()
  #end: { readonly error: unknown } | 'ended' | null = null

  push(event: TrainEvent): void {
    for (const reader of this.#readers) reader.push(event)
  }

  end(): void {
    this.#end = 'ended'
    for (const reader of this.#readers) reader.wake()
  }

  fail(error: unknown): void {
    this.#end = { error }
    for (const reader of this.#readers) reader.wake()
  }

  /** Events from now on. A failure of `run` is thrown to the reader, and so is not an unhandled rejection. */
  iterate(run: Promise<unknown>): AsyncGenerator<TrainEvent, void, undefined> {
    run.catch(() => {})
    const reader = new Reader()
    this.#readers.add(reader)
    return this.#events(reader)
  }

  async *#events(reader: Reader): AsyncGenerator<TrainEvent, void, undefined> {
    try {
      for (;;) {
        const event = reader.take()
        if (event !== undefined) yield event
        else if (this.#end === 'ended') return
        else if (this.#end !== null) throw this.#end.error
        else await reader.next()
      }
    } finally {
      this.#readers.delete(reader)
    }
  }
}

class Reader {
  readonly #events: TrainEvent[] = []
  #wake: (() => void) | null = null

  push(event: TrainEvent): void {
    if (event.type === 'progress' && this.#events.at(-1)?.type === 'progress') this.#events.pop()
    this.#events.push(event)
    this.wake()
  }

  take(): TrainEvent | undefined {
    return this.#events.shift()
  }

  wake(): void {
    this.#wake?.()
    this.#wake = null
  }

  next(): Promise<void> {
    return new Promise(resolve => {
      this.#wake = resolve
    })
  }
}

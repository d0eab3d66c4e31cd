/**
 * Live page of a run in this process, for `train --live`: a server in a thread of its own reads what the run writes. Main
 * thread; while steps run it only forwards progress, twice a second.
 */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { ConfigError } from '../errors.js'
import type { TrainEvent } from '../run/events.js'
import type { FromLive, ToLive } from './live-thread.js'

/** Interval of progress messages; the page shows no more. */
const PROGRESS_MS = 500
/** Time after which a thread that does not stop by itself is terminated. */
const STOP_MS = 15_000

export class LivePage {
  /** URL such as `http://127.0.0.1:4747/watch`. */
  readonly url: string
  readonly #thread: Worker
  readonly #onWarning: (message: string) => void
  #sentMs = Number.NEGATIVE_INFINITY
  #closing = false

  private constructor(url: string, thread: Worker, onWarning: (message: string) => void) {
    this.url = url
    this.#thread = thread
    this.#onWarning = onWarning
    // Training continues without its page.
    thread.on('error', error => this.#onWarning(`the live page is gone: ${error.message}`))
    thread.unref()
  }

  /** Starts the server; rejects with ConfigError where it cannot listen. */
  static async open(port: number | null, onWarning: (message: string) => void): Promise<LivePage> {
    const thread = new Worker(new URL('./live-thread.js', import.meta.url), { workerData: { port }, name: 'live page' })
    const [answer] = (await once(thread, 'message')) as [FromLive]
    if ('failed' in answer)
      throw new ConfigError(answer.failed.replace('gradloom serve', 'gradloom train --live'), { hint: answer.hint })
    return new LivePage(answer.url, thread, onWarning)
  }

  /** Forwards an event of `train`. */
  show(event: TrainEvent): void {
    if (event.type === 'start' && event.runDir !== null) this.#post({ runDir: event.runDir })
    if (event.type !== 'progress') return
    const now = performance.now()
    if (now - this.#sentMs < PROGRESS_MS) return
    this.#sentMs = now
    this.#post({ progress: event })
  }

  /** Sends the end of the run to all pages, then stops the server. */
  async close(): Promise<void> {
    if (this.#closing) return
    this.#closing = true
    const ended = once(this.#thread, 'exit')
    this.#thread.ref()
    this.#post({ stop: true })
    const timer = setTimeout(() => void this.#thread.terminate(), STOP_MS)
    await ended.catch(() => undefined) // told already
    clearTimeout(timer)
  }

  #post(message: ToLive): void {
    this.#thread.postMessage(message)
  }
}

/**
 * Connection to one worker. Main thread. comlink's promises never settle when a worker dies; here every call
 * is tied to the task that hosts the worker, so that it rejects instead.
 */
import { MessageChannel } from 'node:worker_threads'
import { type Endpoint, type Remote, releaseProxy, wrap } from 'comlink'
import type { HostTask, TrainWorker } from '../worker/threads/protocol.js'

export class WorkerLink {
  readonly id: number
  readonly #remote: Remote<TrainWorker>
  readonly #port: MessageChannel['port1']
  readonly #hosted: Promise<void>
  readonly #inFlight = new Set<(cause: Error) => void>()
  #gone: Error | undefined

  /** `host` starts the task in a thread and resolves when the task ends. */
  constructor(id: number, host: (task: HostTask, transfer: MessageChannel['port2'][]) => Promise<unknown>) {
    this.id = id
    const { port1, port2 } = new MessageChannel()
    this.#port = port1
    this.#remote = wrap<TrainWorker>(port1 as unknown as Endpoint)
    this.#hosted = host({ port: port2 }, [port2]).then(
      () => this.#lose(new Error('left the pool')),
      (error: Error) => this.#lose(error),
    )
  }

  /** Calls the worker. Rejects if the call throws there, or if the worker dies: with the cause, naming the worker. */
  call<T>(what: string, send: (worker: Remote<TrainWorker>) => PromiseLike<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const fail = (cause: Error) => reject(new LinkError(this.id, what, cause))
      if (this.#gone) {
        fail(this.#gone)
        return
      }
      this.#inFlight.add(fail)
      Promise.resolve(send(this.#remote))
        .then(resolve, fail)
        .finally(() => this.#inFlight.delete(fail))
        .catch(reject)
    })
  }

  /** Ends the hosting task; resolves when it has ended. */
  async close(): Promise<void> {
    if (!this.#gone) this.#remote[releaseProxy]()
    this.#port.close()
    await this.#hosted
  }

  #lose(cause: Error): void {
    this.#gone = cause
    for (const fail of this.#inFlight) fail(cause)
    this.#inFlight.clear()
    this.#port.close()
  }
}

/** Failure of a call to a worker. */
export class LinkError extends Error {
  readonly worker: number
  /** True if the worker only left because another one failed. */
  readonly aborted: boolean

  constructor(worker: number, what: string, cause: Error) {
    super(`worker ${worker}: ${what}: ${cause.message}`, { cause })
    this.name = 'LinkError'
    this.worker = worker
    this.aborted = cause.name === 'AbortedError'
  }
}

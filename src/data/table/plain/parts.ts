/** Parts of a scan that this thread and others do. Main thread. */
import { setImmediate } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { type PlainPart, type PlainTask, stop } from './blocks.js'
import type { StoredTask } from './parquet-blocks.js'

export interface PlainOptions {
  /** Most bytes of values to keep. */
  readonly keepBytes: number
  readonly threads: number
  readonly onRows: (rows: number) => void
}

/** This thread's part; other things get a turn after each block. */
export async function partOf(
  blocks: Generator<number, PlainPart | null, undefined>,
  control: SharedArrayBuffer,
  onRows: (rows: number) => void,
): Promise<PlainPart | null> {
  try {
    for (;;) {
      const { done, value } = blocks.next()
      if (done === true) return value
      onRows(value)
      await setImmediate()
    }
  } catch (error) {
    stop(new Int32Array(control))
    throw error
  }
}

/** Length and MD5 of a file, as it lies there. */
export interface PlainDigest {
  readonly bytes: number
  readonly md5: string
}

/** Other threads of a scan. Each waits after its part: the first may be asked for the digests of the files. */
export class ScanThreads {
  readonly parts: readonly Promise<PlainPart | null>[]
  readonly #threads: readonly Worker[]

  constructor(task: PlainTask | StoredTask, count: number) {
    const url = new URL('./scan-thread.js', import.meta.url)
    this.#threads = Array.from({ length: count }, () => new Worker(url, { workerData: task, execArgv: [] }))
    this.parts = this.#threads.map(thread => answerOf<PlainPart | null>(thread))
  }

  /** Digests of files; null: there is no thread that could take them. The threads end. Call it when all parts are there. */
  digests(paths: readonly string[]): Promise<PlainDigest[]> | null {
    const [first, ...others] = this.#threads
    for (const thread of others) thread.postMessage(null)
    if (first === undefined) return null
    const digests = answerOf<PlainDigest[]>(first)
    first.postMessage(paths)
    return digests
  }

  /** Ends the threads without digests. */
  end(): void {
    for (const thread of this.#threads) thread.postMessage(null)
  }
}

const answerOf = <Answer>(thread: Worker): Promise<Answer> =>
  new Promise<Answer>((resolve, reject) => {
    const settle = (act: () => void) => {
      thread.off('message', onMessage).off('error', onError).off('exit', onExit)
      act()
    }
    const onMessage = (answer: Answer) => settle(() => resolve(answer))
    const onError = (error: Error) => settle(() => reject(error))
    const onExit = (code: number) => settle(() => reject(new Error(`a thread that read the table ended with ${code}`)))
    thread.on('message', onMessage).on('error', onError).on('exit', onExit)
  })

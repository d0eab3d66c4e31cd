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

/** Parts of other threads. */
export const inThreads = (task: PlainTask | StoredTask, count: number): Promise<PlainPart | null>[] =>
  Array.from(
    { length: count },
    () =>
      new Promise<PlainPart | null>((resolve, reject) => {
        const thread = new Worker(new URL('./scan-thread.js', import.meta.url), { workerData: task, execArgv: [] })
        thread.once('message', resolve)
        thread.once('error', reject)
        thread.once('exit', code => reject(new Error(`a thread that read the table ended with ${code}`)))
      }),
  )

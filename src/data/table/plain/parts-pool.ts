/** Threads that read parts of plain Parquet files ahead of the one that uses them. Main thread. */
import { Worker } from 'node:worker_threads'
import type { TableChunk } from '../columns.js'
import { chunkOf } from '../shared-chunk.js'
import type { StoredPart, StoredParts } from './parquet-parts.js'
import type { PartDone, PartTask } from './parts-thread.js'

/** Parts in memory for each thread: one that it reads, and one that is used or waits. */
const PARTS_PER_THREAD = 2

interface Thread {
  readonly worker: Worker
  /** Table whose parts it reads. */
  table: StoredParts | null
}

interface Waiting {
  readonly resolve: (done: PartDone) => void
  readonly reject: (error: Error) => void
}

export class PartsPool {
  readonly #threads: readonly Thread[]
  readonly #waiting = new Map<number, Waiting>()
  /** Memory of parts that nobody uses. */
  readonly #free: SharedArrayBuffer[] = []
  #fault: Error | null = null
  #tasks = 0
  /** Passes that are not at their end: only these keep the process alive. */
  #passes = 0

  constructor(threads: number) {
    this.#threads = Array.from({ length: threads }, () => {
      const worker = new Worker(new URL('./parts-thread.js', import.meta.url), { execArgv: [] })
      worker.on('message', (done: PartDone) => {
        this.#waiting.get(done.task)!.resolve(done)
        this.#waiting.delete(done.task)
      })
      worker.on('error', error => this.#end(error))
      worker.on('exit', code => this.#end(new Error(`a thread that read the table ended with ${code}`)))
      worker.unref()
      return { worker, table: null }
    })
  }

  /** Rows from `first` on, up to a part that is not plain. A chunk is valid until the next one. */
  async *chunks(table: StoredParts, first: number): AsyncGenerator<TableChunk, void, undefined> {
    const parts = table.parts.filter(({ firstRow, from, to }) => firstRow + to - from > first)
    const ahead: Promise<PartDone>[] = []
    if (this.#passes++ === 0) for (const { worker } of this.#threads) worker.ref()
    try {
      for (let next = 0; next < parts.length || ahead.length > 0; ) {
        while (next < parts.length && ahead.length < PARTS_PER_THREAD * this.#threads.length) {
          const done = this.#ask(this.#threads[next % this.#threads.length], table, startingAt(parts[next], first))
          done.catch(() => {}) // reported to who waits for it
          ahead.push(done)
          next++
        }
        const { chunk } = await ahead.shift()!
        if (chunk === null) return
        yield chunkOf(chunk)
        this.#free.push(chunk.memory)
      }
    } finally {
      if (--this.#passes === 0) for (const { worker } of this.#threads) worker.unref()
      // Memory that a thread still writes must not be given out again.
      for (const done of ahead) void done.then(({ chunk }) => chunk && this.#free.push(chunk.memory)).catch(() => {})
    }
  }

  #ask(thread: Thread, table: StoredParts, part: StoredPart): Promise<PartDone> {
    if (this.#fault !== null) return Promise.reject(this.#fault)
    const task = this.#tasks++
    const memory = this.#free.pop() ?? new SharedArrayBuffer(0)
    const isNew = thread.table !== table
    thread.table = table
    return new Promise((resolve, reject) => {
      this.#waiting.set(task, { resolve, reject })
      thread.worker.postMessage({ task, table: isNew ? table : null, part, memory } satisfies PartTask)
    })
  }

  #end(fault: Error): void {
    this.#fault ??= fault
    for (const { reject } of this.#waiting.values()) reject(fault)
    this.#waiting.clear()
  }

  close(): void {
    for (const { worker } of this.#threads) void worker.terminate()
  }
}

function startingAt(part: StoredPart, first: number): StoredPart {
  const skipped = Math.max(0, first - part.firstRow)
  return { ...part, from: part.from + skipped, firstRow: part.firstRow + skipped }
}

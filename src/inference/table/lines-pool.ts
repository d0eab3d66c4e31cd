/**
 * Lines of predictions made by several threads, in the order of the rows: each thread reads parts of the table itself where it can, or
 * this thread reads the table and distributes blocks of rows in shared memory; each thread encodes its rows, runs the network and writes
 * text. A line depends on its own row alone, so the bytes are the same for any number of threads. Main thread.
 */
import type { TableChunk } from '../../data/table/columns.js'
import type { StoredParts } from '../../data/table/plain/parquet-parts.js'
import { ChunkRoom } from '../../data/table/shared-chunk.js'
import type { SharedModel } from '../forward.js'
import { answerOf, type Outcome } from '../outcome.js'
import { startThreads } from '../predict-pool.js'
import type { Lines, LinesSpec } from './lines.js'
import type { LinesDone, LinesTask, LinesThreadData } from './lines-thread.js'

/** Blocks in memory for each thread: one that it works on, one that waits, and one whose lines are written. */
const BLOCKS_PER_THREAD = 3
const FIRST_BYTES = 2 ** 18

/** Memory of one block. */
interface Block {
  readonly room: ChunkRoom
  lines: SharedArrayBuffer
}

interface Working {
  readonly block: Block
  readonly rows: number
  readonly done: Promise<Outcome<LinesDone | null>>
}

export interface LinesThreads {
  /** At most one less than the plan of the model has workers. */
  readonly threads: number
  /** Most rows that go through the network at once. */
  readonly blockRows: number
}

/** Threads that make lines, and the blocks that they work on, in order. */
class LinesPool {
  readonly #pool: ReturnType<typeof startThreads<LinesTask, Outcome<LinesDone | null>>>
  readonly #free: Block[]
  readonly #working: Working[] = []

  constructor(model: SharedModel, spec: LinesSpec, parts: StoredParts | null, { threads, blockRows }: LinesThreads) {
    const data: Omit<LinesThreadData, 'begun'> = { model, spec, parts, blockRows }
    this.#pool = startThreads(new URL('../bundle/lines-thread.mjs', import.meta.url), data, threads, threads)
    this.#free = Array.from(
      { length: threads * BLOCKS_PER_THREAD },
      (): Block => ({ room: new ChunkRoom(), lines: new SharedArrayBuffer(FIRST_BYTES) }),
    )
  }

  /** True if a block is free. */
  get hasRoom(): boolean {
    return this.#free.length > 0
  }

  get isWorking(): boolean {
    return this.#working.length > 0
  }

  /** Lets a thread make lines of some rows; call where `hasRoom`. */
  hand(rows: number, task: (room: ChunkRoom) => LinesTask['rows']): void {
    const block = this.#free.pop()!
    const done = this.#pool.run({ rows: task(block.room), into: block.lines })
    done.catch(() => {}) // reported to the caller that waits for it
    this.#working.push({ block, rows, done })
  }

  /** Lines of the rows that were handed first, valid until `free`; null where they are of no plain part. */
  async oldest(): Promise<(Lines & { readonly free: () => void }) | null> {
    const { block, rows, done } = this.#working.shift()!
    const answer = answerOf(await done)
    if (answer === null) return null
    if (answer.into !== null) block.lines = answer.into
    const bytes = new Uint8Array(block.lines, 0, answer.bytes)
    return { rows, bytes, types: answer.types, free: () => this.#free.push(block) }
  }

  /** Waits for busy threads: they would be terminated inside a call of a native library. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#working.map(({ done }) => done))
    await this.#pool.destroy()
  }
}

/**
 * Lines of all chunks. Ends its threads when the loop over it ends, early or not. Throws what making lines, or reading chunks, throws,
 * after the lines of all rows before.
 */
export async function* linesInThreads(
  model: SharedModel,
  spec: LinesSpec,
  chunks: AsyncIterable<TableChunk>,
  threads: LinesThreads,
): AsyncGenerator<Lines, void, undefined> {
  const pool = new LinesPool(model, spec, null, threads)
  const rows = chunks[Symbol.asyncIterator]()
  try {
    let fault: { readonly error: unknown } | null = null
    for (;;) {
      let next: IteratorResult<TableChunk>
      try {
        next = await rows.next()
      } catch (error) {
        fault = { error }
        break
      }
      if (next.done) break
      const chunk = next.value
      for (let from = 0; from < chunk.rows; from += threads.blockRows) {
        if (!pool.hasRoom) yield* oldest(pool)
        const to = Math.min(from + threads.blockRows, chunk.rows)
        pool.hand(to - from, room => room.fill(chunk, from, to))
      }
    }
    while (pool.isWorking) yield* oldest(pool)
    if (fault !== null) throw fault.error
  } finally {
    await rows.return?.()
    await pool.close()
  }
}

async function* oldest(pool: LinesPool): AsyncGenerator<Lines, void, undefined> {
  const lines = (await pool.oldest())!
  yield lines
  lines.free()
}

/**
 * Lines of the parts of a table, each read by the thread that makes them. Returns the first row of a part that is not plain, or the
 * number of all rows. Throws what making lines throws, after the lines of all rows before.
 */
export async function* linesOfParts(
  model: SharedModel,
  spec: LinesSpec,
  parts: StoredParts,
  threads: LinesThreads,
): AsyncGenerator<Lines, number, undefined> {
  const pool = new LinesPool(model, spec, parts, threads)
  let row = 0
  try {
    for (let next = 0; next < parts.parts.length || pool.isWorking; ) {
      while (next < parts.parts.length && pool.hasRoom) {
        const part = parts.parts[next++]
        pool.hand(part.to - part.from, () => part)
      }
      const lines = await pool.oldest()
      if (lines === null) break
      row += lines.rows
      yield lines
      lines.free()
    }
  } finally {
    await pool.close()
  }
  return row
}

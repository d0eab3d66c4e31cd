/**
 * Lines of predictions made by several threads, in the order of the rows: this thread reads the table and distributes blocks of rows in
 * shared memory; each thread encodes them, runs the network and writes text. A line depends on its own row alone, so the bytes are the
 * same for any number of threads. Main thread.
 */
import type { TableChunk } from '../../data/table/columns.js'
import type { SharedModel } from '../forward.js'
import { answerOf, type Outcome } from '../outcome.js'
import { startThreads } from '../predict-pool.js'
import type { Lines, LinesSpec } from './lines.js'
import type { LinesDone, LinesTask, LinesThreadData } from './lines-thread.js'
import { ChunkRoom } from './shared-chunk.js'

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
  readonly done: Promise<Outcome<LinesDone>>
}

/**
 * Lines of all chunks. `threads`: at most one less than the plan of the model has workers. `blockRows`: most rows of a block.
 * Ends its threads when the loop over it ends, early or not. Throws what making lines, or reading chunks, throws, after the
 * lines of all rows before.
 */
export async function* linesInThreads(
  model: SharedModel,
  spec: LinesSpec,
  chunks: AsyncIterable<TableChunk>,
  { threads, blockRows }: { readonly threads: number; readonly blockRows: number },
): AsyncGenerator<Lines, void, undefined> {
  const data: Omit<LinesThreadData, 'begun'> = { model, spec }
  const pool = startThreads<LinesTask, Outcome<LinesDone>>(
    new URL('./lines-thread.js', import.meta.url),
    data,
    threads,
    threads,
  )
  const free = Array.from(
    { length: threads * BLOCKS_PER_THREAD },
    (): Block => ({ room: new ChunkRoom(), lines: new SharedArrayBuffer(FIRST_BYTES) }),
  )
  const working: Working[] = []
  const rows = chunks[Symbol.asyncIterator]()

  function hand(chunk: TableChunk, from: number, to: number): void {
    const block = free.pop()!
    const done = pool.run({ chunk: block.room.fill(chunk, from, to), into: block.lines })
    done.catch(() => {}) // reported to the caller that waits for it
    working.push({ block, rows: to - from, done })
  }

  async function oldest(): Promise<Lines & { readonly block: Block }> {
    const { block, rows, done } = working.shift()!
    const { bytes, into, types } = answerOf(await done)
    if (into !== null) block.lines = into
    return { rows, bytes: new Uint8Array(block.lines, 0, bytes), types, block }
  }

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
      for (let from = 0; from < next.value.rows; from += blockRows) {
        if (free.length === 0) {
          const lines = await oldest()
          yield lines
          free.push(lines.block)
        }
        hand(next.value, from, Math.min(from + blockRows, next.value.rows))
      }
    }
    while (working.length > 0) yield await oldest()
    if (fault !== null) throw fault.error
  } finally {
    await rows.return?.()
    // Wait for busy threads: they would be terminated inside a call of a native library.
    await Promise.allSettled(working.map(({ done }) => done))
    await pool.destroy()
  }
}

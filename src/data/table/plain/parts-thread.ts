/** Thread that reads parts of plain Parquet files into shared memory, and answers with the places of the columns. */
import { parentPort } from 'node:worker_threads'
import { ChunkRoom, type SharedChunk } from '../shared-chunk.js'
import { PartReader, type StoredPart, type StoredParts } from './parquet-parts.js'

/** Request for a part. */
export interface PartTask {
  /** Number of the answer. */
  readonly task: number
  /** Table that this and the next parts are of; null: that of the part before. */
  readonly table: StoredParts | null
  readonly part: StoredPart
  readonly memory: SharedArrayBuffer
}

/** Chunk in the memory of its task, or in a larger one; null: the part is not plain. */
export interface PartDone {
  readonly task: number
  readonly chunk: SharedChunk | null
}

let reader: PartReader | null = null

parentPort!.on('message', ({ task, table, part, memory }: PartTask) => {
  if (table !== null) {
    reader?.close()
    reader = new PartReader(table)
  }
  const chunk = reader!.read(part)
  const shared = chunk && new ChunkRoom(memory).fill(chunk, 0, chunk.rows)
  parentPort!.postMessage({ task, chunk: shared } satisfies PartDone)
})

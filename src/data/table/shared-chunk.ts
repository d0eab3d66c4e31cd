/**
 * Chunk of a table in shared memory, so that its numbers cross to another thread without a copy for each message. The thread that
 * fills it must not fill it again before the other one is done. Any thread.
 */
import type { ColumnValues, TableChunk } from './columns.js'

type SharedColumn = { readonly name: string; readonly byteOffset: number } & (
  | { readonly type: 'number' | 'boolean' | 'date' }
  | { readonly type: 'text'; readonly dictionary: readonly string[] }
)

/** Message about a chunk: where each column lies. */
export interface SharedChunk {
  readonly firstRow: number
  readonly rows: number
  readonly columns: readonly SharedColumn[]
  readonly memory: SharedArrayBuffer
}

const VALUE_BYTES = Float64Array.BYTES_PER_ELEMENT

/** Memory that chunks are copied to, one after the other. */
export class ChunkRoom {
  #memory: SharedArrayBuffer

  constructor(memory = new SharedArrayBuffer(0)) {
    this.#memory = memory
  }

  /** Copies rows [from, to) of a chunk. Dictionaries stay whole. */
  fill(chunk: TableChunk, from: number, to: number): SharedChunk {
    const rows = to - from
    const needed = rows * chunk.columns.size * VALUE_BYTES
    if (this.#memory.byteLength < needed) this.#memory = new SharedArrayBuffer(needed)
    const memory = this.#memory
    const columns = [...chunk.columns].map(([name, values], i): SharedColumn => {
      const byteOffset = i * rows * VALUE_BYTES
      if (values.type === 'text') {
        new Int32Array(memory, byteOffset, rows).set(values.codes.subarray(from, to))
        return { name, byteOffset, type: 'text', dictionary: values.dictionary }
      }
      new Float64Array(memory, byteOffset, rows).set(values.values.subarray(from, to))
      return { name, byteOffset, type: values.type }
    })
    return { firstRow: chunk.firstRow + from, rows, columns, memory }
  }
}

/** Chunk whose columns are views of the shared memory. */
export function chunkOf({ firstRow, rows, columns, memory }: SharedChunk): TableChunk {
  const views = columns.map((column): [string, ColumnValues] => {
    const { name, byteOffset, type } = column
    if (type === 'text') {
      return [name, { type, codes: new Int32Array(memory, byteOffset, rows), dictionary: column.dictionary }]
    }
    return [name, { type, values: new Float64Array(memory, byteOffset, rows) }]
  })
  return { firstRow, rows, columns: new Map(views) }
}

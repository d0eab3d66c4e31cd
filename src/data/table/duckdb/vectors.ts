/**
 * Rows of a DuckDB result in chunks of typed arrays: numbers as f64, texts as codes of a dictionary. Reads the memory of
 * DuckDB's vectors: no JavaScript value is made for a number, and one string for each distinct text of a while. Main thread.
 */
import type { DuckDBConnection, DuckDBDataChunk, DuckDBDoubleVector, DuckDBVarCharVector } from '@duckdb/node-api'

/** Values of one column as they come: NaN and -1 are missing. */
export type RawColumn =
  | { readonly values: Float64Array; readonly nulls: number }
  | { readonly codes: Int32Array; readonly dictionary: readonly string[] }

export interface RawChunk {
  readonly firstRow: number
  readonly rows: number
  readonly columns: readonly RawColumn[]
}

/** Most rows of a DuckDB vector. */
export const VECTOR_ROWS = 2048
/** Values of a chunk, over all columns: with their statistics they stay in the processor's cache. */
const CHUNK_VALUES = 2 ** 18
const MOST_CHUNK_ROWS = 16_384

/**
 * Chunk of rows that is filled vector by vector. Its arrays are used again for the next one: what `take` gives out is valid until
 * then.
 */
export class ChunkBuilder {
  readonly columns: readonly (NumberBuilder | TextBuilder)[]
  /** Rows added since `take`. */
  rows = 0
  readonly #most: number
  #firstRow = 0

  /** `isText`: whether each column is VARCHAR; the others are DOUBLE. */
  constructor(isText: readonly boolean[]) {
    const perChunk = Math.floor(CHUNK_VALUES / Math.max(isText.length, 1) / VECTOR_ROWS) * VECTOR_ROWS
    this.#most = Math.min(Math.max(perChunk, VECTOR_ROWS), MOST_CHUNK_ROWS)
    this.columns = isText.map(text => (text ? new TextBuilder(this.#most) : new NumberBuilder(this.#most)))
  }

  fits(count: number): boolean {
    return this.rows + count <= this.#most
  }

  take(): RawChunk {
    const { rows } = this
    const chunk = { firstRow: this.#firstRow, rows, columns: this.columns.map(column => column.take(rows)) }
    this.#firstRow += rows
    this.rows = 0
    return chunk
  }
}

/**
 * Rows of a query, in order and in bounded memory: the query's threads wait for the reader. Leaving the loop early ends the query.
 */
export async function* packageRows(
  connection: DuckDBConnection,
  sql: string,
  builder: ChunkBuilder,
): AsyncGenerator<RawChunk, void, undefined> {
  const result = await connection.stream(sql)
  for (;;) {
    const chunk: DuckDBDataChunk | null = await result.fetchChunk()
    const count = chunk?.rowCount ?? 0
    if (chunk === null || count === 0) break
    if (!builder.fits(count)) yield builder.take()
    for (const [i, column] of builder.columns.entries()) {
      const vector = chunk.getColumnVector(i) as DuckDBDoubleVector | DuckDBVarCharVector
      const validity = validityOf(vector)
      if ('room' in column) {
        column.room(builder.rows).set((vector as unknown as { items: Float64Array }).items)
        column.added(builder.rows, count, validity)
        continue
      }
      const { dataView } = vector as unknown as { dataView: DataView }
      const words = new Uint32Array(dataView.buffer, dataView.byteOffset, count * 4)
      column.add(words, validity, builder.rows, count, (_, at) => String(vector.getItem(at / 4)))
    }
    builder.rows += count
  }
  if (builder.rows > 0) yield builder.take()
}

/** Bits of the validity of a vector, or null if all of its values are there. */
function validityOf(vector: DuckDBDoubleVector | DuckDBVarCharVector): Uint8Array | null {
  const { validity } = vector as unknown as { validity: { data: BigUint64Array | null } } // private in the package's types alone
  const { data } = validity
  return data && new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
}

class NumberBuilder {
  readonly #values: Float64Array
  #nulls = 0

  constructor(most: number) {
    this.#values = new Float64Array(most)
  }

  /** Place for values from row `at` of the chunk on. */
  room(at: number): Float64Array {
    return this.#values.subarray(at)
  }

  /** Takes note of `count` values in the room at `at`. `validity`: null if none is missing. */
  added(at: number, count: number, validity: Uint8Array | null): void {
    if (validity === null) return
    const values = this.#values
    for (let i = 0; i < count; i++) {
      if ((validity[i >> 3] >> (i & 7)) & 1) continue
      values[at + i] = Number.NaN
      this.#nulls++
    }
  }

  take(rows: number): RawColumn {
    const column = { values: this.#values.subarray(0, rows), nulls: this.#nulls }
    this.#nulls = 0
    return column
  }
}

/** Text of more than INLINE_BYTES that begins at a word of the vector. */
type LongText = (words: Uint32Array, at: number) => string

/** Texts remembered over chunks; then all are forgotten, so that a column of ids needs no more memory than this. */
const MOST_TEXTS = 32_768
const MOST_CHARACTERS = 4 * 2 ** 20
/** Bytes of a text that DuckDB keeps in the vector itself. */
const INLINE_BYTES = 12
const decoder = new TextDecoder('utf-8', { ignoreBOM: true })

class TextBuilder {
  readonly #codes: Int32Array
  #dictionary: string[] = []
  /** Distinct texts since they were last forgotten, without spaces around. */
  #texts: string[] = []
  #ids = new Map<string, number>()
  #characters = 0
  /** Code in the chunk's dictionary of each text; -1: none yet. */
  #codeOf: Int32Array = new Int32Array(256).fill(-1)
  /** Open addressing over the 16 bytes of short texts: id + 1, or 0 for a free slot. */
  #slots = new Int32Array(1024)
  #keys = new Uint32Array(4 * 1024)
  #used = 0

  constructor(most: number) {
    this.#codes = new Int32Array(most)
  }

  /** Adds `count` texts, four words each, as rows from `at` of the chunk on. */
  add(words: Uint32Array, validity: Uint8Array | null, at: number, count: number, longText: LongText): void {
    const codes = this.#codes
    for (let i = 0; i < count; i++) {
      if (validity !== null && !((validity[i >> 3] >> (i & 7)) & 1)) {
        codes[at + i] = -1
        continue
      }
      const id = words[4 * i] <= INLINE_BYTES ? this.#shortText(words, i) : this.#text(longText(words, 4 * i))
      codes[at + i] = id < 0 ? -1 : this.#code(id)
    }
  }

  take(rows: number): RawColumn {
    const column = { codes: this.#codes.subarray(0, rows), dictionary: this.#dictionary }
    this.#dictionary = []
    this.#codeOf.fill(-1)
    if (this.#texts.length > MOST_TEXTS || this.#characters > MOST_CHARACTERS || this.#used > 2 * MOST_TEXTS) {
      this.#forget()
    }
    return column
  }

  #forget(): void {
    this.#texts = []
    this.#ids.clear()
    this.#characters = 0
    this.#slots.fill(0)
    this.#used = 0
  }

  #code(id: number): number {
    if (id >= this.#codeOf.length) {
      const old = this.#codeOf
      this.#codeOf = new Int32Array(Math.max(2 * old.length, id + 1)).fill(-1)
      this.#codeOf.set(old)
    }
    const known = this.#codeOf[id]
    if (known >= 0) return known
    this.#codeOf[id] = this.#dictionary.length
    return this.#dictionary.push(this.#texts[id]) - 1
  }

  /** Id of a text; -1 for one that is empty or all spaces. */
  #text(text: string): number {
    const trimmed = text.trim()
    if (trimmed === '') return -1
    const known = this.#ids.get(trimmed)
    if (known !== undefined) return known
    const id = this.#texts.push(trimmed) - 1
    this.#ids.set(trimmed, id)
    this.#characters += trimmed.length
    return id
  }

  #shortText(words: Uint32Array, i: number): number {
    const w0 = words[4 * i]
    const w1 = words[4 * i + 1]
    const w2 = words[4 * i + 2]
    const w3 = words[4 * i + 3]
    if (w0 === 0) return -1
    let hash = Math.imul(w1 ^ Math.imul(w2, 0x9e3779b1) ^ Math.imul(w3, 0x85ebca6b) ^ w0, 0xc2b2ae35)
    hash ^= hash >>> 15
    const mask = this.#slots.length - 1
    const keys = this.#keys
    let slot = hash & mask
    for (; this.#slots[slot] !== 0; slot = (slot + 1) & mask) {
      const k = 4 * slot
      if (keys[k] === w0 && keys[k + 1] === w1 && keys[k + 2] === w2 && keys[k + 3] === w3) {
        return this.#slots[slot] - 2
      }
    }
    const id = this.#text(decoder.decode(new Uint8Array(words.buffer, words.byteOffset + 16 * i + 4, w0)))
    this.#slots[slot] = id + 2 // 1: spaces alone
    keys.set([w0, w1, w2, w3], 4 * slot)
    if (++this.#used * 2 > this.#slots.length) this.#grow()
    return id
  }

  #grow(): void {
    const slots = this.#slots
    const keys = this.#keys
    const length = 4 * slots.length
    this.#slots = new Int32Array(length)
    this.#keys = new Uint32Array(4 * length)
    for (let from = 0; from < slots.length; from++) {
      if (slots[from] === 0) continue
      const [w0, w1, w2, w3] = keys.subarray(4 * from, 4 * from + 4)
      let hash = Math.imul(w1 ^ Math.imul(w2, 0x9e3779b1) ^ Math.imul(w3, 0x85ebca6b) ^ w0, 0xc2b2ae35)
      hash ^= hash >>> 15
      let slot = hash & (length - 1)
      while (this.#slots[slot] !== 0) slot = (slot + 1) & (length - 1)
      this.#slots[slot] = slots[from]
      this.#keys.set([w0, w1, w2, w3], 4 * slot)
    }
  }
}

/**
 * Values of all rows of a table, kept while they are read for the first time, so that most tables are read once. Main thread; holds
 * 8 bytes a number and 4 a text beside each different one.
 */
import { adviseHugePages } from '../../../ffi/memory.js'
import { GrowingDictionary } from '../dictionary.js'
import type { RawChunk, RawColumn } from './vectors.js'

/** Rows that room is made for at first, where their number is not known. */
const FIRST_ROWS = 65_536
/** Room beside what may be kept, so that an estimate that is somewhat too large fits. */
const ROOM_BYTES = 2 ** 28

export class KeptRows {
  #columns: Kept[] | null = null
  #rows = 0

  /** `expected`: number of rows as far as it is known; a table with more of them is right too. `maxBytes`: of values. */
  constructor(
    readonly expected: number | null,
    readonly maxBytes: number,
  ) {}

  /** Adds a copy of the chunk. False if it does not fit, and everything was dropped. */
  async add({ rows, columns }: RawChunk): Promise<boolean> {
    if (this.#columns === null) {
      const most = this.expected ?? FIRST_ROWS
      const numbers = columns.filter(column => 'values' in column).length
      // In one piece: huge pages are larger than a column of most tables.
      const bytes = most * Float64Array.BYTES_PER_ELEMENT
      const memory = new ArrayBuffer(Math.min(numbers * bytes, this.maxBytes + ROOM_BYTES))
      await adviseHugePages(memory)
      let at = 0
      this.#columns = columns.map((column): Kept => {
        if (!('values' in column)) return textKept(most)
        const from = at + bytes <= memory.byteLength ? at : null
        if (from !== null) at += bytes
        const values = from === null ? new Float64Array(most) : new Float64Array(memory, from, most)
        return { type: 'number', values, nulls: 0 }
      })
    }
    let bytes = 0
    for (const [i, column] of columns.entries()) bytes += append(this.#columns[i], column, this.#rows, rows)
    this.#rows += rows
    if (bytes <= this.maxBytes) return true
    this.#columns = []
    return false
  }

  /** All rows as one chunk. */
  whole(): RawChunk {
    const columns = (this.#columns ?? []).map(
      (kept): RawColumn =>
        kept.type === 'number'
          ? { values: kept.values.subarray(0, this.#rows), nulls: kept.nulls }
          : { codes: kept.codes.subarray(0, this.#rows), dictionary: kept.dictionary.texts },
    )
    return { firstRow: 0, rows: this.#rows, columns }
  }
}

type Kept =
  | { readonly type: 'number'; values: Float64Array; nulls: number }
  | {
      readonly type: 'text'
      codes: Int32Array
      readonly dictionary: GrowingDictionary
      /** Characters of all texts of the dictionary. */
      characters: number
    }

const textKept = (rows: number): Kept => ({
  ...{ type: 'text', codes: new Int32Array(rows), dictionary: new GrowingDictionary(), characters: 0 },
})

/** Returns the bytes of the column's values. */
function append(kept: Kept, column: RawColumn, at: number, rows: number): number {
  if (kept.type === 'number') {
    const { values, nulls } = column as Extract<RawColumn, { values: unknown }>
    if (at + rows > kept.values.length) kept.values = grown(kept.values, Float64Array, at + rows)
    kept.values.set(values, at)
    kept.nulls += nulls
    return 8 * (at + rows)
  }
  const { codes, dictionary } = column as Extract<RawColumn, { codes: unknown }>
  if (at + rows > kept.codes.length) kept.codes = grown(kept.codes, Int32Array, at + rows)
  const { texts } = kept.dictionary
  const known = texts.length
  kept.dictionary.append(codes, dictionary, kept.codes, at)
  for (let code = known; code < texts.length; code++) kept.characters += texts[code].length
  return 4 * (at + rows) + 16 * texts.length + 2 * kept.characters
}

function grown<A extends Float64Array | Int32Array>(values: A, Type: new (length: number) => A, least: number): A {
  const more = new Type(Math.max(2 * values.length, least))
  more.set(values)
  return more
}

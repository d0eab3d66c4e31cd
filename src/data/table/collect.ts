/**
 * Columns of a table in memory: all rows as one chunk. Main thread; holds 8 bytes for each number, 4 for each text, and every distinct
 * text once.
 */
import { DataError } from '../../errors.js'
import type { ColumnValues, TableChunk } from './columns.js'
import { GrowingDictionary } from './dictionary.js'
import type { TableReader } from './reader.js'
import { Rooms } from './rooms.js'

/**
 * Reads columns whole. Text gets one dictionary, in the order in which its values first occur. `rooms`: see `GrowingChunk`; the chunk
 * is valid until they are used again.
 */
export async function collectColumns(
  reader: TableReader,
  names: readonly string[],
  rooms?: Rooms,
): Promise<TableChunk> {
  const { rows } = reader
  if (names.length === 0) return { firstRow: 0, rows, columns: new Map() }
  const whole = rooms ? await reader.wholeIn(names, rooms) : await reader.whole(names)
  if (whole) return whole
  const growing = new GrowingChunk(names, rows, rooms)
  for await (const chunk of reader.read(names)) {
    if (growing.rows + chunk.rows > rows) throw changed(reader)
    growing.add(chunk)
  }
  if (growing.rows !== rows) throw changed(reader)
  return growing.chunk()
}

const changed = ({ files, rows }: TableReader) =>
  new DataError(`${files[0]?.path ?? 'table'}: has changed while it was read, expected the ${rows} rows that it had`)

/** Chunk that is made of others, one after the other. */
export class GrowingChunk {
  /** Rows added so far. */
  rows = 0
  readonly #columns = new Map<string, Growing>()

  /** `most`: rows that it has room for. `rooms`: memory that an earlier one used; absent: its own. */
  constructor(
    readonly names: readonly string[],
    readonly most: number,
    readonly rooms: Rooms = new Rooms(),
  ) {}

  add(chunk: TableChunk): void {
    for (const [place, name] of this.names.entries()) {
      const from = chunk.columns.get(name)!
      const into = this.#columns.get(name) ?? growingOf(from, place, this.most, this.rooms)
      this.#columns.set(name, into)
      if (from.type !== 'text') into.values.set(from.values, this.rows)
      else if (into.type === 'text') into.dictionary.append(from.codes, from.dictionary, into.values, this.rows)
    }
    this.rows += chunk.rows
  }

  chunk(): TableChunk {
    const columns = [...this.#columns].map(([name, column]): [string, ColumnValues] =>
      column.type === 'text'
        ? [name, { type: 'text', codes: column.values, dictionary: column.dictionary.texts }]
        : [name, column],
    )
    return { firstRow: 0, rows: this.rows, columns: new Map(columns) }
  }
}

type Growing =
  | Exclude<ColumnValues, { readonly type: 'text' }>
  | { readonly type: 'text'; readonly values: Int32Array; readonly dictionary: GrowingDictionary }

const growingOf = ({ type }: ColumnValues, place: number, rows: number, rooms: Rooms): Growing =>
  type === 'text'
    ? { type, values: rooms.codes(place, rows), dictionary: new GrowingDictionary() }
    : { type, values: rooms.numbers(place, rows) }

/** True where a column has no value. */
export function isMissing(values: ColumnValues, row: number): boolean {
  return values.type === 'text' ? values.codes[row] < 0 : Number.isNaN(values.values[row])
}

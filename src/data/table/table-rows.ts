/**
 * Rows of a table whose values may lie in memory, packed or not, or in its files: columns whole, a few at a time, or all columns chunk
 * by chunk. What fits and loads a table works with each, and gives the same bits. Main thread.
 */
import { allRows } from '../chosen-rows.js'
import { collectColumns, GrowingChunk } from './collect.js'
import type { TableChunk } from './columns.js'
import type { PackedTable, TableReader } from './reader.js'
import { Rooms } from './rooms.js'
import { takeRows } from './take.js'

export interface TableRows {
  readonly rows: number
  /**
   * All rows of the columns, in groups of columns that are small compared with the table, unless the table is one chunk. A group is valid
   * until the next one is requested.
   */
  groups(names: readonly string[]): AsyncIterable<TableChunk>
  /** Consecutive rows of the columns, in order. A chunk is valid until the next one is asked for. */
  chunks(names: readonly string[]): AsyncIterable<TableChunk>
  /** All rows of the columns, in a chunk that stays valid. */
  collect(names: readonly string[]): Promise<TableChunk>
  /** Values of some rows, in the order of `rows`. */
  take(names: readonly string[], rows: Uint32Array): Promise<TableChunk>
  /** The table in memory; null: its values are in its files. */
  readonly memory: TableChunk | null
  /** The table in memory, packed; null: it is not. */
  readonly packed: PackedTable | null
  /** Closes the files. */
  close(): Promise<void>
}

/** Bytes of a group of columns. */
const GROUP_BYTES = 2 ** 28

/** `names`: all columns that will be asked for. Takes ownership of the reader, and closes it as soon as it is not needed. */
export async function tableRowsOf(reader: TableReader, names: readonly string[]): Promise<TableRows> {
  const chunk = await reader.whole(names)
  if (chunk === null) return rowsOfReader(reader)
  await reader.close()
  return rowsInMemory(chunk)
}

/** Rows of a chunk that has all of them. */
export function rowsInMemory(chunk: TableChunk): TableRows {
  return {
    rows: chunk.rows,
    memory: chunk,
    packed: null,
    async *groups() {
      yield chunk
    },
    async *chunks() {
      yield chunk
    },
    collect: async () => chunk,
    take: async (names, rows) => takeRows(chunk, rows, names),
    close: async () => {},
  }
}

/** Rows that are read anew each time. */
export function rowsOfReader(reader: TableReader): TableRows {
  let rooms: Rooms | null = null
  return {
    rows: reader.rows,
    memory: null,
    packed: reader.packed?.() ?? null,
    async *groups(names) {
      const columnBytes = Float64Array.BYTES_PER_ELEMENT * Math.max(1, reader.rows)
      // Kept rows are unpacked column by column; files are read as seldom as possible.
      const most = reader.isKept ? 1 : Math.max(1, Math.floor(GROUP_BYTES / columnBytes))
      rooms ??= new Rooms()
      for (let from = 0; from < names.length; from += most) {
        yield await collectColumns(reader, names.slice(from, from + most), rooms)
      }
    },
    chunks: names => reader.read(names),
    collect: names => collectColumns(reader, [...new Set(names)]),
    take: (names, rows) => takeFrom(reader.read(names), names, rows),
    async close() {
      await reader.packed?.()?.rows.releaseBefore(reader.rows)
      await reader.close()
    },
  }
}

async function takeFrom(
  chunks: AsyncIterable<TableChunk>,
  names: readonly string[],
  rows: Uint32Array,
): Promise<TableChunk> {
  const order = allRows(rows.length).sort((a, b) => rows[a] - rows[b])
  const found = new GrowingChunk(names, rows.length)
  let isFirst = true
  for await (const chunk of chunks) {
    const here: number[] = []
    for (let next = found.rows; next < order.length && rows[order[next]] < chunk.firstRow + chunk.rows; next++) {
      here.push(rows[order[next]] - chunk.firstRow)
    }
    // The first chunk shows the types, if no row is requested.
    if (isFirst || here.length > 0) found.add(takeRows(chunk, here, names))
    isFirst = false
    if (found.rows === order.length) break
  }
  // Restores the requested order: they were read in the order of the file.
  const placeOf = new Uint32Array(rows.length)
  for (const [place, row] of order.entries()) placeOf[row] = place
  return takeRows(found.chunk(), placeOf, names)
}

/**
 * Parts of plain Parquet files, which any thread reads by itself: whole row groups, or consecutive rows of large ones. Any thread; the
 * plan is data that can be sent to others.
 */
import { closeSync, openSync } from 'node:fs'
import type { TableChunk } from '../columns.js'
import { convert } from '../duckdb/convert.js'
import type { ReadColumn } from '../duckdb/source.js'
import { isLeftToDuckDB } from './not-plain.js'
import type { StoredChunk, StoredColumn, StoredTable } from './parquet-footer.js'
import { PageReader } from './parquet-pages.js'

/** Values of a part: what a thread has in memory, 8 bytes for each. */
const PART_VALUES = 2 ** 22
const LEAST_ROWS = 2 ** 14
const MOST_ROWS = 2 ** 17
/** Bytes of the chunks of a row group, packed, per row: longer texts would take too much memory. */
const MOST_ROW_BYTES = 2 ** 12

/** Consecutive rows of a group: [from, to) of its own, `firstRow` among all. */
export interface StoredPart {
  readonly group: number
  readonly from: number
  readonly to: number
  readonly firstRow: number
}

export interface StoredParts {
  readonly paths: readonly string[]
  readonly columns: readonly { readonly stored: StoredColumn; readonly read: ReadColumn }[]
  /** Chunks of the columns, by group. */
  readonly groups: readonly (readonly StoredChunk[])[]
  /** All rows, in order. */
  readonly parts: readonly StoredPart[]
}

/** Parts of all rows with these columns; null if not all of them are plain, or their texts too long. */
export function partsOf(
  table: StoredTable,
  paths: readonly string[],
  columns: readonly ReadColumn[],
): StoredParts | null {
  const indices = columns.map(({ name }) => table.columns.findIndex(column => column.name === name))
  if (columns.length === 0 || indices.includes(-1)) return null
  const place = new Map(indices.map((index, i) => [index, i]))
  const groups = table.groups.map((): StoredChunk[] => [])
  for (const chunk of table.chunks) {
    const at = place.get(chunk.column)
    if (at !== undefined) groups[chunk.group][at] = chunk
  }
  const most = Math.min(Math.max(Math.floor(PART_VALUES / columns.length), LEAST_ROWS), MOST_ROWS)
  const parts: StoredPart[] = []
  let firstRow = 0
  for (const [group, rows] of table.groups.entries()) {
    if (groups[group].some(({ bytes }) => bytes > MOST_ROW_BYTES * rows)) return null
    const pieces = Math.ceil(rows / most)
    const length = Math.ceil(rows / pieces / ALIGNED) * ALIGNED
    for (let from = 0; from < rows; from += length) {
      const to = Math.min(from + length, rows)
      parts.push({ group, from, to, firstRow: firstRow + from })
    }
    firstRow += rows
  }
  return { paths, columns: columns.map((read, i) => ({ read, stored: table.columns[indices[i]] })), groups, parts }
}

/** Rows of a part are a multiple of this, where the group has enough. */
const ALIGNED = 2048

/** Reads parts in a thread, one after the other. */
export class PartReader {
  readonly #table: StoredParts
  readonly #pages: PageReader
  readonly #handles = new Map<number, number>()

  constructor(table: StoredParts) {
    this.#table = table
    this.#pages = new PageReader(table.columns.map(({ stored }) => stored))
  }

  /** Rows of a part, valid until the next call; null where the content is not plain, damaged, or gone. */
  read({ group, from, to, firstRow }: StoredPart): TableChunk | null {
    const { columns, groups } = this.#table
    try {
      const values = columns.map(({ read }, i) => {
        const chunk = groups[group][i]
        const raw = this.#pages.read(i, this.#handle(chunk.file), chunk, from, to)
        return [read.name, convert(raw, read, '.')] as const
      })
      return { firstRow, rows: to - from, columns: new Map(values) }
    } catch (error) {
      if (isLeftToDuckDB(error)) return null
      throw error
    }
  }

  #handle(file: number): number {
    let handle = this.#handles.get(file)
    if (handle === undefined) {
      // Chunks come file by file: one is open at a time.
      this.close()
      handle = openSync(this.#table.paths[file], 'r')
      this.#handles.set(file, handle)
    }
    return handle
  }

  close(): void {
    for (const handle of this.#handles.values()) closeSync(handle)
    this.#handles.clear()
  }
}

/** Rows from `first` on, up to a part that is not plain. A chunk is valid until the next one. */
export function* chunksOfParts(table: StoredParts, first: number): Generator<TableChunk, void, undefined> {
  const reader = new PartReader(table)
  try {
    for (const part of table.parts) {
      const from = Math.max(part.from, part.from + first - part.firstRow)
      if (from >= part.to) continue
      const chunk = reader.read({ ...part, from, firstRow: part.firstRow + from - part.from })
      if (chunk === null) return
      yield chunk
    }
  } finally {
    reader.close()
  }
}

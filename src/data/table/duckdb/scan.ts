/**
 * First pass over all rows: facts about each column, the meanings of its texts, and the values themselves while they fit into
 * memory, so that most tables are read once. Main thread.
 */
import type { Database } from './database.js'
import { NumberStats, TextStats } from './profile.js'
import { Meanings } from './reading.js'
import type { RowSource } from './source.js'
import { type RawChunk, type RawColumn, rowsOf } from './vectors.js'

export interface ScannedColumn {
  readonly index: number
  /** For DOUBLE. */
  readonly numbers: NumberStats | null
  /** Values that were NaN in the file, not empty. */
  nan: number
  /** For VARCHAR. */
  readonly texts: TextStats | null
  /** For VARCHAR whose texts decide about the type. */
  readonly meanings: Meanings | null
}

export interface Scan {
  rows: number
  readonly columns: readonly ScannedColumn[]
  /** All chunks; null: they do not fit. */
  kept: RawChunk[] | null
}

export interface ScanOptions {
  readonly decimal: '.' | ','
  /** Most bytes of values to keep. */
  readonly keepBytes: number
  readonly onRows: (rows: number) => void
}

/** Reads the columns that can be read. Throws what DuckDB throws. */
export async function scan(database: Database, source: RowSource, options: ScanOptions): Promise<Scan> {
  const readable = source.columns.flatMap((column, index) => (column.unreadable === undefined ? [index] : []))
  const columns = readable.map((index): ScannedColumn => {
    const { type, decides } = source.columns[index]
    const isText = type === 'text'
    return {
      index,
      numbers: isText && source.columns[index].classNames === undefined ? null : new NumberStats(),
      nan: 0,
      texts: isText ? new TextStats() : null,
      meanings: isText && decides ? new Meanings(options.decimal) : null,
    }
  })
  const result: Scan = { rows: 0, columns, kept: [] }
  let bytes = 0
  const isText = readable.map(index => source.columns[index].type === 'text')
  const connection = await database.connect()
  try {
    for await (const chunk of rowsOf(connection, source.select(readable), isText)) {
      for (const [i, column] of chunk.columns.entries()) addColumn(columns[i], column, chunk)
      result.rows += chunk.rows
      options.onRows(result.rows)
      if (result.kept === null) continue
      for (const column of chunk.columns) bytes += bytesOf(column)
      if (bytes > options.keepBytes) result.kept = null
      else result.kept.push(chunk)
    }
  } finally {
    database.release(connection)
  }
  return result
}

function addColumn(column: ScannedColumn, raw: RawColumn, { rows, firstRow }: RawChunk): void {
  if ('values' in raw) {
    const stats = column.numbers!
    const before = stats.missing
    stats.add(raw.values, 0, rows)
    column.nan += stats.missing - before - raw.nulls
    return
  }
  const { codes, dictionary } = raw
  const texts = column.texts!
  const counts = new Uint32Array(dictionary.length)
  let missing = 0
  for (let i = 0; i < codes.length; i++) {
    if (codes[i] < 0) missing++
    else counts[codes[i]]++
  }
  texts.rows += rows
  texts.missing += missing
  let row = 0
  dictionary.forEach((text, code) => {
    texts.see(text)
    if (column.meanings === null) return
    // Texts are in the order in which they first occur.
    while (codes[row] !== code) row++
    column.meanings.add(text, counts[code], firstRow + row)
  })
}

function bytesOf(column: RawColumn): number {
  if ('values' in column) return column.values.byteLength
  return column.codes.byteLength + column.dictionary.reduce((sum, text) => sum + 16 + 2 * text.length, 0)
}

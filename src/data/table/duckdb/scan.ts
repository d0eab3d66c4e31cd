/**
 * First pass over all rows: facts about each column, the meanings of its texts, and the values themselves while they fit into
 * memory, so that most tables are read once. Main thread.
 */
import type { PackedRows } from '../packed.js'
import type { StoredTable } from '../plain/parquet-footer.js'
import { type NumberFacts, NumberStats, TextStats } from '../profile.js'
import { Meanings } from '../text/reading.js'
import type { Database } from './database.js'
import { KeptRows } from './kept.js'
import type { RowSource } from './source.js'
import type { RawChunk, RawColumn } from './vectors.js'

export interface ScannedColumn {
  readonly index: number
  /** For DOUBLE. */
  readonly numbers: NumberFacts | null
  /** Values that were NaN in the file, not empty. */
  nan: number
  /** True if numbers were seen that have leading zeros; absent: none, or it is not known. */
  readonly isPadded?: boolean
  /** For VARCHAR. */
  readonly texts: TextStats | null
  /** For VARCHAR whose texts decide about the type. */
  readonly meanings: Meanings | null
}

export interface Scan {
  rows: number
  readonly columns: readonly ScannedColumn[]
  /** All rows; null: they do not fit. */
  kept: PackedRows | null
  /** Plain columns of Parquet files, which are read without DuckDB. */
  readonly stored?: StoredTable | null
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
  const columns = readable.map((index): ColumnScan => {
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
  const isText = readable.map(index => source.columns[index].type === 'text')
  let rows = 0
  let kept = options.keepBytes > 0 ? new KeptRows(options.keepBytes) : null
  for await (const chunk of database.rows(source.select(readable), isText)) {
    for (const [i, column] of chunk.columns.entries()) addColumn(columns[i], column, chunk)
    rows += chunk.rows
    options.onRows(rows)
    if (kept !== null && !(await kept.add(chunk))) kept = null
  }
  return { rows, columns, kept: kept?.all() ?? null }
}

/** Column while its rows come. */
interface ColumnScan extends ScannedColumn {
  readonly numbers: NumberStats | null
}

function addColumn(column: ColumnScan, raw: RawColumn, { rows, firstRow }: RawChunk): void {
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

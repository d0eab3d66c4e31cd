/** Interface of what reads a table, so that encoding and prediction do not depend on DuckDB. Types only; main thread. */
import type { LoadedFile } from '../source.js'
import type { ColumnProfile, TableChunk, ValueType } from './columns.js'
import type { PackedRows } from './packed.js'
import type { StoredParts } from './plain/parquet-parts.js'
import type { Rooms } from './rooms.js'

/** Form of a table's files, where it is not detected from the files. */
export interface TableFormat {
  /** Separator of fields in CSV; null: detected, and then fixed for all rows. */
  readonly delimiter: string | null
  /** True if the first line has names; null: detected. */
  readonly header: boolean | null
  /** Decimal separator; null: detected. */
  readonly decimal: '.' | ',' | null
  /** True if 01/02/2020 is 1 February, false if it is 2 January; null: decided where all dates of a column allow one reading. */
  readonly dayFirst: boolean | null
  /** Day first in single columns, by name. */
  readonly dayFirstOf?: Readonly<Record<string, boolean>>
  /** SQL over the view `data`; null: all rows and columns of the files. */
  readonly query: string | null
  /** Types that the user or a model demands, by column; a value that does not fit is an error that names file, line and column. */
  readonly types: Readonly<Record<string, ValueType>>
}

export interface TableReader {
  /** Files that `path` was resolved to, in the order in which rows come. */
  readonly files: readonly { readonly path: string }[]
  /**
   * The files with their digests, which may be taken while the rows are used; none where facts are not asked for. Also after `close`. Throws
   * DataError for a file that has changed since it was read.
   */
  digests(): Promise<readonly LoadedFile[]>
  readonly rows: number
  readonly columns: readonly ColumnProfile[]
  /** Decisions that the file's form needed (separator, header, types), for `data describe`, the start lines and the manifest. */
  readonly format: TableFormat
  /** Notes and warnings for the user, such as a first line that was taken for a header. */
  readonly notes: readonly string[]
  readonly warnings: readonly string[]
  /**
   * Rows from `first` (default 0), in chunks, always in the order of the file, whatever the number of threads. A chunk is valid until
   * the next one is asked for.
   */
  read(columns: readonly string[], first?: number): AsyncIterable<TableChunk>
  /**
   * Parts of the rows that any thread can read by itself (`PartReader`), in order; null: only `read` gives them. Who reads them calls
   * `expectUnchanged` before and afterwards.
   */
  parts(columns: readonly string[]): Promise<StoredParts | null>
  /** Throws DataError if the files are not what they were when the table was opened. */
  expectUnchanged(): Promise<void>
  /** True if the values are in memory: to read columns again costs no pass over the files. */
  readonly isKept: boolean
  /** All rows as one chunk that stays valid, if they are in memory and few; else null. */
  whole(columns: readonly string[]): Promise<TableChunk | null>
  /** All rows as one chunk in the memory of `rooms`, valid until that is used again, if the values are in memory; else null. */
  wholeIn(columns: readonly string[], rooms: Rooms): Promise<TableChunk | null>
  /** The rows as they are packed, if the values are in memory; null or absent: they are not. */
  packed?(): PackedTable | null
  close(): Promise<void>
}

/** Packed rows of a table. */
export interface PackedTable {
  readonly rows: PackedRows
  /** Place of a column whose numbers need no conversion; null for any other column. */
  placeOf(column: string): number | null
}

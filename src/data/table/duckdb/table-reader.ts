/** Reader of a table that is open: its columns by name. Main thread. */
import { inspect } from 'node:util'
import { DataError } from '../../../errors.js'
import { formatNames } from '../../../format.js'
import type { LoadedFile } from '../../source.js'
import type { ColumnProfile, TableChunk } from '../columns.js'
import { expectUnchanged, type TableFiles } from '../files.js'
import type { StoredParts } from '../plain/parquet-parts.js'
import type { PackedTable, TableFormat, TableReader } from '../reader.js'
import type { Rooms } from '../rooms.js'
import { isAsItIs } from './convert.js'
import type { Scan } from './scan.js'
import type { ReadColumn, RowSource } from './source.js'

/** Table whose columns are known, by index. */
export interface Opened {
  readonly where: string
  readonly files: TableFiles
  readonly notes: readonly string[]
  readonly warnings: readonly string[]
  /** Rows from `first` on. */
  chunks(
    source: RowSource,
    columns: readonly ReadColumn[],
    scanned: Scan,
    wanted: readonly number[],
    first: number,
  ): AsyncIterable<TableChunk>
  partsOf(columns: readonly ReadColumn[], scanned: Scan, wanted: readonly number[]): Promise<StoredParts | null>
  whole(columns: readonly ReadColumn[], scanned: Scan, wanted: readonly number[]): Promise<TableChunk | null>
  wholeIn(
    columns: readonly ReadColumn[],
    scanned: Scan,
    wanted: readonly number[],
    rooms: Rooms,
  ): Promise<TableChunk | null>
  close(): void
}

const listNames = (columns: readonly ReadColumn[]): string => formatNames(columns.map(({ name }) => name))

export class DuckDBReader implements TableReader {
  readonly files: readonly { readonly path: string }[]
  readonly rows: number
  readonly notes: readonly string[]
  readonly warnings: readonly string[]
  #closed = false

  constructor(
    readonly opening: Opened,
    readonly source: RowSource,
    readonly readColumns: readonly ReadColumn[],
    readonly scanned: Scan,
    readonly columns: readonly ColumnProfile[],
    readonly digests: () => Promise<readonly LoadedFile[]>,
    readonly format: TableFormat,
  ) {
    this.files = opening.files.files
    this.rows = scanned.rows
    this.notes = opening.notes
    this.warnings = opening.warnings
  }

  async *read(columns: readonly string[], first = 0): AsyncGenerator<TableChunk, void, undefined> {
    yield* this.opening.chunks(this.source, this.readColumns, this.scanned, this.#indices(columns), first)
  }

  async parts(columns: readonly string[]): Promise<StoredParts | null> {
    return this.opening.partsOf(this.readColumns, this.scanned, this.#indices(columns))
  }

  expectUnchanged(): Promise<void> {
    return expectUnchanged(this.opening.files.files)
  }

  get isKept(): boolean {
    return this.scanned.kept !== null
  }

  whole(columns: readonly string[]): Promise<TableChunk | null> {
    return this.opening.whole(this.readColumns, this.scanned, this.#indices(columns))
  }

  wholeIn(columns: readonly string[], rooms: Rooms): Promise<TableChunk | null> {
    return this.opening.wholeIn(this.readColumns, this.scanned, this.#indices(columns), rooms)
  }

  packed(): PackedTable | null {
    const { kept } = this.scanned
    if (kept === null) return null
    const placeOf = (name: string) => {
      const index = this.readColumns.findIndex(column => column.name === name)
      const place = this.scanned.columns.findIndex(column => column.index === index)
      return place >= 0 && kept.dictionaries[place] === null && isAsItIs(this.readColumns[index]) ? place : null
    }
    return { rows: kept, placeOf }
  }

  #indices(columns: readonly string[]): number[] {
    const { where } = this.opening
    if (this.#closed) throw new DataError(`${where}: the table is closed`)
    const wanted = columns.map(name => {
      const index = this.readColumns.findIndex(column => column.name === name)
      if (index < 0)
        throw new DataError(`${where}: has no column ${inspect(name)}, expected one of ${listNames(this.readColumns)}`)
      const { unreadable } = this.readColumns[index]
      if (unreadable === undefined) return index
      throw new DataError(`${where}: column ${inspect(name)} cannot be read; ${unreadable}`)
    })
    return [...new Set(wanted)]
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.scanned.kept = null
    this.opening.close()
  }
}

/**
 * Opens a table as a `TableReader`: files, form, a first pass over all rows, types, facts. Our own parsers (../plain) make the pass
 * where they can read the files, DuckDB everywhere else; a new file format is a case here. Main thread; both read on threads of
 * their own.
 */
import { availableParallelism } from 'node:os'
import { DataError } from '../../../errors.js'
import type { ColumnProfile, TableChunk } from '../columns.js'
import { rowsOf } from '../dictionary.js'
import { Digests } from '../digest.js'
import { expectUnchanged, resolveFiles, type TableFiles } from '../files.js'
import type { StoredParts } from '../plain/parquet-parts.js'
import type { PartsPool } from '../plain/parts-pool.js'
import { NumberStats } from '../profile.js'
import type { TableFormat, TableReader } from '../reader.js'
import { Rooms } from '../rooms.js'
import { convert, Misfit } from './convert.js'
import { type Database, type DatabaseOptions, databaseOf } from './database.js'
import { type DelimitedFiles, explainRefusal } from './faults.js'
import { jsonSource } from './json.js'
import { keptChunks, wholeOf } from './kept.js'
import { explainMisfit } from './misfit.js'
import { expectDuckDB } from './package.js'
import { type Described, parquetSource, parquetSourceOf } from './parquet.js'
import { querySource } from './query.js'
import { type Scan, scan } from './scan.js'
import type { ReadColumn, RowSource } from './source.js'
import { DuckDBReader, type Opened } from './table-reader.js'
import { openTextTable } from './text-table.js'
import { finalTypes, profileOf, statedTypes } from './types.js'
import type { RawChunk } from './vectors.js'

export interface TableProgress {
  /** Rows of the pass at hand. */
  readonly rows: number
  /** Bytes of content of which the digest is taken, and bytes of all files on disk. */
  readonly bytes: number
  readonly totalBytes: number
}

export interface OpenOptions extends Omit<DatabaseOptions, 'access'> {
  /**
   * Way in which rows are read. Default: plain text by a parser for nothing else, all other files by DuckDB. `plain`: by that parser or
   * not at all; the others: by DuckDB. It changes no result.
   */
  readonly access?: 'plain' | DatabaseOptions['access']
  /** Most bytes of values to keep from the first pass, default 1 GiB; what does not fit is read again by `read`. */
  readonly keepBytes?: number | undefined
  /**
   * False: columns have no counts and ranges, and files no digest, where the files say the types, so that rows are read once.
   * Default true.
   */
  readonly facts?: boolean | undefined
  /** Called after each chunk of rows. */
  readonly onProgress?: ((progress: TableProgress) => void) | undefined
}

const KEEP_BYTES = 2 ** 30
/** Values up to which all rows are one chunk: what they are packed in is smaller, but their use is simpler. */
const WHOLE_VALUES = 2 ** 20
/** Values for which threads are started. */
const THREAD_VALUES = 2 ** 23

export const ANY_FORMAT: TableFormat = {
  ...{ delimiter: null, header: null, decimal: null, dayFirst: null, query: null, types: {} },
}

/** `path`: absolute, a file, a folder or a pattern. Throws DataError. */
export async function openTableReader(
  path: string,
  format: TableFormat = ANY_FORMAT,
  options: OpenOptions = {},
): Promise<TableReader> {
  const files = await resolveFiles(path)
  const paths = files.files.map(file => file.path)
  const where = paths.length === 1 ? paths[0] : path
  expectDuckDB(where)
  const { access = 'plain', ...others } = options
  const threads = format.query === null ? options.threads : 1
  const database = databaseOf(where, paths, { ...others, threads, access: access === 'plain' ? undefined : access })
  try {
    return await new Opening(where, database, files, format, options).open()
  } catch (error) {
    database.close()
    throw error
  }
}

/** State while a table is opened. */
class Opening implements Opened {
  readonly notes: string[] = []
  readonly warnings: string[] = []
  /** Delimited text: to find places of faults. */
  #place: DelimitedFiles | null = null
  #decimal: '.' | ',' = '.'
  #progress = { rows: 0, bytes: 0, totalBytes: 0 }
  /** Memory of chunks of kept rows that no reader uses. */
  readonly #freeRooms: Rooms[] = []
  /** Threads that read Parquet files; null: no pass has needed them. */
  #pool: PartsPool | null = null

  constructor(
    readonly where: string,
    readonly database: Database,
    readonly files: TableFiles,
    readonly format: TableFormat,
    readonly options: OpenOptions,
  ) {
    this.#progress.totalBytes = files.files.reduce((sum, { bytes }) => sum + bytes, 0)
  }

  async open(): Promise<TableReader> {
    const { files, format } = this
    if (files.kind === 'parquet' && format.query === null && this.options.facts === false) return this.#withoutFacts()
    const digests = new Digests(files, bytes => this.#tell({ bytes: this.#progress.bytes + bytes }))
    if (!this.#mayBePlain) void digests.counted()
    const { where, notes, warnings } = this
    const isQuery = format.query !== null
    // With a query, demanded types and kept values are those of its own columns.
    const base = await this.#scan(digests, isQuery ? { ...format, types: {} } : format, isQuery ? 0 : this.#keepBytes)
    let { source, scanned } = base
    const place = this.#place
    let columns = await finalTypes(
      { where, place, format: isQuery ? { ...format, types: {} } : format, notes, warnings },
      source,
      scanned,
    )
    if (format.query !== null) {
      source = await querySource(where, this.database, format.query, source, columns, this.#decimal, warnings)
      this.#place = null
      scanned = await this.#tryScan(source, this.#keepBytes)
      columns = await finalTypes(
        { where: `${where}: data.query`, place: null, format, notes, warnings },
        source,
        scanned,
      )
    }
    const profiles = await this.#profiles(source, columns, scanned)
    await expectUnchanged(files.files)
    const digestsOf = () => digests.all()
    return new DuckDBReader(this, source, columns, scanned, profiles, digestsOf, { ...format, ...base.decided })
  }

  async #withoutFacts(): Promise<TableReader> {
    const { where, database, files, format } = this
    const { plainTable, describedOf } = await import('../plain/parquet-footer.js')
    const stored = this.#mayBePlain ? await plainTable(files.files) : null
    const source =
      stored?.others === 0
        ? parquetSourceOf(database, files.files, describedOf(stored))
        : await parquetSource(database, files.files)
    const { columns, profiles } = statedTypes(where, source, format)
    const rows = stored === null ? await source.countRows!() : stored.groups.reduce((sum, count) => sum + count, 0)
    const scanned = { rows, columns: [], kept: null, stored }
    return new DuckDBReader(this, source, columns, scanned, profiles, async () => [], format)
  }

  #tell(change: Partial<TableProgress>): void {
    Object.assign(this.#progress, change)
    this.options.onProgress?.({ ...this.#progress })
  }

  /** Plain text without a query need not go through DuckDB. */
  get #mayBePlain(): boolean {
    const { files, format, options } = this
    const isAsked = options.access === undefined || options.access === 'plain'
    return isAsked && files.kind !== 'json' && files.compression === 'none' && format.query === null
  }

  get #keepBytes(): number {
    return this.options.keepBytes ?? KEEP_BYTES
  }

  async #scan(
    digests: Digests,
    format: TableFormat,
    keepBytes: number,
  ): Promise<{ source: RowSource; scanned: Scan; decided: Partial<TableFormat> }> {
    const { where, database, files } = this
    if (files.kind === 'text') {
      const { threads, access } = this.options
      const options = {
        ...{ keepBytes, onRows: (rows: number) => this.#tell({ rows }) },
        plain: this.#mayBePlain ? { threads: threads ?? availableParallelism(), isAsked: access === 'plain' } : null,
      }
      const { source, scanned, form, place } = await openTextTable(where, database, files, format, digests, options)
      this.#place = place
      this.#decimal = form.decimal
      this.notes.push(...form.notes)
      this.warnings.push(...form.warnings)
      const { delimiter, header, decimal } = form
      return { source, scanned, decided: { delimiter, header, decimal } }
    }
    if (files.kind === 'parquet' && this.#mayBePlain) {
      const sourceOf = (columns: Described) => parquetSourceOf(database, files.files, columns)
      const threads = this.options.threads ?? availableParallelism()
      const { scanParquet } = await import('../plain/parquet-scan.js') // hyparquet is many files: not for CSV
      const plain = await scanParquet(files.files, sourceOf, {
        keepBytes,
        threads,
        onRows: rows => this.#tell({ rows }),
      })
      if (plain !== null) {
        digests.begin(plain.digests)
        return { source: plain.source, scanned: plain.scan, decided: {} }
      }
      if (this.options.access === 'plain')
        throw new DataError(`${where}: is not plain Parquet, expected numbers and short texts`)
    }
    const source =
      files.kind === 'json'
        ? await jsonSource(where, database, files.files, files.compression, format.types)
        : await parquetSource(database, files.files)
    const scanned = await this.#tryScan(source, keepBytes)
    if (files.kind !== 'parquet' || !this.#mayBePlain || scanned.kept !== null) return { source, scanned, decided: {} }
    const { plainTable } = await import('../plain/parquet-footer.js')
    return { source, scanned: { ...scanned, stored: await plainTable(files.files) }, decided: {} }
  }

  async #tryScan(source: RowSource, keepBytes: number): Promise<Scan> {
    try {
      const options = { keepBytes, decimal: '.' as const }
      return await scan(this.database, source, { ...options, onRows: rows => this.#tell({ rows }) })
    } catch (error) {
      throw await explainRefusal(this.where, null, error)
    }
  }

  async #profiles(source: RowSource, columns: readonly ReadColumn[], scanned: Scan): Promise<ColumnProfile[]> {
    const converted = scanned.columns.filter(({ index }) => {
      const { reading } = columns[index]
      return reading !== null && reading.type !== 'text'
    })
    const stats = new Map<number, NumberStats>(converted.map(({ index }) => [index, new NumberStats()]))
    if (converted.length > 0) {
      const wanted = converted.map(({ index }) => index)
      for await (const chunk of this.chunks(source, columns, scanned, wanted, 0)) {
        for (const index of wanted) {
          const values = chunk.columns.get(columns[index].name)!
          if ('values' in values) stats.get(index)!.add(values.values, 0, chunk.rows)
        }
      }
    }
    const byIndex = new Map(scanned.columns.map(column => [column.index, column]))
    return columns.map((column, index) => profileOf(column, byIndex.get(index), stats.get(index), scanned.rows))
  }

  /** Rows from `first` on. Columns by index. */
  async *chunks(
    source: RowSource,
    columns: readonly ReadColumn[],
    scanned: Scan,
    wanted: readonly number[],
    first: number,
  ): AsyncGenerator<TableChunk, void, undefined> {
    if (scanned.kept !== null) {
      const places = placesOf(scanned, wanted)
      const rooms = this.#freeRooms.pop() ?? new Rooms()
      for (const raw of keptChunks(scanned.kept, places, rooms)) {
        const converted = await this.#convert(raw, columns, wanted, first)
        if (converted !== null) yield converted
      }
      this.#freeRooms.push(rooms) // not after an end before the last row: whoever left may use the chunk still
      return
    }
    const parts = await this.partsOf(columns, scanned, wanted)
    if (parts !== null) {
      first = yield* this.#ofParts(parts, first)
      if (first === scanned.rows) return
    }
    const isText = wanted.map(index => source.columns[index].type === 'text')
    await expectUnchanged(this.files.files)
    let rows = 0
    try {
      for await (const chunk of this.database.rows(source.select(wanted), isText)) {
        rows += chunk.rows
        const converted = await this.#convert(chunk, columns, wanted, first)
        if (converted !== null) yield converted
      }
    } catch (error) {
      throw await explainRefusal(this.where, this.#place, error)
    }
    await expectUnchanged(this.files.files)
    if (rows !== scanned.rows) {
      throw new DataError(
        `${this.where}: has ${rows} rows, expected ${scanned.rows} as before; it changed while it was read`,
      )
    }
  }

  /** Parts of all rows; null: DuckDB reads the columns. */
  async partsOf(
    columns: readonly ReadColumn[],
    { stored }: Scan,
    wanted: readonly number[],
  ): Promise<StoredParts | null> {
    if (!stored) return null
    const { partsOf } = await import('../plain/parquet-parts.js')
    const paths = this.files.files.map(({ path }) => path)
    return partsOf(
      stored,
      paths,
      wanted.map(index => columns[index]),
    )
  }

  /** Rows from `first` on, without DuckDB. Returns the row at which a part begins that is not plain. */
  async *#ofParts(parts: StoredParts, first: number): AsyncGenerator<TableChunk, number, undefined> {
    await expectUnchanged(this.files.files)
    for await (const chunk of await this.#chunksOf(parts, first)) {
      yield chunk
      first = chunk.firstRow + chunk.rows
    }
    await expectUnchanged(this.files.files)
    return first
  }

  async #chunksOf(parts: StoredParts, first: number): Promise<Iterable<TableChunk> | AsyncIterable<TableChunk>> {
    const threads = this.options.threads ?? availableParallelism()
    const last = parts.parts[parts.parts.length - 1]
    const values = (last.firstRow + last.to - last.from - first) * parts.columns.length
    if (threads < 2 || values < THREAD_VALUES) {
      return (await import('../plain/parquet-parts.js')).chunksOfParts(parts, first)
    }
    if (this.#pool === null) {
      const { PartsPool } = await import('../plain/parts-pool.js')
      this.#pool = new PartsPool(threads)
    }
    return this.#pool.chunks(parts, first)
  }

  close(): void {
    this.#pool?.close()
    this.database.close()
  }

  /** All rows of the columns, if they were kept and are few. */
  async whole(columns: readonly ReadColumn[], scanned: Scan, wanted: readonly number[]): Promise<TableChunk | null> {
    const { kept } = scanned
    if (kept === null || kept.rows * wanted.length > WHOLE_VALUES) return null
    return this.wholeIn(columns, scanned, wanted, new Rooms())
  }

  /** All rows of the columns in the memory of `rooms`, if they were kept. */
  async wholeIn(
    columns: readonly ReadColumn[],
    scanned: Scan,
    wanted: readonly number[],
    rooms: Rooms,
  ): Promise<TableChunk | null> {
    if (scanned.kept === null) return null
    return this.#convert(wholeOf(scanned.kept, placesOf(scanned, wanted), rooms), columns, wanted, 0)
  }

  async #convert(
    raw: RawChunk,
    columns: readonly ReadColumn[],
    wanted: readonly number[],
    first: number,
  ): Promise<TableChunk | null> {
    if (raw.firstRow + raw.rows <= first) return null
    const from = Math.max(first - raw.firstRow, 0)
    const converted = new Map<string, ReturnType<typeof convert>>()
    for (const [i, index] of wanted.entries()) {
      const column = columns[index]
      try {
        const values = convert(raw.columns[i], column, this.#decimal)
        converted.set(column.name, from === 0 ? values : rowsOf(values, from))
      } catch (error) {
        if (!(error instanceof Misfit)) throw error
        throw await explainMisfit(this.where, this.#place, column, raw.firstRow + error.row, error.text)
      }
    }
    return { firstRow: raw.firstRow + from, rows: raw.rows - from, columns: converted }
  }
}

/** Places of columns among those that were read. */
const placesOf = ({ columns }: Scan, wanted: readonly number[]): number[] =>
  wanted.map(index => columns.findIndex(column => column.index === index))

/**
 * Opens a table: files, form, a first pass over all rows, types, facts. What `TableReader` promises, on DuckDB. Main thread;
 * DuckDB reads on threads of its own.
 */
import { inspect } from 'node:util'
import { DataError } from '../../../errors.js'
import { formatCount } from '../../../format.js'
import type { LoadedFile } from '../../source.js'
import type { ColumnProfile, TableChunk, ValueType } from '../columns.js'
import type { TableFormat, TableReader } from '../reader.js'
import { convert, Misfit } from './convert.js'
import { type Database, type DatabaseOptions, openDatabase } from './database.js'
import { digestFile, type FileDigest } from './digest.js'
import { type DelimitedFiles, explainRefusal, placeOfRow } from './faults.js'
import { expectUnchanged, resolveFiles, type TableFiles } from './files.js'
import { NumberStats } from './profile.js'
import { decide, demanded, shortened } from './reading.js'
import { type Scan, type ScannedColumn, scan } from './scan.js'
import { isLargeInteger, type ReadColumn, type RowSource } from './source.js'
import { parquetSource } from './stored.js'
import { infinite, openTextTable } from './text-table.js'
import { type RawChunk, rowsOf } from './vectors.js'

export interface TableProgress {
  /** Rows of the pass at hand. */
  readonly rows: number
  /** Bytes of content of which the digest is taken, and bytes of all files on disk. */
  readonly bytes: number
  readonly totalBytes: number
}

export interface OpenOptions extends DatabaseOptions {
  /** Most bytes of values to keep from the first pass, default 1 GiB; what does not fit is read again by `read`. */
  readonly keepBytes?: number | undefined
  /** Called after each chunk of rows. */
  readonly onProgress?: ((progress: TableProgress) => void) | undefined
}

const KEEP_BYTES = 2 ** 30

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
  const database = await openDatabase(where, paths, options)
  try {
    return await new Opening(where, database, files, format, options).open()
  } catch (error) {
    database.close()
    throw error
  }
}

/** State while a table is opened. */
class Opening {
  readonly #notes: string[] = []
  readonly #warnings: string[] = []
  /** Delimited text: to find places of faults. */
  #place: DelimitedFiles | null = null
  #decimal: '.' | ',' = '.'
  #progress = { rows: 0, bytes: 0, totalBytes: 0 }

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
    const digests = this.#digest()
    digests.catch(() => {}) // awaited below; a fault of the scan comes first
    const { source, scanned, decided } = await this.#scan(digests)
    const columns = await this.#types(source, scanned)
    const profiles = await this.#profiles(source, columns, scanned)
    const loaded = (await digests).map(({ file }) => file)
    await expectUnchanged(files.files)
    return new DuckDBReader(this, source, columns, scanned, profiles, loaded, { ...format, ...decided })
  }

  get notes(): readonly string[] {
    return this.#notes
  }

  get warnings(): readonly string[] {
    return this.#warnings
  }

  #tell(change: Partial<TableProgress>): void {
    Object.assign(this.#progress, change)
    this.options.onProgress?.({ ...this.#progress })
  }

  async #digest(): Promise<FileDigest[]> {
    const results: FileDigest[] = []
    const { kind, compression } = this.files
    for (const file of this.files.files) {
      results.push(
        await digestFile(file, kind, compression, bytes => this.#tell({ bytes: this.#progress.bytes + bytes })),
      )
    }
    return results
  }

  async #scan(
    digests: Promise<readonly FileDigest[]>,
  ): Promise<{ source: RowSource; scanned: Scan; decided: Partial<TableFormat> }> {
    const { where, database, files, format, options } = this
    const scanOptions = {
      keepBytes: options.keepBytes ?? KEEP_BYTES,
      onRows: (rows: number) => this.#tell({ rows }),
    }
    if (files.kind === 'text') {
      const { source, scanned, form, place } = await openTextTable(where, database, files, format, digests, scanOptions)
      this.#place = place
      this.#decimal = form.decimal
      this.#notes.push(...form.notes)
      this.#warnings.push(...form.warnings)
      const { delimiter, header, decimal } = form
      return { source, scanned, decided: { delimiter, header, decimal } }
    }
    if (files.kind === 'json') throw new DataError(`${where}: JSON is not read yet, expected CSV or Parquet`)
    const source = await parquetSource(database, files.files)
    const scanned = await this.#tryScan(source, scanOptions)
    return { source, scanned, decided: {} }
  }

  async #tryScan(source: RowSource, options: { keepBytes: number; onRows: (rows: number) => void }): Promise<Scan> {
    try {
      return await scan(this.database, source, { ...options, decimal: '.' })
    } catch (error) {
      throw await explainRefusal(this.where, null, error)
    }
  }

  /** Final types of the columns. */
  async #types(source: RowSource, scanned: Scan): Promise<ReadColumn[]> {
    const columns: ReadColumn[] = source.columns.map(column => ({ ...column, reading: null, missingTexts: false }))
    for (const { index, meanings, numbers, nan } of scanned.columns) {
      const column = columns[index]
      const wanted = this.format.types[column.name]
      if (numbers !== null && numbers.firstInfinite >= 0 && column.type === 'number') {
        throw infinite(await placeOfRow(this.where, this.#place, numbers.firstInfinite), column.name, null)
      }
      if (nan > 0) this.#notes.push(`column ${inspect(column.name)}: ${formatCount(nan)} NaN are missing values`)
      if (meanings === null) {
        expectType(this.where, column, wanted)
        if (isLargeInteger(column.sqlType)) this.#warnLarge(column, numbers)
        continue
      }
      const decision =
        wanted === undefined
          ? decide(inspect(column.name), meanings, this.format.dayFirst)
          : { reading: demanded(wanted, meanings, this.format.dayFirst), missingTexts: wanted !== 'text' }
      if ('warning' in decision && decision.warning !== undefined) this.#warnings.push(decision.warning)
      const { reading, missingTexts } = decision
      if (meanings.infinite > 0 && reading.type === 'number') {
        const { row, text } = meanings.firstInfinite!
        throw infinite(await placeOfRow(this.where, this.#place, row), column.name, text)
      }
      if (meanings.missing > 0)
        this.#noteMissing(column.name, meanings.missing, meanings.firstMissing!.text, missingTexts)
      const type = reading.type
      const sqlType =
        type === 'text' ? 'VARCHAR' : type === 'number' ? 'DOUBLE' : type === 'boolean' ? 'BOOLEAN' : 'TIMESTAMP'
      columns[index] = { ...column, reading, missingTexts, sqlType: reading.dates === 'time' ? 'TIME' : sqlType }
    }
    return columns
  }

  #noteMissing(name: string, count: number, text: string, isMissing: boolean): void {
    const fields = `${formatCount(count)} ${count === 1 ? 'field' : 'fields'} as ${inspect(text)}`
    this.#notes.push(
      `column ${inspect(name)}: ${fields} ${isMissing ? (count === 1 ? 'is missing' : 'are missing values') : 'are texts like others; only empty fields are missing'}`,
    )
  }

  #warnLarge(column: ReadColumn, numbers: NumberStats | null): void {
    if (numbers === null || Math.max(-numbers.min, numbers.max) <= Number.MAX_SAFE_INTEGER) return
    this.#warnings.push(
      `column ${inspect(column.name)} has integers above 2^53: neighbours are the same number in f64; if they are identifiers: ` +
        'data.columns { "name": "ignore" }',
    )
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
    const isText = wanted.map(index => source.columns[index].type === 'text')
    if (scanned.kept !== null) {
      const places = wanted.map(index => scanned.columns.findIndex(column => column.index === index))
      for (const chunk of scanned.kept) {
        const some = { ...chunk, columns: places.map(place => chunk.columns[place]) }
        const converted = await this.#convert(some, columns, wanted, first)
        if (converted !== null) yield converted
      }
      return
    }
    await expectUnchanged(this.files.files)
    const connection = await this.database.connect()
    let rows = 0
    try {
      for await (const chunk of rowsOf(connection, source.select(wanted), isText)) {
        rows += chunk.rows
        this.#tell({ rows })
        const converted = await this.#convert(chunk, columns, wanted, first)
        if (converted !== null) yield converted
      }
    } catch (error) {
      throw await explainRefusal(this.where, this.#place, error)
    } finally {
      this.database.release(connection)
    }
    await expectUnchanged(this.files.files)
    if (rows !== scanned.rows) {
      throw new DataError(
        `${this.where}: has ${rows} rows, expected ${scanned.rows} as before; it changed while it was read`,
      )
    }
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
        converted.set(column.name, from === 0 ? values : partOf(values, from))
      } catch (error) {
        if (!(error instanceof Misfit)) throw error
        const place = await placeOfRow(this.where, this.#place, raw.firstRow + error.row)
        const expected = EXPECTED[column.reading?.type ?? 'text']
        throw new DataError(
          `${place}: column ${inspect(column.name)} is ${inspect(shortened(error.text))}, expected ${expected}`,
          {
            hint: hintOf(column, error.text),
          },
        )
      }
    }
    return { firstRow: raw.firstRow + from, rows: raw.rows - from, columns: converted }
  }
}

const EXPECTED: Readonly<Record<ValueType, string>> = {
  number: 'a finite number',
  boolean: 'true or false',
  date: 'a date or a time',
  text: 'the number of a class',
}

function hintOf({ reading }: ReadColumn, text: string): string | undefined {
  if (reading?.type === 'date' && /^\d{1,2}[/-]\d{1,2}[/-]\d{4}/.test(text))
    return 'say which number is the day: data.table.dayFirst'
  if (reading?.type === 'number' && /\d,\d/.test(text)) return 'decimal commas are read with data.table.decimal ","'
  return 'leave the field empty if its value is not known, or choose another kind in data.columns'
}

function partOf(values: ReturnType<typeof convert>, from: number): ReturnType<typeof convert> {
  if ('values' in values) return { ...values, values: values.values.subarray(from) }
  // The dictionary begins with the first text that occurs.
  const codes = values.codes.slice(from)
  const dictionary: string[] = []
  const codeOf = new Int32Array(values.dictionary.length).fill(-1)
  for (let i = 0; i < codes.length; i++) {
    const code = codes[i]
    if (code < 0) continue
    if (codeOf[code] < 0) codeOf[code] = dictionary.push(values.dictionary[code]) - 1
    codes[i] = codeOf[code]
  }
  return { type: 'text', codes, dictionary }
}

function expectType(where: string, column: ReadColumn, wanted: ValueType | undefined): void {
  if (wanted === undefined || column.unreadable !== undefined || wanted === column.type || wanted === 'text') return
  if (column.type !== 'text') return // numbers, booleans and dates are numbers
  throw new DataError(`${where}: column ${inspect(column.name)} is ${column.sqlType}, expected a type of ${wanted}`, {
    hint: 'data.query can convert it: SELECT * REPLACE (CAST(x AS DOUBLE) AS x) FROM data',
  })
}

function profileOf(
  column: ReadColumn,
  scanned: ScannedColumn | undefined,
  converted: NumberStats | undefined,
  rows: number,
): ColumnProfile {
  const { name, sqlType, unreadable } = column
  if (scanned === undefined) {
    const reason = unreadable ?? 'it was not read'
    return { name, sqlType, type: 'text', missing: 0, distinct: 0, range: null, isInteger: false, unreadable: reason }
  }
  const stats = converted ?? (column.classNames === undefined && column.type !== 'text' ? scanned.numbers : null)
  if (stats === null) {
    const { missing, distinct } = scanned.numbers ?? scanned.texts!
    return { name, sqlType: 'VARCHAR', type: 'text', missing, distinct, range: null, isInteger: false }
  }
  const { missing, distinct, min, max, isInteger } = stats
  const type = column.reading?.type ?? column.type
  const empty = missing === rows
  return { name, sqlType, type, missing, distinct, range: empty ? null : [min, max], isInteger: !empty && isInteger }
}

const listNames = (columns: readonly ReadColumn[]): string =>
  `${columns
    .slice(0, 20)
    .map(({ name }) => name)
    .join(', ')}${columns.length > 20 ? ', …' : ''}`

class DuckDBReader implements TableReader {
  readonly rows: number
  readonly notes: readonly string[]
  readonly warnings: readonly string[]
  #closed = false

  constructor(
    readonly opening: Opening,
    readonly source: RowSource,
    readonly read_: readonly ReadColumn[],
    readonly scanned: Scan,
    readonly columns: readonly ColumnProfile[],
    readonly files: readonly LoadedFile[],
    readonly format: TableFormat,
  ) {
    this.rows = scanned.rows
    this.notes = opening.notes
    this.warnings = opening.warnings
  }

  async *read(columns: readonly string[], first = 0): AsyncGenerator<TableChunk, void, undefined> {
    const { where } = this.opening
    if (this.#closed) throw new DataError(`${where}: the table is closed`)
    const wanted = columns.map(name => {
      const index = this.read_.findIndex(column => column.name === name)
      if (index < 0)
        throw new DataError(`${where}: has no column ${inspect(name)}, expected one of ${listNames(this.read_)}`)
      const { unreadable } = this.read_[index]
      if (unreadable === undefined) return index
      throw new DataError(`${where}: column ${inspect(name)} cannot be read; ${unreadable}`)
    })
    yield* this.opening.chunks(this.source, this.read_, this.scanned, [...new Set(wanted)], first)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.scanned.kept = null
    this.opening.database.close()
  }
}

/**
 * Delimited text as a source of rows with types that all rows have. A column begins as what its first rows suggest; where DuckDB
 * refuses a later field, the column becomes text, and its texts decide. Main thread.
 */
import { inspect } from 'node:util'
import { DataError } from '../../../errors.js'
import type { Digests, FileDigest } from '../digest.js'
import type { TableFile, TableFiles } from '../files.js'
import type { PlainOptions } from '../plain/parts.js'
import { type PlainRows, scanPlain } from '../plain/scan.js'
import type { TableFormat } from '../reader.js'
import type { TextForm } from '../text/form.js'
import type { Database } from './database.js'
import { type CountSql, delimitedSource, detectForm, paddedSql, refusalsSql } from './delimited.js'
import { checkForm, type DelimitedFiles, explainRefusal } from './faults.js'
import { type Scan, type ScanOptions, scan } from './scan.js'
import type { RowSource } from './source.js'

export interface TextTable {
  readonly source: RowSource
  readonly scanned: Scan
  readonly form: TextForm
  readonly place: DelimitedFiles
}

export interface TextOptions extends Omit<ScanOptions, 'decimal'> {
  /** Threads for text that is plain; null: DuckDB reads it. `isAsked`: nothing but plain text is to be read. */
  readonly plain: { readonly threads: number; readonly isAsked: boolean } | null
}

/** `digests`: of all files; their counts are what DuckDB's result is compared with. Throws DataError. */
export async function openTextTable(
  where: string,
  database: Database,
  { files, compression }: TableFiles,
  format: TableFormat,
  digests: Digests,
  { plain, ...options }: TextOptions,
): Promise<TextTable> {
  // A line of counts is for one file alone.
  let form = await detectForm(database, files, compression, format, files.length === 1)
  if (
    form.counts !== null &&
    !(await countsAgree(where, { database, files, compression, form }, await digests.counted()))
  ) {
    form = await detectForm(database, files, compression, format, false)
  }
  const table: DelimitedFiles = { database, files, compression, form }
  const texts = new Set<number>()
  let strict = true
  const all = { ...options, decimal: form.decimal }
  const sourceNow = () => delimitedSource(files, compression, form, format, { strict, texts })
  const demote = (columns: readonly number[]) => {
    for (const column of columns) texts.add(column)
  }
  if (plain !== null) {
    const source = await plainTable(files, form, format, { ...all, ...plain }, texts)
    if (source !== null) {
      digests.begin(source.digests)
      return { source: source.source, scanned: source.scan, form, place: table }
    }
    if (plain.isAsked)
      throw new DataError(`${where}: is not plain text, expected numbers and short texts without quotes`)
    texts.clear()
  }
  // Each round either succeeds, or takes at least one column for text, or leaves strict mode: the rounds end.
  for (;;) {
    const source = sourceNow()
    let scanned: Scan
    try {
      scanned = await scan(database, source, all)
    } catch (error) {
      const refused = await refusedColumns(table, source, strict)
      if (refused.length > 0) {
        demote(refused)
        continue
      }
      if (strict && (await digests.counted()).some(({ counts }) => counts?.mixedEnds)) {
        await checkForm(table)
        strict = false
        continue
      }
      throw await explainRefusal(where, table, error)
    }
    const counts = (await digests.counted()).map(digest => digest.counts)
    if (strict && counts.some(count => count?.mixedEnds)) {
      await checkForm(table)
      strict = false
      continue
    }
    await expectRows(where, table, scanned.rows, counts)
    // Texts show how an infinite number is written, and decide whether the column has numbers at all.
    const larger = [...integersAbove(source, scanned, format), ...infiniteColumns(scanned)]
    if (larger.length > 0) {
      demote(larger)
      continue
    }
    const suspects = counts.every(count => count?.hasGroups === false) ? notANumber(scanned) : allNumbers(source)
    if (suspects.length > 0) {
      const refused = await refusedColumns(table, source, strict, suspects)
      if (refused.length > 0) {
        demote(refused)
        continue
      }
    }
    const whole = counts.every(count => count?.hasPadded === false) ? [] : wholeNumbers(source, scanned, format)
    const codes = await columnsWith(paddedSql, table, strict, whole)
    if (codes.length > 0) {
      demote(codes)
      continue
    }
    return { source, scanned, form, place: table }
  }
}

/** Reads plain text, if it is; columns that are no numbers go to `texts`. Null: it is not. */
async function plainTable(
  files: readonly TableFile[],
  form: TextForm,
  format: TableFormat,
  options: PlainOptions,
  texts: Set<number>,
): Promise<(PlainRows & { readonly source: RowSource }) | null> {
  // Each round takes at least one more column for text, or is the last.
  for (;;) {
    const source = delimitedSource(files, 'none', form, format, { strict: true, texts })
    const scanned = await scanPlain(files, form, source, options)
    if (scanned === null) return null
    const others =
      'scan' in scanned
        ? [
            ...new Set([
              ...integersAbove(source, scanned.scan, format),
              ...undecided(source, scanned.scan, format),
              ...padded(source, scanned.scan, format),
            ]),
          ]
        : scanned.misfits
    if (others.length === 0 && 'scan' in scanned) return { source, ...scanned }
    if ('scan' in scanned) scanned.end()
    for (const column of others) texts.add(column)
  }
}

const allNumbers = (source: RowSource): number[] =>
  source.columns.flatMap(({ type }, column) => (type === 'number' ? [column] : []))

/** Columns of numbers with NaN, which DuckDB reads in more spellings than are taken for missing values. */
const notANumber = ({ columns }: Scan): number[] => columns.flatMap(({ index, nan }) => (nan > 0 ? [index] : []))

const infiniteColumns = ({ columns }: Scan): number[] =>
  columns.flatMap(({ index, numbers }) => (numbers !== null && numbers.firstInfinite >= 0 ? [index] : []))

/** Columns that were read as numbers and have fields which are none. */
async function refusedColumns(
  table: DelimitedFiles,
  source: RowSource,
  strict: boolean,
  numbers = allNumbers(source),
): Promise<number[]> {
  try {
    return await columnsWith(refusalsSql, table, strict, numbers)
  } catch {
    return [] // the form is at fault, not a value
  }
}

/** Columns of those given in which the query counts fields. Throws what DuckDB throws. */
async function columnsWith(
  sql: CountSql,
  { database, files, compression, form }: DelimitedFiles,
  strict: boolean,
  columns: readonly number[],
): Promise<number[]> {
  if (columns.length === 0) return []
  const connection = await database.connect()
  try {
    const [counts] = (await connection.runAndReadAll(sql(files, compression, form, columns, strict))).getRows()
    return columns.filter((_, i) => Number(counts[i]) > 0)
  } finally {
    database.release(connection)
  }
}

/** Columns of numbers that may be codes: whole, without a sign. */
function wholeNumbers(source: RowSource, { columns }: Scan, format: TableFormat): number[] {
  return columns.flatMap(({ index, numbers }) => {
    const { name, type, classNames } = source.columns[index]
    if (type !== 'number' || numbers === null || classNames !== undefined || format.types[name] === 'number') return []
    return numbers.isInteger && numbers.min >= 0 ? [index] : []
  })
}

/** Columns of whole numbers with leading zeros: their texts decide whether they are codes. */
function padded(source: RowSource, scanned: Scan, format: TableFormat): number[] {
  const whole = new Set(wholeNumbers(source, scanned, format))
  return scanned.columns.flatMap(({ index, isPadded }) => (isPadded && whole.has(index) ? [index] : []))
}

/** Columns of numbers with NA and the like whose texts decide more than that: another type is demanded, or an integer is too large. */
function undecided(source: RowSource, { columns }: Scan, format: TableFormat): number[] {
  return columns.flatMap(({ index, numbers, meanings }) => {
    if (numbers === null || meanings === null) return []
    const type = format.types[source.columns[index].name] ?? 'number'
    const largest = Math.max(Math.abs(numbers.min), Math.abs(numbers.max))
    return type !== 'number' || (numbers.missing < numbers.rows && largest > Number.MAX_SAFE_INTEGER) ? [index] : []
  })
}

/** Columns of integers that f64 cannot distinguish: they are read as texts. */
function integersAbove(source: RowSource, { columns }: Scan, format: TableFormat): number[] {
  return columns.flatMap(({ index, numbers }) => {
    const { name, type } = source.columns[index]
    if (type !== 'number' || numbers === null || format.types[name] === 'number') return []
    const largest = Math.max(Math.abs(numbers.min), Math.abs(numbers.max))
    return numbers.isInteger && Number.isFinite(largest) && largest > Number.MAX_SAFE_INTEGER ? [index] : []
  })
}

/** True if the first line has the number of the rows that follow. Throws DataError if it does not and cannot be a row either. */
async function countsAgree(where: string, table: DelimitedFiles, [digest]: readonly FileDigest[]): Promise<boolean> {
  const { counts, skippedRecords } = table.form
  const rows = digest.counts === null ? await checkForm(table) : digest.counts.records - skippedRecords
  if (rows === counts!.rows) return true
  if (counts!.isRow) return false
  throw new DataError(
    `${where}: line 1: states that the table has ${counts!.rows} rows, expected ${rows}, which follow`,
    {
      hint: 'if the first line is a row: data.table.header false; if it has names: true',
    },
  )
}

/** DuckDB leaves out rows of some files without a word: compares with a count of its own. */
async function expectRows(
  where: string,
  table: DelimitedFiles,
  rows: number,
  counts: readonly FileDigest['counts'][],
): Promise<void> {
  // An empty line is a row of a table with one column, and no row of others.
  if (table.form.names.length === 1) return
  const counted = counts.reduce((sum, count) => sum + (count?.records ?? Number.NaN) - table.form.skippedRecords, 0)
  if (counted === rows) return
  const exact = await checkForm(table)
  if (exact === rows) return
  throw new DataError(`${where}: ${rows} rows were read, expected ${exact}, which the file has by another count`, {
    hint: 'write the table anew with one kind of line end, or as Parquet',
  })
}

/** `text`: the field, where it is at hand. */
export function infinite(place: string, name: string, text: string | null): DataError {
  return new DataError(
    `${place}: column ${inspect(name)} is ${text === null ? 'infinite' : inspect(text)}, expected a finite number`,
    {
      hint: 'leave the field empty if the value is not known; a column is left out by data.columns { "name": "ignore" }',
    },
  )
}

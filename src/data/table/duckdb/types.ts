/** Final types of a table's columns after the first pass, the facts about them, and notes for the user. Main thread. */
import { inspect } from 'node:util'
import { DataError } from '../../../errors.js'
import { formatCount } from '../../../format.js'
import type { ColumnProfile, ValueType } from '../columns.js'
import type { NumberFacts } from '../profile.js'
import type { TableFormat } from '../reader.js'
import { decide, demanded, type Meanings, type Reading } from '../text/reading.js'
import { type DelimitedFiles, placeOfRow } from './faults.js'
import type { Scan, ScannedColumn } from './scan.js'
import { isLargeInteger, type ReadColumn, type RowSource } from './source.js'
import { infinite } from './text-table.js'

export interface TypeContext {
  readonly where: string
  /** Delimited text: to find places of fields; null: rows have numbers alone. */
  readonly place: DelimitedFiles | null
  readonly format: TableFormat
  readonly notes: string[]
  readonly warnings: string[]
}

const SQL_TYPES: Readonly<Record<ValueType, string>> = {
  ...{ number: 'DOUBLE', boolean: 'BOOLEAN', date: 'TIMESTAMP', text: 'VARCHAR' },
}

/** Throws DataError for an infinite number, and for a type that is demanded of a column of another. */
export async function finalTypes(context: TypeContext, source: RowSource, scanned: Scan): Promise<ReadColumn[]> {
  const { where, place, format, notes } = context
  const columns: ReadColumn[] = source.columns.map(column => ({ ...column, reading: null }))
  for (const { index, meanings, numbers, nan } of scanned.columns) {
    const column = columns[index]
    if (numbers !== null && numbers.firstInfinite >= 0) {
      throw infinite(await placeOfRow(where, place, numbers.firstInfinite), column.name, null)
    }
    if (nan > 0)
      notes.push(`column ${inspect(column.name)}: ${formatCount(nan)} NaN ${nan === 1 ? 'is' : 'are'} missing`)
    if (meanings !== null) {
      const reading = await readingOf(context, column.name, meanings)
      const sqlType = reading.dates === 'time' ? 'TIME' : SQL_TYPES[reading.type]
      columns[index] = { ...column, reading, sqlType }
      continue
    }
    columns[index] = { ...column, asText: expectType(where, column, format.types[column.name]) }
    if (numbers !== null && isLargeInteger(column.sqlType)) warnLarge(context, column, numbers)
  }
  return columns
}

async function readingOf(context: TypeContext, name: string, meanings: Meanings): Promise<Reading> {
  const { where, place, format, notes, warnings } = context
  const wanted = format.types[name]
  const dayFirst = format.dayFirstOf?.[name] ?? format.dayFirst
  const decision =
    wanted === undefined
      ? decide(inspect(name), meanings, dayFirst)
      : { reading: demanded(wanted, meanings, dayFirst), missingTexts: wanted !== 'text' }
  const { reading, missingTexts, warning, note, example } = decision
  if (note !== undefined) notes.push(note)
  if (warning !== undefined) {
    warnings.push(`${example ? await placeOfRow(where, place, example.row) : where}: ${warning}`)
  }
  if (meanings.firstInfinite !== null && reading.type === 'number') {
    throw infinite(await placeOfRow(where, place, meanings.firstInfinite.row), name, meanings.firstInfinite.text)
  }
  const { missing } = meanings
  if (missing > 0) {
    const fields = `${formatCount(missing)} ${missing === 1 ? 'field' : 'fields'} such as ${inspect(meanings.firstMissing!.text)}`
    const verb = missing === 1 ? 'is' : 'are'
    notes.push(
      `column ${inspect(name)}: ${fields} ${verb} ${missingTexts ? 'missing' : 'text like others; only empty fields are missing'}`,
    )
  }
  return reading
}

/** Columns of files that say their types, and what is known of them without a look at the rows. Throws DataError as above. */
export function statedTypes(where: string, source: RowSource, format: TableFormat) {
  const columns = source.columns.map((column): ReadColumn => {
    const read: ReadColumn = { ...column, reading: null }
    if (column.unreadable !== undefined) return read
    return { ...read, asText: expectType(where, read, format.types[column.name]) }
  })
  const profiles = columns.map(({ name, sqlType, type, asText, unreadable }): ColumnProfile => {
    const unknown = { missing: 0, distinct: 0, range: null, isInteger: false }
    return { name, sqlType, type: asText ? 'text' : type, ...unknown, ...(unreadable !== undefined && { unreadable }) }
  })
  return { columns, profiles }
}

function warnLarge({ where, warnings }: TypeContext, { name }: ReadColumn, numbers: NumberFacts): void {
  if (Math.max(-numbers.min, numbers.max) <= Number.MAX_SAFE_INTEGER) return
  warnings.push(
    `${where}: column ${inspect(name)} has integers above 2^53, whose neighbours are the same number; if they are identifiers, ` +
      'leave them out with "ignore" in data.columns',
  )
}

/** True if the values of the column, which are not text, are to be texts. */
function expectType(where: string, column: ReadColumn, wanted: ValueType | undefined): boolean {
  if (wanted === undefined || wanted === column.type || column.classNames !== undefined) return false
  if (wanted === 'text') return true
  if (column.type !== 'text') return false // booleans and dates are numbers too
  throw new DataError(`${where}: column ${inspect(column.name)} is ${column.sqlType}, expected a type of ${wanted}`, {
    hint: 'data.query can convert it: SELECT * REPLACE (CAST(x AS DOUBLE) AS x) FROM data',
  })
}

/** Facts about a column. `converted`: of the values that its texts became. */
export function profileOf(
  column: ReadColumn,
  scanned: ScannedColumn | undefined,
  converted: NumberFacts | undefined,
  rows: number,
): ColumnProfile {
  const { name, sqlType, unreadable } = column
  if (scanned === undefined) {
    const reason = unreadable ?? 'it was not read'
    return { name, sqlType, type: 'text', missing: 0, distinct: 0, range: null, isInteger: false, unreadable: reason }
  }
  const stats = converted ?? (column.classNames === undefined && column.type !== 'text' ? scanned.numbers : null)
  if (stats === null || column.asText) {
    const { missing, distinct } = scanned.numbers ?? scanned.texts!
    return {
      name,
      sqlType: column.asText ? sqlType : 'VARCHAR',
      type: 'text',
      missing,
      distinct,
      range: null,
      isInteger: false,
    }
  }
  const { missing, distinct, min, max, isInteger } = stats
  const type = column.reading?.type ?? column.type
  const empty = missing === rows
  // Which of 0 and -0 comes first depends on the threads: adding 0 makes one of both.
  return {
    name,
    sqlType,
    type,
    missing,
    distinct,
    range: empty ? null : [min + 0, max + 0],
    isInteger: !empty && isInteger,
  }
}

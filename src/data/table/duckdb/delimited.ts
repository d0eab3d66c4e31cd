/** Delimited text: its form, its columns with candidates of types, and the SQL that reads them. Main thread. */
import { StringDecoder } from 'node:string_decoder'
import { inspect } from 'node:util'
import { DataError } from '../../../errors.js'
import { contentOf } from '../../content.js'
import type { Compression, TableFile } from '../files.js'
import type { TableFormat } from '../reader.js'
import { FORM_RECORDS, formOf, type TextForm } from '../text/form.js'
import { Can, meaningOf } from '../text/meaning.js'
import { MAX_RECORD } from '../text/records.js'
import { type Database, sqlPath, sqlText } from './database.js'
import type { RowSource, SourceColumn } from './source.js'

/** Characters of a file that decide about its form; more where a record is longer. */
const HEAD_CHARACTERS = 2 ** 18
/** DuckDB needs 2,048 values of each column at once, more than once. */
export const MOST_COLUMNS = 10_000
const BUFFER_BYTES = 2 * MAX_RECORD

export interface DelimitedOptions {
  /** False: lines may end in several ways. The form was then checked by text/records.ts, because DuckDB accepts more. */
  readonly strict: boolean
  /** Columns that were taken for numbers and are not. */
  readonly texts: ReadonlySet<number>
}

/** Text of a file in pieces. zstd is unpacked by DuckDB, line by line. */
export async function* textOf(
  database: Database,
  { path }: TableFile,
  compression: Compression,
): AsyncGenerator<string, void, undefined> {
  if (compression !== 'zstd') {
    const decoder = new StringDecoder('utf8')
    for await (const chunk of contentOf(path)) yield decoder.write(chunk)
    yield decoder.end()
    return
  }
  const connection = await database.connect()
  try {
    // No file has this character: each line is one field.
    const options = `auto_detect = false, header = false, delim = '\x1f', quote = '', escape = '', strict_mode = false`
    const sql =
      `SELECT line FROM read_csv(${sqlPath(path)}, ${options}, columns = {'line': 'VARCHAR'}, compression = 'zstd', ` +
      `max_line_size = ${MAX_RECORD}, parallel = false)`
    const result = await connection.stream(sql)
    for (;;) {
      const chunk = await result.fetchChunk()
      if (chunk === null || chunk.rowCount === 0) return
      yield `${chunk
        .getColumnValues(0)
        .map(line => line ?? '')
        .join('\n')}\n`
    }
  } catch (error) {
    throw new DataError(`${path}: the zstd data cannot be read; ${firstLine(error)}`, { cause: error })
  } finally {
    database.release(connection)
  }
}

export const firstLine = (error: unknown): string =>
  (error instanceof Error ? error.message : inspect(error)).split('\n')[0].slice(0, 300)

/** Form of the files. Throws DataError if the first lines of two files are different. */
export async function detectForm(
  database: Database,
  files: readonly TableFile[],
  compression: Compression,
  format: TableFormat,
  mayCount: boolean,
): Promise<TextForm> {
  const first = formOf(files[0].path, ...(await headOf(database, files[0], compression)), format, mayCount)
  if (first.names.length > MOST_COLUMNS) {
    throw new DataError(`${files[0].path}: has ${first.names.length} columns, expected at most ${MOST_COLUMNS}`, {
      hint: `the separator is ${inspect(first.delimiter)}; another: data.table.delimiter`,
    })
  }
  const fixed = { ...format, delimiter: first.delimiter, header: first.header, decimal: first.decimal }
  for (const file of files.slice(1)) {
    const form = formOf(file.path, ...(await headOf(database, file, compression)), fixed, false)
    const isAsLong = form.names.length === first.names.length
    const other = isAsLong ? first.names.findIndex((name, column) => form.names[column] !== name) : -1
    if (other < 0 && isAsLong && (form.counts === null) === (first.counts === null)) continue
    const [got, expected] = [form.names, first.names].map(names => (other < 0 ? names.length : inspect(names[other])))
    throw new DataError(
      `${file.path}: ${other < 0 ? 'its number of columns' : `column ${other + 1}`} is ${got}, expected ${expected} as in ${files[0].path}; ` +
        'the files of a table have the same columns',
    )
  }
  return first
}

async function headOf(database: Database, file: TableFile, compression: Compression): Promise<[string, boolean]> {
  let head = ''
  let lines = 0
  for await (const text of textOf(database, file, compression)) {
    head += text
    for (let at = text.search(/[\n\r]/); at >= 0 && lines < FORM_RECORDS; at = text.indexOf('\n', at + 1)) lines++
    if (head.length >= HEAD_CHARACTERS && (lines > 2 || head.length > 3 * MAX_RECORD)) return [head, false]
  }
  return [head, true]
}

/** Columns with the types that the first rows suggest. A suggestion is no decision: DuckDB refuses what does not fit. */
export function delimitedSource(
  files: readonly TableFile[],
  compression: Compression,
  form: TextForm,
  format: TableFormat,
  options: DelimitedOptions,
): RowSource {
  const { names, decimal, counts } = form
  const columns = names.map((name, column): SourceColumn => {
    const demanded = format.types[name]
    const isText =
      demanded === 'text' || options.texts.has(column) || !looksNumeric(form, column, demanded === 'number')
    const decides = isText && demanded !== 'text'
    const isClass = counts !== null && counts.classNames.length > 0 && column === names.length - 1
    return {
      ...{ name, sqlType: isText ? 'VARCHAR' : 'DOUBLE', type: isText ? 'text' : 'number', decides },
      ...(isClass && !isText ? { classNames: counts.classNames } : {}),
    }
  })
  const types = columns.map(({ type }, column) => `'c${column}': '${type === 'text' ? 'VARCHAR' : 'DOUBLE'}'`)
  const table = readCsv(files, compression, form, types, options.strict, decimal)
  const expression = (column: number) => `c${column}`
  return {
    columns,
    table,
    expression,
    select: chosen => `SELECT ${chosen.map(expression).join(', ') || '1'} FROM ${table}`,
  }
}

/** Query over the files that counts, for each of some columns, fields of a kind. */
export type CountSql = (
  files: readonly TableFile[],
  compression: Compression,
  form: TextForm,
  columns: readonly number[],
  strict: boolean,
) => string

/** Returns a query with a condition for the fields of a column, which is VARCHAR. */
const countSql =
  (condition: (name: string, form: TextForm) => string): CountSql =>
  (files, compression, form, columns, strict) => {
    const types = form.names.map((_, column) => `'c${column}': 'VARCHAR'`)
    const table = readCsv(files, compression, form, types, strict, '.')
    const counts = columns.map(column => `count(*) FILTER (${condition(`c${column}`, form)})`)
    return `SELECT ${counts.join(', ')} FROM ${table}`
  }

/** Counts the fields that are no numbers; DuckDB takes `1_000`, `+-5` and `-nan` for some. */
export const refusalsSql: CountSql = countSql((name, { decimal }) => {
  const comma = decimal === ','
  const number = `TRY_CAST(${comma ? `replace(${name}, ',', '.')` : name} AS DOUBLE)`
  const others = [comma ? '.' : ',', '_', '+-'].map(text => `contains(${name}, '${text}')`)
  const isOther = [`${number} IS NULL`, ...others, `(isnan(${number}) AND trim(${name}) NOT IN ('NaN', 'nan'))`]
  return `${name} IS NOT NULL AND (${isOther.join(' OR ')})`
})

/** Counts the fields of whole numbers with leading zeros, which DuckDB reads as if they had none. */
export const paddedSql: CountSql = countSql(name => `regexp_full_match(trim(${name}), '0[0-9]+')`)

function readCsv(
  files: readonly TableFile[],
  compression: Compression,
  { delimiter, skippedRecords }: TextForm,
  types: readonly string[],
  strict: boolean,
  decimal: '.' | ',',
): string {
  const options = [
    `[${files.map(({ path }) => sqlPath(path)).join(', ')}]`,
    'auto_detect = false',
    'header = false',
    `skip = ${skippedRecords}`,
    `columns = {${types.join(', ')}}`,
    `delim = ${sqlText(delimiter)}`,
    `quote = '"'`,
    `escape = '"'`,
    `decimal_separator = '${decimal}'`,
    `compression = '${compression}'`,
    `strict_mode = ${strict}`,
    'null_padding = false',
    'ignore_errors = false',
    'hive_partitioning = false',
    'filename = false',
    `max_line_size = ${MAX_RECORD}`,
    `buffer_size = ${BUFFER_BYTES}`,
  ]
  return `read_csv(${options.join(', ')})`
}

/** `isDemanded`: leading zeros do not matter. */
function looksNumeric({ sample, decimal, counts, names }: TextForm, column: number, isDemanded: boolean): boolean {
  let numbers = 0
  let [padded, digits] = [0, 0]
  for (const { fields } of sample) {
    const text = (fields[column] ?? '').trim()
    if (text === '') continue
    const can = meaningOf(text, decimal)
    if ((can & ~(Can.digits | Can.padded)) !== Can.number) return false
    if (can & Can.padded) padded++
    if (can & Can.digits) digits++
    numbers++
  }
  if (padded > 0 && digits === numbers && !isDemanded) return false
  return numbers > 0 || (counts !== null && column === names.length - 1)
}

/** Reader of tables for tests: CSV texts in memory, in chunks of a few rows. */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { ColumnProfile, ColumnValues, TableChunk, ValueType } from '../../src/data/table/columns.js'
import { secondsOf } from '../../src/data/table/dates.js'
import type { TableFormat, TableReader } from '../../src/data/table/reader.js'
import { DataError } from '../../src/errors.js'

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/
const READ: Readonly<Record<Exclude<ValueType, 'text'>, (text: string) => number>> = {
  number: text => (NUMBER.test(text) ? Number(text) : Number.NaN),
  boolean: text => (text === 'true' ? 1 : text === 'false' ? 0 : Number.NaN),
  date: secondsOf,
}

/** Fields are split at commas; quotes are taken away. `chunkRows`: rows of a chunk. */
export function readerOfText(
  path: string,
  text: string,
  format: Partial<TableFormat> = {},
  chunkRows = 3,
): TableReader {
  const [header, ...lines] = text.trimEnd().split('\n')
  const fieldsOf = (line: string) =>
    line.split(/,(?=(?:[^"]*"[^"]*")*[^"]*$)/).map(field => field.replace(/^"|"$/g, ''))
  const names = fieldsOf(header)
  const rows = lines.map(fieldsOf)
  const columns = names.map((name, i) =>
    columnOf(
      name,
      rows.map(row => row[i] ?? ''),
      format.types?.[name],
    ),
  )
  const file = { path, bytes: text.length, md5: createHash('md5').update(text).digest('hex'), official: null }
  return {
    files: [file],
    digests: async () => [file],
    rows: rows.length,
    isKept: false,
    columns: columns.map(({ profile }) => profile),
    format: { delimiter: ',', header: true, decimal: '.', query: null, types: {}, ...format } as TableFormat,
    notes: [],
    warnings: [],
    async *read(wanted, first = 0): AsyncGenerator<TableChunk> {
      for (let from = first; from < rows.length; from += chunkRows) {
        const to = Math.min(from + chunkRows, rows.length)
        const part = new Map(
          wanted.map(name => [name, columns.find(({ profile }) => profile.name === name)!.slice(from, to)]),
        )
        yield { firstRow: from, rows: to - from, columns: part }
      }
    },
    whole: async wanted => ({
      ...{ firstRow: 0, rows: rows.length },
      columns: new Map(
        wanted.map(name => [name, columns.find(({ profile }) => profile.name === name)!.slice(0, rows.length)]),
      ),
    }),
    wholeIn: async () => null,
    parts: async () => null,
    expectUnchanged: async () => {},
    close: async () => {},
  }
}

/** Opens CSV files from disk. */
export const openCsvFile = async (path: string, format: TableFormat): Promise<TableReader> =>
  readerOfText(path, await readFile(path, 'utf8'), format, 1000)

function columnOf(name: string, fields: readonly string[], asked: ValueType | undefined) {
  const present = fields.filter(field => field !== '')
  const isOf = (type: Exclude<ValueType, 'text'>) => present.every(field => !Number.isNaN(READ[type](field)))
  const type: ValueType = asked ?? (['number', 'boolean', 'date'] as const).find(isOf) ?? 'text'
  const wrong = type === 'text' ? -1 : fields.findIndex(field => field !== '' && Number.isNaN(READ[type](field)))
  if (wrong >= 0) throw new DataError(`column '${name}' in row ${wrong + 1} is '${fields[wrong]}', expected a ${type}`)
  const numbers = type === 'text' ? [] : present.map(READ[type])
  if (type !== 'text' && !isOf(type)) {
    const line = fields.findIndex(field => field !== '' && Number.isNaN(READ[type](field)))
    throw new DataError(`line ${line + 2}: column '${name}' is '${fields[line]}', expected a ${type}`)
  }
  const profile: ColumnProfile = {
    ...{ name, sqlType: 'VARCHAR', type, missing: fields.length - present.length },
    distinct: new Set<string | number>(type === 'text' ? present : numbers).size,
    range: numbers.length === 0 ? null : [Math.min(...numbers), Math.max(...numbers)],
    isInteger: type === 'number' && numbers.every(Number.isInteger),
  }
  const slice = (from: number, to: number): ColumnValues => {
    const part = fields.slice(from, to)
    if (type !== 'text') {
      return { type, values: Float64Array.from(part, field => (field === '' ? Number.NaN : READ[type](field))) }
    }
    const dictionary = [...new Set(part.filter(field => field !== ''))]
    return { type, codes: Int32Array.from(part, field => dictionary.indexOf(field)), dictionary }
  }
  return { profile, slice }
}

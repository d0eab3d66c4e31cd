/** Reads a table's file by the parser of plain text or by DuckDB, for comparison. */
import type { ColumnValues } from '../../../src/data/table/columns.js'
import { ANY_FORMAT, type OpenOptions, openTableReader } from '../../../src/data/table/duckdb/open.js'
import type { TableFormat } from '../../../src/data/table/reader.js'
import { DataError } from '../../../src/errors.js'

/** Everything that a reader reports about a file, with values bit by bit. */
export async function readBy(
  path: string,
  access: OpenOptions['access'],
  format: Partial<TableFormat> = {},
  threads = 2,
  keepBytes?: number,
) {
  const reader = await openTableReader(path, { ...ANY_FORMAT, ...format }, { access, threads, keepBytes })
  try {
    const columns: Record<string, unknown[]> = {}
    const names = reader.columns.filter(column => column.unreadable === undefined).map(({ name }) => name)
    for await (const chunk of reader.read(names)) {
      for (const [name, values] of chunk.columns) {
        columns[name] ??= [values.type]
        for (let row = 0; row < chunk.rows; row++) columns[name].push(fieldOf(values, row))
      }
    }
    const { rows, columns: profiles, format: decided, notes, warnings, files: read } = reader
    return { rows, profiles, decided, notes, warnings, read, columns }
  } finally {
    await reader.close()
  }
}

const fieldOf = (values: ColumnValues, row: number): unknown => {
  if (values.type === 'text') return values.codes[row] < 0 ? null : values.dictionary[values.codes[row]]
  const value = values.values[row]
  return Object.is(value, -0) ? '-0' : value
}

/** Null where the file is not plain. */
export async function plain(path: string, format: Partial<TableFormat> = {}) {
  try {
    return await readBy(path, 'plain', format)
  } catch (error) {
    if (error instanceof DataError && /is not plain text/.test(error.message)) return null
    throw error
  }
}

/** Content of the file, or the message and the hint of the error. */
export async function toldBy(path: string, access: OpenOptions['access'], format: Partial<TableFormat> = {}) {
  try {
    return await (access === 'plain' ? plain(path, format) : readBy(path, access, format))
  } catch (error) {
    if (error instanceof DataError) return { message: error.message, hint: error.hint }
    throw error
  }
}

/** All rows of a table as objects: null for a missing value. */
import { ANY_FORMAT, type OpenOptions, openTableReader } from '../../../src/data/table/duckdb/open.js'
import type { TableFormat, TableReader } from '../../../src/data/table/reader.js'

export type Row = Record<string, number | string | null>

export async function rowsOfReader(table: TableReader, first = 0): Promise<Row[]> {
  const names = table.columns.filter(column => column.unreadable === undefined).map(({ name }) => name)
  const rows: Row[] = []
  for await (const chunk of table.read(names, first)) {
    for (let i = 0; i < chunk.rows; i++) {
      const row: Row = {}
      for (const [name, column] of chunk.columns) {
        if (column.type === 'text') row[name] = column.codes[i] < 0 ? null : column.dictionary[column.codes[i]]
        else row[name] = Number.isNaN(column.values[i]) ? null : column.values[i]
      }
      rows.push(row)
    }
  }
  return rows
}

export async function rowsOfText(path: string, format: Partial<TableFormat> = {}, options: OpenOptions = {}) {
  const table = await openTableReader(path, { ...ANY_FORMAT, ...format }, { threads: 2, ...options })
  try {
    return { table, rows: await rowsOfReader(table) }
  } finally {
    await table.close()
  }
}

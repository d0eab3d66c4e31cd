/** Parquet files: columns with the types that the files say, the same in all of them. Main thread. */
import { inspect } from 'node:util'
import { DataError } from '../../../errors.js'
import type { TableFile } from '../files.js'
import { type Database, sqlName, sqlPath } from './database.js'
import { firstLine } from './delimited.js'
import { type RowSource, typedColumn, typedSelect } from './source.js'

/** Throws DataError if a file has other columns than the first, or is damaged. */
export async function parquetSource(database: Database, files: readonly TableFile[]): Promise<RowSource> {
  const first = await describe(database, files[0].path, parquet([files[0]], false))
  let differs = false
  for (const file of files.slice(1)) {
    const columns = await describe(database, file.path, parquet([file], false))
    const names = new Map(columns)
    const missing = first.find(([name]) => !names.has(name))
    const extra = columns.find(([name]) => !first.some(each => each[0] === name))
    if (missing !== undefined || extra !== undefined) {
      const fault =
        missing === undefined ? `has a column ${inspect(extra![0])}` : `has no column ${inspect(missing[0])}`
      throw new DataError(`${file.path}: ${fault}, expected the columns of ${files[0].path}`)
    }
    if (first.some(([name, type]) => names.get(name) !== type)) differs = true
  }
  // By position and with the first file's types, DuckDB would round what other files have.
  const table = parquet(files, files.length > 1)
  const source = tableSource(table, differs ? await describe(database, files[0].path, table) : first)
  return { ...source, countRows: () => countRows(database, table) }
}

/** Names and types of columns, as DuckDB describes them. */
export type Described = readonly (readonly [name: string, type: string])[]

/** Source of files whose columns are known, and the same in all. */
export function parquetSourceOf(database: Database, files: readonly TableFile[], described: Described): RowSource {
  const table = parquet(files, files.length > 1)
  return { ...tableSource(table, described), countRows: () => countRows(database, table) }
}

/** Number of rows by the files' footers. Throws what DuckDB throws. */
async function countRows(database: Database, table: string): Promise<number> {
  const connection = await database.connect()
  try {
    const [[count]] = (await connection.runAndReadAll(`SELECT count(*) FROM ${table}`)).getRows()
    return Number(count)
  } finally {
    database.release(connection)
  }
}

/** Source over a table expression whose columns have types. */
export function tableSource(table: string, described: readonly (readonly [name: string, type: string])[]): RowSource {
  const columns = described.map(([name, type]) => typedColumn(name, type))
  return {
    columns,
    table,
    expression: index => sqlName(columns[index].name),
    select: chosen =>
      `SELECT ${chosen.map(index => typedSelect(sqlName(columns[index].name), columns[index])).join(', ') || '1'} FROM ${table}`,
  }
}

const parquet = (files: readonly TableFile[], byName: boolean): string =>
  `read_parquet([${files.map(({ path }) => sqlPath(path)).join(', ')}], union_by_name = ${byName}, ` +
  'hive_partitioning = false, filename = false)'

/** Names and types of a table expression's columns. */
export async function describe(database: Database, where: string, table: string): Promise<[string, string][]> {
  const connection = await database.connect()
  try {
    const rows = (await connection.runAndReadAll(`DESCRIBE SELECT * FROM ${table}`)).getRows()
    return rows.map(([name, type]) => [String(name), String(type)])
  } catch (error) {
    throw new DataError(`${where}: cannot be read; ${firstLine(error)}`, { cause: error })
  } finally {
    database.release(connection)
  }
}

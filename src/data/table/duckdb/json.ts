/** JSON files, an array of objects or an object a line: columns are the keys of all rows, and their texts decide about types. Main thread. */
import { inspect } from 'node:util'
import { DataError } from '../../../errors.js'
import type { Compression, TableFile } from '../files.js'
import { type Database, sqlPath, sqlText } from './database.js'
import { firstLine, MOST_COLUMNS } from './delimited.js'
import type { RowSource, SourceColumn } from './source.js'

/** Most bytes of one row. */
const MAX_OBJECT_BYTES = 4 * 2 ** 20

/** Throws DataError for what is no table of objects. */
export async function jsonSource(
  where: string,
  database: Database,
  files: readonly TableFile[],
  compression: Compression,
  types: Readonly<Record<string, string>>,
): Promise<RowSource> {
  const paths = `[${files.map(({ path }) => sqlPath(path)).join(', ')}]`
  // Objects one after the other, whether a line has one or several or a part of one; an array of them; or neither.
  const table =
    `read_json_objects(${paths}, format = 'auto', ${compression === 'none' ? '' : `compression = '${compression}', `}maximum_object_size = ${MAX_OBJECT_BYTES}, ` +
    'ignore_errors = false, filename = false, hive_partitioning = false)'
  const names = await keysOf(where, database, table)
  const nested = await nestedKeys(where, database, table, names)
  const columns = names.map((name, index): SourceColumn => {
    const decides = types[name] !== 'text'
    const column: SourceColumn = { name, sqlType: 'JSON', type: 'text', decides }
    return nested[index]
      ? { ...column, unreadable: 'it has arrays or objects, expected numbers, texts or booleans' }
      : column
  })
  return {
    columns,
    table,
    expression: index => `json_extract_string(json, ${pathOf(names[index])})`,
    select: chosen =>
      `SELECT ${chosen.map(index => `json_extract_string(json, ${pathOf(names[index])})`).join(', ') || '1'} FROM ${table}`,
  }
}

const pathOf = (name: string): string => sqlText(`$."${name}"`)

/** Keys in the order in which they first occur. */
async function keysOf(where: string, database: Database, table: string): Promise<string[]> {
  const sql =
    "SELECT keys, min(i) FROM (SELECT row_number() OVER () AS i, CASE json_type(json) WHEN 'OBJECT' THEN json_keys(json) END AS keys " +
    `FROM ${table}) GROUP BY keys ORDER BY 2`
  const lists = await rowsOf(where, database, sql)
  const names = new Set<string>()
  for (const [keys, first] of lists) {
    if (keys === null) {
      throw new DataError(`${where}: row ${first} is no object, expected an object with a value for each column`)
    }
    for (const key of (keys as { items: readonly string[] }).items) names.add(key)
  }
  if (names.size === 0) throw new DataError(`${where}: has no rows with values, expected a table`)
  if (names.size > MOST_COLUMNS) {
    throw new DataError(
      `${where}: its objects have ${names.size} different keys, expected at most ${MOST_COLUMNS} columns`,
    )
  }
  const odd = [...names].find(name => /["\\]/.test(name))
  if (odd !== undefined)
    throw new DataError(`${where}: the key ${inspect(odd)} has a quote or a backslash, expected a name without`)
  return [...names]
}

async function nestedKeys(
  where: string,
  database: Database,
  table: string,
  names: readonly string[],
): Promise<boolean[]> {
  const tests = names.map(name => `bool_or(json_type(json, ${pathOf(name)}) IN ('ARRAY', 'OBJECT'))`)
  const [row] = await rowsOf(where, database, `SELECT ${tests.join(', ')} FROM ${table}`)
  return row.map(value => value === true)
}

async function rowsOf(where: string, database: Database, sql: string): Promise<unknown[][]> {
  const connection = await database.connect()
  try {
    return (await connection.runAndReadAll(sql)).getRows()
  } catch (error) {
    throw new DataError(`${where}: cannot be read as JSON; ${firstLine(error)}`, { cause: error })
  } finally {
    database.release(connection)
  }
}

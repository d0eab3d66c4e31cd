/**
 * Predictions as a Parquet file, made by DuckDB from lines of CSV in a temporary file beside it: memory does not grow with the rows.
 * Main thread.
 */
import { open, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { openDatabase, sqlName, sqlPath, sqlText } from '../../data/table/duckdb/database.js'
import { RunError } from '../../errors.js'
import type { Lines } from './lines.js'
import type { OutputValues } from './predictions.js'
import { headOf } from './writers.js'

const SQL_TYPES: Readonly<Record<OutputValues['type'], string>> = {
  f32: 'FLOAT',
  name: 'VARCHAR',
  number: 'DOUBLE',
  boolean: 'BOOLEAN',
  date: 'TIMESTAMP',
  text: 'VARCHAR',
}

/** Longest line of the temporary file in bytes, and room for two: DuckDB would take 16 times a line's. */
const MAX_LINE_BYTES = 2 ** 24
const BUFFER_BYTES = 2 * MAX_LINE_BYTES

/**
 * Writes lines of CSV to `file`, an absolute path, which is whole or not there. Columns have the types of the first lines. Returns
 * the number of rows.
 */
export async function writeParquet(
  file: string,
  names: readonly string[],
  lines: AsyncIterable<Lines>,
): Promise<number> {
  const temporary = (ending: string) => join(dirname(file), `.${basename(file)}.${process.pid}.${ending}.tmp`)
  const [csv, parquet] = [temporary('csv'), temporary('parquet')]
  try {
    const { rows, types } = await writeLines(csv, names, lines)
    const columns = names.map((name, i) => `${sqlText(name)}: ${sqlText(types[i])}`).join(', ')
    const database = await openDatabase(file, [csv, parquet], {})
    try {
      const connection = await database.connect()
      await connection.run(
        `COPY (SELECT ${names.map(sqlName).join(', ')} FROM read_csv(${sqlPath(csv)}, auto_detect = false, header = true, ` +
          `delim = ',', quote = '"', escape = '"', nullstr = '', new_line = '\\n', max_line_size = ${MAX_LINE_BYTES}, buffer_size = ${BUFFER_BYTES}, columns = {${columns}})) ` +
          `TO ${sqlText(parquet)} (FORMAT parquet)`,
      )
      connection.closeSync()
    } catch (cause) {
      const [reason] = (cause instanceof Error ? cause.message : String(cause)).split('\n')
      throw new RunError(`${file}: cannot be written: ${reason}`, { cause })
    } finally {
      database.close()
    }
    await rename(parquet, file)
    return rows
  } finally {
    for (const left of [csv, parquet]) await rm(left, { force: true })
  }
}

async function writeLines(file: string, names: readonly string[], lines: AsyncIterable<Lines>) {
  const handle = await open(file, 'w')
  try {
    let rows = 0
    let types: readonly string[] = names.map(() => 'VARCHAR')
    await handle.writeFile(headOf('csv', names))
    for await (const some of lines) {
      if (rows === 0) types = some.types.map(type => SQL_TYPES[type])
      rows += some.rows
      await handle.writeFile(some.bytes)
    }
    return { rows, types }
  } finally {
    await handle.close()
  }
}

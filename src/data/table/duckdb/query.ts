/**
 * `data.query`: a SELECT over the view `data`, which has the columns of the files with their final types. It runs on one thread,
 * so that rows without an ORDER BY come in the same order every time. Main thread.
 */
import { inspect } from 'node:util'
import { DataError } from '../../../errors.js'
import { type Database, sqlName, sqlText } from './database.js'
import { firstLine } from './delimited.js'
import { loadDuckDB } from './package.js'
import { describe, tableSource } from './parquet.js'
import { expectRepeatable } from './repeatable.js'
import type { ReadColumn, RowSource } from './source.js'

const MISSING_TEXTS = ['', 'NA', 'N/A', 'NaN', 'nan', 'null', 'NULL', '?']
const TIMES = ['', ' %H:%M', ' %H:%M:%S', ' %I:%M %p', ' %I:%M:%S %p']

/** Source over the rows of the query. `warnings` gets the columns that the view has as text. Throws DataError. */
export async function querySource(
  where: string,
  database: Database,
  query: string,
  source: RowSource,
  columns: readonly ReadColumn[],
  decimal: '.' | ',',
  warnings: string[],
): Promise<RowSource> {
  const { StatementType } = loadDuckDB(where)
  const connection = await database.connect()
  const at = `${where}: data.query`
  try {
    const twice = columns.find(
      ({ name }, i) => columns.findIndex(each => each.name.toLowerCase() === name.toLowerCase()) !== i,
    )
    if (twice !== undefined) {
      throw new DataError(`${at}: two columns are named ${inspect(twice.name)} except for capitals, which SQL ignores`)
    }
    const selected: string[] = []
    for (const [index, column] of columns.entries()) {
      const text = source.expression(index)
      let expression = typedExpression(text, column, decimal)
      if (column.reading !== null && column.reading.type === 'date') {
        const sql = `SELECT count(*) FILTER (${expression} IS NULL AND ${presentText(text)} IS NOT NULL) FROM ${source.table}`
        if (Number((await connection.runAndReadAll(sql)).getRows()[0][0]) > 0) {
          warnings.push(
            `${at}: the view has column ${inspect(column.name)} as text, because SQL does not read all of its dates`,
          )
          expression = `nullif(trim(${text}), '')`
        }
      }
      selected.push(`${expression} AS ${sqlName(column.name)}`)
    }
    await database.keepRowsHere()
    await connection.run(`CREATE VIEW data AS SELECT ${selected.join(', ')} FROM ${source.table}`)
    const statements = await connection.extractStatements(query)
    if (statements.count !== 1) throw new DataError(`${at}: has ${statements.count} statements, expected one SELECT`)
    const { statementType } = await statements.prepare(0)
    if (statementType !== StatementType.SELECT)
      throw new DataError(`${at}: is ${StatementType[statementType]}, expected a SELECT`)
    const names = columns.map(({ name }) => name)
    await expectRepeatable(at, connection, query, names)
  } catch (error) {
    if (error instanceof DataError) throw error
    throw new DataError(`${at}: ${firstLine(error)}`, {
      cause: error,
      hint: 'the table is called data: SELECT * FROM data',
    })
  } finally {
    database.release(connection)
  }
  const table = `(\n${query.replace(/;\s*$/, '')}\n)`
  const described = await describe(database, at, table)
  const same = described.find(
    ([name], i) => described.findIndex(each => each[0].toLowerCase() === name.toLowerCase()) !== i,
  )
  if (same !== undefined) {
    throw new DataError(`${at}: gives two columns named ${inspect(same[0])}, expected different names`, {
      hint: 'name them with AS',
    })
  }
  return tableSource(table, described)
}

const presentText = (text: string): string => `nullif(trim(${text}), '')`

function typedExpression(text: string, { reading, classNames }: ReadColumn, decimal: '.' | ','): string {
  if (classNames !== undefined) return `(${list(classNames)})[CAST(${text} AS INTEGER) + 1]`
  if (reading === null) return text
  const trimmed = `trim(${text})`
  if (reading.type === 'text') return `nullif(${trimmed}, '')`
  const present = `CASE WHEN ${trimmed} NOT IN (${MISSING_TEXTS.map(sqlText).join(', ')}) THEN ${trimmed} END`
  if (reading.type === 'number') {
    return `CAST(${decimal === ',' ? `replace(${present}, ',', '.')` : present} AS DOUBLE)`
  }
  if (reading.type === 'boolean') {
    return `CASE WHEN lower(${trimmed}) IN ('true', 't', 'yes', 'y', '1') THEN true WHEN ${present} IS NOT NULL THEN false END`
  }
  if (reading.dates === 'time') return `TRY_CAST(${present} AS TIME)`
  const order = reading.dates === 'month-first' ? ['%m/%d/%Y', '%m-%d-%Y'] : ['%d/%m/%Y', '%d-%m-%Y']
  const dates = [...order, '%d.%m.%Y', '%Y/%m/%d', '%d-%b-%Y', '%d %b %Y', '%d %B %Y', '%b %d, %Y', '%B %d, %Y']
  const formats = dates.flatMap(date => TIMES.map(time => date + time))
  const zoned = `CAST(TRY_CAST(${present} AS TIMESTAMPTZ) AS TIMESTAMP)`
  return `coalesce(${zoned}, try_strptime(${present}, ${list(formats)}))`
}

const list = (texts: readonly string[]): string => `[${texts.map(sqlText).join(', ')}]`

/** Source of a table's rows, and how each column is read. Types, and the SQL types that can be read; main thread. */
import type { ValueType } from '../columns.js'
import type { Reading } from '../text/reading.js'

export interface SourceColumn {
  readonly name: string
  /** Type in the file; for text, that of its values. */
  readonly sqlType: string
  /** Type of the values as DuckDB returns them: as DOUBLE, or as VARCHAR for `text`. */
  readonly type: ValueType
  /** True if the texts decide about the type of the values, false if the file does. */
  readonly decides: boolean
  /** Reason why it cannot be read. */
  readonly unreadable?: string
  /** Names that replace the numbers 0, 1, …. */
  readonly classNames?: readonly string[]
}

/** Rows of DuckDB: columns by index. */
export interface RowSource {
  readonly columns: readonly SourceColumn[]
  /** SQL of the table with all rows, and of one of its columns as it lies there. */
  readonly table: string
  expression(column: number): string
  /** Number of rows, where it is known without reading them. */
  countRows?(): Promise<number>
  /** SQL that selects the columns, as DOUBLE or VARCHAR, in the order of the rows. */
  select(columns: readonly number[]): string
}

/** Column of the source with its final type. */
export interface ReadColumn extends SourceColumn {
  /** For a column of texts: how they become values; null: the values are right as they come. */
  readonly reading: Reading | null
  /** True if values that are no texts are given out as texts. */
  readonly asText?: boolean
}

const NUMBERS =
  /^(TINYINT|SMALLINT|INTEGER|BIGINT|HUGEINT|UTINYINT|USMALLINT|UINTEGER|UBIGINT|UHUGEINT|FLOAT|DOUBLE|DECIMAL\(.*\))$/
const LARGE_INTEGERS = /^(BIGINT|HUGEINT|UBIGINT|UHUGEINT)$/
const TIMES = /^(DATE|TIME|TIMESTAMP(_S|_MS|_NS)?|TIMESTAMP WITH TIME ZONE)$/
const TEXTS = /^(VARCHAR|UUID|ENUM\(.*\))$/s

/** Column of a type that the file says. */
export function typedColumn(name: string, sqlType: string): SourceColumn {
  const shown = sqlType.length > 60 ? `${sqlType.slice(0, 60)}…` : sqlType
  const column = { name, sqlType: shown, decides: false }
  if (NUMBERS.test(sqlType)) return { ...column, type: 'number' }
  if (sqlType === 'BOOLEAN') return { ...column, type: 'boolean' }
  if (TIMES.test(sqlType)) return { ...column, type: 'date' }
  if (TEXTS.test(sqlType)) return { ...column, type: 'text' }
  return { ...column, type: 'text', unreadable: `its type is ${shown}, expected numbers, texts, dates or booleans` }
}

/** SQL that gives the values of a column as DOUBLE or VARCHAR; `expression` is SQL too. */
export function typedSelect(expression: string, column: SourceColumn): string {
  if (column.type === 'date') return `CAST(epoch(${expression}) AS DOUBLE)`
  if (column.type === 'boolean') return `CAST(CAST(${expression} AS INTEGER) AS DOUBLE)`
  return `CAST(${expression} AS ${column.type === 'text' ? 'VARCHAR' : 'DOUBLE'})`
}

export const isLargeInteger = (sqlType: string): boolean => LARGE_INTEGERS.test(sqlType)

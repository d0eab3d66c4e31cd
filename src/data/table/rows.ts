/**
 * Rows as objects by column name, such as a program or a request has them, as the chunk that an encoding takes. Pure; any
 * thread.
 */
import { inspect } from 'node:util'
import { DataError } from '../../errors.js'
import { formatNames } from '../../format.js'
import type { ColumnValues, TableChunk } from './columns.js'
import { encodeRows } from './encode.js'
import { type ColumnEncoding, featureCount, type TableEncoding } from './encoding.js'

/** Value of a field. null, and a number that is not finite, is a missing one. */
export type Field = string | number | boolean | bigint | Date | null

/** One row. Names that the model does not take are ignored. */
export type FieldRow = Readonly<Record<string, Field | undefined>>

export const isFieldRow = (row: unknown): row is FieldRow =>
  typeof row === 'object' && row !== null && !Array.isArray(row) && !ArrayBuffer.isView(row)

/**
 * Features (N, F) of rows, each an object by column name or an array of values in the order of the encoding's columns. `nameOf` is the
 * name of a row in messages about its length. Throws DataError for a row that has too few values, and for a value that does not fit.
 */
export function featuresOfRows(
  table: TableEncoding,
  rows: readonly unknown[],
  where: string,
  nameOf = (row: number) => `${where}: row ${row + 1}`,
): Float32Array {
  const byName = rows.map((row, i) => (Array.isArray(row) ? rowByOrder(table, row, nameOf(i)) : row))
  const features = new Float32Array(rows.length * featureCount(table))
  encodeRows(table, chunkOfRows(table, byName, where), features, null, where)
  return features
}

/** A row from values in the order of the encoding's columns. Throws DataError for another number of them. */
export function rowByOrder(
  { columns }: Pick<TableEncoding, 'columns'>,
  values: readonly unknown[],
  where = 'row',
): Record<string, unknown> {
  if (values.length === columns.length) return Object.fromEntries(columns.map(({ column }, i) => [column, values[i]]))
  const names = formatNames(columns.map(({ column }) => column))
  throw new DataError(`${where}: has ${values.length} values, expected ${columns.length}: ${names}`)
}

/** Throws DataError for a row without a column that the encoding takes, and for a value that is no field. */
export function chunkOfRows(
  { columns }: Pick<TableEncoding, 'columns'>,
  rows: readonly unknown[],
  where = 'rows',
): TableChunk {
  rows.forEach((row, i) => {
    if (!isFieldRow(row)) {
      throw new DataError(
        `${where}: row ${i + 1} is ${inspect(row, { depth: 0 })}, expected an object with a value for each column`,
      )
    }
  })
  return {
    firstRow: 0,
    rows: rows.length,
    columns: new Map(
      columns.map(encoding => [encoding.column, valuesOf(encoding, rows as readonly FieldRow[], where)]),
    ),
  }
}

function valuesOf({ column, kind }: ColumnEncoding, rows: readonly FieldRow[], where: string): ColumnValues {
  const codes = new Int32Array(rows.length)
  const known = new Map<string, number>()
  rows.forEach((row, i) => {
    const value = Object.hasOwn(row, column) ? row[column] : undefined
    if (value === undefined) {
      throw new DataError(
        `${where}: row ${i + 1} has no ${inspect(column)}, expected every column that the model takes`,
        {
          hint: 'null is a missing value',
        },
      )
    }
    const text = textOf(value, kind)
    if (text === undefined) {
      throw new DataError(
        `${where}: ${inspect(column)} of row ${i + 1} is ${inspect(value, { depth: 0 })}, expected text, a number, true, false, a Date or null`,
      )
    }
    codes[i] = text === null ? -1 : (known.get(text) ?? known.set(text, known.size).size - 1)
  })
  return { type: 'text', codes, dictionary: [...known.keys()] }
}

/** Text of a field, which the encoding reads by its kind; null: missing; undefined: no field. */
function textOf(value: unknown, kind: ColumnEncoding['kind']): string | null | undefined {
  if (value === null) return null
  switch (typeof value) {
    case 'string':
      return value.trim() || null // as the reader of files takes it
    case 'number':
      if (!Number.isFinite(value)) return Number.isNaN(value) ? null : undefined
      return kind === 'date' ? new Date(value * 1000).toISOString() : String(value)
    case 'boolean':
    case 'bigint':
      return String(value)
    default:
      return value instanceof Date && !Number.isNaN(value.getTime()) ? value.toISOString() : undefined
  }
}

/** Some rows of a table as a chunk of their own. Pure; any thread. */
import type { ColumnValues, TableChunk } from './columns.js'
import { withOwnDictionary } from './dictionary.js'

/** `rows`: indices in the chunk, in the order of the result. `names`: the columns that are taken. */
export function takeRows(chunk: TableChunk, rows: ArrayLike<number>, names: readonly string[]): TableChunk {
  const columns = names.map((name): [string, ColumnValues] => [name, takeValues(chunk.columns.get(name)!, rows)])
  return { firstRow: 0, rows: rows.length, columns: new Map(columns) }
}

function takeValues(from: ColumnValues, rows: ArrayLike<number>): ColumnValues {
  if (from.type !== 'text') {
    return { type: from.type, values: Float64Array.from({ length: rows.length }, (_, i) => from.values[rows[i]]) }
  }
  const codes = new Int32Array(rows.length)
  for (let i = 0; i < rows.length; i++) codes[i] = from.codes[rows[i]]
  return withOwnDictionary(codes, from.dictionary)
}

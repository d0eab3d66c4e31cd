/** Some rows of a table as a chunk of their own. Pure; any thread. */
import type { ColumnValues, TableChunk } from './columns.js'

/** `rows`: indices in the chunk, in the order of the result. `names`: the columns that are taken. */
export function takeRows(chunk: TableChunk, rows: ArrayLike<number>, names: readonly string[]): TableChunk {
  const columns = names.map((name): [string, ColumnValues] => [name, takeValues(chunk.columns.get(name)!, rows)])
  return { firstRow: 0, rows: rows.length, columns: new Map(columns) }
}

function takeValues(from: ColumnValues, rows: ArrayLike<number>): ColumnValues {
  if (from.type !== 'text') {
    return { type: from.type, values: Float64Array.from({ length: rows.length }, (_, i) => from.values[rows[i]]) }
  }
  const dictionary: string[] = []
  const codeOf = new Map([[-1, -1]])
  const codes = Int32Array.from({ length: rows.length }, (_, i) => {
    const code = from.codes[rows[i]]
    const known = codeOf.get(code)
    if (known !== undefined) return known
    codeOf.set(code, dictionary.length)
    return dictionary.push(from.dictionary[code]) - 1
  })
  return { type: 'text', codes, dictionary }
}

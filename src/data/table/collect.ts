/** Columns of a table in memory: all rows as one chunk. Main thread; holds 8 bytes a number, 4 a text beside each different one. */
import { DataError } from '../../errors.js'
import type { ColumnValues, TableChunk } from './columns.js'
import type { TableReader } from './reader.js'

/** Reads columns whole. Text gets one dictionary, in the order in which its values first occur. */
export async function collectColumns(reader: TableReader, names: readonly string[]): Promise<TableChunk> {
  const { rows } = reader
  const whole = names.length > 0 ? await reader.whole?.(names) : null
  if (whole) return whole
  const growing = new Map<string, Growing>()
  let count = 0
  if (names.length > 0) {
    for await (const chunk of reader.read(names)) {
      if (count + chunk.rows > rows) throw changed(reader)
      for (const name of names) append(growing, name, chunk.columns.get(name)!, count, rows)
      count += chunk.rows
    }
    if (count !== rows) throw changed(reader)
  }
  return { firstRow: 0, rows, columns: new Map([...growing].map(([name, { values }]) => [name, values])) }
}

const changed = ({ files, rows }: TableReader) =>
  new DataError(`${files[0]?.path ?? 'table'}: has changed while it was read, expected the ${rows} rows that it had`)

interface Growing {
  readonly values: ColumnValues
  /** Indices of the texts in the dictionary that is being made. */
  readonly codes: Map<string, number>
}

function append(all: Map<string, Growing>, name: string, from: ColumnValues, at: number, rows: number): void {
  let into = all.get(name)
  if (into === undefined) {
    const values: ColumnValues =
      from.type === 'text'
        ? { type: 'text', codes: new Int32Array(rows), dictionary: [] }
        : { type: from.type, values: new Float64Array(rows) }
    into = { values, codes: new Map() }
    all.set(name, into)
  }
  const { values, codes } = into
  if (from.type !== 'text') {
    if (values.type !== 'text') values.values.set(from.values, at)
    return
  }
  if (values.type !== 'text') return
  const dictionary = values.dictionary as string[]
  const codeOf = Int32Array.from(from.dictionary, text => {
    let code = codes.get(text)
    if (code === undefined) {
      code = dictionary.push(text) - 1
      codes.set(text, code)
    }
    return code
  })
  for (let i = 0; i < from.codes.length; i++) values.codes[at + i] = from.codes[i] < 0 ? -1 : codeOf[from.codes[i]]
}

/** True where a column has no value. */
export function isMissing(values: ColumnValues, row: number): boolean {
  return values.type === 'text' ? values.codes[row] < 0 : Number.isNaN(values.values[row])
}

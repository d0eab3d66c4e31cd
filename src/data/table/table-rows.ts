/**
 * Rows of a table whose values may lie in memory or in its files: columns whole, a few at a time, or all columns chunk by chunk. What
 * fits and loads a table works with either, and gives the same bits. Main thread.
 */
import { collectColumns } from './collect.js'
import type { TableChunk } from './columns.js'
import type { TableReader } from './reader.js'
import { takeRows } from './take.js'

export interface TableRows {
  readonly rows: number
  /** All rows of the columns, in groups that are small beside the table, if the values are in its files. */
  groups(names: readonly string[]): AsyncIterable<TableChunk>
  /** Consecutive rows of the columns, in order. A chunk is valid until the next one is asked for. */
  chunks(names: readonly string[]): AsyncIterable<TableChunk>
  /** Values of some rows, in the order of `rows`. */
  take(names: readonly string[], rows: Uint32Array): Promise<TableChunk>
  /** The table in memory; null: its values are in its files. */
  readonly memory: TableChunk | null
  /** Closes the files. */
  close(): Promise<void>
}

/** Bytes of a group of columns. */
const GROUP_BYTES = 2 ** 28

/** `names`: all columns that will be asked for. Takes the reader over: closes it where it is not needed any more. */
export async function tableRowsOf(reader: TableReader, names: readonly string[]): Promise<TableRows> {
  const whole = names.length > 0 && reader.whole ? await reader.whole(names) : null
  if (reader.whole && whole === null && names.length > 0) return rowsOfReader(reader)
  const chunk = whole ?? (await collectColumns(reader, names))
  await reader.close()
  return rowsInMemory(chunk)
}

/** Rows of a chunk that has all of them. */
export function rowsInMemory(chunk: TableChunk): TableRows {
  return {
    rows: chunk.rows,
    memory: chunk,
    async *groups() {
      yield chunk
    },
    async *chunks() {
      yield chunk
    },
    take: async (names, rows) => takeRows(chunk, rows, names),
    close: async () => {},
  }
}

/** Rows that are read anew each time. */
export function rowsOfReader(reader: TableReader): TableRows {
  return {
    rows: reader.rows,
    memory: null,
    async *groups(names) {
      const most = Math.max(1, Math.floor(GROUP_BYTES / (Float64Array.BYTES_PER_ELEMENT * Math.max(1, reader.rows))))
      for (let from = 0; from < names.length; from += most) {
        yield await collectColumns(reader, names.slice(from, from + most))
      }
    },
    chunks: names => reader.read(names),
    take: (names, rows) => takeFrom(reader.read(names), names, rows),
    close: () => reader.close(),
  }
}

async function takeFrom(
  chunks: AsyncIterable<TableChunk>,
  names: readonly string[],
  rows: Uint32Array,
): Promise<TableChunk> {
  const order = Uint32Array.from(rows.keys()).sort((a, b) => rows[a] - rows[b])
  const found: TableChunk[] = []
  const places: number[] = []
  let next = 0
  for await (const chunk of chunks) {
    const here: number[] = []
    for (; next < order.length && rows[order[next]] < chunk.firstRow + chunk.rows; next++) {
      here.push(rows[order[next]] - chunk.firstRow)
      places.push(order[next])
    }
    if (here.length > 0) found.push(takeRows(chunk, here, names))
    if (next === order.length) break
  }
  // In the order of the file; then as asked for.
  const all = concatenated(found, names)
  const placeOf = new Uint32Array(rows.length)
  for (const [i, place] of places.entries()) placeOf[place] = i
  return takeRows(all, placeOf, names)
}

function concatenated(chunks: readonly TableChunk[], names: readonly string[]): TableChunk {
  const columns = names.map(
    (name): [string, TableChunk['columns'] extends ReadonlyMap<string, infer V> ? V : never] => {
      const parts = chunks.map(({ columns }) => columns.get(name)!)
      const [first] = parts
      if (first === undefined || first.type !== 'text') {
        const values = parts.flatMap(part => (part.type === 'text' ? [] : [...part.values]))
        return [name, { type: first?.type ?? 'number', values: Float64Array.from(values) }]
      }
      const dictionary: string[] = []
      const codeOf = new Map<string, number>()
      const codes = parts.flatMap(part => {
        if (part.type !== 'text') return []
        return Array.from(part.codes, code => {
          if (code < 0) return -1
          const text = part.dictionary[code]
          const known = codeOf.get(text)
          if (known !== undefined) return known
          codeOf.set(text, dictionary.length)
          return dictionary.push(text) - 1
        })
      })
      return [name, { type: 'text', codes: Int32Array.from(codes), dictionary }]
    },
  )
  return { firstRow: 0, rows: chunks.reduce((sum, { rows }) => sum + rows, 0), columns: new Map(columns) }
}

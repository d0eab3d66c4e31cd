/** Values of a column from what DuckDB returns: texts become numbers where the column's reading says so. Pure; any thread. */
import type { ColumnValues } from '../columns.js'
import { fieldValue } from '../text/reading.js'
import type { ReadColumn } from './source.js'
import type { RawColumn } from './vectors.js'

/** Field that does not fit the type that was demanded. */
export class Misfit extends Error {
  constructor(
    /** Row in the chunk. */
    readonly row: number,
    readonly text: string,
  ) {
    super(text)
  }
}

/** True if `convert` leaves numbers of the column as they are. */
export const isAsItIs = ({ classNames, asText }: ReadColumn): boolean => classNames === undefined && !asText

/** Throws Misfit. */
export function convert(raw: RawColumn, column: ReadColumn, decimal: '.' | ','): ColumnValues {
  if ('values' in raw) {
    if (column.classNames !== undefined) return named(raw.values, column.classNames)
    if (column.asText) return printed(raw.values)
    return { type: column.type === 'text' ? 'number' : column.type, values: raw.values }
  }
  const { codes, dictionary } = raw
  const { reading } = column
  if (reading === null || reading.type === 'text') return { type: 'text', codes, dictionary }
  const numbers = new Float64Array(dictionary.length)
  for (let code = 0; code < dictionary.length; code++) {
    const value = fieldValue(dictionary[code], reading, decimal)
    if (value === null) throw new Misfit(codes.indexOf(code), dictionary[code])
    numbers[code] = value
  }
  const values = new Float64Array(codes.length)
  for (let i = 0; i < codes.length; i++) values[i] = codes[i] < 0 ? Number.NaN : numbers[codes[i]]
  return { type: reading.type, values }
}

function named(values: Float64Array, names: readonly string[]): ColumnValues {
  const codes = new Int32Array(values.length)
  const dictionary: string[] = []
  const codeOf = new Int32Array(names.length).fill(-1)
  for (let i = 0; i < values.length; i++) {
    const value = values[i]
    if (Number.isNaN(value)) {
      codes[i] = -1
      continue
    }
    if (names[value] === undefined) throw new Misfit(i, String(value))
    if (codeOf[value] < 0) codeOf[value] = dictionary.push(names[value]) - 1
    codes[i] = codeOf[value]
  }
  return { type: 'text', codes, dictionary }
}

/** Numbers as JavaScript prints them. */
function printed(values: Float64Array): ColumnValues {
  const codeOf = new Map<number, number>()
  const codes = Int32Array.from(values, value => {
    if (Number.isNaN(value)) return -1
    const known = codeOf.get(value)
    if (known !== undefined) return known
    codeOf.set(value, codeOf.size)
    return codeOf.size - 1
  })
  return { type: 'text', codes, dictionary: [...codeOf.keys()].map(String) }
}

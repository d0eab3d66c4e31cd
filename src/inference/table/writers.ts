/**
 * Writers of predictions: CSV by RFC 4180 and NDJSON, chunk by chunk, with at most a chunk of text in memory. Main thread.
 */
import type { ValueType } from '../../data/table/columns.js'
import { f32Text } from './number-text.js'
import type { OutputColumn, OutputValues } from './predictions.js'

export type TextFormat = 'csv' | 'ndjson'

/** Text of the lines before the first row. */
export const headOf = (format: TextFormat, names: readonly string[]): string =>
  format === 'csv' ? `${names.map(quoted).join(',')}\n` : ''

/** Text of a chunk's rows. Columns must have equal lengths. */
export function rowsText(format: TextFormat, columns: readonly OutputColumn[]): string {
  const rows = rowsOf(columns)
  const fields = columns.map(({ values }) => fieldOf(format, values))
  const keys = columns.map(({ name }) => `${JSON.stringify(name)}:`)
  let text = ''
  for (let row = 0; row < rows; row++) {
    if (format === 'csv') {
      for (let c = 0; c < fields.length; c++) text += (c === 0 ? '' : ',') + fields[c](row)
      text += '\n'
    } else {
      text += '{'
      for (let c = 0; c < fields.length; c++) text += (c === 0 ? '' : ',') + keys[c] + fields[c](row)
      text += '}\n'
    }
  }
  return text
}

/** Number of rows of a chunk. */
export function rowsOf([first]: readonly OutputColumn[]): number {
  if (first === undefined) return 0
  return 'codes' in first.values ? first.values.codes.length : first.values.values.length
}

/** Function that prints the value of a row; texts and dates are quoted once, not for every row. */
function fieldOf(format: TextFormat, values: OutputValues): (row: number) => string {
  const missing = format === 'csv' ? '' : 'null'
  const print = format === 'csv' ? quoted : JSON.stringify
  if (values.type === 'text' || values.type === 'name') {
    const texts = (values.type === 'text' ? values.dictionary : values.names).map(text => print(text))
    return row => (values.codes[row] < 0 ? missing : texts[values.codes[row]])
  }
  if (values.type === 'f32') return row => f32Text(values.values[row])
  const text = textOf(format, values.type)
  return row => (Number.isNaN(values.values[row]) ? missing : text(values.values[row]))
}

/** Function that prints a number of the data, by the type of its column. */
function textOf(format: TextFormat, type: Exclude<ValueType, 'text'>): (value: number) => string {
  if (type === 'number') return String
  if (type === 'boolean') return value => String(value !== 0)
  return format === 'csv' ? dateText : value => JSON.stringify(dateText(value))
}

/** `2024-05-31`, or with the time of day where it is not midnight. */
function dateText(seconds: number): string {
  const text = new Date(seconds * 1000).toISOString()
  return text.endsWith('T00:00:00.000Z') ? text.slice(0, 10) : text.replace('T', ' ').replace(/(\.000)?Z$/, '')
}

/** A field of CSV: in quotes where it has a comma, a quote, a line break, or spaces at an end. */
function quoted(text: string): string {
  return /[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

/**
 * Writers of predictions: CSV by RFC 4180 and NDJSON, chunk by chunk. Bytes are written one by one into a buffer that is used again:
 * strings of numbers would take longer than the network. Any thread.
 */
import type { ValueType } from '../../data/table/columns.js'
import { f32Text, putFraction } from './number-text.js'
import type { OutputColumn, OutputValues } from './predictions.js'

export type TextFormat = 'csv' | 'ndjson'

/** Text of the lines before the first row. */
export const headOf = (format: TextFormat, names: readonly string[]): string =>
  format === 'csv' ? `${names.map(quoted).join(',')}\n` : ''

/** Writes the value of a row at `at`, and returns the end of it. The buffer has room for `most` bytes. */
interface Field {
  readonly most: number
  put(row: number, into: Buffer<ArrayBufferLike>, at: number): number
}

const [COMMA, LINE_END] = [44, 10]
/** Most bytes of a number, in quotes or not. */
const NUMBER_BYTES = 32
const FIRST_BYTES = 2 ** 20

/** Makes texts of chunks. */
export class RowsWriter {
  #buffer: Buffer<ArrayBufferLike> = Buffer.alloc(0)
  /** Bytes of the buffer that are written. */
  #end = 0

  constructor(readonly format: TextFormat) {}

  /** Lines of a chunk's rows, valid until the next call. Columns must have equal lengths. */
  write(columns: readonly OutputColumn[]): Buffer<ArrayBufferLike> {
    this.begin(this.#buffer.length > 0 ? this.#buffer : Buffer.allocUnsafe(FIRST_BYTES))
    this.add(columns)
    return this.written()
  }

  /** Begins a text in this memory, or in a larger one of the same kind, shared or not, if it has no room. */
  begin(memory: Buffer<ArrayBufferLike>): void {
    this.#buffer = memory
    this.#end = 0
  }

  /** Text since `begin`. */
  written(): Buffer<ArrayBufferLike> {
    return this.#buffer.subarray(0, this.#end)
  }

  /** Adds lines of a chunk's rows. */
  add(columns: readonly OutputColumn[]): void {
    const rows = rowsOf(columns)
    const fields = columns.map(({ values }) => fieldOf(this.format, values))
    const before = columns.map(({ name }, c) => this.#before(name, c))
    const after = Buffer.from(this.format === 'csv' ? '\n' : '}\n')
    const most = [...fields, ...before.map(({ length }) => ({ most: length })), { most: after.length }].reduce(
      (sum, each) => sum + each.most,
      0,
    )
    let at = this.#end
    for (let row = 0; row < rows; row++) {
      if (at + most > this.#buffer.length) this.#grow(at, at + most)
      const buffer = this.#buffer
      for (let c = 0; c < fields.length; c++) {
        const text = before[c]
        if (text.length === 1) buffer[at++] = text[0]
        else at = putBytes(text, buffer, at)
        at = fields[c].put(row, buffer, at)
      }
      if (after.length === 1) buffer[at++] = LINE_END
      else at = putBytes(after, buffer, at)
    }
    this.#end = at
  }

  /** Bytes before the value of a column. */
  #before(name: string, column: number): Buffer {
    if (this.format === 'csv') return column === 0 ? Buffer.alloc(0) : Buffer.of(COMMA)
    return Buffer.from(`${column === 0 ? '{' : ','}${JSON.stringify(name)}:`)
  }

  /** Makes room for `least` bytes, of which the first `used` are kept. */
  #grow(used: number, least: number): void {
    const bytes = Math.max(2 * this.#buffer.length, least)
    const isShared = this.#buffer.buffer instanceof SharedArrayBuffer
    const larger = isShared ? Buffer.from(new SharedArrayBuffer(bytes)) : Buffer.allocUnsafe(bytes)
    this.#buffer.copy(larger, 0, 0, used)
    this.#buffer = larger
  }
}

/** Number of rows of a chunk. */
export function rowsOf([first]: readonly OutputColumn[]): number {
  if (first === undefined) return 0
  return 'codes' in first.values ? first.values.codes.length : first.values.values.length
}

/** Number of bytes up to which a loop is faster than a call of native code. */
const FEW_BYTES = 24

function putBytes(bytes: Buffer, into: Buffer<ArrayBufferLike>, at: number): number {
  const { length } = bytes
  if (length > FEW_BYTES) return at + bytes.copy(into, at)
  for (let i = 0; i < length; i++) into[at + i] = bytes[i]
  return at + length
}

/** Writer of a column; texts are encoded and quoted once, not for every row. */
function fieldOf(format: TextFormat, values: OutputValues): Field {
  const missing = Buffer.from(format === 'csv' ? '' : 'null')
  const print = format === 'csv' ? quoted : JSON.stringify
  if (values.type === 'text' || values.type === 'name') {
    const texts = (values.type === 'text' ? values.dictionary : values.names).map(text => Buffer.from(print(text)))
    const { codes } = values
    return {
      most: texts.reduce((most, { length }) => Math.max(most, length), missing.length),
      put: (row, into, at) => putBytes(codes[row] < 0 ? missing : texts[codes[row]], into, at),
    }
  }
  if (values.type === 'f32') {
    const numbers = values.values
    return {
      most: NUMBER_BYTES,
      put(row, into, at) {
        const end = putFraction(numbers[row], into, at)
        return end > at ? end : at + into.write(f32Text(numbers[row]), at, 'latin1')
      },
    }
  }
  const text = textOf(format, values.type)
  const numbers = values.values
  return {
    most: NUMBER_BYTES,
    put: (row, into, at) =>
      at + (Number.isNaN(numbers[row]) ? missing.copy(into, at) : into.write(text(numbers[row]), at, 'latin1')),
  }
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

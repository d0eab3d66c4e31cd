/**
 * Values of one column chunk of a Parquet file: pages of plain or dictionary-encoded numbers and texts, some of them missing.
 * Whatever is not plainly so is refused here, and DuckDB reads the file. Pure; any thread.
 */
import { parquetHeader } from 'hyparquet/src/column.js'
import { type Codec, Unpacker } from './codecs.js'
import { NotPlain } from './not-plain.js'
import type { StoredSeconds, StoredType } from './parquet-footer.js'
import type { TextCodes } from './text-codes.js'

/** Bytes of a page that is unpacked. */
const MOST_BYTES = 2 ** 26

export type PageHeader = ReturnType<typeof parquetHeader>

export interface ChunkForm {
  readonly type: StoredType
  /** Units of a date or time in a second, or parts of one; null: the values are numbers. */
  readonly seconds: StoredSeconds | null
  readonly isOptional: boolean
  readonly codec: Codec
  readonly rows: number
}

/** Decodes column chunks, one after the other. */
export class ColumnDecoder {
  /** Values of the last chunk of numbers; NaN is missing. Who decodes may put memory here that is large enough. */
  numbers: Float64Array = new Float64Array(0)
  /** Codes of the last chunk of texts; -1 is missing. */
  codes = new Int32Array(0)
  /** Rows of the last chunk that have no value. */
  absent = 0
  readonly #unpacker = new Unpacker()
  /** Aligned copy of the values of a page. */
  #values = new Float64Array(0)
  /** 1 for each row of a page that has a value. */
  #isPresent = new Int32Array(0)
  #indices = new Int32Array(0)
  /** Numbers of the dictionary; or the places of its texts in `#texts`, and where the last one ends. */
  #dictionary = new Float64Array(0)
  #entries = 0
  #texts = new Uint8Array(0)
  /** Code of each text of the dictionary + 2; 0: not asked for yet. */
  #codeOf = new Int32Array(0)
  /** Place of a text in `bytes`. */
  #starts = new Int32Array(0)
  #hasDictionary = false

  /**
   * Decodes a chunk whose content is `bytes`. `texts`: the codes of its column; null for numbers. `first` is called with the row of
   * each text that occurs for the first time. Throws NotPlain.
   */
  decode(bytes: Uint8Array, form: ChunkForm, texts: TextCodes | null, first: (row: number) => void): void {
    const { rows } = form
    this.begin(rows, texts !== null)
    const reader = { view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length), offset: 0 }
    let row = 0
    while (row < rows) {
      const header = headerAt(reader)
      const from = reader.offset
      const end = pageEnd(header, from)
      if (end > bytes.length) throw new NotPlain()
      reader.offset = end
      row += this.page(header, bytes.subarray(from, end), form, row, texts, first)
    }
    if (reader.offset !== bytes.length) throw new NotPlain()
  }

  /** Makes room for a number of rows, whose pages follow. */
  begin(rows: number, isText: boolean): void {
    if (isText) this.codes = atLeast(this.codes, rows, Int32Array)
    else this.numbers = atLeast(this.numbers, rows, Float64Array)
    this.absent = 0
    this.#hasDictionary = false
  }

  /**
   * Decodes a page whose content is `packed` as the rows from `row` on, and returns their number: 0 for a dictionary, which comes
   * first. `form.rows`: all rows that there is room for. Throws NotPlain.
   */
  page(
    header: PageHeader,
    packed: Uint8Array,
    form: ChunkForm,
    row: number,
    texts: TextCodes | null,
    first: (row: number) => void,
  ): number {
    const { rows, codec } = form
    const size = header.uncompressed_page_size
    const { data_page_header: data, dictionary_page_header: dictionary } = header
    if (header.type === 'DICTIONARY_PAGE' && dictionary && !this.#hasDictionary && row === 0) {
      if (dictionary.encoding !== 'PLAIN' && dictionary.encoding !== 'PLAIN_DICTIONARY') throw new NotPlain()
      this.#readDictionary(this.#unpacker.unpack(packed, size, codec), form, dictionary.num_values, texts !== null)
      return 0
    }
    if (header.type !== 'DATA_PAGE' || !data) throw new NotPlain()
    const count = data.num_values
    if (!(count >= 0 && row + count <= rows)) throw new NotPlain()
    if (count > 0) this.#readPage(this.#unpacker.unpack(packed, size, codec), form, data, row, texts, first)
    return count
  }

  #readDictionary(page: Uint8Array, form: ChunkForm, count: number, isText: boolean): void {
    if (!(count >= 0 && count <= page.length)) throw new NotPlain()
    this.#hasDictionary = true
    this.#entries = count
    if (isText) {
      this.#texts = page.slice()
      this.#codeOf = new Int32Array(count)
      this.#starts = new Int32Array(count + 1)
      let at = 0
      for (let i = 0; i < count; i++) {
        this.#starts[i] = at
        at = textEnd(page, at)
      }
      this.#starts[count] = at
      if (at !== page.length) throw new NotPlain()
    } else {
      this.#dictionary = atLeast(this.#dictionary, count, Float64Array)
      this.#plainNumbers(page, 0, form, count, this.#dictionary, 0)
    }
  }

  #readPage(
    page: Uint8Array,
    form: ChunkForm,
    { num_values: count, encoding, definition_level_encoding: levels }: NonNullable<PageHeader['data_page_header']>,
    row: number,
    texts: TextCodes | null,
    first: (row: number) => void,
  ): void {
    let at = 0
    let present = count
    if (form.isOptional) {
      if (levels !== 'RLE' || page.length < 4) throw new NotPlain()
      const end = 4 + readU32(page, 0)
      if (end > page.length) throw new NotPlain()
      if (!areAllPresent(page, 4, end, count)) {
        this.#isPresent = atLeast(this.#isPresent, count, Int32Array)
        readRuns(page, 4, end, 1, count, this.#isPresent)
        present = 0
        for (let i = 0; i < count; i++) present += this.#isPresent[i]
      }
      at = end
    }
    this.absent += count - present
    const isPresent = present < count ? this.#isPresent : null
    if (encoding === 'PLAIN') {
      if (texts === null) {
        this.#plainNumbers(page, at, form, present, this.numbers, row)
        if (isPresent) spread(this.numbers, row, count, present, isPresent, Number.NaN)
      } else this.#plainTexts(page, at, count, isPresent, row, texts, first)
      return
    }
    if ((encoding !== 'PLAIN_DICTIONARY' && encoding !== 'RLE_DICTIONARY') || !this.#hasDictionary) throw new NotPlain()
    const bits = page[at]
    if (present > 0 && !(bits <= 31)) throw new NotPlain()
    this.#indices = atLeast(this.#indices, present, Int32Array)
    const indices = this.#indices
    if (present > 0) readRuns(page, at + 1, page.length, bits, present, indices)
    for (let i = 0; i < present; i++) if (indices[i] >= this.#entries) throw new NotPlain()
    if (texts === null) {
      const { numbers } = this
      const dictionary = this.#dictionary
      for (let i = 0; i < present; i++) numbers[row + i] = dictionary[indices[i]]
      if (isPresent) spread(numbers, row, count, present, isPresent, Number.NaN)
      return
    }
    for (let i = 0, next = 0; i < count; i++) {
      this.codes[row + i] = isPresent && isPresent[i] === 0 ? -1 : this.#codeAt(indices[next++], texts, first, row + i)
    }
  }

  #codeAt(index: number, texts: TextCodes, first: (row: number) => void, row: number): number {
    const known = this.#codeOf[index] - 2
    if (known >= -1) {
      if (known >= 0) texts.counts[known]++
      return known
    }
    const code = codeOfText(texts, this.#texts, this.#starts[index] + 4, this.#starts[index + 1], first, row)
    this.#codeOf[index] = code + 2
    return code
  }

  #plainTexts(
    page: Uint8Array,
    at: number,
    count: number,
    isPresent: Int32Array | null,
    row: number,
    texts: TextCodes,
    first: (row: number) => void,
  ): void {
    for (let i = 0; i < count; i++) {
      if (isPresent && isPresent[i] === 0) {
        this.codes[row + i] = -1
        continue
      }
      const end = textEnd(page, at)
      this.codes[row + i] = codeOfText(texts, page, at + 4, end, first, row + i)
      at = end
    }
    if (at !== page.length) throw new NotPlain()
  }

  /** Reads numbers that fill the page from byte `at` on. */
  #plainNumbers(page: Uint8Array, at: number, form: ChunkForm, count: number, into: Float64Array, row: number): void {
    const { type, seconds } = form
    const bytes = type === 'BOOLEAN' ? Math.ceil(count / 8) : count * (type === 'DOUBLE' || type === 'INT64' ? 8 : 4)
    if (page.length - at !== bytes || type === 'BYTE_ARRAY') throw new NotPlain()
    if (type === 'DOUBLE') {
      new Uint8Array(into.buffer, into.byteOffset + 8 * row, bytes).set(page.subarray(at))
      return
    }
    if (type === 'BOOLEAN') {
      for (let i = 0; i < count; i++) into[row + i] = (page[at + (i >> 3)] >> (i & 7)) & 1
      return
    }
    this.#values = atLeast(this.#values, Math.ceil(bytes / 8), Float64Array)
    const { buffer } = this.#values
    new Uint8Array(buffer, 0, bytes).set(page.subarray(at))
    if (type === 'INT64') {
      const words = new Int32Array(buffer, 0, 2 * count)
      // Both parts are exact, so that the sum is rounded once.
      for (let i = 0; i < count; i++) into[row + i] = words[2 * i + 1] * 2 ** 32 + (words[2 * i] >>> 0)
    } else {
      const values = type === 'FLOAT' ? new Float32Array(buffer, 0, count) : new Int32Array(buffer, 0, count)
      for (let i = 0; i < count; i++) into[row + i] = values[i]
    }
    if (seconds !== null) asSeconds(into, row, row + count, seconds)
  }
}

/** Most seconds before and after 1970: DuckDB takes some later ones for infinity. */
const MOST_SECONDS = 8.64e12

/** Converts dates and times [from, to) to seconds, each rounded once. Throws NotPlain. */
function asSeconds(values: Float64Array, from: number, to: number, { factor, divisor }: StoredSeconds): void {
  for (let i = from; i < to; i++) {
    const seconds = (values[i] * factor) / divisor
    if (!(Math.abs(seconds) <= MOST_SECONDS)) throw new NotPlain()
    values[i] = seconds
  }
}

/** Header of the page that begins at `reader.offset`, which is moved behind it. Throws NotPlain. */
export function headerAt(reader: { view: DataView; offset: number }): PageHeader {
  try {
    return parquetHeader(reader as Parameters<typeof parquetHeader>[0])
  } catch {
    throw new NotPlain()
  }
}

/** End of the content, from `from` on, of a page. Throws NotPlain. */
export function pageEnd(
  { compressed_page_size: bytes, uncompressed_page_size: size }: PageHeader,
  from: number,
): number {
  if (!(bytes >= 0) || !(size >= 0 && size <= MOST_BYTES)) throw new NotPlain()
  return from + bytes
}

function codeOfText(
  texts: TextCodes,
  bytes: Uint8Array,
  from: number,
  to: number,
  first: (row: number) => void,
  row: number,
): number {
  if (from === to) return -1
  const known = texts.texts.length
  const code = texts.code(bytes, from, to)
  if (texts.texts.length > known) first(row)
  return code
}

const readU32 = (bytes: Uint8Array, at: number): number =>
  (bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24)) >>> 0

/** End of the text whose length is at `at`. */
function textEnd(page: Uint8Array, at: number): number {
  const end = at + 4 + readU32(page, at)
  if (at + 4 > page.length || end > page.length) throw new NotPlain()
  return end
}

/** Moves `present` values, from `row` on, to the rows that have one. */
function spread(
  values: Float64Array,
  row: number,
  count: number,
  present: number,
  isPresent: Int32Array,
  missing: number,
): void {
  for (let i = count - 1, next = present - 1; i >= 0; i--) {
    values[row + i] = isPresent[i] === 1 ? values[row + next--] : missing
  }
}

/** True if one run at `at` says that all of `count` values are there, as most files have it. */
function areAllPresent(bytes: Uint8Array, at: number, end: number, count: number): boolean {
  let [header, shift] = [0, 0]
  while (at < end && shift <= 28) {
    const byte = bytes[at++]
    header += (byte & 0x7f) * 2 ** shift
    shift += 7
    if (byte < 0x80) return header % 2 === 0 && header / 2 >= count && at < end && bytes[at] === 1
  }
  return false
}

/** Reads `count` numbers of `bits` bits each: runs of one number, and packed ones. Throws NotPlain if there are fewer. */
function readRuns(bytes: Uint8Array, at: number, end: number, bits: number, count: number, into: Int32Array): void {
  const width = (bits + 7) >> 3
  const mask = bits === 0 ? 0 : 0xffffffff >>> (32 - bits)
  let next = 0
  while (next < count) {
    let [header, shift] = [0, 0]
    for (;;) {
      if (at >= end || shift > 28) throw new NotPlain()
      const byte = bytes[at++]
      header += (byte & 0x7f) * 2 ** shift
      shift += 7
      if (byte < 0x80) break
    }
    if (header % 2 === 0) {
      const run = header / 2
      if (run === 0 || at + width > end) throw new NotPlain()
      let value = 0
      for (let i = 0; i < width; i++) value |= bytes[at + i] << (8 * i)
      at += width
      if (value < 0 || (value & mask) !== value) throw new NotPlain()
      const to = Math.min(count, next + run)
      into.fill(value, next, to)
      next = to
    } else {
      const groups = (header - 1) / 2
      const length = groups * bits
      if (groups === 0 || at + length > end) throw new NotPlain()
      const to = Math.min(count, next + 8 * groups)
      let [buffered, held, from] = [0, 0, at]
      while (next < to) {
        // A number of 31 bits may lie over five bytes: f64 has room for them.
        while (held < bits) {
          buffered += bytes[from++] * 2 ** held
          held += 8
        }
        const rest = Math.floor(buffered / 2 ** bits)
        into[next++] = buffered - rest * 2 ** bits
        buffered = rest
        held -= bits
      }
      at += length
    }
  }
}

function atLeast<A extends Float64Array | Int32Array | Uint8Array>(
  array: A,
  length: number,
  make: new (length: number) => A,
): A {
  return array.length >= length ? array : new make(length)
}

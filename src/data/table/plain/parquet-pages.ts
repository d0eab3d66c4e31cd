/**
 * Values of columns of Parquet files in a range of rows: finds the pages that have them, and decodes no others. Any thread; several
 * read the same file.
 */
import type { RawColumn } from '../duckdb/vectors.js'
import { NotPlain, readAll } from './not-plain.js'
import { ColumnDecoder, headerAt, type PageHeader, pageEnd } from './parquet-column.js'
import type { StoredChunk, StoredColumn } from './parquet-footer.js'
import { TextCodes } from './text-codes.js'

/** Bytes that are read for the header of a page, and for one with long statistics. */
const HEADER_BYTES = [512, 2 ** 16] as const
/** Bytes of different texts in a range. */
const MOST_TEXT_BYTES = 2 ** 26

/** Page of a chunk. */
interface Page {
  readonly header: PageHeader
  /** First byte of its content in the file, and the byte after the last. */
  readonly from: number
  readonly end: number
  /** First of its rows, and the row after the last. */
  readonly row: number
  readonly to: number
}

/** Pages of a chunk. */
interface ChunkPages {
  readonly chunk: StoredChunk
  readonly dictionary: Page | null
  readonly pages: readonly Page[]
}

/** Reads ranges of columns in a thread, one after the other. */
export class PageReader {
  readonly #columns: readonly StoredColumn[]
  readonly #decoder = new ColumnDecoder()
  /** Pages of the last chunk of each column. */
  readonly #found: (ChunkPages | undefined)[] = []
  /** Values of the last range of each column. */
  readonly #numbers: Float64Array<ArrayBuffer>[]
  readonly #codes: Int32Array<ArrayBuffer>[]
  #bytes = new Uint8Array(0)

  constructor(columns: readonly StoredColumn[]) {
    this.#columns = columns
    this.#numbers = columns.map(() => new Float64Array(0))
    this.#codes = columns.map(() => new Int32Array(0))
  }

  /**
   * Values of a column in rows [from, to) of the chunk's group, valid until the next call for the column. `handle`: of the chunk's file.
   * Throws NotPlain, and what the system throws.
   */
  read(column: number, handle: number, chunk: StoredChunk, from: number, to: number): RawColumn {
    let found = this.#found[column]
    if (found?.chunk !== chunk) {
      found = this.#find(handle, chunk)
      this.#found[column] = found
    }
    const stored = this.#columns[column]
    const pages = found.pages.filter(page => page.row < to && page.to > from)
    const last = pages[pages.length - 1]
    const first = pages[0].row
    const form = { ...stored, rows: last.to - first, codec: chunk.codec }
    const texts = stored.type === 'BYTE_ARRAY' ? new TextCodes(form.rows, MOST_TEXT_BYTES) : null
    const decoder = this.#decoder
    decoder.begin(form.rows, texts !== null)
    if (found.dictionary) {
      const { header, from, end } = found.dictionary
      decoder.page(header, this.#content(handle, from, end), form, 0, texts, ignore)
    }
    // Pages lie one after the other: their headers are read with them.
    const begin = pages[0].from
    const content = this.#content(handle, begin, last.end)
    for (const page of pages) {
      const packed = content.subarray(page.from - begin, page.end - begin)
      decoder.page(page.header, packed, form, page.row - first, texts, ignore)
    }
    const rows = to - from
    if (texts === null) {
      if (this.#numbers[column].length < rows) this.#numbers[column] = new Float64Array(rows)
      const values = this.#numbers[column].subarray(0, rows)
      values.set(decoder.numbers.subarray(from - first, to - first))
      expectFinite(values)
      return { values, nulls: 0 }
    }
    if (this.#codes[column].length < rows) this.#codes[column] = new Int32Array(rows)
    const codes = this.#codes[column].subarray(0, rows)
    codes.set(decoder.codes.subarray(from - first, to - first))
    return { codes, dictionary: texts.texts }
  }

  /** Finds the pages of a chunk. */
  #find(handle: number, chunk: StoredChunk): ChunkPages {
    const { from, bytes, rows } = chunk
    const pages: Page[] = []
    let dictionary: Page | null = null
    const end = from + bytes
    let row = 0
    for (let at = from; row < rows; ) {
      const { header, length } = this.#header(handle, at, end)
      const begin = at + length
      at = pageEnd(header, begin)
      const count = header.type === 'DATA_PAGE' ? header.data_page_header?.num_values : 0
      if (at > end || count === undefined || !(count >= 0 && row + count <= rows)) throw new NotPlain()
      const page = { header, from: begin, end: at, row, to: row + count }
      if (header.type === 'DICTIONARY_PAGE' && dictionary === null && pages.length === 0) dictionary = page
      else if (header.type !== 'DATA_PAGE') throw new NotPlain()
      else if (count > 0) pages.push(page)
      if (row + count === rows && at !== end) throw new NotPlain()
      row += count
    }
    return { chunk, dictionary, pages }
  }

  /** Header of the page at a byte, and its length. */
  #header(handle: number, at: number, end: number): { readonly header: PageHeader; readonly length: number } {
    for (const most of HEADER_BYTES) {
      const bytes = this.#content(handle, at, Math.min(at + most, end))
      const reader = { view: new DataView(bytes.slice().buffer), offset: 0 }
      try {
        const header = headerAt(reader)
        if (reader.offset <= bytes.length) return { header, length: reader.offset }
      } catch (error) {
        if (!(error instanceof NotPlain)) throw error
      }
    }
    throw new NotPlain()
  }

  /** Bytes [from, to) of the file, valid until the next call. */
  #content(handle: number, from: number, to: number): Uint8Array {
    const length = to - from
    if (this.#bytes.length < length) this.#bytes = new Uint8Array(length)
    const bytes = this.#bytes.subarray(0, length)
    readAll(handle, bytes, length, from)
    return bytes
  }
}

/** Throws NotPlain for an infinite number: DuckDB says where it is. */
function expectFinite(values: Float64Array): void {
  for (let i = 0; i < values.length; i++) {
    const value = values[i]
    if (value - value !== 0 && !Number.isNaN(value)) throw new NotPlain()
  }
}

const ignore = () => {}

/**
 * Records of plain delimited text as numbers and codes of texts: no quotes inside of fields, no line ends inside of quotes. Whatever
 * is not plainly so is refused here, and DuckDB reads the file. assembly/parse.ts reads most numbers. Pure; any thread.
 *
 * Letters: `N` rows of a block, `C` columns.
 */
import { isMissing, isPadded } from '../text/meaning.js'
import { NotPlain } from './not-plain.js'
import type { FieldReaders, Rooms, ScanMemory } from './scan-module.js'
import { TextCodes } from './text-codes.js'

export interface PlainForm {
  readonly delimiter: string
  readonly decimal: '.' | ','
  /** (C) Columns of text; the others are numbers. */
  readonly isText: readonly boolean[]
}

/** Place of a row: the blocks before it are counted later. */
export interface RowPlace {
  readonly block: number
  readonly row: number
}

export interface MissingTexts {
  /** Fields that say NaN, which DuckDB takes for numbers. */
  nan: number
  others: number
  first: (RowPlace & { readonly text: string }) | null
}

const LF = 10
const CR = 13
const SPACE = 32
const QUOTE = 34
const COMMA = 44
/** Numbers that DuckDB and JavaScript read alike; the usual ones never come here. */
const NUMBER = /^-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/
const MOST_CHARACTERS = 400

/** Parser of blocks of text in a thread's memory. */
export class PlainParser implements FieldReaders {
  /** (C) Texts of the columns of text, over all blocks. */
  readonly texts: readonly (TextCodes | null)[]
  /** (C) Fields of numbers that write a missing value, over all blocks. */
  readonly missing: readonly MissingTexts[]
  /** (C) 1 for a column of numbers that has another text: it is to be read as text. */
  readonly misfits: Uint8Array
  /** Lines that end in LF alone, and in CR and LF, over all blocks. */
  lf = 0
  crlf = 0
  /** (C) Place of the first row of each text. */
  readonly firsts: readonly RowPlace[][]
  /** Place after the last record of the last block. */
  end = 0
  /** (C, N) Codes of texts of the last block, `stride` apart; -1 is missing. */
  readonly codes: Int32Array
  #block = 0
  #from = 0
  #to = 0
  readonly #isText: Uint8Array
  /** (C) Index of a column's first value in the codes, or in the numbers at `#numbers`. */
  readonly #offsets: Int32Array
  readonly #delimiter: number
  readonly #point: number
  readonly #places: {
    readonly isText: number
    readonly offsets: number
    readonly numbers: number
    readonly ends: number
    readonly padded: number
  }
  #memory: ScanMemory | null = null

  /** `stride`: most rows of a block. Takes its parts of the memory, which `use` then gives it. */
  constructor(
    { delimiter, decimal, isText }: PlainForm,
    readonly stride: number,
    rooms: Rooms,
  ) {
    const columns = isText.length
    this.#delimiter = delimiter.charCodeAt(0)
    this.#point = decimal.charCodeAt(0)
    this.#isText = Uint8Array.from(isText, text => (text ? 1 : 0))
    let [numbers, texts] = [0, 0]
    this.#offsets = Int32Array.from(isText, text => stride * (text ? texts++ : numbers++))
    this.codes = new Int32Array(texts * stride)
    this.#places = {
      isText: rooms.take(columns),
      offsets: rooms.take(4 * columns),
      numbers: rooms.take(8 * numbers * stride),
      ends: rooms.take(12),
      padded: rooms.take(columns),
    }
    this.firsts = isText.map(() => [])
    this.texts = isText.map(text => (text ? new TextCodes() : null))
    this.missing = isText.map(() => ({ nan: 0, others: 0, first: null }))
    this.misfits = new Uint8Array(columns)
  }

  /** `memory`: an instance that reads fields by this parser. */
  use(memory: ScanMemory): void {
    this.#memory = memory
    memory.bytes.set(this.#isText, this.#places.isText)
    memory.ints.set(this.#offsets, this.#places.offsets / 4)
  }

  /** Index of the first code of a column of text in `codes`. */
  codesOf(column: number): number {
    return this.#offsets[column]
  }

  /** (C) 1 for a column of numbers that has digits with leading zeros, over all blocks. */
  padded(): Uint8Array {
    const { padded } = this.#places
    return this.#memory!.bytes.slice(padded, padded + this.#isText.length)
  }

  /** Place in the memory of the numbers of a column. NaN is missing. */
  numbersOf(column: number): number {
    return this.#places.numbers + 8 * this.#offsets[column]
  }

  /**
   * Parses the records that begin in bytes [from, to) of the memory; the last one may end later, and has a line end. Returns the number
   * of rows. Throws NotPlain.
   */
  parse(block: number, from: number, to: number): number {
    this.#block = block
    const { call, ints, powers } = this.#memory!
    const { isText, offsets, numbers, ends, padded } = this.#places
    const columns = this.#isText.length
    const form = [this.#delimiter, this.#point] as const
    const rows = call.parse(from, to, columns, this.stride, isText, offsets, numbers, powers, ...form, ends, padded)
    if (rows < 0) throw new NotPlain()
    this.end = ints[ends / 4]
    this.lf += ints[ends / 4 + 1]
    this.crlf += ints[ends / 4 + 2]
    return rows
  }

  /** Reads a number of many digits, with an exponent, with spaces, or none. */
  readonly number = (begin: number, column: number, row: number): number => {
    const { bytes } = this.#memory!
    const next = this.#field(bytes, begin)
    const from = this.#from
    const to = this.#to
    if (from === to) {
      if (next !== begin) throw new NotPlain() // spaces or quotes around nothing
      this.#set(column, row, Number.NaN)
      return next
    }
    if (to - from > MOST_CHARACTERS) throw new NotPlain()
    let text = ''
    for (let at = from; at < to; at++) text += String.fromCharCode(bytes[at])
    const plain = this.#point === COMMA ? text.replace(',', '.') : text
    if (!NUMBER.test(plain) || (this.#point === COMMA && text.includes('.'))) {
      this.#noNumber(text, column, row)
      return next
    }
    const value = Number(plain)
    if (!Number.isFinite(value)) throw new NotPlain()
    if (isPadded(text)) this.#memory!.bytes[this.#places.padded + column] = 1
    this.#set(column, row, value)
    return next
  }

  #set(column: number, row: number, value: number): void {
    this.#memory!.floats[this.numbersOf(column) / 8 + row] = value
  }

  #noNumber(text: string, column: number, row: number): void {
    this.#set(column, row, Number.NaN)
    if (!isMissing(text)) {
      this.misfits[column] = 1
      return
    }
    const missing = this.missing[column]
    missing.first ??= { block: this.#block, row, text }
    if (text === 'NaN' || text === 'nan') missing.nan++
    else missing.others++
  }

  readonly text = (begin: number, column: number, row: number): number => {
    const { bytes } = this.#memory!
    const next = this.#field(bytes, begin)
    const from = this.#from
    const to = this.#to
    let code = -1
    if (from < to) {
      const texts = this.texts[column]!
      code = texts.code(bytes, from, to)
      const firsts = this.firsts[column]
      if (firsts.length < texts.texts.length) firsts.push({ block: this.#block, row })
    }
    this.codes[this.#offsets[column] + row] = code
    return next
  }

  /** Returns the place of the byte that follows the field; `#from` and `#to` are its content without spaces and quotes. */
  #field(bytes: Uint8Array, begin: number): number {
    const delimiter = this.#delimiter
    if (bytes[begin] === QUOTE) {
      let at = begin + 1
      while (bytes[at] !== QUOTE) {
        if (bytes[at] === LF || bytes[at] === CR || bytes[at] === 0 || at >= bytes.length) throw new NotPlain()
        at++
      }
      this.#trim(bytes, begin + 1, at)
      return at + 1
    }
    let at = begin
    for (;;) {
      const byte = bytes[at]
      if (byte === delimiter || byte === LF || byte === CR) break
      if (byte === QUOTE || byte === 0 || at >= bytes.length) throw new NotPlain()
      at++
    }
    this.#trim(bytes, begin, at)
    return at
  }

  #trim(bytes: Uint8Array, from: number, to: number): void {
    while (from < to && bytes[from] === SPACE) from++
    while (to > from && bytes[to - 1] === SPACE) to--
    this.#from = from
    this.#to = to
  }
}

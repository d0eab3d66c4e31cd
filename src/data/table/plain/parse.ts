/**
 * Records of plain delimited text as numbers and codes of texts: no quotes inside of fields, no line ends inside of quotes. Whatever
 * is not plainly so is refused here, and DuckDB reads the file. Pure; any thread.
 *
 * Letters: `N` rows of a block, `C` columns.
 */
import { isMissing } from '../text/meaning.js'
import { NotPlain } from './not-plain.js'
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
const MINUS = 45
const ZERO = 48

/** Digits that an integer of 32 bits, and one of f64, has room for. */
const INT_DIGITS = 9
const F64_DIGITS = 15
/** 10^0 to 10^22, which f64 has exactly: an integer below 2^53 divided by one of them is rounded once, as it should be. */
const POWERS = Float64Array.from({ length: 23 }, (_, i) => Number(`1e${i}`))
/** Numbers that DuckDB and JavaScript read alike; the usual ones never come here. */
const NUMBER = /^-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/
const MOST_CHARACTERS = 400

export class PlainParser {
  /** (C, N) Numbers of the last block, `stride` apart; NaN is missing. */
  readonly numbers: Float64Array
  /** (C, N) Codes of texts of the last block; -1 is missing. */
  readonly codes: Int32Array
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
  #block = 0
  #from = 0
  #to = 0
  readonly #columns: number
  /** (C) First index of a column's values. */
  readonly #offsets: Int32Array
  readonly #isText: Uint8Array
  readonly #delimiter: number
  readonly #point: number

  /** `stride`: most rows of a block. */
  constructor(
    { delimiter, decimal, isText }: PlainForm,
    readonly stride: number,
  ) {
    const columns = isText.length
    this.#columns = columns
    this.#delimiter = delimiter.charCodeAt(0)
    this.#point = decimal.charCodeAt(0)
    this.#isText = Uint8Array.from(isText, text => (text ? 1 : 0))
    let [numbers, texts] = [0, 0]
    this.#offsets = Int32Array.from(isText, text => stride * (text ? texts++ : numbers++))
    this.numbers = new Float64Array(numbers * stride)
    this.codes = new Int32Array(texts * stride)
    this.firsts = isText.map(() => [])
    this.texts = isText.map(text => (text ? new TextCodes() : null))
    this.missing = isText.map(() => ({ nan: 0, others: 0, first: null }))
    this.misfits = new Uint8Array(columns)
  }

  /** Index of the first value of a column in `numbers` or `codes`. */
  offsetOf(column: number): number {
    return this.#offsets[column]
  }

  /**
   * Parses the records that begin in bytes [from, to); the last one may end later, and has a line end. Returns the number of rows.
   * Throws NotPlain.
   */
  parse(block: number, bytes: Uint8Array, from: number, to: number): number {
    this.#block = block
    const { numbers, stride } = this
    const columns = this.#columns
    const offsets = this.#offsets
    const isText = this.#isText
    const delimiter = this.#delimiter
    const point = this.#point
    const last = columns - 1
    let [row, lf, crlf] = [0, 0, 0]
    let at = from
    while (at < to) {
      if (columns > 1 && bytes[at] === LF) {
        // An empty line is no row of a table with several columns.
        at++
        lf++
        continue
      }
      if (row === stride) throw new NotPlain()
      for (let column = 0; column < columns; column++) {
        const begin = at
        if (isText[column] === 1) at = this.#text(bytes, at, column, row)
        else {
          let byte = bytes[at]
          const isNegative = byte === MINUS
          if (isNegative) byte = bytes[++at]
          let mantissa = 0
          let digits = at
          while (byte >= ZERO && byte < ZERO + 10) {
            mantissa = (Math.imul(mantissa, 10) + byte - ZERO) | 0
            byte = bytes[++at]
          }
          digits = at - digits
          let fraction = 0
          if (byte === point) {
            const first = at + 1
            byte = bytes[++at]
            while (byte >= ZERO && byte < ZERO + 10) {
              mantissa = (Math.imul(mantissa, 10) + byte - ZERO) | 0
              byte = bytes[++at]
            }
            fraction = at - first
            digits += fraction
          }
          // Any other end of the field is left to #otherNumber.
          const isPlain = byte === delimiter || byte === LF || byte === CR
          if (isPlain && digits > 0 && digits <= INT_DIGITS) {
            const value = fraction === 0 ? mantissa : mantissa / POWERS[fraction]
            numbers[offsets[column] + row] = isNegative ? -value : value
          } else {
            at = this.#otherNumber(bytes, begin, at, isPlain && digits <= F64_DIGITS ? digits : -1, column, row)
          }
        }
        const end = bytes[at]
        if (column < last) {
          if (end !== delimiter) throw new NotPlain()
          at++
        } else if (end === LF) {
          at++
          lf++
        } else if (end === CR && bytes[at + 1] === LF) {
          at += 2
          crlf++
        } else throw new NotPlain()
      }
      row++
    }
    this.lf += lf
    this.crlf += crlf
    this.end = at
    return row
  }

  /** A number of more digits, with an exponent, with spaces, or none. `digits`: of one without exponent; -1: anything else. */
  #otherNumber(bytes: Uint8Array, begin: number, end: number, digits: number, column: number, row: number): number {
    const place = this.#offsets[column] + row
    if (digits > 0) {
      let [mantissa, fraction] = [0, -1]
      for (let at = begin; at < end; at++) {
        const byte = bytes[at]
        if (byte === this.#point) fraction = at
        else if (byte !== MINUS) mantissa = mantissa * 10 + (byte - ZERO)
      }
      const value = fraction < 0 ? mantissa : mantissa / POWERS[end - fraction - 1]
      this.numbers[place] = bytes[begin] === MINUS ? -value : value
      return end
    }
    const next = this.#field(bytes, begin)
    const from = this.#from
    const to = this.#to
    if (from === to) {
      if (next !== begin) throw new NotPlain() // spaces or quotes around nothing
      this.numbers[place] = Number.NaN
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
    this.numbers[place] = value
    return next
  }

  #noNumber(text: string, column: number, row: number): void {
    this.numbers[this.#offsets[column] + row] = Number.NaN
    if (!isMissing(text)) {
      this.misfits[column] = 1
      return
    }
    const missing = this.missing[column]
    missing.first ??= { block: this.#block, row, text }
    if (text === 'NaN' || text === 'nan') missing.nan++
    else missing.others++
  }

  #text(bytes: Uint8Array, begin: number, column: number, row: number): number {
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

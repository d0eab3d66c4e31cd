/**
 * Records of delimited text by RFC 4180, with line numbers. DuckDB reads tables; this finds their form in the first records, and
 * the place of a fault after DuckDB refused a file. Slower, and exact about lines. Pure; any thread.
 */

export interface TextRecord {
  /** Line in the file, from 1, in which the record begins. */
  readonly line: number
  readonly fields: readonly string[]
}

/** Fault in the form of the text. */
export class RecordFault extends Error {
  constructor(
    /** Line in the file, from 1. */
    readonly line: number,
    message: string,
  ) {
    super(message)
  }
}

/** Longest record in characters: a longer one has lost its closing quote. */
export const MAX_RECORD = 4 * 2 ** 20

const SPACE = 32
const QUOTE = 34
const LF = 10
const CR = 13

/**
 * Splits text that comes in pieces. Lines end in LF, CR LF or CR; empty lines are left out. `add` returns the records that are
 * complete; `end` the last one. Both throw RecordFault.
 */
export class RecordSplitter {
  readonly #delimiter: number
  #rest = ''
  #line = 1
  #started = false

  /** `delimiter`: one character. */
  constructor(delimiter: string) {
    this.#delimiter = delimiter.charCodeAt(0)
  }

  add(text: string): TextRecord[] {
    this.#rest += text
    return this.#take(false)
  }

  end(): TextRecord[] {
    return this.#take(true)
  }

  #take(isEnd: boolean): TextRecord[] {
    const records: TextRecord[] = []
    if (!this.#started && this.#rest !== '') {
      this.#started = true
      if (this.#rest.charCodeAt(0) === 0xfeff) this.#rest = this.#rest.slice(1)
    }
    let at = 0
    for (;;) {
      const found = this.#record(at, isEnd)
      if (found === null) break
      if (found.fields !== null) records.push({ line: this.#line, fields: found.fields })
      this.#line += found.lines
      at = found.next
    }
    this.#rest = this.#rest.slice(at)
    if (this.#rest.length > MAX_RECORD) {
      throw new RecordFault(
        this.#line,
        `the record is longer than ${MAX_RECORD} characters, expected an end of line before`,
      )
    }
    return records
  }

  /** Record that begins at `at`; null: it is not complete. */
  #record(at: number, isEnd: boolean): { fields: string[] | null; next: number; lines: number } | null {
    const text = this.#rest
    if (at >= text.length) return null
    const fields: string[] = []
    let lines = 0
    for (;;) {
      const field = this.#field(at, isEnd, lines)
      if (field === null) return null
      fields.push(field.text)
      lines += field.lines
      at = field.end
      if (at >= text.length) {
        if (!isEnd) return null
        return { fields, next: at, lines: lines + 1 }
      }
      const code = text.charCodeAt(at)
      if (code === this.#delimiter) {
        at++
        continue
      }
      if (code === CR && at + 1 >= text.length && !isEnd) return null
      const next = code === CR && text.charCodeAt(at + 1) === LF ? at + 2 : at + 1
      const isEmpty = fields.length === 1 && fields[0] === '' && !field.quoted
      return { fields: isEmpty ? null : fields, next, lines: lines + 1 }
    }
  }

  #field(
    start: number,
    isEnd: boolean,
    linesBefore: number,
  ): { text: string; end: number; lines: number; quoted: boolean } | null {
    const text = this.#rest
    let at = start
    // A space between the delimiter and a quote belongs to neither.
    while (text.charCodeAt(at) === SPACE && this.#delimiter !== SPACE) at++
    if (text.charCodeAt(at) !== QUOTE) {
      at = start
      for (; at < text.length; at++) {
        const code = text.charCodeAt(at)
        if (code === this.#delimiter || code === LF || code === CR) break
      }
      return { text: text.slice(start, at), end: at, lines: 0, quoted: false }
    }
    const open = at
    for (at++; ; at++) {
      at = text.indexOf('"', at)
      if (at < 0) {
        if (!isEnd && text.length - open <= MAX_RECORD) return null
        throw new RecordFault(
          this.#line + linesBefore,
          isEnd
            ? 'a quote begins here that never ends'
            : `a quote begins here that does not end within ${MAX_RECORD} characters, expected its end before`,
        )
      }
      if (text.charCodeAt(at + 1) !== QUOTE) break
      at++
    }
    if (at + 1 >= text.length && !isEnd) return null // the next character may be a second quote
    const inner = text.slice(open + 1, at)
    at++
    while (text.charCodeAt(at) === SPACE && this.#delimiter !== SPACE) at++
    const code = text.charCodeAt(at)
    const lines = countLines(inner)
    if (at < text.length && code !== this.#delimiter && code !== LF && code !== CR) {
      throw new RecordFault(
        this.#line + linesBefore + lines,
        `a field has text after its closing quote, expected a delimiter; quotes inside of a quoted field are doubled: ""`,
      )
    }
    return { text: inner.replaceAll('""', '"'), end: at, lines, quoted: true }
  }
}

function countLines(text: string): number {
  let lines = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === LF || (code === CR && text.charCodeAt(at + 1) !== LF)) lines++
  }
  return lines
}

/**
 * Digest of a table's file and, for text, counts that DuckDB's result is compared with: records, kinds of line ends. One pass
 * over the bytes; holds no more than a chunk. Main thread.
 */
import { createHash } from 'node:crypto'
import { DataError } from '../../errors.js'
import { contentOf, rawContentOf } from '../content.js'
import type { LoadedFile } from '../source.js'
import { type Compression, expectUnchanged, type FileKind, type TableFile, type TableFiles } from './files.js'
import type { PlainDigest } from './plain/parts.js'

export interface TextCounts {
  /** Lines that are not empty, without line ends inside of quotes. */
  readonly records: number
  /** True if lines end in more than one way. */
  readonly mixedEnds: boolean
  /** True if a digit, an underscore and a digit follow each other, or a plus and a minus: DuckDB reads 1_000 as 1000, +-5 as -5. */
  readonly hasGroups: boolean
  /** True if a field may begin with a zero and a digit: DuckDB reads 007 as 7. */
  readonly hasPadded: boolean
}

export interface FileDigest {
  readonly file: LoadedFile
  /** Null for what is not text, or cannot be unpacked here (zstd). */
  readonly counts: TextCounts | null
}

const LF = 10
const CR = 13
const QUOTE = 34
const UNDERSCORE = 95
const PLUS = 43
const MINUS = 45
const ZERO = 48
const NINE = 57
/** State of the search for leading zeros. */
const INSIDE = 0
const BEGIN = 1
const AFTER_ZERO = 2
/** State after each byte: digits, letters and `.`, `-`, `:`, `/`, `+` go on with a number, a date or a word. */
const STATE_AFTER = Uint8Array.from({ length: 256 }, (_, byte) =>
  /[\dA-Za-z.:/+-]/.test(String.fromCharCode(byte)) || byte > 127 ? INSIDE : BEGIN,
)
const SIGNS = Buffer.from('+-')

export interface DigestOptions {
  /** Called with the number of bytes of the file's content that were read since the last call. */
  readonly onBytes?: (bytes: number) => void
  /** False: text is not counted. Default true. */
  readonly counts?: boolean
}

const changed = (path: string, bytes: number, expected: number): DataError =>
  new DataError(`${path}: has ${bytes} bytes, expected ${expected}; it changed while it was read`)

/** Throws DataError for NUL bytes in text. */
export async function digestFile(
  { path, bytes: fileBytes }: TableFile,
  kind: FileKind,
  compression: Compression,
  { onBytes, counts = true }: DigestOptions = {},
): Promise<FileDigest> {
  const md5 = createHash('md5')
  const counter = counts && kind === 'text' && compression !== 'zstd' ? new TextCounter(path) : null
  let bytes = 0
  // Node 20 cannot unpack zstd: the digest is that of the file as it is.
  for await (const chunk of compression === 'gzip' ? contentOf(path) : rawContentOf(path)) {
    md5.update(chunk)
    bytes += chunk.length
    counter?.add(chunk)
    onBytes?.(chunk.length)
  }
  if (compression !== 'gzip' && bytes !== fileBytes) throw changed(path, bytes, fileBytes)
  const file = { path, bytes, md5: md5.digest('hex'), official: null }
  return { file, counts: counter?.end() ?? null }
}

/** Digests of all files of a table, taken while DuckDB reads them, or after the parser of plain text has. */
export class Digests {
  #taken: Promise<FileDigest[]> | null = null

  constructor(
    readonly files: TableFiles,
    readonly onBytes: (bytes: number) => void,
  ) {}

  /** Digests with counts of text. They are begun by the first call. */
  counted(): Promise<readonly FileDigest[]> {
    this.#taken ??= this.#take({})
    return this.#taken
  }

  /** Begins digests without counts. `others`: takes them on another thread; null where it cannot. */
  begin(others: () => Promise<readonly PlainDigest[]> | null): void {
    if (this.#taken !== null) return
    const taken = others()
    const own = () => this.#take({ counts: false })
    this.#taken = taken?.then(digests => this.#checked(digests)).catch(own) ?? own()
    this.#taken.catch(() => {})
  }

  /** All digests. Throws DataError for a file that has changed since the table was opened. */
  async all(): Promise<readonly LoadedFile[]> {
    const digests = await this.counted()
    await expectUnchanged(this.files.files)
    return digests.map(({ file }) => file)
  }

  #checked(digests: readonly PlainDigest[]): FileDigest[] {
    return this.files.files.map(({ path, bytes: fileBytes }, i) => {
      const { bytes, md5 } = digests[i]
      if (bytes !== fileBytes) throw changed(path, bytes, fileBytes)
      this.onBytes(bytes)
      return { file: { path, bytes, md5, official: null }, counts: null }
    })
  }

  #take(options: DigestOptions): Promise<FileDigest[]> {
    const taken = this.#each(options)
    taken.catch(() => {}) // a fault of the scan comes first; the caller that awaits this promise sees its own
    return taken
  }

  async #each(options: DigestOptions): Promise<FileDigest[]> {
    const { files, kind, compression } = this.files
    const digests: FileDigest[] = []
    for (const file of files) {
      digests.push(await digestFile(file, kind, compression, { ...options, onBytes: this.onBytes }))
    }
    return digests
  }
}

/** Counts records by the parity of quotes. A stray quote inside of a field makes the count wrong: it is evidence, not a proof. */
class TextCounter {
  #records = 0
  #quoted = false
  /** True if the current line has bytes. */
  #hasBytes = false
  #lf = 0
  #crlf = 0
  #cr = 0
  #last = 0
  #beforeLast = 0
  #hasGroups = false
  #hasPadded = false
  #padding = BEGIN
  #offset = 0

  constructor(readonly path: string) {}

  add(chunk: Buffer): void {
    const nul = chunk.indexOf(0)
    if (nul >= 0) {
      throw new DataError(`${this.path}: the byte at offset ${this.#offset + nul} is NUL, expected text`, {
        hint: 'UTF-16 becomes UTF-8 with: iconv -f UTF-16 -t UTF-8 file > new-file',
      })
    }
    this.#offset += chunk.length
    if (!this.#hasGroups) this.#findGroups(chunk)
    if (!this.#hasPadded) this.#findPadded(chunk)
    const hasCr = this.#last === CR || chunk.includes(CR)
    const hasQuotes = this.#quoted || chunk.includes(QUOTE)
    if (hasCr || hasQuotes) this.#addBytes(chunk)
    else this.#addLines(chunk)
    this.#last = chunk[chunk.length - 1]
  }

  end(): TextCounts {
    if (this.#last === CR) this.#cr++
    if (this.#hasBytes) this.#records++
    const ends = [this.#lf, this.#crlf, this.#cr].filter(count => count > 0).length
    return { records: this.#records, mixedEnds: ends > 1, hasGroups: this.#hasGroups, hasPadded: this.#hasPadded }
  }

  #addLines(chunk: Buffer): void {
    let from = 0
    for (let at = chunk.indexOf(LF); at >= 0; at = chunk.indexOf(LF, from)) {
      if (at > from || this.#hasBytes) this.#records++
      this.#hasBytes = false
      this.#lf++
      from = at + 1
    }
    if (from < chunk.length) this.#hasBytes = true
  }

  #addBytes(chunk: Buffer): void {
    let last = this.#last
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at]
      if (last === CR && byte !== LF && !this.#quoted) this.#cr++
      if (byte === QUOTE) this.#quoted = !this.#quoted
      if (this.#quoted) this.#hasBytes = true
      else if (byte === LF || byte === CR) {
        if (this.#hasBytes) this.#records++
        this.#hasBytes = false
        if (byte === LF) {
          if (last === CR) this.#crlf++
          else this.#lf++
        }
      } else this.#hasBytes = true
      last = byte
    }
  }

  /** Looks for a zero and a digit after a byte that ends no number, date or word. Delimiters are not known here. */
  #findPadded(chunk: Buffer): void {
    let state = this.#padding
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at]
      if (byte === ZERO && state === BEGIN) state = AFTER_ZERO
      else if (byte >= ZERO && byte <= NINE && state === AFTER_ZERO) {
        this.#hasPadded = true
        return
      } else state = STATE_AFTER[byte]
    }
    this.#padding = state
  }

  #findGroups(chunk: Buffer): void {
    const isDigit = (byte: number) => byte >= 48 && byte <= 57
    if (this.#last === UNDERSCORE && isDigit(this.#beforeLast) && isDigit(chunk[0])) this.#hasGroups = true
    if ((this.#last === PLUS && chunk[0] === MINUS) || chunk.includes(SIGNS)) this.#hasGroups = true
    for (let at = chunk.indexOf(UNDERSCORE); at >= 0; at = chunk.indexOf(UNDERSCORE, at + 1)) {
      const before = at > 0 ? chunk[at - 1] : this.#last
      if (!isDigit(before)) continue
      if (at + 1 === chunk.length) this.#beforeLast = before
      else if (isDigit(chunk[at + 1])) {
        this.#hasGroups = true
        return
      }
    }
  }
}

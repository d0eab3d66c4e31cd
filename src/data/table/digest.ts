/**
 * Digest of a table's file and, for text, counts that DuckDB's result is compared with: records, kinds of line ends. One pass
 * over the bytes; holds no more than a chunk. Main thread.
 */
import { createHash } from 'node:crypto'
import { DataError } from '../../errors.js'
import { contentOf, rawContentOf } from '../content.js'
import type { LoadedFile } from '../source.js'
import type { Compression, FileKind, TableFile, TableFiles } from './files.js'

export interface TextCounts {
  /** Lines that are not empty, without line ends inside of quotes. */
  readonly records: number
  /** True if lines end in more than one way. */
  readonly mixedEnds: boolean
  /** True if a digit, an underscore and a digit follow each other, or a plus and a minus: DuckDB reads 1_000 as 1000, +-5 as -5. */
  readonly hasGroups: boolean
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
const SIGNS = Buffer.from('+-')

export interface DigestOptions {
  /** Called with the number of bytes of the file's content that were read since the last call. */
  readonly onBytes?: (bytes: number) => void
  /** False: text is not counted. Default true. */
  readonly counts?: boolean
  /** Ends it, with an error. */
  readonly signal?: AbortSignal
}

/** Throws DataError for NUL bytes in text. */
export async function digestFile(
  { path, bytes: fileBytes }: TableFile,
  kind: FileKind,
  compression: Compression,
  { onBytes, counts = true, signal }: DigestOptions = {},
): Promise<FileDigest> {
  const md5 = createHash('md5')
  const counter = counts && kind === 'text' && compression !== 'zstd' ? new TextCounter(path) : null
  let bytes = 0
  // Node 20 cannot unpack zstd: the digest is that of the file as it is.
  for await (const chunk of compression === 'gzip' ? contentOf(path) : rawContentOf(path)) {
    signal?.throwIfAborted()
    md5.update(chunk)
    bytes += chunk.length
    counter?.add(chunk)
    onBytes?.(chunk.length)
  }
  if (compression !== 'gzip' && bytes !== fileBytes) {
    throw new DataError(`${path}: has ${bytes} bytes, expected ${fileBytes}; it changed while it was read`)
  }
  const file = { path, bytes, md5: md5.digest('hex'), official: null }
  return { file, counts: counter?.end() ?? null }
}

/** Digests of all files of a table, taken while DuckDB or the parser of plain text reads them. */
export class Digests {
  readonly #stop = new AbortController()
  readonly #uncounted: Promise<FileDigest[]> | null
  #counted: Promise<FileDigest[]> | null = null

  /** Starts at once. `counts`: whether text is counted from the beginning. */
  constructor(
    readonly files: TableFiles,
    counts: boolean,
    readonly onBytes: (bytes: number) => void,
  ) {
    this.#uncounted = counts ? null : this.#take({ counts: false, signal: this.#stop.signal })
    if (counts) this.#counted = this.#take({})
  }

  /** Digests with counts of text: digests that were begun without counts are dropped. */
  counted(): Promise<readonly FileDigest[]> {
    this.#stop.abort()
    this.#counted ??= this.#take({})
    return this.#counted
  }

  all(): Promise<readonly FileDigest[]> {
    return this.#counted ?? this.#uncounted!
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
    return { records: this.#records, mixedEnds: ends > 1, hasGroups: this.#hasGroups }
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

/**
 * First pass over plain delimited text without DuckDB: most tables of numbers are such text, and reading it by a parser for nothing
 * else takes a fraction of the time. All rows are parsed before anything is decided; what is not plain is left to DuckDB, whose
 * result would be the same. Main thread; parses on threads of its own.
 */
import { open } from 'node:fs/promises'
import { setImmediate } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { adviseHugePages } from '../../../ffi/memory.js'
import type { TableFile } from '../duckdb/files.js'
import type { TextForm } from '../duckdb/form.js'
import { NumberStats, TextStats } from '../duckdb/profile.js'
import { Meanings } from '../duckdb/reading.js'
import type { Scan, ScannedColumn } from '../duckdb/scan.js'
import type { RowSource } from '../duckdb/source.js'
import { type PackedBlock, PackedRows } from '../packed.js'
import { isSystemError, type PlainFile, type PlainPart, type PlainTask, scanBlocks, stop, Word } from './blocks.js'
import type { RowPlace } from './parse.js'

export interface PlainOptions {
  /** Most bytes of values to keep. */
  readonly keepBytes: number
  readonly threads: number
  readonly onRows: (rows: number) => void
}

/** All rows; or columns of numbers that have other texts; or null, if the files are not plain or too large to keep. */
export type PlainScan = { readonly scan: Scan } | { readonly misfits: readonly number[] } | null

/** Bytes that are worth a thread of their own. */
const THREAD_BYTES = 2 ** 22
/** Room in the store beside 8 bytes for each field, if all are as long as the first ones: most take 4. */
const ROOM = 1.25
const LEAST_BYTES = 2 ** 16
const HEADER_BYTES = 2 ** 18
const BYTE_ORDER_MARK = 0xef
/** Delimiters that are one byte, and no part of a number, a quoted field or a line end. */
const PLAIN_DELIMITER = /^[\t !#$%&*,/:;<=>?@\\^_`|~]$/

/** Throws nothing but faults of the program: a file that cannot be read is left to DuckDB too. */
export async function scanPlain(...[files, form, source, options]: Parameters<typeof scanFiles>): Promise<PlainScan> {
  try {
    return await scanFiles(files, form, source, options)
  } catch (error) {
    if (isSystemError(error)) return null
    throw error
  }
}

async function scanFiles(
  files: readonly TableFile[],
  form: TextForm,
  source: RowSource,
  options: PlainOptions,
): Promise<PlainScan> {
  const isText = source.columns.map(({ type }) => type === 'text')
  if (form.counts !== null || form.skippedRecords > 1) return null
  if (!PLAIN_DELIMITER.test(form.delimiter) || form.delimiter === form.decimal) return null
  const header = await plainFiles(files, form.skippedRecords)
  if (header === null) return null
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0)
  const task: PlainTask = {
    form: { delimiter: form.delimiter, decimal: form.decimal, isText },
    files: header.files,
    store: new SharedArrayBuffer(8 * Math.floor(Math.min(storeBytes(form, bytes), options.keepBytes) / 8)),
    control: new SharedArrayBuffer(4 * Word.count),
  }
  if (bytes > THREAD_BYTES) await adviseHugePages(task.store)
  // This thread is one of them: it has nothing else to do, and another costs memory and time to start.
  const others = Math.min(options.threads - 1, Math.floor(bytes / THREAD_BYTES))
  const parts = await Promise.all([...inThreads(task, others), partOf(task, options.onRows)])
  if (parts.includes(null)) return null
  const all = parts as PlainPart[]
  const [lf, crlf] = [header.lf + sum(all, part => part.lf), header.crlf + sum(all, part => part.crlf)]
  const rows = new Int32Array(task.control)[Word.rows]
  if ((lf > 0 && crlf > 0) || rows === 0) return null
  const misfits = isText.flatMap((_, column) => (all.some(part => part.misfits[column] > 0) ? [column] : []))
  return misfits.length > 0 ? { misfits } : { scan: new Merging(task, source, all, rows).scan() }
}

/** Bytes to reserve for the values in this many bytes of text, estimated from the sample. Rounded up to whole eights. */
function storeBytes({ sample }: TextForm, bytes: number): number {
  let [fields, characters] = [1, 1]
  for (const record of sample) {
    fields += record.fields.length
    for (const { length } of record.fields) characters += length + 1
  }
  return 8 * Math.ceil((ROOM * bytes * fields) / characters) + LEAST_BYTES
}

const sum = (parts: readonly PlainPart[], of: (part: PlainPart) => number): number =>
  parts.reduce((all, part) => all + of(part), 0)

/** Files with the place of the first row of each; null: the line before it is not plain. */
async function plainFiles(files: readonly TableFile[], skipped: number) {
  const found: PlainFile[] = []
  let [lf, crlf] = [0, 0]
  for (const { path, bytes } of files) {
    const handle = await open(path, 'r')
    try {
      const head = Buffer.alloc(Math.min(HEADER_BYTES, bytes))
      const { bytesRead } = await handle.read(head, 0, head.length, 0)
      const end = head.indexOf('\n')
      if (skipped === 0) {
        if (head[0] === BYTE_ORDER_MARK) return null
        found.push({ path, from: 0, bytes })
        continue
      }
      // Quotes that are not closed, and other line ends, would make it longer or shorter.
      const line = head.subarray(0, end)
      if (line.includes(0)) return null
      const quotes = line.reduce((count, byte) => (byte === QUOTE ? count + 1 : count), 0)
      const cr = line.indexOf('\r')
      if (bytesRead < head.length || end <= 0 || quotes % 2 > 0 || (cr >= 0 && cr < end - 1) || cr === 0) return null
      if (cr > 0) crlf++
      else lf++
      found.push({ path, from: end + 1, bytes })
    } finally {
      await handle.close()
    }
  }
  return { files: found, lf, crlf }
}

const QUOTE = 34

/** This thread's part; other things get a turn after each block. */
async function partOf(task: PlainTask, onRows: (rows: number) => void): Promise<PlainPart | null> {
  try {
    const blocks = scanBlocks(task)
    for (;;) {
      const { done, value } = blocks.next()
      if (done === true) return value
      onRows(value)
      await setImmediate()
    }
  } catch (error) {
    stop(new Int32Array(task.control))
    throw error
  }
}

/** Parts of other threads. */
const inThreads = (task: PlainTask, count: number): Promise<PlainPart | null>[] =>
  Array.from(
    { length: count },
    () =>
      new Promise<PlainPart | null>((resolve, reject) => {
        const thread = new Worker(new URL('./scan-thread.js', import.meta.url), { workerData: task, execArgv: [] })
        thread.once('message', resolve)
        thread.once('error', reject)
        thread.once('exit', code => reject(new Error(`a thread that read the table ended with ${code}`)))
      }),
  )

/** Facts of all threads, put together as those of one pass. */
class Merging {
  /** Blocks in order, and rows before each. */
  readonly #blocks: readonly PackedBlock[]
  readonly #starts: number[] = []

  constructor(
    readonly task: PlainTask,
    readonly source: RowSource,
    readonly parts: readonly PlainPart[],
    readonly rows: number,
  ) {
    const blocks: PackedBlock[] = []
    for (const part of parts) for (const { block, packed } of part.blocks) blocks[block] = packed
    this.#blocks = blocks
    let start = 0
    for (const { rows } of blocks) {
      this.#starts.push(start)
      start += rows
    }
  }

  scan(): Scan {
    const dictionaries: (readonly string[] | null)[] = []
    const columns = this.task.form.isText.map((isText, index) => {
      if (!isText) {
        dictionaries.push(null)
        return this.#numbers(index)
      }
      const { column, dictionary } = this.#texts(index)
      dictionaries.push(dictionary)
      return column
    })
    return { rows: this.rows, columns, kept: new PackedRows(this.#blocks, dictionaries) }
  }

  #rowOf({ block, row }: RowPlace): number {
    return this.#starts[block] + row
  }

  #numbers(index: number): ScannedColumn {
    const numbers = new NumberStats()
    let [nan, others] = [0, 0]
    let first: { readonly row: number; readonly text: string } | null = null
    for (const part of this.parts) {
      numbers.merge(part.numbers[index]!)
      const missing = part.missing[index]
      nan += missing.nan
      others += missing.others
      if (missing.first === null) continue
      const row = this.#rowOf(missing.first)
      if (first === null || row < first.row) first = { row, text: missing.first.text }
    }
    if (first === null || others === 0) return { index, numbers, nan, texts: null, meanings: null }
    // A column with NA and the like would be one of texts that are numbers.
    const meanings = new Meanings(this.task.form.decimal)
    meanings.numbers = this.rows - numbers.missing
    meanings.missing = nan + others
    meanings.fields = meanings.numbers + meanings.missing
    meanings.firstMissing = first
    return { index, numbers, nan: 0, texts: null, meanings }
  }

  /** Gives all threads' texts one dictionary, in the order in which they first occur; rewrites the codes. */
  #texts(index: number): { column: ScannedColumn; dictionary: readonly string[] } {
    const { source, task } = this
    const all = new Map<string, { count: number; row: number }>()
    for (const part of this.parts) {
      const { texts, counts, firsts } = part.texts[index]!
      texts.forEach((text, code) => {
        const row = this.#rowOf(firsts[code])
        const known = all.get(text)
        if (known === undefined) all.set(text, { count: counts[code], row })
        else {
          known.count += counts[code]
          known.row = Math.min(known.row, row)
        }
      })
    }
    const ordered = [...all].sort(([, a], [, b]) => a.row - b.row)
    const codeOf = new Map(ordered.map(([text], code) => [text, code]))
    for (const part of this.parts) {
      const map = Int32Array.from(part.texts[index]!.texts, text => codeOf.get(text)!)
      for (const { packed } of part.blocks) {
        const codes = new Int32Array(packed.buffer, packed.offsets[index], packed.rows)
        for (let row = 0; row < codes.length; row++) if (codes[row] >= 0) codes[row] = map[codes[row]]
      }
    }
    const texts = new TextStats()
    texts.rows = this.rows
    const meanings = source.columns[index].decides ? new Meanings(task.form.decimal) : null
    let present = 0
    for (const [text, { count, row }] of ordered) {
      texts.see(text)
      present += count
      meanings?.add(text, count, row)
    }
    texts.missing = this.rows - present
    return { column: { index, numbers: null, nan: 0, texts, meanings }, dictionary: ordered.map(([text]) => text) }
  }
}

/**
 * First pass over plain delimited text without DuckDB: most tables of numbers are such text, and reading it by a parser for nothing
 * else takes a fraction of the time. All rows are parsed before anything is decided; what is not plain is left to DuckDB, whose
 * result would be the same. Main thread; parses on threads of its own.
 */
import { open } from 'node:fs/promises'
import { adviseHugePages, mapLargeBlocks } from '../../../ffi/memory.js'
import type { Scan } from '../duckdb/scan.js'
import type { RowSource } from '../duckdb/source.js'
import type { TableFile } from '../files.js'
import type { TextForm } from '../text/form.js'
import { type PlainFile, type PlainPart, type PlainTask, scanBlocks, Word } from './blocks.js'
import { Merging } from './merging.js'
import { isSystemError } from './not-plain.js'
import { type PlainDigest, type PlainOptions, partOf, ScanThreads } from './parts.js'

/** All rows; or columns of numbers that have other texts; or null, if the files are not plain or too large to keep. */
export type PlainScan = PlainRows | { readonly misfits: readonly number[] } | null

export interface PlainRows {
  readonly scan: Scan
  /** Begins to take the digests of the files on a thread of the scan; null: there is none. Call it once, or `end`. */
  readonly digests: () => Promise<PlainDigest[]> | null
  readonly end: () => void
}

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
  if (bytes > THREAD_BYTES) await Promise.all([adviseHugePages(task.store), mapLargeBlocks()])
  // This thread is one of them: it has nothing else to do, and another costs memory and time to start.
  const others = Math.min(options.threads - 1, Math.floor(bytes / THREAD_BYTES))
  const threads = new ScanThreads(task, others)
  try {
    const parts = await Promise.all([
      ...threads.parts,
      partOf(
        scanBlocks(task, memory => memory.release()),
        task.control,
        options.onRows,
      ),
    ])
    const scanned = parts.includes(null) ? null : rowsOf(task, header, source, parts as PlainPart[])
    if (scanned === null || 'misfits' in scanned) threads.end()
    else
      return { scan: scanned, digests: () => threads.digests(files.map(({ path }) => path)), end: () => threads.end() }
    return scanned
  } catch (error) {
    threads.end()
    throw error
  }
}

function rowsOf(
  task: PlainTask,
  header: { readonly lf: number; readonly crlf: number },
  source: RowSource,
  all: readonly PlainPart[],
): Scan | { readonly misfits: readonly number[] } | null {
  const [lf, crlf] = [header.lf + sum(all, part => part.lf), header.crlf + sum(all, part => part.crlf)]
  const rows = new Int32Array(task.control)[Word.rows]
  if ((lf > 0 && crlf > 0) || rows === 0) return null
  const misfits = task.form.isText.flatMap((_, column) => (all.some(part => part.misfits[column] > 0) ? [column] : []))
  return misfits.length > 0 ? { misfits } : new Merging(task.form, source, all, rows).scan()
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

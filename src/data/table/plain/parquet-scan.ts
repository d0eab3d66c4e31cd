/**
 * First pass over Parquet files without DuckDB, where they are plain: numbers and short texts in flat columns. All values are decoded
 * before anything is decided; what is not plain is left to DuckDB, whose result would be the same. Main thread; decodes on threads of
 * its own.
 */
import { adviseHugePages, mapLargeBlocks } from '../../../ffi/memory.js'
import type { Described } from '../duckdb/parquet.js'
import type { RowSource } from '../duckdb/source.js'
import type { TableFile } from '../files.js'
import { type PlainPart, Word } from './blocks.js'
import { Merging } from './merging.js'
import { isLeftToDuckDB } from './not-plain.js'
import { MOST_COLUMNS } from './number-facts.js'
import { type StoredTask, scanStored } from './parquet-blocks.js'
import { describedOf, type StoredTable, storedTable } from './parquet-footer.js'
import { type PlainOptions, partOf, ScanThreads } from './parts.js'
import type { PlainRows } from './scan.js'

/** Bytes that are worth a thread of their own. */
const THREAD_BYTES = 2 ** 22
/** Bytes of a packed value, or fewer: more values than fit at that are not tried. */
const PACKED_BYTES = 4

/** All rows, by a source that `sourceOf` makes; null, if the files are not plain or too large to keep. */
export async function scanParquet(
  files: readonly TableFile[],
  sourceOf: (columns: Described) => RowSource,
  { keepBytes, threads, onRows }: PlainOptions,
): Promise<(PlainRows & { readonly source: RowSource }) | null> {
  try {
    const table = await storedTable(files)
    if (table.others > 0 || table.columns.length > MOST_COLUMNS) return null
    const source = sourceOf(describedOf(table))
    const rows = table.groups.reduce((sum, count) => sum + count, 0)
    const values = rows * table.columns.length
    if (PACKED_BYTES * values > keepBytes) return null
    const task = taskOf(files, table, Math.min(8 * (values + table.chunks.length), keepBytes))
    const bytes = table.chunks.reduce((sum, chunk) => sum + chunk.bytes, 0)
    if (bytes > THREAD_BYTES) await Promise.all([adviseHugePages(task.store), mapLargeBlocks()])
    const others = Math.min(threads - 1, Math.floor(bytes / THREAD_BYTES))
    const scanners = new ScanThreads(task, others)
    try {
      const parts = await Promise.all([
        ...scanners.parts,
        partOf(
          scanStored(task, memory => memory.release()),
          task.control,
          onRows,
        ),
      ])
      if (parts.includes(null)) {
        scanners.end()
        return null
      }
      const isText = table.columns.map(({ type }) => type === 'BYTE_ARRAY')
      const scan = new Merging({ decimal: '.', isText }, source, parts as PlainPart[], rows).scan()
      return { source, scan, digests: () => scanners.digests(task.paths), end: () => scanners.end() }
    } catch (error) {
      scanners.end()
      throw error
    }
  } catch (error) {
    if (isLeftToDuckDB(error)) return null
    throw error
  }
}

const taskOf = (files: readonly TableFile[], table: StoredTable, bytes: number): StoredTask => ({
  ...table,
  paths: files.map(({ path }) => path),
  store: new SharedArrayBuffer(8 * Math.floor(bytes / 8)),
  control: new SharedArrayBuffer(4 * Word.count),
})

/**
 * Footer of a Parquet file as the places of plain columns: flat ones of numbers and texts, one after the other, compressed by Snappy or
 * not at all. Whatever is not plainly so is refused here, and DuckDB reads the file. Main thread; reads the end of the file.
 */
import { type FileHandle, open } from 'node:fs/promises'
import { type FileMetaData, parquetMetadata, type SchemaElement } from 'hyparquet'
import type { TableFile } from '../files.js'
import { NotPlain } from './not-plain.js'

/** Type of the values in the file. */
export type StoredType = 'DOUBLE' | 'FLOAT' | 'INT32' | 'INT64' | 'BYTE_ARRAY'

export interface StoredColumn {
  readonly name: string
  /** Type as DuckDB names it. */
  readonly sqlType: string
  readonly type: StoredType
  /** True if values may be missing. */
  readonly isOptional: boolean
}

/** Values of one column in consecutive rows of a file. */
export interface StoredChunk {
  readonly file: number
  /** Index of its rows among those of all files. */
  readonly group: number
  readonly column: number
  readonly rows: number
  readonly from: number
  readonly bytes: number
  readonly isCompressed: boolean
}

export interface StoredTable {
  readonly columns: readonly StoredColumn[]
  /** Rows of each group of all files, in order. */
  readonly groups: readonly number[]
  /** Group by group, and column by column in each. */
  readonly chunks: readonly StoredChunk[]
}

const FOOTER_BYTES = 2 ** 24
/** Bytes of a chunk, and rows of it, which a thread has in memory at once. */
const MOST_BYTES = 2 ** 26
const MOST_ROWS = 2 ** 21
const MOST_CHUNKS = 100_000
/** Magic number and length after the footer. */
const TAIL_BYTES = 8

/** Throws NotPlain for all that is not plain, and for damage: DuckDB says what it is. */
export async function storedTable(files: readonly TableFile[]): Promise<StoredTable> {
  let columns: readonly StoredColumn[] | null = null
  const groups: number[] = []
  const chunks: StoredChunk[] = []
  for (const [file, { path, bytes }] of files.entries()) {
    const footer = await footerOf(path, bytes)
    const own = columnsOf(footer.schema)
    if (columns !== null && JSON.stringify(own) !== JSON.stringify(columns)) throw new NotPlain()
    columns ??= own
    let rows = 0
    for (const group of footer.row_groups) {
      const count = Number(group.num_rows)
      if (!(count > 0 && count <= MOST_ROWS) || group.columns.length !== own.length) throw new NotPlain()
      for (const [column, { meta_data: facts, file_path: other }] of group.columns.entries()) {
        if (facts === undefined || other) throw new NotPlain()
        const { type, codec, path_in_schema: names } = facts
        const { data_page_offset: data, dictionary_page_offset: dictionary } = facts
        const isPlain =
          type === own[column].type && names.length === 1 && names[0] === own[column].name && codec in IS_COMPRESSED
        if (!isPlain || Number(facts.num_values) !== count) throw new NotPlain()
        const from = Number(dictionary !== undefined && dictionary > 0n && dictionary < data ? dictionary : data)
        const length = Number(facts.total_compressed_size)
        if (!(length > 0 && length <= MOST_BYTES) || !(from >= 4 && from + length <= bytes)) throw new NotPlain()
        const isCompressed = IS_COMPRESSED[codec as keyof typeof IS_COMPRESSED]
        chunks.push({ file, group: groups.length, column, rows: count, from, bytes: length, isCompressed })
      }
      groups.push(count)
      rows += count
      if (chunks.length > MOST_CHUNKS) throw new NotPlain()
    }
    if (rows !== Number(footer.num_rows)) throw new NotPlain()
  }
  if (columns === null || groups.length === 0) throw new NotPlain()
  return { columns, groups, chunks }
}

const IS_COMPRESSED = { UNCOMPRESSED: false, SNAPPY: true } as const

async function footerOf(path: string, bytes: number): Promise<FileMetaData> {
  const handle = await open(path, 'r')
  try {
    const tail = await bytesAt(handle, bytes - TAIL_BYTES, TAIL_BYTES)
    const length = tail.readUInt32LE(0) + TAIL_BYTES
    if (tail.toString('latin1', 4) !== 'PAR1' || length > FOOTER_BYTES || length > bytes - 4) throw new NotPlain()
    const footer = await bytesAt(handle, bytes - length, length)
    return parquetMetadata(footer.buffer.slice(footer.byteOffset, footer.byteOffset + length))
  } catch (error) {
    throw error instanceof Error && 'syscall' in error ? error : new NotPlain()
  } finally {
    await handle.close()
  }
}

async function bytesAt(handle: FileHandle, from: number, length: number): Promise<Buffer<ArrayBuffer>> {
  const bytes = Buffer.alloc(length)
  if (from < 0 || (await handle.read(bytes, 0, length, from)).bytesRead < length) throw new NotPlain()
  return bytes
}

function columnsOf([root, ...leaves]: readonly SchemaElement[]): StoredColumn[] {
  if (root?.num_children !== leaves.length || leaves.length === 0) throw new NotPlain()
  // DuckDB renames columns whose names differ in capital letters alone.
  const names = new Set(leaves.map(({ name }) => name.toLowerCase()))
  if (names.size < leaves.length || names.has('')) throw new NotPlain()
  return leaves.map(leaf => {
    const { name, type, repetition_type: repetition, num_children: children } = leaf
    if (children || (repetition !== 'OPTIONAL' && repetition !== 'REQUIRED')) throw new NotPlain()
    return { name, type: type as StoredType, sqlType: sqlTypeOf(leaf), isOptional: repetition === 'OPTIONAL' }
  })
}

function sqlTypeOf({ type, converted_type: converted, logical_type: logical }: SchemaElement): string {
  const meaning = logical?.type ?? null
  if (converted === undefined && meaning === null) {
    const plain = { DOUBLE: 'DOUBLE', FLOAT: 'FLOAT', INT32: 'INTEGER', INT64: 'BIGINT' }[String(type)]
    if (plain !== undefined) return plain
  }
  if (type === 'BYTE_ARRAY' && converted === 'UTF8' && (meaning === null || meaning === 'STRING')) return 'VARCHAR'
  const isWhole = logical === undefined || (logical.type === 'INTEGER' && logical.isSigned)
  if (isWhole && type === 'INT32' && converted === 'INT_32') return 'INTEGER'
  if (isWhole && type === 'INT64' && converted === 'INT_64') return 'BIGINT'
  throw new NotPlain()
}

/**
 * Footer of a Parquet file as the places of plain columns: flat ones of numbers and texts, one after the other, compressed or
 * not. Whatever is not plainly so is refused here, and DuckDB reads the file. Main thread; reads the end of the file.
 */
import { type FileHandle, open } from 'node:fs/promises'
import { type ColumnChunk, type FileMetaData, parquetMetadata, type SchemaElement } from 'hyparquet'
import type { TableFile } from '../files.js'
import { type Codec, codecOf } from './codecs.js'
import { isLeftToDuckDB, isSystemError, NotPlain } from './not-plain.js'

/** Type of the values in the file. */
export type StoredType = 'DOUBLE' | 'FLOAT' | 'INT32' | 'INT64' | 'BOOLEAN' | 'BYTE_ARRAY'

/** Value of a date or time as seconds since 1970: multiplied, then divided. */
export interface StoredSeconds {
  readonly factor: number
  readonly divisor: number
}

export interface StoredColumn {
  readonly name: string
  /** Type as DuckDB names it. */
  readonly sqlType: string
  readonly type: StoredType
  /** Unit of dates and times; null for all others. */
  readonly seconds: StoredSeconds | null
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
  readonly codec: Codec
}

export interface StoredTable {
  /** Columns that are plain, and the number of the others. */
  readonly columns: readonly StoredColumn[]
  readonly others: number
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

/** Null where the files are not plain, damaged, or cannot be read: DuckDB says what it is. */
export async function plainTable(files: readonly TableFile[]): Promise<StoredTable | null> {
  try {
    return await storedTable(files)
  } catch (error) {
    if (isLeftToDuckDB(error)) return null
    throw error
  }
}

/** Names and types of the columns, as DuckDB describes them, of a table that has no others. */
export const describedOf = ({ columns }: StoredTable): [name: string, type: string][] =>
  columns.map(({ name, sqlType }) => [name, sqlType])

/** Throws NotPlain for files that are not plain, and for damage: DuckDB says what it is. */
export async function storedTable(files: readonly TableFile[]): Promise<StoredTable> {
  let columns: readonly (StoredColumn | null)[] | null = null
  const groups: number[] = []
  const chunks: StoredChunk[] = []
  const isOther: boolean[] = []
  for (const [file, { path, bytes }] of files.entries()) {
    const footer = await footerOf(path, bytes)
    const own = columnsOf(footer.schema)
    if (columns !== null && JSON.stringify(own) !== JSON.stringify(columns)) throw new NotPlain()
    columns ??= own
    let rows = 0
    for (const group of footer.row_groups) {
      const count = Number(group.num_rows)
      if (!(count > 0 && count <= MOST_ROWS) || group.columns.length !== own.length) throw new NotPlain()
      for (const [column, chunk] of group.columns.entries()) {
        const place = placeOf(chunk, own[column], count, bytes)
        if (place === null) isOther[column] = true
        else chunks.push({ file, group: groups.length, column, rows: count, ...place })
      }
      groups.push(count)
      rows += count
      if (chunks.length > MOST_CHUNKS) throw new NotPlain()
    }
    if (rows !== Number(footer.num_rows)) throw new NotPlain()
  }
  if (columns === null || groups.length === 0) throw new NotPlain()
  const plain = columns.flatMap((column, i) => (column === null || isOther[i] ? [] : [i]))
  const indexOf = new Map(plain.map((column, index) => [column, index]))
  return {
    ...{ columns: plain.map(column => columns[column]!), others: columns.length - plain.length, groups },
    chunks: chunks.flatMap(chunk => (isOther[chunk.column] ? [] : [{ ...chunk, column: indexOf.get(chunk.column)! }])),
  }
}

/** Place of a chunk in a file of `bytes` bytes; null: it is not plain. */
function placeOf(
  { meta_data: facts, file_path: other }: ColumnChunk,
  column: StoredColumn | null,
  rows: number,
  bytes: number,
): Pick<StoredChunk, 'from' | 'bytes' | 'codec'> | null {
  if (column === null || facts === undefined || other) return null
  const { type, codec, path_in_schema: names } = facts
  const { data_page_offset: data, dictionary_page_offset: dictionary } = facts
  if (type !== column.type || names.length !== 1 || names[0] !== column.name) return null
  const known = codecOf(codec)
  if (known === null) return null
  const from = Number(dictionary !== undefined && dictionary > 0n && dictionary < data ? dictionary : data)
  const length = Number(facts.total_compressed_size)
  if (Number(facts.num_values) !== rows || !(length > 0 && length <= MOST_BYTES)) return null
  if (!(from >= 4 && from + length <= bytes)) return null
  return { from, bytes: length, codec: known }
}

async function footerOf(path: string, bytes: number): Promise<FileMetaData> {
  const handle = await open(path, 'r')
  try {
    const tail = await bytesAt(handle, bytes - TAIL_BYTES, TAIL_BYTES)
    const length = tail.readUInt32LE(0) + TAIL_BYTES
    if (tail.toString('latin1', 4) !== 'PAR1' || length > FOOTER_BYTES || length > bytes - 4) throw new NotPlain()
    const footer = await bytesAt(handle, bytes - length, length)
    return parquetMetadata(footer.buffer.slice(footer.byteOffset, footer.byteOffset + length))
  } catch (error) {
    throw isSystemError(error) ? error : new NotPlain()
  } finally {
    await handle.close()
  }
}

async function bytesAt(handle: FileHandle, from: number, length: number): Promise<Buffer<ArrayBuffer>> {
  const bytes = Buffer.alloc(length)
  if (from < 0 || (await handle.read(bytes, 0, length, from)).bytesRead < length) throw new NotPlain()
  return bytes
}

/** Columns, null for one that is not plain. */
function columnsOf([root, ...leaves]: readonly SchemaElement[]): (StoredColumn | null)[] {
  if (root?.num_children !== leaves.length || leaves.length === 0) throw new NotPlain()
  // DuckDB renames columns whose names differ in capital letters alone.
  const names = new Set(leaves.map(({ name }) => name.toLowerCase()))
  if (names.size < leaves.length || names.has('')) throw new NotPlain()
  return leaves.map(leaf => {
    const { name, type, repetition_type: repetition, num_children: children } = leaf
    const found = typeOf(leaf)
    if (found === null || children || (repetition !== 'OPTIONAL' && repetition !== 'REQUIRED')) return null
    return { name, type: type as StoredType, ...found, isOptional: repetition === 'OPTIONAL' }
  })
}

/** Type as DuckDB names it; null: it is not plain. */
function typeOf(leaf: SchemaElement): Pick<StoredColumn, 'sqlType' | 'seconds'> | null {
  const sqlType = numberType(leaf) ?? textType(leaf)
  if (sqlType !== null) return { sqlType, seconds: null }
  const { type, converted_type: converted, logical_type: logical } = leaf
  const meaning = logical?.type ?? null
  if (type === 'INT32' && converted === 'DATE' && (meaning === null || meaning === 'DATE')) {
    return { sqlType: 'DATE', seconds: { factor: 86_400, divisor: 1 } }
  }
  if (type !== 'INT64' || logical?.type !== 'TIMESTAMP') return null
  const divisor = { MILLIS: 1e3, MICROS: 1e6, NANOS: null }[logical.unit]
  if (!divisor) return null
  const isUtc = logical.isAdjustedToUTC
  return { sqlType: isUtc ? 'TIMESTAMP WITH TIME ZONE' : 'TIMESTAMP', seconds: { factor: 1, divisor } }
}

function textType({ type, converted_type: converted, logical_type: logical }: SchemaElement): string | null {
  const isText = converted === 'UTF8' && (logical === undefined || logical.type === 'STRING')
  return type === 'BYTE_ARRAY' && isText ? 'VARCHAR' : null
}

function numberType({ type, converted_type: converted, logical_type: logical }: SchemaElement): string | null {
  if (converted === undefined && logical === undefined) return PLAIN_TYPES[String(type)] ?? null
  const isWhole = logical === undefined || (logical.type === 'INTEGER' && logical.isSigned)
  return (isWhole && WHOLE_TYPES[`${type} ${converted}`]) || null
}

const PLAIN_TYPES: Readonly<Record<string, string>> = {
  ...{ DOUBLE: 'DOUBLE', FLOAT: 'FLOAT', INT32: 'INTEGER', INT64: 'BIGINT', BOOLEAN: 'BOOLEAN' },
}
const WHOLE_TYPES: Readonly<Record<string, string>> = {
  ...{ 'INT32 INT_8': 'TINYINT', 'INT32 INT_16': 'SMALLINT', 'INT32 INT_32': 'INTEGER', 'INT64 INT_64': 'BIGINT' },
}

/**
 * Files of a table: one file, the files of a folder, or those that match a pattern, all of one kind. Their sizes and times are
 * kept, so that a file that changes while it is read is noticed. Main thread; reads folders and the first bytes of files.
 */
import { type FileHandle, open, readdir, stat } from 'node:fs/promises'
import { basename, join, parse, sep } from 'node:path'
import { inspect } from 'node:util'
import { DataError } from '../../errors.js'
import { formatList } from '../../format.js'
import { fileError } from '../content.js'

export type FileKind = 'text' | 'parquet' | 'json'
export type Compression = 'none' | 'gzip' | 'zstd'

/** File, as it was when the table was opened. */
export interface TableFile {
  readonly path: string
  readonly bytes: number
  readonly modifiedMs: number
  readonly inode: number
}

export interface TableFiles {
  readonly kind: FileKind
  readonly compression: Compression
  /** In the order in which rows come: sorted by name. */
  readonly files: readonly TableFile[]
}

const KINDS: Readonly<Record<string, FileKind>> = {
  csv: 'text',
  tsv: 'text',
  tab: 'text',
  txt: 'text',
  parquet: 'parquet',
  pq: 'parquet',
  json: 'json',
  ndjson: 'json',
  jsonl: 'json',
}
const ENDINGS = Object.keys(KINDS).map(ending => `.${ending}`)
const KIND_NAMES: Readonly<Record<FileKind, string>> = { text: 'delimited text', parquet: 'Parquet', json: 'JSON' }
/** Files of a folder that are looked at: more are most likely another folder than was meant. */
const MOST_FILES = 100_000
const PATTERN = /[*?[]/

/** Resolves an absolute path of a file, a folder or a pattern (`*`, `?`, `[ab]`, `**`). Throws DataError. */
export async function resolveFiles(path: string): Promise<TableFiles> {
  const paths = await pathsOf(path)
  const files: TableFile[] = []
  let first: { kind: FileKind; compression: Compression; path: string } | null = null
  for (const each of paths) {
    files.push(await statFile(each))
    const form = { ...(await formOf(each)), path: each }
    first ??= form
    if (form.kind !== first.kind || form.compression !== first.compression) {
      throw new DataError(
        `${path}: ${inspect(basename(form.path))} is ${describe(form)}, expected ${describe(first)} as ${inspect(basename(first.path))} is; ` +
          'the files of a table are of one kind',
        { hint: 'name the files by a pattern: data.path "folder/*.csv"' },
      )
    }
  }
  return { kind: first!.kind, compression: first!.compression, files }
}

const describe = ({ kind, compression }: { kind: FileKind; compression: Compression }): string =>
  `${KIND_NAMES[kind]}${compression === 'none' ? '' : ` in ${compression}`}`

/** Throws DataError if a file is not what it was when the table was opened. */
export async function expectUnchanged(files: readonly TableFile[]): Promise<void> {
  for (const was of files) {
    const now = await statFile(was.path)
    if (now.bytes === was.bytes && now.modifiedMs === was.modifiedMs && now.inode === was.inode) continue
    const what = now.bytes === was.bytes ? 'was written to' : `has ${now.bytes} bytes, expected ${was.bytes}`
    throw new DataError(`${was.path}: ${what} while it was read; rows of before and after would be mixed`, {
      hint: 'begin again when the file is complete',
    })
  }
}

async function statFile(path: string): Promise<TableFile> {
  try {
    const status = await stat(path)
    if (!status.isFile()) throw new DataError(`${path}: is not a regular file, expected a table`)
    return { path, bytes: status.size, modifiedMs: status.mtimeMs, inode: status.ino }
  } catch (error) {
    throw error instanceof DataError ? error : fileError(path, 'cannot be read', error)
  }
}

async function pathsOf(path: string): Promise<string[]> {
  const status = await stat(path).catch(() => null)
  if (status?.isDirectory()) {
    const names = await readdir(path).catch(error => Promise.reject(fileError(path, 'cannot be read', error)))
    const tables = names.filter(name => !isHidden(name) && kindByName(name) !== null).sort()
    if (tables.length > 0) return tables.map(name => join(path, name))
    const others = names.filter(name => !isHidden(name))
    const found = others.length === 0 ? 'is empty' : `has ${formatList(others.sort(), 5)}`
    throw new DataError(
      `${path}: the folder ${found}, expected tables (${ENDINGS.join(', ')}, each also in .gz or .zst)`,
    )
  }
  if (status === null && PATTERN.test(path)) {
    const matches = await matching(path)
    if (matches.length > 0) return matches
    throw new DataError(`${path}: no file matches the pattern, expected at least one`)
  }
  return [path]
}

/** Hidden files, and what programs write beside the parts of a table (`_SUCCESS`, `_metadata`). */
const isHidden = (name: string): boolean => name.startsWith('.') || name.startsWith('_')

/** Regular files that match, sorted. */
async function matching(pattern: string): Promise<string[]> {
  const { root } = parse(pattern)
  const parts = pattern.slice(root.length).split(sep)
  const found: string[] = []
  const walk = async (folder: string, at: number): Promise<void> => {
    const part = parts[at]
    const isLast = at === parts.length - 1
    if (part === '**') await walk(folder, at + 1)
    if (!PATTERN.test(part)) {
      if (!isLast) await walk(join(folder, part), at + 1)
      else if ((await stat(join(folder, part)).catch(() => null))?.isFile()) found.push(join(folder, part))
      return
    }
    const entries = await readdir(folder, { withFileTypes: true }).catch(() => [])
    const matches = part === '**' ? null : expressionOf(part)
    for (const { name } of entries.filter(({ name }) => !isHidden(name))) {
      if (matches !== null && !matches.test(name)) continue
      const path = join(folder, name)
      const status = await stat(path).catch(() => null)
      if (status?.isDirectory()) {
        if (matches === null) await walk(path, at)
        else if (!isLast) await walk(path, at + 1)
      } else if (status?.isFile() && isLast && matches !== null) {
        found.push(path)
        if (found.length > MOST_FILES) throw new DataError(`${pattern}: more than ${MOST_FILES} files match`)
      }
    }
  }
  await walk(root, 0)
  return [...new Set(found)].sort()
}

function expressionOf(part: string): RegExp {
  const source = part.replace(/\[[^\]]+\]|[\s\S]/g, each => {
    if (each === '*') return '.*'
    if (each === '?') return '.'
    if (each.length > 1) return each.replace(/^\[!/, '[^').replaceAll('\\', '\\\\')
    return each.replace(/[\\^$.|+(){}[\]]/g, '\\$&')
  })
  return new RegExp(`^${source}$`, 's')
}

function kindByName(path: string): FileKind | null {
  const name = basename(path)
    .toLowerCase()
    .replace(/\.(gz|gzip|zst|zstd)$/, '')
  return KINDS[name.slice(name.lastIndexOf('.') + 1)] ?? null
}

/** Kind and compression by content where it is certain, else by name: browsers unpack files and keep the name. */
async function formOf(path: string): Promise<{ kind: FileKind; compression: Compression }> {
  const start = Buffer.alloc(4)
  let handle: FileHandle | undefined
  let length = 0
  try {
    handle = await open(path, 'r')
    length = (await handle.read(start, 0, 4, 0)).bytesRead
  } catch (error) {
    throw fileError(path, 'cannot be read', error)
  } finally {
    await handle?.close()
  }
  if (length === 0) throw new DataError(`${path}: is empty, expected a table`)
  if (start.toString('latin1') === 'PAR1') return { kind: 'parquet', compression: 'none' }
  if (start.toString('latin1') === 'PK\x03\x04') {
    throw new DataError(`${path}: is a ZIP archive (or a spreadsheet), expected a table as CSV, Parquet or JSON`, {
      hint: `unpack it, or save the sheet as CSV`,
    })
  }
  const compression = compressionOf(start)
  const kind = kindByName(path)
  if (kind === 'parquet') {
    const got = `begins with ${inspect(start.toString('latin1'))}`
    throw new DataError(`${path}: ${got}, expected 'PAR1' as every Parquet file does`)
  }
  if (kind !== null) return { kind, compression }
  const isJson = compression === 'none' && /^\s*[[{]/.test(start.toString('latin1'))
  return { kind: isJson ? 'json' : 'text', compression }
}

function compressionOf(start: Buffer): Compression {
  if (start[0] === 0x1f && start[1] === 0x8b) return 'gzip'
  return start.readUInt32LE(0) === 0xfd2fb528 ? 'zstd' : 'none'
}

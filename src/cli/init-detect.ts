/** Detects what kind of data a path holds: data set, target column, task. Main thread; reads the beginning of files. */
import { readdir, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Task } from '../config/tasks.js'
import type { ColumnProfile } from '../data/table/columns.js'
import { taskOfTargets } from '../data/table/targets.js'
import { ConfigError } from '../errors.js'
import { formatCounted } from '../format.js'

/** Detected data; `reasons` are shown to the user. */
export interface Detected {
  readonly dataset: 'digits' | 'mnist' | 'fashion-mnist' | 'table' | 'npz' | 'idx' | 'images'
  readonly reasons: readonly string[]
  /** Columns of a table; null for other data. */
  readonly columns: readonly ColumnProfile[] | null
  /** Settings of `data.npz`: names of arrays that are not the usual ones. */
  readonly npz?: object
}

const KNOWN = ['digits', 'mnist', 'fashion-mnist'] as const
const PICTURE = /\.(png|jpe?g|webp|avif|tiff?|gif)$/i
const IDX = /-ubyte(\.gz)?$/i
const TABLE = /\.(csv|tsv|tab|txt|data|parquet|json|ndjson|jsonl)(\.(gz|zst))?$/i

/** Detects `data`: the name of a data set, a file or a folder. Throws ConfigError if gradloom does not read it. */
export async function detect(data: string): Promise<Detected> {
  const known = KNOWN.find(name => name === data)
  const found = await stat(data).catch((cause: NodeJS.ErrnoException) => cause)
  if (found instanceof Error) {
    if (known) return { dataset: known, reasons: [`${known} is a data set that gradloom knows`], columns: null }
    throw new ConfigError(`${data}: cannot be read, expected a data set's name, a file or a folder; ${found.message}`, {
      hint: `names are ${KNOWN.join(', ')}`,
    })
  }
  if (found.isDirectory()) return detectFolder(data)
  if (/\.npz$/i.test(data)) return detectArrays(data, 'an .npz archive of NumPy arrays')
  if (TABLE.test(data)) return detectTable(data)
  throw new ConfigError(
    `${data}: is not a file that gradloom reads, expected .csv, .tsv, .parquet, .json, .npz, or a folder`,
    {
      hint: IDX.test(data)
        ? 'IDX files: give the folder with all four of them, under their usual names'
        : 'folders: IDX files, .npy arrays, or pictures in one folder per class; see docs/data.md',
    },
  )
}

async function detectArrays(path: string, reason: string): Promise<Detected> {
  const { usualNames } = await import('../data/npz.js')
  const npz = await usualNames(path).catch(() => null) // who opens it says what is wrong
  const names = npz ? [`features '${npz.trainFeatures}', labels '${npz.trainLabels}'`] : []
  return { dataset: 'npz', reasons: [reason, ...names], columns: null, ...(npz && { npz }) }
}

async function detectFolder(folder: string): Promise<Detected> {
  const entries = await readdir(folder, { withFileTypes: true })
  const names = entries.filter(entry => !entry.name.startsWith('.')).map(({ name }) => name)
  const of = (dataset: Detected['dataset'], reason: string): Detected => ({ dataset, reasons: [reason], columns: null })
  if (names.some(name => /idx3-ubyte(\.gz)?$/.test(name))) return of('idx', 'a folder of IDX files')
  if (names.some(name => name.endsWith('.npy'))) return detectArrays(folder, 'a folder of .npy arrays')
  for (const entry of entries) {
    if (!entry.isDirectory() || entry.name.startsWith('.')) continue
    const inside = await readdir(join(folder, entry.name), { withFileTypes: true, recursive: true })
    if (inside.some(file => file.isFile() && PICTURE.test(file.name))) {
      return of('images', 'a folder of pictures, one folder per class')
    }
  }
  const some = names.slice(0, 5).join(', ')
  throw new ConfigError(
    `${folder}: holds no data that gradloom reads, expected IDX files, .npy arrays, or pictures in one folder per class; ` +
      `it has ${some === '' ? 'nothing' : some}`,
    { hint: 'for a table, give the file itself' },
  )
}

/** Opens the table as training does: what is refused there is refused here. */
async function detectTable(path: string): Promise<Detected> {
  const { openTableReader } = await import('../data/table/duckdb/open.js')
  const reader = await openTableReader(resolve(path))
  const { columns, rows, notes } = reader
  await reader.close()
  if (columns.length < 2) {
    throw new ConfigError(
      `${path}: the table has ${formatCounted(columns.length, 'column')}, expected a target and features`,
    )
  }
  if (rows === 0) throw new ConfigError(`${path}: the table is empty, expected rows below the header`)
  const reasons = [`a table of ${formatCounted(columns.length, 'column')} and ${formatCounted(rows, 'row')}`, ...notes]
  return { dataset: 'table', reasons, columns }
}

/** Suggests the task for the target columns, with the reason. */
export function taskOf(targets: readonly ColumnProfile[]): { task: Task; reason: string } {
  const { task, reason } = taskOfTargets('the table', targets, 'auto')
  return { task, reason: reason?.replace(/;.*/, '') ?? '' }
}

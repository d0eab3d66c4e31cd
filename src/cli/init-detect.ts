/** Detects what kind of data a path holds: data set, target column, task. Main thread; reads the beginning of files. */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { parse } from 'csv-parse/sync'
import { contentOf } from '../data/content.js'
import { detectDelimiter } from '../data/csv.js'
import { ConfigError } from '../errors.js'
import { formatCounted } from '../format.js'

/** Detected data; `reasons` are shown to the user. */
export interface Detected {
  readonly dataset: 'digits' | 'mnist' | 'fashion-mnist' | 'csv' | 'npz' | 'idx' | 'images'
  readonly reasons: readonly string[]
  readonly table: DetectedTable | null
}

export interface DetectedTable {
  readonly header: boolean
  /** Names; indices from 0 if the table has no header. */
  readonly columns: readonly string[]
  /** Values of each column in the first rows. */
  readonly values: readonly (readonly string[])[]
}

const KNOWN = ['digits', 'mnist', 'fashion-mnist'] as const
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/
const PICTURE = /\.(png|jpe?g|webp|avif|tiff?|gif)$/i
const MOST_ROWS = 2000
const MOST_BYTES = 1 << 20
/** Distinct values up to which a column of integers is read as classes; with more, it is a regression target. */
const MOST_CLASSES = 20

/** Detects `data`: the name of a data set, a file or a folder. Throws ConfigError if gradloom does not read it. */
export async function detect(data: string): Promise<Detected> {
  const known = KNOWN.find(name => name === data)
  const found = await stat(data).catch((cause: NodeJS.ErrnoException) => cause)
  if (found instanceof Error) {
    if (known) return { dataset: known, reasons: [`${known} is a data set that gradloom knows`], table: null }
    throw new ConfigError(`${data}: cannot be read, expected a data set's name, a file or a folder; ${found.message}`, {
      hint: `names are ${KNOWN.join(', ')}`,
    })
  }
  if (found.isDirectory()) return detectFolder(data)
  if (/\.npz$/i.test(data)) return { dataset: 'npz', reasons: ['an .npz archive of NumPy arrays'], table: null }
  if (/\.(csv|tsv|tab|txt|data)(\.gz)?$/i.test(data)) return detectTable(data)
  throw new ConfigError(`${data}: is not a file that gradloom reads, expected .csv, .tsv, .npz, or a folder`, {
    hint: 'folders: IDX files, .npy arrays, or pictures in one folder per class; see docs/data.md',
  })
}

async function detectFolder(folder: string): Promise<Detected> {
  const entries = await readdir(folder, { withFileTypes: true })
  const names = entries.filter(entry => !entry.name.startsWith('.')).map(({ name }) => name)
  const of = (dataset: Detected['dataset'], reason: string): Detected => ({ dataset, reasons: [reason], table: null })
  if (names.some(name => /idx3-ubyte(\.gz)?$/.test(name))) return of('idx', 'a folder of IDX files')
  if (names.some(name => name.endsWith('.npy'))) return of('npz', 'a folder of .npy arrays')
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

async function detectTable(file: string): Promise<Detected> {
  let text = ''
  for await (const chunk of contentOf(file)) {
    text += chunk.toString('latin1')
    if (text.length >= MOST_BYTES) break
  }
  const whole = Buffer.from(text, 'latin1').toString('utf8')
  const records = parse(whole, {
    ...{ delimiter: detectDelimiter(whole), bom: true, relax_column_count: true, skip_empty_lines: true },
    ...{ relax_quotes: true, to: MOST_ROWS },
  }) as string[][]
  const [first = [], ...rest] = records
  if (first.length < 2) {
    throw new ConfigError(
      `${file}: the first line has ${formatCounted(first.length, 'column')}, expected a target and features`,
    )
  }
  const header = !first.some(cell => NUMBER.test(cell.trim()))
  const rows = header ? rest : records
  if (rows.length === 0) throw new ConfigError(`${file}: the table is empty, expected rows below the header`)
  const columns = first.map((name, i) => (header ? name.trim() : String(i)))
  const values = columns.map((_, i) => rows.map(row => (row[i] ?? '').trim()).filter(value => value !== ''))
  const reasons = [
    `a table of ${formatCounted(columns.length, 'column')} ${header ? 'with a header' : 'without a header'}`,
  ]
  return { dataset: 'csv', reasons, table: { header, columns, values } }
}

/** Suggests the task for a target column, with the reason. */
export function taskOf(values: readonly string[]): { task: 'classification' | 'regression'; reason: string } {
  const distinct = new Set(values).size
  const text = values.find(value => !NUMBER.test(value))
  if (text !== undefined) return { task: 'classification', reason: `it has text, such as '${text}'` }
  const fraction = values.find(value => !Number.isInteger(Number(value)))
  if (fraction !== undefined) return { task: 'regression', reason: `it has fractions, such as ${fraction}` }
  if (distinct > MOST_CLASSES)
    return { task: 'regression', reason: `it has ${formatCounted(distinct, 'different integer')}` }
  return { task: 'classification', reason: `it has ${formatCounted(distinct, 'different integer')}` }
}

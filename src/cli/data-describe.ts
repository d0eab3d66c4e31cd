/** `gradloom data describe`: the columns of a table, as training would read them. Main thread. */
import { readFile, stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Argv } from 'yargs'
import { fromCurrentFolder } from '../config/paths.js'
import type { ColumnDescription, TableDescription } from '../data/table/describe.js'
import { ConfigError } from '../errors.js'
import { formatBytes, formatCount, formatCounted, formatNumber } from '../format.js'
import { jsonObject, setOption } from './options.js'

export interface DescribeArguments {
  experiment: string
  set: string[]
  json: boolean
}

export const describeOptions = (command: Argv) =>
  command
    .positional('experiment', {
      describe: 'Experiment file, JSON; or a table: a file, a folder or a glob pattern in quotes',
      type: 'string',
      demandOption: true,
    })
    .option('set', setOption)
    .option('json', jsonObject)
    .example('$0 data describe mine.json', 'the table of an experiment, with its settings')
    .example('$0 data describe customers.csv', 'a file')
    .example('$0 data describe customers.csv --set data.table.delimiter=";"', 'with settings')

/** An experiment has a section `data`; any other JSON file is a table. */
const MOST_EXPERIMENT_BYTES = 2 ** 20

export async function describe({ experiment: path, set, json }: DescribeArguments): Promise<void> {
  const [{ loadExperiment, resolveExperiment }, { openReader }, { describeTable }, { formatOf }] = await Promise.all([
    import('../config/load.js'),
    import('../data/table/open-reader.js'),
    import('../data/table/describe.js'),
    import('../data/table/format.js'),
  ])
  const overrides = set.map(text => fromCurrentFolder(text))
  const { experiment, baseDir } = (await isExperiment(path))
    ? await loadExperiment(path, overrides)
    : resolveExperiment({ data: { dataset: 'table', path: resolve(path) } }, { where: path, overrides })
  const { data } = experiment
  if (data.dataset !== 'table' || data.path === null) {
    throw new ConfigError(`${path}: data.dataset is '${data.dataset}', expected "table" with a data.path`, {
      hint: 'npx gradloom data preview shows training images; a table is described by its own name too',
    })
  }
  const where = resolve(baseDir, data.path)
  const reader = await openReader(where, formatOf(data, null))
  try {
    const description = await describeTable(where, reader, data)
    process.stdout.write(json ? `${JSON.stringify(description, null, 2)}\n` : shown(description))
    if (!json) for (const warning of description.warnings) process.stderr.write(`warning: ${warning}\n`)
  } finally {
    await reader.close()
  }
}

async function isExperiment(path: string): Promise<boolean> {
  if (!path.endsWith('.json')) return false
  const status = await stat(path).catch(() => null)
  if (status === null || !status.isFile() || status.size > MOST_EXPERIMENT_BYTES) return status === null
  const text = await readFile(path, 'utf8')
  return /^\s*(\/[/*][\s\S]*?)?\{/.test(text) && /"data"\s*:\s*\{[\s\S]*"dataset"/.test(text)
}

function shown({ files, rows, columns, format, notes }: TableDescription): string {
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0)
  const which = files.length === 1 ? files[0].path : `${formatCounted(files.length, 'file')} from ${files[0].path} on`
  const form = [
    ...(format.delimiter === null ? [] : [`separator ${JSON.stringify(format.delimiter)}`]),
    ...(format.header === null ? [] : [format.header ? 'names in the first line' : 'no names in the file']),
    ...(format.decimal === ',' ? ['decimal commas'] : []),
  ]
  const lines = columns.map(column => [
    column.name,
    typeOf(column),
    column.role === 'feature' ? `feature, ${column.kind}` : column.role,
    column.missing === 0 ? '' : formatCount(column.missing),
    column.unreadable === undefined ? formatCount(column.distinct) : '',
    column.range === null ? '' : rangeOf(column, column.range),
    pictureOf(column),
  ])
  const head = ['column', 'type', 'role', 'missing', 'distinct', 'range', 'distribution']
  return [
    `${which}: ${formatCounted(rows, 'row')}, ${formatCounted(columns.length, 'column')}, ${formatBytes(bytes)}`,
    ...(form.length > 0 ? [form.join(', ')] : []),
    '',
    ...aligned([head, ...lines]),
    ...notes.map((note, i) => `${i === 0 ? '\n' : ''}${note}`),
    '',
  ].join('\n')
}

const typeOf = ({ type, isInteger, unreadable, sqlType }: ColumnDescription): string =>
  unreadable === undefined ? (type === 'number' && isInteger ? 'integer' : type) : sqlType

function rangeOf({ type, sqlType }: ColumnDescription, [min, max]: readonly [number, number]): string {
  const text = (value: number) => {
    if (type === 'boolean') return value === 1 ? 'true' : 'false'
    if (type !== 'date') return formatNumber(value)
    const date = new Date(value * 1000)
    if (Number.isNaN(date.getTime())) return String(value)
    if (sqlType === 'TIME') return date.toISOString().slice(11, 19)
    return date.toISOString().replace(/T00:00:00\.000Z$|\.000Z$/, '')
  }
  return min === max ? text(min) : `${text(min)} … ${text(max)}`
}

const BLOCKS = ' ▁▂▃▄▅▆▇█'
const MOST_PICTURE = 60

/** Histogram in block characters, or the most frequent texts. An ignored column has its reason. */
function pictureOf({ role, histogram, top, reason, unreadable }: ColumnDescription): string {
  const why = unreadable ?? (role === 'ignored' ? reason : null)
  if (why !== undefined && why !== null) return `(${why})`
  if (histogram !== null) {
    const most = Math.max(...histogram)
    return histogram.map(count => BLOCKS[count === 0 ? 0 : Math.max(1, Math.round((count / most) * 8))]).join('')
  }
  const texts = (top ?? []).map(([text, count]) => `${shortened(text)} ${formatCount(count)}`).join(', ')
  return texts.length > MOST_PICTURE ? `${texts.slice(0, MOST_PICTURE)}…` : texts
}

/** Text in one line. */
const shortened = (text: string): string =>
  JSON.stringify(text.length > 20 ? `${text.slice(0, 20)}…` : text).slice(1, -1)

const MOST_CELL = 40

function aligned(rows: readonly (readonly string[])[]): string[] {
  const cut = rows.map(row =>
    row.map((cell, i) => (i === 0 && cell.length > MOST_CELL ? `${cell.slice(0, MOST_CELL)}…` : cell)),
  )
  const widths = cut[0].map((_, column) => cut.reduce((most, row) => Math.max(most, row[column].length), 0))
  return cut.map(row =>
    row
      .map((cell, column) => cell.padEnd(widths[column]))
      .join('  ')
      .trimEnd(),
  )
}

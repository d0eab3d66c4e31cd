/** Notes on a table, in the lines that training begins with: targets, columns by kind, missing values, what is left out. Pure. */
import { inspect } from 'node:util'
import { TASK_FACTS, type Task } from '../../config/tasks.js'
import { formatCounted, formatList, formatNames } from '../../format.js'
import { isMissing } from './collect.js'
import type { TableChunk } from './columns.js'
import { type ColumnEncoding, featureCount, kindOf, rowsOfEmbedding, type TableEncoding, widthOf } from './encoding.js'

/** Names shown in a line. */
const MOST_SHOWN = 12

const PLURALS = { number: 'numbers', boolean: 'yes or no', category: 'categories', date: 'dates' } as const

/** `rows`: the training rows, whose missing values are counted. */
export function tableNotes(
  encoding: TableEncoding,
  { task, reason }: { readonly task: Task; readonly reason: string | null },
  classNames: readonly string[],
  chunk: TableChunk,
  rows: Uint32Array,
): string[] {
  const { columns, targets, unused } = encoding
  const outputs =
    task === 'regression'
      ? formatCounted(targets.length, 'number')
      : formatCounted(classNames.length, ...TASK_FACTS[task].outputs)
  const why = reason === null ? '' : ` (${reason})`
  const kinds = (['number', 'category', 'boolean', 'date'] as const).flatMap(kind => {
    const of = columns.filter(column => kindOf(column) === kind)
    return of.length === 0 ? [] : [`${PLURALS[kind]}: ${formatList(of.map(shown), MOST_SHOWN)}`]
  })
  return [
    `predicts ${formatNames(targets, MOST_SHOWN)}: ${outputs}${why}, from ${formatCounted(columns.length, 'column')} as ${formatCounted(featureCount(encoding), 'feature')}`,
    ...kinds,
    ...missingNote(columns, chunk, rows),
    ...(unused.length === 0
      ? []
      : [
          `left out: ${formatList(
            unused.map(({ column, reason: because }) => `${inspect(column)} (${because})`),
            MOST_SHOWN,
          )}`,
        ]),
  ]
}

function shown(column: ColumnEncoding): string {
  const name = inspect(column.column)
  if (column.kind === 'embedding') return `${name} (${rowsOfEmbedding(column)} rows of ${column.size}, embedded)`
  if (column.kind !== 'category') return name
  const hashed = column.buckets > 0 ? `, others in ${column.buckets} buckets` : ''
  return `${name} (${widthOf(column) - column.buckets}${hashed})`
}

function missingNote(columns: readonly ColumnEncoding[], chunk: TableChunk, rows: Uint32Array): string[] {
  const counted = columns.flatMap(encoding => {
    if (!('missing' in encoding ? encoding.missing : encoding.indicator)) return []
    const values = chunk.columns.get(encoding.column)!
    let count = 0
    for (const row of rows) if (isMissing(values, row)) count++
    const how =
      'missing' in encoding ? 'a category of its own' : `${Number(encoding.fill.toPrecision(6))} and an indicator`
    return count === 0
      ? []
      : [`${inspect(encoding.column)} (${count}: ${encoding.kind === 'date' ? 'the median and an indicator' : how})`]
  })
  return counted.length === 0 ? [] : [`missing: ${formatList(counted, MOST_SHOWN)}`]
}

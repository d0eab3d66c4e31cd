/** Notes on a table, in the lines that training begins with: targets, columns by kind, missing values, what is left out. Pure. */
import { inspect } from 'node:util'
import { TASK_FACTS, type Task } from '../../config/tasks.js'
import { formatCounted, formatList, formatNames } from '../../format.js'
import { isMissing } from './collect.js'
import { type ColumnEncoding, featureCount, kindOf, rowsOfEmbedding, type TableEncoding, widthOf } from './encoding.js'
import type { TableRows } from './table-rows.js'

/** Names shown in a line. */
const MOST_SHOWN = 12

const PLURALS = { number: 'numbers', boolean: 'yes or no', category: 'categories', date: 'dates' } as const

/** `missing`: number of missing values of the training rows, by column. */
export function tableNotes(
  encoding: TableEncoding,
  { task, reason }: { readonly task: Task; readonly reason: string | null },
  classNames: readonly string[],
  missing: ReadonlyMap<string, number>,
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
    ...binsNote(columns),
    ...missingNote(columns, missing),
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

function binsNote(columns: readonly ColumnEncoding[]): string[] {
  const numbers = columns.flatMap(column => (column.kind === 'number' ? [column.knots.length - 1] : []))
  const binned = numbers.filter(bins => bins > 0)
  if (binned.length === 0) return []
  const which = binned.length === numbers.length ? '' : `, for ${binned.length} of ${numbers.length} numbers`
  return [`bins: at most ${Math.max(...binned)} for a number${which}`]
}

function missingNote(columns: readonly ColumnEncoding[], missing: ReadonlyMap<string, number>): string[] {
  const counted = columns.flatMap(encoding => {
    const count = missing.get(encoding.column) ?? 0
    if (count === 0) return []
    const how =
      'missing' in encoding ? 'a category of its own' : `${Number(encoding.fill.toPrecision(6))} and an indicator`
    return [`${inspect(encoding.column)} (${count}: ${encoding.kind === 'date' ? 'the median and an indicator' : how})`]
  })
  return counted.length === 0 ? [] : [`missing: ${formatList(counted, MOST_SHOWN)}`]
}

/** Number of missing values in some rows of each column whose encoding has a place for them. */
export async function countMissing(
  { columns }: TableEncoding,
  table: TableRows,
  rows: Uint32Array,
): Promise<Map<string, number>> {
  const counts = new Map<string, number>()
  const counted = columns.filter(encoding => ('missing' in encoding ? encoding.missing : encoding.indicator))
  for await (const group of table.groups(counted.map(({ column }) => column))) {
    for (const { column } of counted) {
      const values = group.columns.get(column)
      if (values === undefined) continue
      let count = 0
      for (const row of rows) if (isMissing(values, row)) count++
      counts.set(column, count)
    }
  }
  return counts
}

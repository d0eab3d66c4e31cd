/** Fits the encoding of a whole table on its training rows. Pure; any thread. */
import { DataError } from '../../errors.js'
import { formatList } from '../../format.js'
import { allRows } from '../chosen-rows.js'
import { isBent } from './bends.js'
import type { ColumnValues } from './columns.js'
import { type ColumnEncoding, rowsOfEmbedding, type TableEncoding, type UnusedColumn, widthOf } from './encoding.js'
import { fitColumn } from './fit.js'
import type { ChosenColumns, FeatureColumn } from './kinds.js'
import type { TableRows } from './table-rows.js'
import type { TargetValues } from './targets.js'

const MOST_SHOWN = 12

export interface TableFitOptions {
  readonly targets: readonly string[]
  /** Values of the targets in all rows of the table. */
  readonly truth: TargetValues
  readonly maxCategories: number
  readonly above: 'hash' | 'embed'
  readonly buckets: number
  readonly embeddingSize: number | null
  /** Bins of a number, at most; `auto`: by the number of training rows, and for numbers whose bins explain the targets. */
  readonly bins: number | 'auto'
  readonly limit: number | null
  /** Column of the times that rows are split by: its elapsed time is no feature. */
  readonly late: string | null
}

/** `rows`: the training rows. Throws DataError if no column is left to learn from. */
export async function fitTable(
  where: string,
  table: TableRows,
  rows: Uint32Array,
  { features, unused }: ChosenColumns,
  { targets, truth, late, bins, ...options }: TableFitOptions,
): Promise<TableEncoding> {
  const columns: ColumnEncoding[] = []
  const out: UnusedColumn[] = [...unused]
  const fitted = new Map<string, ColumnEncoding>()
  const numbers = features.filter(({ kind }) => kind === 'number').length
  const each = { ...options, bins: bins === 'auto' ? binsFor(rows.length, numbers) : bins }
  const fit = (values: ColumnValues, of: Uint32Array, { profile: { name: column }, kind }: FeatureColumn) => {
    const encoding = fitColumn(values, of, where, { ...each, column, kind, elapsed: column !== late })
    const hasBins = bins === 'auto' && encoding.kind === 'number' && encoding.knots.length > 1
    const keeps = !hasBins || values.type === 'text' || isBent(encoding, values.values, of, truth, rows, targets.length)
    fitted.set(column, keeps ? encoding : { ...encoding, knots: [] })
  }
  const others: FeatureColumn[] = []
  // Memory that is written for the first time costs more than what is computed from it: all columns share this.
  let room: Float64Array | undefined
  const every = allRows(rows.length)
  for (const feature of features) {
    const place = feature.kind === 'number' ? (table.packed?.placeOf(feature.profile.name) ?? null) : null
    // A column of numbers has no value that could be refused, so that only those of the training rows are unpacked.
    if (place === null) others.push(feature)
    else {
      room = table.packed!.rows.numbersAt(place, rows, room)
      fit({ type: 'number', values: room }, every, feature)
    }
  }
  for await (const group of table.groups(others.map(({ profile }) => profile.name))) {
    for (const feature of others) {
      const values = group.columns.get(feature.profile.name)
      if (values !== undefined) fit(values, rows, feature)
    }
  }
  for (const { profile } of features) {
    const column = profile.name
    const encoding = fitted.get(column)!
    if (isConstant(encoding)) out.push({ column, reason: reasonOf(encoding) })
    else columns.push(encoding)
  }
  if (columns.length > 0) {
    const [embedded, others] = [true, false].map(is => columns.filter(({ kind }) => (kind === 'embedding') === is))
    return { version: 1, columns: [...others, ...embedded], targets, weight: null, unused: out }
  }
  throw new DataError(`${where}: has no column to learn from beside ${formatList(targets, MOST_SHOWN)}`, {
    hint:
      out.length === 0
        ? 'it has no other column; data.target names the column to predict'
        : `it has ${formatList(
            out.map(({ column, reason }) => `'${column}' (${reason})`),
            MOST_SHOWN,
          )}; data.columns says a kind`,
  })
}

/** Bins of a number in a table with enough rows. */
const MOST_BINS = 8

/** Training rows for each feature of a bin: with fewer, a network learns the rows that happen to lie in it. */
const ROWS_PER_FEATURE = 5

/** Bins of each of some numbers that a table has rows for; 0: none, as one bin would be the number itself. */
export function binsFor(rows: number, numbers: number): number {
  const bins = Math.min(MOST_BINS, Math.floor(rows / (ROWS_PER_FEATURE * numbers)))
  return bins >= 2 ? bins : 0
}

const reasonOf = ({ kind }: ColumnEncoding): string =>
  kind === 'embedding' ? 'no category has two training rows' : 'the same value in every training row'

/** True if every training row has the same features. */
function isConstant(encoding: ColumnEncoding): boolean {
  switch (encoding.kind) {
    case 'number':
      return encoding.factor === 0 && !encoding.indicator
    case 'category':
      return widthOf(encoding) < 2
    case 'date':
      return widthOf(encoding) === 0
    case 'embedding':
      return rowsOfEmbedding(encoding) < 2
    case 'boolean':
      return false
  }
}

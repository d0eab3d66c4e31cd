/**
 * Kinds of columns, from their profiles and the experiment's settings: which are features, which are left out and why. The
 * values decide, never the first row alone. Pure; any thread.
 */
import { inspect } from 'node:util'
import { nearest } from '../../config/suggest.js'
import { DataError } from '../../errors.js'
import { formatCount, formatCounted, formatNames } from '../../format.js'
import type { DataConfig } from '../source.js'
import { columnSettings } from './column-settings.js'
import { type ColumnProfile, MOST_COUNTED } from './columns.js'
import type { FeatureKind, UnusedColumn } from './encoding.js'
import type { TableRows } from './table-rows.js'

/** Distinct values up to which text is a category however few rows there are. */
const FEW_VALUES = 20
/** Text with more distinct values than this share of the rows is an identifier, or free text. */
const IDENTIFIER_SHARE = 0.5
/** Names that programs give to the row numbers that they write. */
const COUNTER = /^(|unnamed: ?\d+|index|id|no|nr|row|row_?(id|index|number|names?)|rownum)$/i
const IDENTIFIER = /(^|[_\W])(id|uuid|guid|key)$|[a-z]I[dD]$/i
/**
 * Smallest estimate of distinct values, as a share of the rows, for a column that is different in every row: several standard deviations
 * below 1.
 */
const ESTIMATED_SHARE = 0.85

/** Column that becomes features. */
export interface FeatureColumn {
  readonly profile: ColumnProfile
  readonly kind: FeatureKind
  /** True if the experiment names the kind. */
  readonly isAsked: boolean
}

export interface ChosenColumns {
  readonly features: readonly FeatureColumn[]
  readonly unused: readonly UnusedColumn[]
}

/**
 * Kinds of all columns but the targets. `columns`: `data.columns`. `reserved`: columns that have another use, with its name;
 * they are features only if the experiment says a kind. Throws DataError for a column in it that is not there.
 */
export function chooseKinds(
  where: string,
  profiles: readonly ColumnProfile[],
  rows: number,
  columns: DataConfig['columns'],
  targets: readonly string[],
  reserved: Readonly<Record<string, string>> = {},
): ChosenColumns {
  const names = profiles.map(({ name }) => name)
  const asked = columnSettings(columns)
  for (const name of Object.keys(asked)) {
    if (!names.includes(name)) throw noColumn(where, 'data.columns', name, names)
    if (targets.includes(name) && asked[name].kind === 'ignore') {
      throw new DataError(`${where}: data.columns ignores ${inspect(name)}, which is a target`)
    }
  }
  const features: FeatureColumn[] = []
  const unused: UnusedColumn[] = []
  for (const profile of profiles) {
    const { name } = profile
    if (targets.includes(name)) continue
    const kind = Object.hasOwn(asked, name) ? asked[name].kind : null
    if (kind === 'ignore') unused.push({ column: name, reason: 'data.columns ignores it' })
    else if (kind !== null) features.push({ profile, kind, isAsked: true })
    else {
      const found = Object.hasOwn(reserved, name) ? { reason: reserved[name] } : usualKind(profile, rows)
      if ('reason' in found) unused.push({ column: name, reason: found.reason })
      else features.push({ profile, kind: found.kind, isAsked: false })
    }
  }
  return { features, unused }
}

/** Kind that follows from the values, or the reason why the column is no feature. */
function usualKind(
  { name, type, distinct, missing, isInteger, unreadable }: ColumnProfile,
  rows: number,
): { readonly kind: FeatureKind } | { readonly reason: string } {
  if (unreadable !== undefined) return { reason: unreadable }
  const present = rows - missing
  if (present <= 0 || distinct === 0) return { reason: 'no values' }
  if (distinct === 1 && missing === 0) return { reason: 'the same value in every row' }
  if (type === 'text') {
    if (distinct <= FEW_VALUES || distinct <= IDENTIFIER_SHARE * present) return { kind: 'category' }
    return {
      reason: `text, ${formatCount(Math.min(distinct, present))} different values in ${formatCounted(present, 'row')}`,
    }
  }
  if (type === 'number' && isInteger && IDENTIFIER.test(name) && distinct >= idValues(rows) && rows > FEW_VALUES) {
    return { reason: 'an identifier, a different integer in every row' }
  }
  return { kind: type }
}

/** Distinct values of a column that is different in every row: where they are estimated, somewhat fewer. */
const idValues = (rows: number): number => (rows > MOST_COUNTED ? ESTIMATED_SHARE * rows : rows)

/**
 * Leaves out columns that count the rows, from any number on if their name says so, else from 0 or 1. A column stays if the
 * experiment says its kind, or if nothing else would be left.
 */
export async function withoutCounters({ features, unused }: ChosenColumns, table: TableRows): Promise<ChosenColumns> {
  const { rows } = table
  const suspected = features.filter(({ profile: { isInteger, missing, range }, kind, isAsked }) => {
    if (isAsked || kind !== 'number' || !isInteger || missing > 0 || rows < 3) return false
    return range !== null && range[1] - range[0] === rows - 1
  })
  if (suspected.length === 0) return { features, unused }
  const counting: FeatureColumn[] = []
  for await (const { columns } of table.groups(suspected.map(({ profile }) => profile.name))) {
    for (const feature of suspected) {
      const { name } = feature.profile
      const values = columns.get(name)
      if (values?.type === 'number' && counts(values.values, COUNTER.test(name))) counting.push(feature)
    }
  }
  if (counting.length === 0 || counting.length === features.length) return { features, unused }
  return {
    features: features.filter(feature => !counting.includes(feature)),
    unused: [...unused, ...counting.map(({ profile }) => ({ column: profile.name, reason: 'it counts the rows' }))],
  }
}

function counts(values: Float64Array, fromAnywhere: boolean): boolean {
  const first = values[0]
  return (fromAnywhere || first === 0 || first === 1) && values.every((value, row) => value === first + row)
}

/** Error for a column that a setting names and that is not there. */
export function noColumn(where: string, setting: string, name: string, names: readonly string[]): DataError {
  const like = nearest(name, names)
  const hint = like === undefined ? undefined : `did you mean '${like}'?`
  return new DataError(`${where}: ${setting} is ${inspect(name)}, expected one of its columns: ${formatNames(names)}`, {
    hint,
  })
}

/** Throws DataError that names the columns, of those that a model takes, which a table lacks. `names`: those of the table. */
export function expectColumns(where: string, names: readonly string[], wanted: readonly string[]): void {
  const absent = wanted.filter(name => !names.includes(name))
  if (absent.length === 0) return
  throw new DataError(
    `${where}: has no column ${formatNames(absent)}, expected all that the model takes; it has ${formatNames(names)}`,
  )
}

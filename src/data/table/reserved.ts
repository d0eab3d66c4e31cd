/** Columns of a table that have another use than a feature: those that rows are split by, and the weights. Pure; any thread. */
import { inspect } from 'node:util'
import { DataError } from '../../errors.js'
import type { DataConfig } from '../source.js'
import type { ColumnProfile } from './columns.js'
import { noColumn } from './kinds.js'
import { WEIGHT_REASON } from './weights.js'

/** Column that rows are split by. */
export interface SplitColumn {
  readonly kind: 'column' | 'group' | 'time'
  readonly name: string
}

const REASONS = {
  column: 'it defines the splits',
  group: 'it defines the groups of the splits',
  time: 'it has the times that rows are split by',
} as const

/** Reasons why columns are no features, by name; they are if the experiment says a kind. */
export const reservedColumns = (splitBy: SplitColumn | null, weight: string | null): Record<string, string> => ({
  ...(splitBy !== null && { [splitBy.name]: REASONS[splitBy.kind] }),
  ...(weight !== null && { [weight]: WEIGHT_REASON }),
})

/** The column of `data.split`; null: rows are split by chance. Throws DataError where the table has no such column, or it has no times. */
export function splitColumn(
  where: string,
  split: DataConfig['split'],
  profiles: readonly ColumnProfile[],
): SplitColumn | null {
  const kind = (['column', 'group', 'time'] as const).find(each => split[each] !== null)
  if (kind === undefined) return null
  const name = split[kind]!
  const profile = profiles.find(each => each.name === name)
  if (!profile)
    throw noColumn(
      where,
      `data.split.${kind}`,
      name,
      profiles.map(each => each.name),
    )
  if (kind === 'time' && profile.type !== 'date' && profile.type !== 'number') {
    throw new DataError(
      `${where}: data.split.time is ${inspect(name)}, a column of ${profile.type}, expected dates or numbers`,
    )
  }
  return { kind, name }
}

/** Settings of single columns, `data.columns`: a kind alone, or several settings. Pure; any thread. */
import type { DataConfig } from '../source.js'
import type { ColumnKind } from './columns.js'

export type MissingPolicy = DataConfig['missing']['number']

export interface ColumnSettings {
  /** null: the kind that follows from the values, the policy of that kind, the reading of dates of the table. */
  readonly kind: ColumnKind | null
  readonly missing: MissingPolicy | null
  readonly dayFirst: boolean | null
}

/** Settings by the names of columns. */
export function columnSettings(columns: DataConfig['columns']): Record<string, ColumnSettings> {
  return Object.fromEntries(
    Object.entries(columns).map(([name, given]) => {
      const { kind = null, missing = null, dayFirst = null } = typeof given === 'string' ? { kind: given } : given
      return [name, { kind, missing, dayFirst }]
    }),
  )
}

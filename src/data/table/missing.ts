/** Rows with missing values, by the policy of each kind: kept, left out and counted, or refused. Pure; any thread. */
import { inspect } from 'node:util'
import { DataError } from '../../errors.js'
import { formatCounted, formatList, formatNames } from '../../format.js'
import { allRows, flaggedRows } from '../chosen-rows.js'
import type { DataConfig } from '../source.js'
import { isMissing } from './collect.js'
import { columnSettings, type MissingPolicy } from './column-settings.js'
import type { FeatureKind } from './encoding.js'
import type { TableRows } from './table-rows.js'
import type { TargetValues } from './targets.js'

const MOST_SHOWN = 8

/** Setting in `data.missing` of a kind. */
const POLICY = { number: 'number', boolean: 'number', category: 'category', date: 'date' } as const

export interface Policies {
  readonly target: DataConfig['missing']['target']
  /** Policy for a feature's missing values, and the setting that names it. */
  of(column: string, kind: FeatureKind): { readonly policy: MissingPolicy; readonly setting: string }
}

/** Policies of the kinds, `data.missing`, and of single columns, `data.columns`. */
export function policiesOf(missing: DataConfig['missing'], columns: DataConfig['columns']): Policies {
  const own = columnSettings(columns)
  return {
    target: missing.target,
    of(column, kind) {
      const policy = Object.hasOwn(own, column) ? own[column].missing : null
      if (policy !== null) return { policy, setting: `missing of data.columns.${column}` }
      return { policy: missing[POLICY[kind]], setting: `data.missing.${POLICY[kind]}` }
    },
  }
}

/** Rows that are used, ascending, and notes about the others. Throws DataError where a policy is "error". */
export async function missingRows(
  where: string,
  table: TableRows,
  features: readonly { readonly column: string; readonly kind: FeatureKind }[],
  values: TargetValues,
  targets: readonly string[],
  policies: Policies,
): Promise<{ readonly rows: Uint32Array; readonly notes: readonly string[] }> {
  const isOut = new Uint8Array(table.rows)
  const notes: string[] = []
  const lacking: string[] = []
  const judged = features.filter(({ column, kind }) => policies.of(column, kind).policy !== 'fill')
  for await (const { columns } of table.groups(judged.map(({ column }) => column))) {
    for (const { column, kind } of judged) {
      const found = columns.get(column)
      if (found === undefined) continue
      const { policy, setting } = policies.of(column, kind)
      let count = 0
      for (let row = 0; row < table.rows; row++) {
        if (!isMissing(found, row)) continue
        if (policy === 'error') throw refused(where, `column ${inspect(column)}`, row, setting)
        isOut[row] = 1
        count++
      }
      if (count > 0) lacking.push(`${inspect(column)} (${count})`)
    }
  }
  // Most tables lack nothing, which a search of the system's own finds in no time.
  if (judged.length === 0 && values.task === 'classification' && !values.labels.includes(-1)) {
    return { rows: allRows(table.rows), notes }
  }
  const out = isOut.reduce((sum, each) => sum + each, 0)
  if (out > 0) {
    notes.push(
      `${where}: left out ${formatCounted(out, 'row')} with missing values in ${formatList(lacking, MOST_SHOWN)}`,
    )
  }
  let without = 0
  for (let row = 0; row < table.rows; row++) {
    if (!lacksTarget(values, row, targets.length)) continue
    if (policies.target === 'error') {
      throw refused(where, `the target ${formatNames(targets, MOST_SHOWN)}`, row, 'data.missing.target')
    }
    without++
    isOut[row] = 1
  }
  if (without > 0) notes.push(`${where}: left out ${formatCounted(without, 'row')} without a target`)
  return { rows: flaggedRows(isOut, 0), notes }
}

function lacksTarget(values: TargetValues, row: number, width: number): boolean {
  if (values.task === 'classification') return values.labels[row] < 0
  for (let k = 0; k < width; k++) if (Number.isNaN(values.values[row * width + k])) return true
  return false
}

const refused = (where: string, what: string, row: number, setting: string) =>
  new DataError(`${where}: ${what} is missing in row ${row + 1}, expected a value, because ${setting} is "error"`)

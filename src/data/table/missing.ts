/** Rows with missing values, by the policy of each kind: kept, left out and counted, or refused. Pure; any thread. */
import { inspect } from 'node:util'
import { DataError } from '../../errors.js'
import { formatCounted, formatList, formatNames } from '../../format.js'
import type { DataConfig } from '../source.js'
import { isMissing } from './collect.js'
import type { TableChunk } from './columns.js'
import type { FeatureKind } from './encoding.js'
import type { TargetValues } from './targets.js'

const MOST_SHOWN = 8

/** Setting in `data.missing` of a kind. */
const POLICY = { number: 'number', boolean: 'number', category: 'category', date: 'date' } as const

/** Rows that are used, ascending, and notes about the others. Throws DataError where a policy is "error". */
export function missingRows(
  where: string,
  chunk: TableChunk,
  features: readonly { readonly column: string; readonly kind: FeatureKind }[],
  values: TargetValues,
  targets: readonly string[],
  policies: DataConfig['missing'],
): { readonly rows: Uint32Array; readonly notes: readonly string[] } {
  const isOut = new Uint8Array(chunk.rows)
  const notes: string[] = []
  const lacking: string[] = []
  for (const { column, kind } of features) {
    const policy = policies[POLICY[kind]]
    if (policy === 'fill') continue
    const found = chunk.columns.get(column)!
    let count = 0
    for (let row = 0; row < chunk.rows; row++) {
      if (!isMissing(found, row)) continue
      if (policy === 'error') throw refused(where, `column ${inspect(column)}`, row, `data.missing.${POLICY[kind]}`)
      isOut[row] = 1
      count++
    }
    if (count > 0) lacking.push(`${inspect(column)} (${count})`)
  }
  const out = isOut.reduce((sum, each) => sum + each, 0)
  if (out > 0) {
    notes.push(
      `${where}: left out ${formatCounted(out, 'row')} with missing values in ${formatList(lacking, MOST_SHOWN)}`,
    )
  }
  let without = 0
  for (let row = 0; row < chunk.rows; row++) {
    if (!lacksTarget(values, row, targets.length)) continue
    if (policies.target === 'error') {
      throw refused(where, `the target ${formatNames(targets, MOST_SHOWN)}`, row, 'data.missing.target')
    }
    without++
    isOut[row] = 1
  }
  if (without > 0) notes.push(`${where}: left out ${formatCounted(without, 'row')} without a target`)
  const rows = new Uint32Array(chunk.rows).map((_, row) => row).filter(row => isOut[row] === 0)
  return { rows, notes }
}

function lacksTarget(values: TargetValues, row: number, width: number): boolean {
  if (values.task === 'classification') return values.labels[row] < 0
  for (let k = 0; k < width; k++) if (Number.isNaN(values.values[row * width + k])) return true
  return false
}

const refused = (where: string, what: string, row: number, setting: string) =>
  new DataError(`${where}: ${what} is missing in row ${row + 1}, expected a value, because ${setting} is "error"`)

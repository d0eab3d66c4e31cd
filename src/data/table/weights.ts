/** Weights of a table's samples, from the column that `data.weight` names. Pure; any thread. `N` rows. */
import { inspect } from 'node:util'
import { DataError } from '../../errors.js'
import type { ColumnProfile, TableChunk } from './columns.js'
import { noColumn } from './kinds.js'

/** Reason why the column is no feature. */
export const WEIGHT_REASON = 'it has the weights of the samples'

/** Checks the column of `data.weight`. Throws DataError if there is none, if it is no number, or if it is a target. */
export function expectWeight(
  where: string,
  name: string,
  profiles: readonly ColumnProfile[],
  targets: readonly string[],
): void {
  const profile = profiles.find(each => each.name === name)
  if (!profile) {
    const names = profiles.map(each => each.name)
    throw noColumn(where, 'data.weight', name, names)
  }
  if (profile.type !== 'number') {
    throw new DataError(`${where}: data.weight is ${inspect(name)}, a column of ${profile.type}, expected numbers`)
  }
  if (targets.includes(name)) {
    throw new DataError(`${where}: data.weight is ${inspect(name)}, which is the target, expected another column`)
  }
}

/** Weights of some rows. (N) Throws DataError for one that is missing, negative or not finite. */
export function weightsOf(where: string, { columns }: TableChunk, name: string, rows: Uint32Array): Float64Array {
  const column = columns.get(name)
  if (column?.type !== 'number') {
    throw new DataError(`${where}: the weights ${inspect(name)} are ${column?.type ?? 'missing'}, expected numbers`)
  }
  return Float64Array.from(rows, row => {
    const weight = column.values[row]
    if (weight >= 0 && weight < Number.POSITIVE_INFINITY) return weight
    const got = Number.isNaN(weight) ? 'missing' : weight
    throw new DataError(`${where}: the weight ${inspect(name)} in row ${row + 1} is ${got}, expected a number >= 0`)
  })
}

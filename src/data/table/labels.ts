/**
 * Classes and yes/no labels of a table: which of them nothing can be learned about, and the classes that splits are made alike by.
 * Pure; any thread.
 *
 * Letters: `N` rows, `K` labels.
 */
import { DataError } from '../../errors.js'
import { formatNames } from '../../format.js'
import type { TargetValues } from './targets.js'

/** Class of each row by which splits are made alike; 0 for numbers and for several labels, whose combinations may be rare. (N) */
export function strata(targets: TargetValues, rows: number, width: number): Int32Array {
  if (targets.task === 'classification') return targets.labels
  if (targets.task === 'multi-label' && width === 1) return Int32Array.from(targets.values)
  return new Int32Array(rows)
}

/** Throws DataError where every label is the same in all rows. */
export function expectVariety(where: string, targets: TargetValues, names: readonly string[], rows: Uint32Array): void {
  if (targets.task !== 'multi-label' || constantLabels(targets.values, names, rows).length < names.length) return
  throw new DataError(
    `${where}: ${labelsText(names)} ${names.length === 1 ? 'is' : 'are'} the same in all ${rows.length} rows, expected yes in some and no in others`,
  )
}

/** Warning about classes that no training row has, and labels that are the same in all of them. `names`: classes, or labels. */
export function notLearned(
  where: string,
  targets: TargetValues,
  train: Uint32Array,
  names: readonly string[],
): string[] {
  if (train.length === 0) return []
  if (targets.task !== 'classification') {
    const constant = targets.task === 'regression' ? [] : constantLabels(targets.values, names, train)
    if (constant.length === 0) return []
    const [verb, them] = constant.length === 1 ? ['is', 'it'] : ['are', 'them']
    return [`${where}: ${labelsText(constant)} ${verb} the same in all training rows; nothing is learned about ${them}`]
  }
  const seen = new Set<string>()
  for (const row of train) seen.add(targets.names[targets.labels[row]])
  const absent = names.filter(name => !seen.has(name))
  if (absent.length === 0) return []
  return [`${where}: no training row has the class ${formatNames(absent)}; nothing is learned about it`]
}

function constantLabels(values: Float64Array, names: readonly string[], rows: Uint32Array): string[] {
  const width = names.length
  return names.filter((_, k) => rows.every(row => values[row * width + k] === values[rows[0] * width + k]))
}

const labelsText = (names: readonly string[]): string =>
  `the label${names.length === 1 ? '' : 's'} ${formatNames(names)}`

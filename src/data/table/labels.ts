/**
 * Classes and yes/no labels of a table: classes without training rows, and the classes by which splits are stratified. Pure; any thread.
 *
 * Letters: `N` rows, `K` labels.
 */
import { formatNames } from '../../format.js'
import type { TargetValues } from './targets.js'

/** Class of each row by which splits are stratified; 0 for numbers and for several labels, whose combinations may be rare. (N) */
export function strata(targets: TargetValues, rows: number, width: number): Int32Array {
  if (targets.task === 'classification') return targets.labels
  if (targets.task === 'multi-label' && width === 1) return Int32Array.from(targets.values)
  return new Int32Array(rows)
}

/** Warning about classes that no training row has. */
export function notLearned(
  where: string,
  targets: TargetValues,
  train: Uint32Array,
  classNames: readonly string[],
): string[] {
  if (targets.task !== 'classification' || train.length === 0) return []
  const isSeen = new Uint8Array(targets.names.length)
  for (let i = 0; i < train.length; i++) isSeen[targets.labels[train[i]]] = 1
  const seen = new Set(targets.names.filter((_, label) => isSeen[label] === 1))
  const absent = classNames.filter(name => !seen.has(name))
  if (absent.length === 0) return []
  return [`${where}: no training row has the class ${formatNames(absent)}; nothing is learned about it`]
}

/** Warning about classes that differ in upper and lower case alone, which are mostly spellings of one. */
export function similarClasses(where: string, classNames: readonly string[]): string[] {
  const groups = new Map<string, string[]>()
  for (const name of classNames) {
    const key = name.toLowerCase()
    groups.set(key, [...(groups.get(key) ?? []), name])
  }
  return [...groups.values()]
    .filter(names => names.length > 1)
    .map(
      names =>
        `${where}: ${formatNames(names)} are classes of their own, though they differ in upper and lower case alone; ` +
        'data.query makes one of them: lower(column)',
    )
}

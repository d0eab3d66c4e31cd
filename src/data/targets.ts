/**
 * Targets of regression and labels of multi-label, as files have them. Pure; any thread.
 *
 * Letters: `N` rows, `K` targets.
 */
import { TASK_FACTS, type Task } from '../config/tasks.js'
import { DataError } from '../errors.js'
import { formatNames } from '../format.js'

export interface Targets {
  /** Task; values are 0 or 1 for `multi-label`. */
  readonly task: Exclude<Task, 'classification'>
  readonly names: readonly string[] // (K)
  /** Values as written in the file: each is finite in f32, but need not be an f32 number. */
  readonly values: Float64Array // (N, K)
}

/** Names of targets, or labels, that the data have no names for. */
export const outputNames = (task: Targets['task'], count: number): string[] => {
  const [one] = TASK_FACTS[task].outputs
  return Array.from({ length: count }, (_, k) => (count === 1 ? one : `${one} ${k}`))
}

/** Largest rounding error to f32: root mean square, as a fraction of a target's standard deviation. */
const MOST_ROUNDING = 1e-3

/**
 * Throws DataError for a target whose training rows differ by less than f32 can represent, as times in seconds since 1970 do:
 * it would be trained and scored as something else than what the file has. A constant target is allowed.
 */
function expectDistinct(where: string, { names, values }: Pick<Targets, 'names' | 'values'>): void {
  for (const [k, name] of names.entries()) {
    const { mean, deviation, rounding } = spreadOf(values, k, names.length)
    if (deviation === 0 || rounding <= MOST_ROUNDING * deviation) continue
    throw new DataError(
      `${where}: '${name}' is ${mean.toPrecision(12)} on average with a standard deviation of ${deviation.toPrecision(3)}, ` +
        `expected values that stay different in f32; rounding changes it by ${rounding.toPrecision(3)}`,
      { hint: `subtract a common offset such as ${Number(mean.toPrecision(3))}` },
    )
  }
}

/** Throws DataError for targets of the training rows that nothing could be learned about, as these functions say. */
export function expectLearnable(where: string, targets: Targets): void {
  if (targets.task === 'regression') expectDistinct(where, targets)
  else expectVariety(where, targets)
}

/** Throws DataError where every label is the same in all rows. One that never changes beside others is allowed. */
function expectVariety(where: string, { names, values }: Pick<Targets, 'names' | 'values'>): void {
  const width = names.length
  if (values.some((value, i) => value !== values[i % width])) return
  const [labels, are] = width === 1 ? ['label', 'is'] : ['labels', 'are']
  throw new DataError(
    `${where}: the ${labels} ${formatNames(names)} ${are} the same in all ${values.length / width} rows, expected yes in some and no in others`,
  )
}

/** Throws DataError for a label that is neither 0 nor 1. */
export function expectYesNo(where: string, { names, values }: Pick<Targets, 'names' | 'values'>): void {
  const at = values.findIndex(value => value !== 0 && value !== 1)
  if (at < 0) return
  const [row, label] = [Math.floor(at / names.length), at % names.length]
  throw new DataError(
    `${where}: '${names[label]}' of row ${row} is ${values[at]}, expected 0 or 1, because data.task is "multi-label"`,
    { hint: 'numbers: --set data.task=regression' },
  )
}

/** Root mean squares of column `k` of (N, K): deviation from the mean, and rounding error. */
function spreadOf(values: ArrayLike<number>, k: number, width: number) {
  const rows = values.length / width
  const first = values[k]
  let shift = 0 // the first row's value, so that a constant column has a spread of exactly 0
  for (let i = k; i < values.length; i += width) shift += (values[i] - first) / rows
  let [squares, changes] = [0, 0]
  for (let i = k; i < values.length; i += width) {
    squares += (values[i] - first - shift) ** 2
    changes += (Math.fround(values[i]) - values[i]) ** 2
  }
  return { mean: first + shift, deviation: Math.sqrt(squares / rows), rounding: Math.sqrt(changes / rows) }
}

/** Splits rows into training and validation, or test. A pure function of labels, fraction and seed; any thread. */
import { inspect } from 'node:util'
import { ConfigError } from '../errors.js'
import { Purpose, permutation } from '../tensor/random.js'
import { allRows, flaggedRows } from './chosen-rows.js'

export interface ValidationSplit {
  /** Row indices, ascending; together every row exactly once. */
  readonly train: Uint32Array
  readonly validation: Uint32Array
}

/**
 * Splits off `fraction` of the rows, and the same fraction of every class as nearly as whole rows allow: round(fraction
 * x rows) rows in all, the odd ones from the classes with the largest remainders. Every class keeps a training row.
 * `setting` is the name of the fraction in messages, `advice` the hint where it leaves the split empty.
 */
export function splitValidation(
  labels: Int32Array,
  fraction: number,
  seed: number,
  setting = 'data.validation',
  advice?: string,
): ValidationSplit {
  return splitStrata(strataOf(labels), fraction, seed, setting, advice)
}

/** Rows by class. */
export interface Strata {
  readonly rows: number
  /** Number of rows in each class. */
  readonly sizes: readonly number[]
  /** Takes rows of each class for validation, as many as `counts` has, which `seed` chooses. Called once. */
  divide(counts: readonly number[], seed: number): ValidationSplit
}

/** Splits rows whose classes are known as `splitValidation` does. */
export function splitStrata(
  strata: Strata,
  fraction: number,
  seed: number,
  setting: string,
  advice?: string,
): ValidationSplit {
  if (!(fraction >= 0 && fraction < 1)) {
    throw new ConfigError(`${setting} is ${inspect(fraction)}, expected a number from 0 to below 1`)
  }
  const split = strata.divide(heldOut(strata.sizes, fraction), seed)
  if (fraction > 0 && split.validation.length === 0) {
    throw emptySplit(setting, fraction, strata.rows, strata.sizes.filter(size => size > 0).length, advice)
  }
  return split
}

function strataOf(labels: Int32Array): Strata {
  const classes = rowsByClass(labels)
  return {
    rows: labels.length,
    sizes: classes.map(rows => rows.length),
    divide(counts, seed) {
      const isValidation = new Uint8Array(labels.length)
      classes.forEach((rows, label) => {
        const order = permutation(rows.length, seed, Purpose.split, label)
        for (let i = 0; i < counts[label]; i++) isValidation[rows[order[i]]] = 1
      })
      return { train: flaggedRows(isValidation, 0), validation: flaggedRows(isValidation, 1) }
    },
  }
}

/** Error for an empty split: every class keeps a row for training, so that many classes of few rows leave nothing else. */
function emptySplit(
  setting: string,
  fraction: number,
  rows: number,
  classes: number,
  advice = setting === 'data.testFraction' ? 'a larger fraction' : 'a larger fraction, or 0 for none',
): ConfigError {
  const isTest = setting === 'data.testFraction'
  const hint = classes > 2 && 2 * classes > rows ? `for regression: --set data.task=regression; else ${advice}` : advice
  return new ConfigError(
    `${setting} is ${inspect(fraction)}, which leaves the ${isTest ? 'test' : 'validation'} split empty, expected enough for a row; ` +
      `there are ${rows} rows in ${classes} classes, and each class keeps one for training`,
    { hint },
  )
}

/** Split at a row: rows before `from` train, the others validate. */
export function splitAt(rows: number, from: number): ValidationSplit {
  const all = allRows(rows)
  return { train: all.slice(0, from), validation: all.slice(from) }
}

function rowsByClass(labels: Int32Array): Uint32Array[] {
  let most = -1
  for (let row = 0; row < labels.length; row++) if (labels[row] > most) most = labels[row]
  const counts = Array.from({ length: most + 1 }, () => 0)
  for (let row = 0; row < labels.length; row++) counts[labels[row]]++
  const classes = counts.map(count => new Uint32Array(count))
  const next = counts.map(() => 0)
  for (let row = 0; row < labels.length; row++) {
    const label = labels[row]
    classes[label][next[label]++] = row
  }
  return classes
}

/** Rows to split off from each class: largest remainders first, the lower class first among equals. */
function heldOut(sizes: readonly number[], fraction: number): number[] {
  const room = sizes.map(size => Math.max(0, size - 1))
  const counts = sizes.map((size, label) => Math.min(Math.floor(size * fraction), room[label]))
  const rows = sizes.reduce((sum, size) => sum + size, 0)
  let left = Math.round(rows * fraction) - counts.reduce((sum, count) => sum + count, 0)
  const remainder = (label: number) => sizes[label] * fraction - Math.floor(sizes[label] * fraction)
  const order = sizes.map((_, label) => label).sort((a, b) => remainder(b) - remainder(a) || a - b)
  // Classes of one row may leave more to distribute than one round can: then another round takes from the others.
  for (let dealt = true; left > 0 && dealt; ) {
    dealt = false
    for (const label of order) {
      if (left === 0 || counts[label] === room[label]) continue
      counts[label]++
      left--
      dealt = true
    }
  }
  return counts
}

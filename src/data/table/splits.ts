/**
 * Splits of a table's rows: equally from each class, by a column that names them, by groups, or by time. A function of the
 * rows alone, so every seed has the same splits. Pure; any thread.
 */
import { inspect } from 'node:util'
import { ConfigError, DataError } from '../../errors.js'
import { formatCounted, formatList } from '../../format.js'
import { Purpose, permutation } from '../../tensor/random.js'
import { chosenRows } from '../chosen-rows.js'
import { splitStrata } from '../split.js'
import { isMissing } from './collect.js'
import type { ColumnValues } from './columns.js'
import { categoryText } from './encode.js'
import { tableStrata } from './table-strata.js'

/** Seed of the splits, independent of the experiment's: runs with several seeds are scored on the same rows. */
const SPLIT_SEED = 0

export interface SplitOptions {
  /** Rows to split, ascending: those that are left out for a missing value are not among them. */
  readonly rows: Uint32Array
  /** Class of each row of the table; 0 for regression. */
  readonly labels: Int32Array
  /** Number of classes, or more. */
  readonly classes: number
  readonly testFraction: number
  readonly validation: number
  readonly how:
    | { readonly kind: 'class' }
    | { readonly kind: 'column' | 'group' | 'time'; readonly name: string; readonly values: ColumnValues }
  /** Hint where the test split would be empty. */
  readonly advice?: string | undefined
}

export interface TableSplits {
  readonly train: Uint32Array
  readonly validation: Uint32Array
  readonly test: Uint32Array
}

/** `testFraction` 0: no row is a test row. Throws DataError for a split that leaves a part empty. */
export function splitTable(where: string, options: SplitOptions): TableSplits {
  const { how, rows, testFraction, validation } = options
  if (how.kind === 'column') return byColumn(where, options, how)
  if (how.kind !== 'class') expectValues(where, how.name, how.values, rows)
  const part = (from: Uint32Array, fraction: number, setting: string) => {
    if (fraction === 0) return { train: from, validation: new Uint32Array(0) }
    if (how.kind === 'class') return byClass(from, options, fraction, setting)
    const found = how.kind === 'group' ? byGroup(from, how.values, fraction) : byTime(from, how.values, fraction)
    const empty = found.train.length === 0 ? 'training' : found.validation.length === 0 ? setting : null
    if (empty === null) return found
    throw new DataError(
      `${where}: data.split.${how.kind} leaves the ${empty === 'data.testFraction' ? 'test' : empty === 'training' ? empty : 'validation'} split empty; ` +
        `there are ${formatCounted(from.length, 'row')} in ${formatCounted(new Set(Array.from(from, row => valueAt(how.values, row))).size, 'different value')} of ${inspect(how.name)}`,
    )
  }
  const { train: rest, validation: test } = part(rows, testFraction, 'data.testFraction')
  const { train, validation: scored } = part(rest, validation, 'data.validation')
  return { train, validation: scored, test }
}

function byClass(from: Uint32Array, { labels, classes, advice }: SplitOptions, fraction: number, setting: string) {
  return splitStrata(tableStrata(from, labels, classes), fraction, SPLIT_SEED, setting, advice)
}

/** Whole groups, in an order that the seed gives, until there are as many rows as the fraction asks for, or nearly. */
function byGroup(from: Uint32Array, values: ColumnValues, fraction: number) {
  const groups = new Map<string | number, number[]>()
  for (const row of from) {
    const value = valueAt(values, row)
    const group = groups.get(value)
    if (group) group.push(row)
    else groups.set(value, [row])
  }
  const all = [...groups.values()]
  const wanted = fraction * from.length
  const taken: number[] = []
  let left = all.length
  for (const index of permutation(all.length, SPLIT_SEED, Purpose.split, 0)) {
    const group = all[index]
    // Nearer without this group: it stays, and a smaller one may fit. The last group always stays for training.
    if (left === 1 || taken.length + group.length / 2 > wanted) continue
    for (const row of group) taken.push(row)
    left--
  }
  if (taken.length === 0 && all.length > 1) {
    // Every group is larger than the part: take the smallest.
    taken.push(...all.reduce((least, group) => (group.length < least.length ? group : least)))
  }
  const isTaken = new Set(taken)
  return { train: chosenRows(from, row => !isTaken.has(row)), validation: chosenRows(from, row => isTaken.has(row)) }
}

/** The latest rows; rows of one time stay together, on the side that is nearer to the fraction. */
function byTime(from: Uint32Array, values: ColumnValues, fraction: number) {
  const time = (row: number) => (values.type === 'text' ? Number.NaN : values.values[row])
  const sorted = from.slice().sort((a, b) => time(a) - time(b) || a - b)
  const wanted = from.length - Math.max(1, Math.round(fraction * from.length))
  const isCut = (i: number) => i > 0 && i < sorted.length && time(sorted[i]) !== time(sorted[i - 1])
  let cut = 0
  for (let distance = 0; distance < sorted.length && cut === 0; distance++) {
    cut = [wanted - distance, wanted + distance].find(isCut) ?? 0
  }
  if (cut === 0) return { train: from, validation: new Uint32Array(0) }
  return { train: sorted.subarray(0, cut).slice().sort(), validation: sorted.subarray(cut).slice().sort() }
}

const SPLIT_NAMES: Readonly<Record<string, keyof TableSplits>> = {
  ...{ train: 'train', training: 'train' },
  ...{ validation: 'validation', valid: 'validation', val: 'validation', dev: 'validation' },
  ...{ test: 'test', testing: 'test' },
}

function byColumn(
  where: string,
  options: SplitOptions,
  { name, values }: { readonly name: string; readonly values: ColumnValues },
): TableSplits {
  const parts: Record<keyof TableSplits, number[]> = { train: [], validation: [], test: [] }
  for (const row of options.rows) {
    const text = String(isMissing(values, row) ? '' : valueAt(values, row))
    const split = SPLIT_NAMES[text.trim().toLowerCase()]
    if (split === undefined) {
      throw new DataError(
        `${where}: column ${inspect(name)} in row ${row + 1} is ${inspect(text)}, expected train, validation or test, because data.split.column names it`,
      )
    }
    parts[split].push(row)
  }
  const empty = (['train', 'test'] as const).filter(split => parts[split].length === 0)
  if (empty.length > 0) {
    throw new DataError(
      `${where}: column ${inspect(name)} leaves the ${formatList(empty, 2)} split empty, expected rows of both train and test`,
    )
  }
  const { train, validation, test } = parts
  if (options.validation > 0 && validation.length > 0) {
    throw new ConfigError(
      `data.validation is ${options.validation}, expected 0, because column ${inspect(name)} has ${formatCounted(validation.length, 'validation row')}`,
    )
  }
  if (options.validation > 0) {
    const divided = byClass(Uint32Array.from(train), options, options.validation, 'data.validation')
    return { ...divided, test: Uint32Array.from(test) }
  }
  return { train: Uint32Array.from(train), validation: Uint32Array.from(validation), test: Uint32Array.from(test) }
}

function expectValues(where: string, name: string, values: ColumnValues, rows: Uint32Array): void {
  const missing = chosenRows(rows, row => isMissing(values, row)).length
  if (missing === 0) return
  throw new DataError(
    `${where}: column ${inspect(name)} is missing in ${formatCounted(missing, 'row')}, expected a value in each to split by`,
  )
}

function valueAt(values: ColumnValues, row: number): string | number {
  if (values.type === 'text') return values.dictionary[values.codes[row]]
  return values.type === 'number' ? categoryText(values.values[row]) : values.values[row]
}

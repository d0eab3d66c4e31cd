/**
 * Targets of a table: which columns, which task, and their values as classes, labels or numbers. Pure; any thread.
 *
 * Letters: `N` rows, `K` targets.
 */
import { inspect } from 'node:util'
import type { Task } from '../../config/tasks.js'
import { DataError } from '../../errors.js'
import { formatCounted } from '../../format.js'
import { isMissing } from './collect.js'
import type { ColumnProfile, ColumnValues, TableChunk } from './columns.js'
import { categoryText, numbersOf } from './encode.js'
import { noColumn } from './kinds.js'

/** Different integers up to which a target is a class; with more it is a number. */
const MOST_CLASSES = 20

/** Names of the target columns: those of `data.target`, else the last one. */
export function targetNames(
  where: string,
  profiles: readonly ColumnProfile[],
  target: string | number | readonly (string | number)[] | null,
): string[] {
  const names = profiles.map(({ name }) => name)
  const asked = target === null ? [names.length - 1] : [target].flat()
  const found = asked.map(column => {
    if (typeof column === 'number') {
      if (column < names.length) return names[column]
      throw new DataError(`${where}: data.target is ${column}, expected an index below ${names.length}, its columns`)
    }
    if (!names.includes(column)) throw noColumn(where, 'data.target', column, names)
    return column
  })
  const twice = found.find((name, i) => found.indexOf(name) !== i)
  if (twice === undefined) return found
  throw new DataError(`${where}: data.target has ${inspect(twice)} twice, expected each column once`)
}

/** Task that the experiment says, else the one that follows from the targets' values, with the reason. */
export function taskOfTargets(
  where: string,
  targets: readonly ColumnProfile[],
  task: Task | 'auto',
): { readonly task: Task; readonly reason: string | null } {
  if (task === 'classification' && targets.length > 1) {
    throw new DataError(
      `${where}: data.target has ${targets.length} columns, expected one, because data.task is "classification"`,
      { hint: 'several columns of yes or no: --set data.task=multi-label' },
    )
  }
  if (task !== 'auto') return { task, reason: null }
  const [{ name, type, distinct, isInteger }] = targets
  if (targets.length > 1) return taskOfSeveral(where, targets)
  if (type === 'text' || type === 'boolean') return { task: 'classification', reason: `it is ${WORDS[type]}` }
  if (type === 'date') {
    throw new DataError(`${where}: the target ${inspect(name)} is a date, expected classes or numbers`, {
      hint: 'data.target names the column to predict; data.query can make a number of a date',
    })
  }
  if (!isInteger) return { task: 'regression', reason: 'it has fractions' }
  const reason = `it has ${formatCounted(distinct, 'different integer')}`
  return distinct > MOST_CLASSES
    ? { task: 'regression', reason: `${reason}; classes: --set data.task=classification` }
    : { task: 'classification', reason: `${reason}; numbers: --set data.task=regression` }
}

/** Yes or no in all of them, or numbers. Texts are read as yes or no later, when their values are there. */
function taskOfSeveral(where: string, targets: readonly ColumnProfile[]): ReturnType<typeof taskOfTargets> {
  if (targets.every(mayBeYesNo)) {
    const areCodes = targets.every(({ type }) => type === 'number')
    const reason = areCodes ? 'all are 0 or 1; numbers: --set data.task=regression' : 'several columns of yes or no'
    return { task: 'multi-label', reason }
  }
  const other = targets.find(({ type }) => type !== 'number')
  if (!other) return { task: 'regression', reason: 'several columns of numbers' }
  const number = targets.find(target => target.type === 'number' && !mayBeYesNo(target))
  throw new DataError(
    `${where}: the target ${inspect(other.name)} is ${WORDS[other.type]}${number ? ` and ${inspect(number.name)} is a number` : ''}, expected several targets to be all numbers, or all yes or no`,
  )
}

/** True for a column that has nothing but yes and no, as far as its profile shows: the profile of a text has no values. */
function mayBeYesNo({ type, range, isInteger }: ColumnProfile): boolean {
  if (type !== 'number') return type !== 'date'
  return isInteger && (range === null || (range[0] >= 0 && range[1] <= 1))
}

const WORDS = { text: 'text', boolean: 'yes or no', number: 'a number', date: 'a date' } as const

/** Values of the targets: classes by name, or numbers, which are 0 and 1 of multi-label. */
export type TargetValues =
  | {
      readonly task: 'classification'
      /** Name of each class that occurs, in any order. */
      readonly names: readonly string[]
      /** (N) Index in `names`; -1 where the target is missing. */
      readonly labels: Int32Array
    }
  | {
      readonly task: 'multi-label' | 'regression'
      /** (N, K); NaN where a target is missing. */
      readonly values: Float64Array
    }

/** Throws DataError for a target of regression that is no number, and a label that is neither yes nor no. */
export function targetValues(where: string, chunk: TableChunk, targets: readonly string[], task: Task): TargetValues {
  const columns = targets.map(name => chunk.columns.get(name)!)
  if (task === 'classification') return { task, ...classesOf(columns[0]) }
  const values = new Float64Array(chunk.rows * targets.length)
  for (const [k, column] of columns.entries()) {
    const place = (row: number) => `${where}: the target ${inspect(targets[k])} in row ${row + 1}`
    const numbers =
      task === 'multi-label'
        ? labelsOf(column, targets[k], place)
        : numbersOf(column, column.type === 'boolean' ? 'boolean' : 'number', place)
    for (let row = 0; row < chunk.rows; row++) {
      const value = numbers[row]
      if (!Number.isNaN(value) && !Number.isFinite(Math.fround(value))) {
        throw new DataError(`${place(row)} is ${value}, expected a number that is finite in f32`)
      }
      values[row * targets.length + k] = value
    }
  }
  return { task, values }
}

/** Yes and no as 1 and 0. A column of text is read as it is, so that it may have words for a missing value. */
function labelsOf(column: ColumnValues, name: string, place: (row: number) => string): Float64Array {
  try {
    return numbersOf(column, 'boolean', place)
  } catch (error) {
    if (!(error instanceof DataError) || column.type !== 'text') throw error
    const hint = `with data.columns { ${JSON.stringify(name)}: "boolean" }, fields such as NA are missing values`
    throw new DataError(error.message, { hint })
  }
}

function classesOf(column: ColumnValues): { names: string[]; labels: Int32Array } {
  const names: string[] = []
  const known = new Map<string, number>()
  const labelOf = (name: string): number => {
    const label = known.get(name)
    if (label !== undefined) return label
    known.set(name, names.length)
    return names.push(name) - 1
  }
  const rows = column.type === 'text' ? column.codes.length : column.values.length
  const labels = new Int32Array(rows).fill(-1)
  if (column.type === 'text') {
    const ofCode = new Int32Array(column.dictionary.length).fill(-1)
    for (let row = 0; row < rows; row++) {
      const code = column.codes[row]
      if (code < 0) continue
      if (ofCode[code] < 0) ofCode[code] = labelOf(column.dictionary[code].trim())
      labels[row] = ofCode[code]
    }
    return { names, labels }
  }
  const text = column.type === 'boolean' ? (value: number) => String(value === 1) : nameOfNumber[column.type]
  const ofValue = new Map<number, number>()
  for (let row = 0; row < rows; row++) {
    const value = column.values[row]
    if (isMissing(column, row)) continue
    let label = ofValue.get(value)
    if (label === undefined) {
      label = labelOf(text(value))
      ofValue.set(value, label)
    }
    labels[row] = label
  }
  return { names, labels }
}

const nameOfNumber = {
  number: categoryText,
  date: (seconds: number) => new Date(seconds * 1000).toISOString(),
} as const

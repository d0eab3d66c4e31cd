/**
 * Partial dependence of a network's outputs on one column of a table: the mean output over rows whose value of the column is
 * replaced by each of some values (Friedman, "Greedy function approximation", 2001). Main thread.
 *
 * Letters: `N` rows, `F` features, `K` outputs.
 */
import { isMissing } from '../../data/table/collect.js'
import type { ColumnValues, TableChunk } from '../../data/table/columns.js'
import { categoryText, encodeRows, numbersOf } from '../../data/table/encode.js'
import { type FeatureKind, kindOf } from '../../data/table/encoding.js'
import { takeRows } from '../../data/table/take.js'
import { fieldTexts } from './field-text.js'
import { type ColumnPlace, type Network, workOfRow } from './importance.js'

export interface DependencePoint {
  /** Value as a number: seconds since 1970 of a date; null for a category, and where it is missing. */
  readonly at: number | null
  /** Value as text; null: missing. */
  readonly text: string | null
  /** Number of sampled rows that have the value; 0 for numbers and dates. */
  readonly count: number
  /** Mean outputs, as `predict` returns them. */
  readonly outputs: readonly number[] // (K)
}

export interface Dependence {
  readonly column: string
  readonly kind: FeatureKind
  /** Numbers and dates ascending, categories by frequency; a missing value last, where rows have one. */
  readonly points: readonly DependencePoint[]
  /** Categories that are not among the points. */
  readonly others: number
}

/** Columns of which a report shows the dependence. */
export const MOST_DEPENDENCES = 6
/** Parts that quantiles divide the rows in, and the most categories. */
const QUANTILES = 20
const MOST_CATEGORIES = 10
const MOST_ROWS = 500
const LEAST_ROWS = 50
/** Multiplications that all predictions together may need. */
const MOST_WORK = 2e10

/** Number of rows that means are over. */
export function dependenceRows(predictor: Network, available: number): number {
  const points = MOST_DEPENDENCES * (QUANTILES + 2)
  const affordable = Math.floor(MOST_WORK / (workOfRow(predictor) * points))
  return Math.min(available, MOST_ROWS, Math.max(LEAST_ROWS, affordable))
}

/** `features` (N, F): encoded rows that means are over. `chunk`: raw values of all rows at hand, which the points are taken from. */
export function partialDependence(
  predictor: Network,
  { encoding, at, size }: ColumnPlace,
  chunk: TableChunk,
  features: Float32Array,
): Dependence {
  const { column } = encoding
  const kind = kindOf(encoding)
  const values = chunk.columns.get(column)!
  const { rows, counts, others } =
    kind === 'category' || kind === 'boolean' ? frequent(values) : quantiles(values, kind)
  const missing = missingRow(values)
  const shown = missing < 0 ? rows : [...rows, missing]
  const points = takeRows(chunk, shown, [column])
  const encoded = new Float32Array(shown.length * size)
  encodeRows({ columns: [encoding] }, points, encoded)
  const texts = fieldTexts(points.columns.get(column)!, kind)
  const numbers = kind === 'category' ? null : numbersOf(points.columns.get(column)!, kind, () => column)
  const width = predictor.width
  const changed = features.slice()
  return {
    ...{ column, kind, others },
    points: texts.map((text, i) => {
      for (let row = at; row < changed.length; row += width)
        changed.set(encoded.subarray(i * size, (i + 1) * size), row)
      const number = numbers === null || text === null ? null : numbers[i]
      return {
        ...{ at: number, text, count: counts[i] ?? countMissing(values) },
        outputs: meanRows(predictor.predict(changed).data, predictor.outputNames.length),
      }
    }),
  }
}

interface ChosenRows {
  /** A row of the chunk that has each of the values. */
  readonly rows: readonly number[]
  readonly counts: readonly number[]
  readonly others: number
}

/** Rows at equal distances in the order of the values, each different value once. */
function quantiles(values: ColumnValues, kind: 'number' | 'date'): ChosenRows {
  const numbers = numbersOf(values, kind, () => 'row')
  const present = Array.from(numbers.keys()).filter(row => !Number.isNaN(numbers[row]))
  present.sort((a, b) => numbers[a] - numbers[b] || a - b)
  const last = present.length - 1
  const picked =
    last < 0 ? [] : Array.from({ length: QUANTILES + 1 }, (_, q) => present[Math.round((q * last) / QUANTILES)])
  const rows = picked.filter((row, i) => i === 0 || numbers[row] !== numbers[picked[i - 1]])
  return { rows, counts: rows.map(() => 0), others: 0 }
}

/** The first row of each of the most frequent values, the first that occurs among equals. */
function frequent(values: ColumnValues): ChosenRows {
  const found = new Map<string, { row: number; count: number }>()
  const rows = values.type === 'text' ? values.codes.length : values.values.length
  for (let row = 0; row < rows; row++) {
    if (isMissing(values, row)) continue
    const name = values.type === 'text' ? values.dictionary[values.codes[row]] : categoryText(values.values[row])
    const known = found.get(name)
    if (known === undefined) found.set(name, { row, count: 1 })
    else known.count++
  }
  const all = [...found.values()].sort((a, b) => b.count - a.count || a.row - b.row)
  const shown = all.slice(0, MOST_CATEGORIES)
  return {
    rows: shown.map(({ row }) => row),
    counts: shown.map(({ count }) => count),
    others: all.length - shown.length,
  }
}

function missingRow(values: ColumnValues): number {
  return values.type === 'text' ? values.codes.indexOf(-1) : values.values.findIndex(Number.isNaN)
}

function countMissing(values: ColumnValues): number {
  if (values.type === 'text') return values.codes.reduce((sum, code) => sum + (code < 0 ? 1 : 0), 0)
  return values.values.reduce((sum, value) => sum + (Number.isNaN(value) ? 1 : 0), 0)
}

/** Means of the columns of values (N, K). */
function meanRows(values: Float32Array, width: number): number[] {
  const sums = Array.from({ length: width }, () => 0)
  for (let i = 0; i < values.length; i++) sums[i % width] += values[i]
  return sums.map(sum => (sum * width) / values.length)
}

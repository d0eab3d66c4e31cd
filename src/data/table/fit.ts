/**
 * Fits the encoding of columns on training rows: fills, scales, categories, cycles. Nothing here sees another row. Pure;
 * any thread. Sums run in the order of the rows, so the same file gives the same bits on any number of threads.
 */
import { inspect } from 'node:util'
import { DataError } from '../../errors.js'
import { embeddingSize, MAX_EMBEDDING_ROWS } from '../../model/embedding.js'
import { chosenRows } from '../chosen-rows.js'
import type { ColumnValues } from './columns.js'
import { phaseOf } from './dates.js'
import { categoryText, numbersOf } from './encode.js'
import { type ColumnEncoding, CYCLES, type Cycle, type FeatureKind, rowsOfEmbedding } from './encoding.js'
import { mostFrequent, seenRange } from './seen.js'

export interface FitOptions {
  readonly column: string
  readonly kind: FeatureKind
  /** Categories with a feature of their own. */
  readonly maxCategories: number
  /** Encoding of a column that has more: the others are hashed, or all become rows of an embedding. */
  readonly above: 'hash' | 'embed'
  /** Features that the others are hashed into. */
  readonly buckets: number
  /** Length of the vectors of an embedding; null: by the number of categories. */
  readonly embeddingSize: number | null
  /** Bins of a number, at most. */
  readonly bins: number
  /** Smooth limit of a standardised number; null: none. */
  readonly limit: number | null
  /** False: time elapsed is no feature, since the test rows are later than all training rows. */
  readonly elapsed: boolean
}

/** `rows`: indices of the training rows. Throws DataError for a value that does not fit the kind. */
export function fitColumn(values: ColumnValues, rows: Uint32Array, where: string, options: FitOptions): ColumnEncoding {
  const { column, kind } = options
  if (kind === 'category') return fitCategory(values, rows, where, options)
  const place = (row: number) => `${where}: column ${inspect(column)} in row ${row + 1}`
  const numbers = numbersOf(values, kind, place)
  const indicator = isAnyMissing(numbers, rows)
  const known = indicator ? chosenRows(rows, row => !Number.isNaN(numbers[row])) : rows
  if (kind === 'boolean') {
    let ones = 0
    for (const row of known) ones += numbers[row]
    return { column, kind, fill: 2 * ones > known.length ? 1 : 0, indicator }
  }
  const fill = medianOf(sampleOf(numbers, known, indicator))
  const scale = scaleOf(numbers, known)
  const range = seenRange(numbers, known, kind)
  const seen = range && { seen: range }
  if (kind === 'number') {
    const knots = options.bins === 0 ? [] : knotsOf(sampleOf(numbers, known, false).sort(), options.bins)
    const limit = options.limit !== null && { limit: options.limit }
    return { column, kind, ...scale, ...limit, knots, fill, indicator, ...seen }
  }
  const cycles = CYCLES.filter(cycle => varies(cycle, numbers, known))
  return { column, kind, cycles, elapsed: options.elapsed && scale.factor !== 0, ...scale, fill, indicator, ...seen }
}

/** A loop, because `some` calls a function for each row. */
function isAnyMissing(numbers: Float64Array, rows: Uint32Array): boolean {
  for (let i = 0; i < rows.length; i++) if (Number.isNaN(numbers[rows[i]])) return true
  return false
}

/** Mean and 1 / standard deviation in f64; a constant has the factor 0, and no values the offset 0. */
function scaleOf(numbers: Float64Array, rows: Uint32Array): { offset: number; factor: number } {
  if (rows.length === 0) return { offset: 0, factor: 0 }
  const plain = momentsOf(numbers, rows, 1)
  if (Number.isFinite(plain.factor)) return plain
  // All are the same, or the squares of their distances are outside the range of f64.
  let largest = 0
  for (let i = 0; i < rows.length; i++) largest = Math.max(largest, Math.abs(numbers[rows[i]] - numbers[rows[0]]))
  if (largest === 0) return { offset: plain.offset, factor: 0 }
  // A power of two leaves the digits as they are.
  const scale = 2 ** -Math.max(-MOST_EXPONENT, Math.min(MOST_EXPONENT, Math.floor(Math.log2(largest))))
  const { offset, factor } = momentsOf(numbers, rows, scale)
  return { offset: offset / scale, factor: Math.min(factor * scale, Number.MAX_VALUE) }
}

/** Exponents of two whose power, and that of their negative, are normal numbers. */
const MOST_EXPONENT = 1020

/** Mean and 1 / standard deviation of numbers times `scale`; computed from distances from the first, which are exactly 0 for a constant. */
function momentsOf(numbers: Float64Array, rows: Uint32Array, scale: number): { offset: number; factor: number } {
  const first = numbers[rows[0]] * scale
  let sum = 0
  for (let i = 0; i < rows.length; i++) sum += numbers[rows[i]] * scale - first
  const shift = sum / rows.length
  let squares = 0
  for (let i = 0; i < rows.length; i++) squares += (numbers[rows[i]] * scale - first - shift) ** 2
  return {
    offset: first + shift,
    factor: squares === Number.POSITIVE_INFINITY ? Number.NaN : 1 / Math.sqrt(squares / rows.length),
  }
}

/** Most rows that quantiles are computed from, and medians where no training row lacks a value (only later gaps need those). */
const SAMPLED_ROWS = 10_000

/** Values of all rows if `isExact`, else of rows at equal distances. */
function sampleOf(numbers: Float64Array, rows: Uint32Array, isExact: boolean): Float64Array {
  const count = isExact ? rows.length : Math.min(rows.length, SAMPLED_ROWS)
  const sample = new Float64Array(count)
  for (let i = 0; i < count; i++) sample[i] = numbers[rows[Math.floor((i * rows.length) / count)]]
  return sample
}

/** Different values up to which a number has no bins: codes and small counts are learned as well without. */
const FEW_VALUES = 8

/** Quantiles that part the values into at most `bins` bins, without repetitions; none for few different values. */
function knotsOf(sorted: Float64Array, bins: number): number[] {
  if (new Set(sorted).size <= FEW_VALUES) return []
  const last = sorted.length - 1
  const knots = Array.from({ length: bins + 1 }, (_, i) => sorted[Math.round((i * last) / bins)])
  return [...new Set(knots)]
}

/** The mean of the middle two; 0 without a value. Changes the order of the values. */
function medianOf(values: Float64Array): number {
  const count = values.length
  if (count === 0) return 0
  const middle = (count - 1) >> 1
  let low = selected(values, middle)
  // Selection takes 0 and -0 for the same.
  if (low === 0) low = values.sort()[middle]
  let high = low
  if (count % 2 === 0) {
    high = values[middle + 1]
    for (let i = middle + 2; i < count; i++) if (values[i] < high) high = values[i]
  }
  return low === high ? low : low + (high - low) / 2
}

/**
 * The value at place `k` of the ascending order, which is then at that place, with none above it before and none below it behind (Hoare's
 * selection): to sort the values takes several times as long.
 */
function selected(values: Float64Array, k: number): number {
  let [from, to] = [0, values.length - 1]
  while (from < to) {
    const pivot = values[(from + to) >> 1]
    let [i, j] = [from, to]
    while (i <= j) {
      while (values[i] < pivot) i++
      while (values[j] > pivot) j--
      if (i > j) break
      const other = values[i]
      values[i++] = values[j]
      values[j--] = other
    }
    if (k <= j) to = j
    else if (k >= i) from = i
    else break
  }
  return values[k]
}

/** True if the training rows lie at more than one position of a cycle. */
function varies(cycle: Cycle, numbers: Float64Array, rows: Uint32Array): boolean {
  if (rows.length === 0) return false
  const first = phaseOf(cycle, numbers[rows[0]])
  return rows.some(row => phaseOf(cycle, numbers[row]) !== first)
}

/**
 * Training rows that a category needs for a row of an embedding: a vector learned from a single row does not generalise, and rows of such
 * categories together show what to expect of an unknown one.
 */
const LEAST_ROWS = 2

function fitCategory(
  values: ColumnValues,
  rows: Uint32Array,
  where: string,
  { column, maxCategories, buckets, above, ...options }: FitOptions,
): ColumnEncoding {
  const { counts, missing } = countsOf(values, rows)
  const byText = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)
  const names = [...counts.keys()]
  const isMany = names.length > maxCategories
  const isEmbedded = isMany && above === 'embed'
  const kept = isEmbedded
    ? names.filter(name => counts.get(name)! >= LEAST_ROWS)
    : isMany
      ? names.sort((a, b) => counts.get(b)! - counts.get(a)! || byText(a, b)).slice(0, maxCategories)
      : names
  const numeric = values.type !== 'text'
  const categories = kept.sort(numeric ? (a, b) => Number(a) - Number(b) : byText)
  const usual = mostFrequent(counts, categories)
  const known = { column, categories, numeric, missing: missing > 0, ...(usual !== null && { usual }) }
  if (!isEmbedded) return { ...known, kind: 'category', buckets: isMany ? buckets : 0 }
  const embedded = {
    ...known,
    kind: 'embedding',
    size: options.embeddingSize ?? embeddingSize(categories.length),
  } as const
  if (rowsOfEmbedding(embedded) <= MAX_EMBEDDING_ROWS) return embedded
  throw new DataError(
    `${where}: column ${inspect(column)} has ${names.length} categories, expected fewer than ${MAX_EMBEDDING_ROWS} for an embedding`,
    { hint: `--set data.categories.above=hash, or --set data.columns.${column}=ignore` },
  )
}

/** Number of training rows of each category, and of those without a value. */
function countsOf(values: ColumnValues, rows: Uint32Array): { counts: Map<string, number>; missing: number } {
  const counts = new Map<string, number>()
  let missing = 0
  if (values.type === 'text') {
    const { codes, dictionary } = values
    const found = new Uint32Array(dictionary.length)
    for (const row of rows) {
      if (codes[row] < 0) missing++
      else found[codes[row]]++
    }
    dictionary.forEach((name, code) => {
      if (found[code] > 0) counts.set(name, (counts.get(name) ?? 0) + found[code])
    })
    return { counts, missing }
  }
  const found = new Map<number, number>()
  for (const row of rows) {
    const value = values.values[row]
    if (Number.isNaN(value)) missing++
    else found.set(value, (found.get(value) ?? 0) + 1)
  }
  for (const [value, count] of found) counts.set(categoryText(value), (counts.get(categoryText(value)) ?? 0) + count)
  return { counts, missing }
}

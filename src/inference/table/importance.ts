/**
 * Permutation importance of a table's columns: the fall of a score when the values of one column, as the table has it, are
 * shuffled among the rows (Breiman, "Random forests", 2001; scikit-learn's `permutation_importance`). All features of a column
 * are shuffled together. Pure but for the predictor's memory; main thread.
 *
 * Letters: `N` rows, `F` features, `U` units of the first layer.
 */
import {
  type ColumnEncoding,
  type FeatureKind,
  featureCount,
  kindOf,
  type TableEncoding,
  widthOf,
} from '../../data/table/encoding.js'
import { Purpose, permutation } from '../../tensor/random.js'
import type { Predictor } from '../predictor.js'
import type { MainScore } from './main-score.js'

export interface ColumnImportance {
  readonly column: string
  readonly kind: FeatureKind
  /** Mean and standard deviation, over the repeats, of how much worse the score becomes; below 0 where it becomes better. */
  readonly mean: number
  readonly spread: number
}

export interface Importance {
  readonly score: Pick<MainScore, 'title' | 'better' | 'form'>
  /** Score of the rows as they are. */
  readonly base: number
  readonly rows: number
  readonly repeats: number
  /** The most important first, in the order of the model among equals. */
  readonly columns: readonly ColumnImportance[]
  /** Columns that were left out because there are too many. */
  readonly skipped: readonly string[]
}

/** Shuffles of each column. scikit-learn has as many. */
export const REPEATS = 5
const MOST_ROWS = 2000
const LEAST_ROWS = 200
const LEAST_COLUMNS = 10
/** Multiplications that all predictions together may need: some ten seconds on one core. */
const MOST_WORK = 5e10

/** Part of a predictor that is needed here. */
export type Network = Pick<Predictor, 'predict' | 'width' | 'widths' | 'outputNames' | 'parameter' | 'parameterNames'>

/** Approximate number of multiplications of one prediction. */
export const workOfRow = ({ widths }: Pick<Network, 'widths'>): number =>
  widths.slice(1).reduce((sum, units, i) => sum + units * widths[i], 0)

/** Number of rows that a table's importance is computed from: fewer for a larger network or more columns. */
export function importanceRows(predictor: Network, { columns }: TableEncoding, available: number): number {
  const affordable = Math.floor(MOST_WORK / (workOfRow(predictor) * REPEATS * columns.length))
  return Math.min(available, MOST_ROWS, Math.max(LEAST_ROWS, affordable))
}

/** `features` (N, F); `score`: one that they define; `seed`: that of the run. */
export function permutationImportance(
  predictor: Network,
  encoding: TableEncoding,
  features: Float32Array,
  score: MainScore,
  seed: number,
): Importance {
  const width = featureCount(encoding)
  const rows = features.length / width
  const base = score.of(predictor.predict(features).data) ?? 0
  const places = placesOf(encoding)
  const scored = new Set(affordableColumns(predictor, places, features, rows))
  const shuffled = features.slice()
  const columns = places.flatMap(({ encoding: each, at, size }, index): ColumnImportance[] => {
    if (!scored.has(index)) return []
    const falls = Array.from({ length: REPEATS }, (_, repeat) => {
      const order = permutation(rows, seed, Purpose.importance, index * REPEATS + repeat)
      for (let row = 0; row < rows; row++) {
        const from = order[row] * width + at
        shuffled.set(features.subarray(from, from + size), row * width + at)
      }
      const found = score.of(predictor.predict(shuffled).data) ?? base
      return score.better === 'higher' ? base - found : found - base
    })
    for (let row = 0; row < rows; row++) {
      const from = row * width + at
      shuffled.set(features.subarray(from, from + size), from)
    }
    return [{ column: each.column, kind: kindOf(each), ...statisticsOf(falls) }]
  })
  columns.sort((a, b) => b.mean - a.mean)
  const skipped = places.filter((_, index) => !scored.has(index)).map(place => place.encoding.column)
  const { title, better, form } = score
  return { score: { title, better, form }, base, rows, repeats: REPEATS, columns, skipped }
}

export interface ColumnPlace {
  readonly encoding: ColumnEncoding
  /** First feature, and the number of features. */
  readonly at: number
  readonly size: number
}

/** Features of each column of an encoding. */
export function placesOf({ columns }: Pick<TableEncoding, 'columns'>): ColumnPlace[] {
  let next = 0
  return columns.map(encoding => {
    const [at, size] = [next, widthOf(encoding)]
    next += size
    return { encoding, at, size }
  })
}

/** Indices of the columns that there is time for: all, or if there are very many, those with the largest weights in the first layer. */
function affordableColumns(
  predictor: Network,
  places: readonly ColumnPlace[],
  features: Float32Array,
  rows: number,
): number[] {
  const indices = places.map((_, index) => index)
  const most = Math.max(LEAST_COLUMNS, Math.floor(MOST_WORK / (workOfRow(predictor) * REPEATS * rows)))
  if (places.length <= most) return indices
  const strength = featureStrengths(predictor, features, rows)
  const sums = places.map(({ at, size }) => strength.subarray(at, at + size).reduce((sum, each) => sum + each, 0))
  return indices.sort((a, b) => sums[b] - sums[a] || a - b).slice(0, most)
}

/** Variance of each feature, times the squared norm of its weights in the first layer. (F) */
function featureStrengths(predictor: Network, features: Float32Array, rows: number): Float64Array {
  const width = features.length / rows
  const [first] = predictor.parameterNames
  const { data, shape } = predictor.parameter(first)
  const strengths = new Float64Array(width)
  for (let f = 0; f < width; f++) {
    let [sum, squares, norm] = [0, 0, 0]
    for (let at = f; at < features.length; at += width) {
      sum += features[at]
      squares += features[at] ** 2
    }
    // Another kind of first layer has no row of weights for each feature: then the variance alone decides.
    if (shape[0] === width) for (let u = 0; u < shape[1]; u++) norm += data[f * shape[1] + u] ** 2
    strengths[f] = (squares / rows - (sum / rows) ** 2) * (shape[0] === width ? norm : 1)
  }
  return strengths
}

function statisticsOf(values: readonly number[]): { mean: number; spread: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0)
  return { mean, spread: Math.sqrt(squares / values.length) }
}

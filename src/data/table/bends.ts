/**
 * Test whether bins of a number explain the targets better than a straight line, on training rows: the F test of linear regression on
 * the bins beside the number against regression on the number alone, over all targets or classes together. Where they do not, a network
 * learns noise from them. Arithmetic in f64 in a fixed order: the same result on every machine. Pure; any thread.
 *
 * Letters: `N` rows that are looked at, `F` features of the number, `K` targets or classes.
 */
import type { NumberEncoding } from './encoding.js'
import type { TargetValues } from './targets.js'

/** Most rows that are looked at, at equal distances. */
const MOST_ROWS = 10_000
/**
 * Standard deviations by which F is above 1, its mean by chance, where bins count: F is 4 for 8 bins and one number or two classes, less
 * for more classes, which are more evidence. The deviation is that of F for many rows.
 */
const LEAST_DEVIATIONS = 6
/** Share of a feature's variance below which the features before it determine it. */
const LEAST_SHARE = 1e-6

/**
 * `values`: numbers of a column, NaN where missing; `rows` (N): training rows in it; `truth`: targets, at `places` (N); `width` of
 * them in a row, if they are numbers.
 */
export function isBent(
  encoding: NumberEncoding,
  values: Float64Array,
  rows: Uint32Array,
  truth: TargetValues,
  places: Uint32Array,
  width: number,
): boolean {
  const taken: number[] = []
  const count = Math.min(rows.length, MOST_ROWS)
  for (let i = 0; i < count; i++) {
    const at = Math.floor((i * rows.length) / count)
    if (!Number.isNaN(values[rows[at]])) taken.push(at)
  }
  const features = featuresOf(
    encoding,
    taken.map(at => values[rows[at]]),
  )
  const [first, ...bins] = features
  const targets = targetsOf(
    truth,
    taken.map(at => places[at]),
    width,
  )
  const line = explained([first], targets)
  const both = explained([first, ...bins], targets)
  const more = both.rank - line.rank
  const left = taken.length - both.rank - 1
  if (more === 0 || left <= 0) return false
  // A perfect fit leaves no residual to compare with.
  const gain = both.sum - line.sum
  const least = 1 + LEAST_DEVIATIONS * Math.sqrt(2 / (more * targets.independent))
  return gain > 0 && gain >= (least * more * Math.max(0, both.total - both.sum)) / left
}

/** Feature of the number itself, then those of its bins: (N) each, with mean 0. */
function featuresOf({ offset, factor, limit, knots }: NumberEncoding, values: readonly number[]): Float64Array[] {
  const line = Float64Array.from(values, value => {
    const z = (value - offset) * factor
    return limit === undefined ? z : z / Math.sqrt(1 + (z / limit) ** 2)
  })
  const bins = knots.slice(1).map((to, bin) => {
    const from = knots[bin]
    return Float64Array.from(values, value => Math.min(1, Math.max(0, (value - from) / (to - from))))
  })
  return [line, ...bins].map(centred)
}

function centred(values: Float64Array): Float64Array {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  return values.map(value => value - mean)
}

/** Targets, of which each counts as much as the others; or classes, of which a frequent one counts more. */
interface Targets {
  /** Number of targets; of classes one less. */
  readonly independent: number
  /** Sum of squares around the means. */
  readonly total: number
  /** Products of a feature with each target. */
  products(feature: Float64Array): Float64Array // (K)
}

function targetsOf(truth: TargetValues, rows: readonly number[], width: number): Targets {
  if (truth.task === 'classification') {
    const labels = rows.map(row => truth.labels[row])
    const sizes = new Float64Array(truth.names.length)
    for (const label of labels) sizes[label]++
    const total = rows.length - sizes.reduce((sum, size) => sum + (size * size) / rows.length, 0)
    const products = (feature: Float64Array) => {
      const sums = new Float64Array(sizes.length)
      for (const [i, label] of labels.entries()) sums[label] += feature[i]
      return sums
    }
    const found = sizes.filter(size => size > 0).length
    return { independent: Math.max(1, found - 1), total, products }
  }
  const columns = Array.from({ length: width }, (_, k) => {
    const column = centred(Float64Array.from(rows, row => truth.values[row * width + k]))
    const size = Math.sqrt(product(column, column))
    return size > 0 ? column.map(value => value / size) : column
  })
  const total = columns.reduce((sum, column) => sum + product(column, column), 0)
  return {
    ...{ independent: width, total },
    products: feature => Float64Array.from(columns, column => product(feature, column)),
  }
}

function product(a: Float64Array, b: Float64Array): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i]
  return sum
}

/**
 * Sum of squares of the targets that linear regression on the features explains, the number of features that others before them do not
 * determine, and the whole sum: by the Cholesky decomposition of the features' products.
 */
function explained(features: readonly Float64Array[], targets: Targets) {
  const factors: number[][] = [] // lower triangle, row by row
  const solved: Float64Array[] = []
  const used: Float64Array[] = []
  let sum = 0
  for (const feature of features) {
    const own = product(feature, feature)
    const row = used.map(() => 0)
    for (const [j, other] of used.entries()) {
      let rest = product(feature, other)
      for (let k = 0; k < j; k++) rest -= row[k] * factors[j][k]
      row[j] = rest / factors[j][j]
    }
    const rest = row.reduce((left, value) => left - value * value, own)
    if (!(rest > LEAST_SHARE * own)) continue
    const pivot = Math.sqrt(rest)
    const right = targets.products(feature)
    for (const [j, before] of solved.entries()) {
      for (let k = 0; k < right.length; k++) right[k] -= row[j] * before[k]
    }
    for (let k = 0; k < right.length; k++) {
      right[k] /= pivot
      sum += right[k] * right[k]
    }
    factors.push([...row, pivot])
    solved.push(right)
    used.push(feature)
  }
  return { sum, rank: used.length, total: targets.total }
}

/** Statistics of timings. Pure; any thread. Test: node dist/test/bench/stats.test.js */

/** Summary of a benchmark's samples. Quartiles, not standard deviations: other programs make times longer, never shorter. */
export interface Summary {
  readonly count: number
  readonly median: number
  /** First and third quartile. */
  readonly low: number
  readonly high: number
  readonly min: number
  readonly max: number
}

/** The value below which a share q of the samples lies, interpolated between neighbours. */
export function quantile(values: readonly number[], q: number): number {
  if (values.length === 0) throw new RangeError('quantile: values are [], expected at least one')
  const sorted = [...values].sort((a, b) => a - b)
  const at = q * (sorted.length - 1)
  const below = sorted[Math.floor(at)]
  return below + (sorted[Math.ceil(at)] - below) * (at - Math.floor(at))
}

export const median = (values: readonly number[]): number => quantile(values, 0.5)

export const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0)

export const mean = (values: readonly number[]): number => sum(values) / values.length

export function summarise(values: readonly number[]): Summary {
  return {
    count: values.length,
    median: median(values),
    low: quantile(values, 0.25),
    high: quantile(values, 0.75),
    min: quantile(values, 0),
    max: quantile(values, 1),
  }
}

/** Distance of the quartiles as a share of the median: how far half of the samples lie apart. */
export const spread = ({ low, median, high }: Summary): number => (high - low) / median

/** Median of a[i] / b[i]: of samples taken side by side, so that a change of the machine's speed meets both. */
export function pairedRatio(a: readonly number[], b: readonly number[]): number {
  if (a.length !== b.length) throw new RangeError(`pairedRatio: ${a.length} samples beside ${b.length}`)
  return median(a.map((value, i) => value / b[i]))
}

/**
 * Mean of rates, weighted by work: all the work over all the time. A plain mean would let a fast small part hide a slow
 * large one.
 */
export function meanRate(parts: readonly { readonly work: number; readonly rate: number }[]): number {
  return sum(parts.map(({ work }) => work)) / sum(parts.map(({ work, rate }) => work / rate))
}

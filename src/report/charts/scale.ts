/** Axes: mapping of values to positions, and marks at round values. Pure; any thread. */

export interface Scale {
  readonly low: number
  readonly high: number
  /** Positions of marks, ascending. */
  readonly ticks: readonly number[]
  /** Maps a value to [0, 1]: `low` to 0, `high` to 1. */
  share(value: number): number
}

/** Rounds off floating-point residue such as that of 0.1 + 0.2. */
const tidy = (value: number): number => Number(value.toPrecision(12))

/** Distance of marks: 1, 2 or 5 times a power of ten, so that `range` has about `parts` of them. */
export function roundStep(range: number, parts: number): number {
  const rough = range / parts
  const power = 10 ** Math.floor(Math.log10(rough))
  return [1, 2, 5, 10].map(factor => factor * power).find(step => step >= rough * (1 - 1e-9))!
}

/** Linear scale from a round value at or below `low` to one at or above `high`; exactly these if `exact`. */
export function linearScale(low: number, high: number, { parts = 5, exact = false } = {}): Scale {
  const range = high > low ? high - low : Math.abs(low) || 1
  const step = roundStep(range, parts)
  const first = exact ? Math.ceil(low / step - 1e-9) : Math.floor(low / step + 1e-9)
  const last = exact ? Math.floor((low + range) / step + 1e-9) : Math.ceil((low + range) / step - 1e-9)
  const ticks = Array.from({ length: last - first + 1 }, (_, i) => tidy((first + i) * step))
  const [from, to] = exact ? [low, low + range] : [ticks[0], ticks[ticks.length - 1]]
  return { low: from, high: to, ticks, share: value => (value - from) / (to - from) }
}

/** Logarithmic scale with marks at 1, 2 and 5 times powers of ten, or at powers alone where these are many; `low` > 0. */
export function logScale(low: number, high: number): Scale {
  const [least, most] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))]
  const factors = most - least <= 2 ? [1, 2, 5] : [1]
  const marks = Array.from({ length: most - least + 1 }, (_, i) =>
    factors.map(factor => tidy(factor * 10 ** (least + i))),
  ).flat()
  const from = marks.findLast(mark => mark <= low * (1 + 1e-9)) ?? low
  const to = marks.find(mark => mark >= high * (1 - 1e-9)) ?? high
  const [a, b] = [Math.log10(from), Math.log10(to > from ? to : 10 * from)]
  const every = Math.max(1, Math.ceil((most - least) / 6))
  const ticks = marks.filter(
    mark => mark >= from * (1 - 1e-9) && mark <= to * (1 + 1e-9) && Math.round(Math.log10(mark) - least) % every === 0,
  )
  return { low: from, high: to, ticks, share: value => (Math.log10(value) - a) / (b - a) }
}

/** Ratio of largest to smallest value above which the scale is logarithmic. */
const SPAN = 30

/** Scale for values that are not negative. */
export function scaleFromZero(values: readonly number[]): Scale {
  const [least, most] = [Math.min(...values), Math.max(...values)]
  if (values.length === 0) return linearScale(0, 1)
  return least > 0 && most / least > SPAN ? logScale(least, most) : linearScale(0, most)
}

/** Scale for shares: up to 1, from a round value below the least. */
export function shareScale(values: readonly number[]): Scale {
  const least = Math.max(0, Math.min(1, ...values))
  const step = roundStep(Math.max(1 - least, 0.01), 5)
  return linearScale(Math.max(0, tidy(Math.floor(least / step + 1e-9) * step)), 1, { exact: true })
}

/** Rounds coordinates to a tenth, which keeps the page small. */
export const place = (value: number): string => String(Math.round(value * 10) / 10)

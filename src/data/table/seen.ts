/** Values of a column in the training rows, for forms that ask for one: nothing is computed from them. Pure; any thread. */
import type { SeenRange } from './encoding.js'

/** Steps that the values of a kind may be multiples of, the largest first: whole numbers; days, minutes and seconds. */
const STEPS = { number: [1], date: [86_400, 60, 1] } as const

/** `rows` have a value each; null without a row. */
export function seenRange(numbers: Float64Array, rows: Uint32Array, kind: keyof typeof STEPS): SeenRange | null {
  if (rows.length === 0) return null
  let min = numbers[rows[0]]
  let max = min
  for (let i = 1; i < rows.length; i++) {
    const value = numbers[rows[i]]
    if (value < min) min = value
    else if (value > max) max = value
  }
  const step = STEPS[kind].find(step => areMultiples(numbers, rows, step)) ?? null
  return { min, max, step }
}

/** A remainder would take five times as long. */
function areMultiples(numbers: Float64Array, rows: Uint32Array, step: number): boolean {
  for (let i = 0; i < rows.length; i++) {
    const quotient = numbers[rows[i]] / step
    if (quotient !== Math.floor(quotient)) return false
  }
  return true
}

/** The most frequent category, the first of several; null without one. */
export function mostFrequent(counts: ReadonlyMap<string, number>, categories: readonly string[]): string | null {
  let best: string | null = null
  for (const name of categories) if (best === null || counts.get(name)! > counts.get(best)!) best = name
  return best
}

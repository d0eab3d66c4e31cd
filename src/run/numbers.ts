/** Conversion of numbers that JSON cannot hold. Pure; any thread. */

/** Number from `metrics.jsonl`: NaN and infinities are stored by name; anything else is NaN. */
export function numberOf(value: unknown): number {
  if (typeof value === 'number') return value
  return value === 'Infinity' ? Number.POSITIVE_INFINITY : value === '-Infinity' ? Number.NEGATIVE_INFINITY : Number.NaN
}

/** Replacer for `JSON.stringify` that stores NaN and infinities by name instead of null. */
export const namedNonFinite = (_key: string, value: unknown): unknown =>
  typeof value === 'number' && !Number.isFinite(value) ? String(value) : value

/** Numbers that JSON cannot hold, and back. Pure; any thread. */

/** A number of `metrics.jsonl`: NaN and infinities stand there by name; whatever is no number is NaN. */
export function numberOf(value: unknown): number {
  if (typeof value === 'number') return value
  return value === 'Infinity' ? Number.POSITIVE_INFINITY : value === '-Infinity' ? Number.NEGATIVE_INFINITY : Number.NaN
}

/** For `JSON.stringify`, which would turn them into null. */
export const namedNonFinite = (_key: string, value: unknown): unknown =>
  typeof value === 'number' && !Number.isFinite(value) ? String(value) : value

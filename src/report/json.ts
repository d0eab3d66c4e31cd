/** A report for programs: all numbers in full, NaN and infinities by name. Pure; any thread. */
import { namedNonFinite } from '../run/numbers.js'
import type { Report } from './report.js'

/** One object on one line. */
export const reportJson = (report: Report): string => `${JSON.stringify(report, plain)}\n`

/** Typed arrays as arrays. */
const plain = (key: string, value: unknown): unknown =>
  value instanceof Uint8Array || value instanceof Float32Array ? [...value] : namedNonFinite(key, value)

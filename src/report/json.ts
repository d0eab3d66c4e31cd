/** A report for programs: numbers in full precision, NaN and infinities by name. Pure; any thread. */
import { namedNonFinite } from '../run/numbers.js'
import type { Report } from './report.js'

/** Serialises a report as one object on one line. */
export const reportJson = (report: Report): string => `${JSON.stringify(report, plain)}\n`

/** Replaces typed arrays by arrays. */
const plain = (key: string, value: unknown): unknown =>
  value instanceof Uint8Array || value instanceof Float32Array ? [...value] : namedNonFinite(key, value)

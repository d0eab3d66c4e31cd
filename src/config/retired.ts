/**
 * Settings that earlier versions had, and wrote with every default into runs and models: left at their defaults they say nothing,
 * so such runs and models are read as before. Pure; any thread.
 */
import { isDeepStrictEqual } from 'node:util'
import { valueAt } from './problems.js'

/** Retired settings by path, with their defaults. */
const RETIRED: readonly (readonly [section: string, key: string, standard: unknown])[] = [
  ['data', 'csv', { delimiter: 'auto', header: true, label: null, features: null }],
]

/** The input without retired settings that have their defaults; others are left, and refused as unknown. */
export function withoutRetired(input: unknown): unknown {
  let found = input
  for (const [section, key, standard] of RETIRED) {
    if (!isDeepStrictEqual(valueAt(found, [section, key]), standard)) continue
    const whole = found as Record<string, Record<string, unknown>>
    const { [key]: _, ...rest } = whole[section]
    found = { ...whole, [section]: rest }
  }
  return found
}

/** Checks whether gradloom's machine code may run here. Any thread. */
import { ConfigError } from '../../errors.js'
import { hasFlags } from '../cpu.js'

/**
 * Variable of the environment: `0` leaves everything to the WASM module and to libraries, `check` tests the arguments of
 * every call (slow); unset or `1`: machine code if the CPU supports it.
 */
export const X64_VARIABLE = 'GRADLOOM_X64'
const MODES = ['', '0', '1', 'check']

function mode(): string {
  const value = process.env[X64_VARIABLE] ?? ''
  if (!MODES.includes(value)) throw new ConfigError(`${X64_VARIABLE} is "${value}", expected 0, 1 or check`)
  return value
}

/** True if the arguments of every call are tested. */
export const isChecking = (): boolean => mode() === 'check'

/** Reason why code with these instructions may not run here; null if it may. `flags`: as /proc/cpuinfo spells them. */
export function obstacle(flags: readonly string[]): string | null {
  if (mode() === '0') return `${X64_VARIABLE}=0`
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    return `this is ${process.platform} on ${process.arch}, machine code runs on linux on x64`
  }
  const missing = flags.filter(flag => !hasFlags([flag]))
  return missing.length > 0 ? `the CPU has no ${missing.join(', ')} (flags in /proc/cpuinfo)` : null
}

export const mayRun = (flags: readonly string[]): boolean => obstacle(flags) === null

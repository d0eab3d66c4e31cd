/** Whether machine code of ours may run here. Any thread. */
import { hasFlags } from '../cpu.js'

/** Set to `0`, leaves everything to the WASM module and to libraries. */
export const X64_VARIABLE = 'GRADLOOM_X64'

/** `flags`: as /proc/cpuinfo spells them. */
export function mayRun(flags: readonly string[]): boolean {
  if (process.platform !== 'linux' || process.arch !== 'x64' || process.env[X64_VARIABLE] === '0') return false
  return hasFlags(flags)
}

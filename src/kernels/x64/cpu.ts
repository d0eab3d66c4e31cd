/** Whether machine code of ours may run here. Any thread. */
import { closeSync, openSync, readSync } from 'node:fs'

/** Set to `0`, leaves everything to the WASM module and to libraries. */
export const X64_VARIABLE = 'GRADLOOM_X64'

/** `flags`: as /proc/cpuinfo spells them. */
export function mayRun(flags: readonly string[]): boolean {
  if (process.platform !== 'linux' || process.arch !== 'x64' || process.env[X64_VARIABLE] === '0') return false
  const has = cpuFlags()
  return flags.every(flag => has.has(flag))
}

/** What Linux says that the first CPU has, and the system lets programs use. */
function cpuFlags(): Set<string> {
  const start = Buffer.alloc(8192)
  try {
    const file = openSync('/proc/cpuinfo', 'r')
    try {
      readSync(file, start)
    } finally {
      closeSync(file)
    }
  } catch {
    return new Set()
  }
  return new Set(/^flags\s*:(.*)$/m.exec(start.toString('latin1'))?.[1].trim().split(/\s+/))
}

/** CPU features, as the operating system lists them. Any thread; reads /proc/cpuinfo once. */
import { closeSync, openSync, readSync } from 'node:fs'

/** Bytes that hold the first CPU's entry, which has all the flags: the whole file has one for each of up to hundreds of CPUs. */
const FIRST_ENTRY_BYTES = 8192

let known: string | undefined

/** Flags of /proc/cpuinfo separated by spaces, such as `avx2 avx512f`; empty if there is no such file. */
export function cpuFlags(): string {
  known ??= /^(?:flags|Features)\s*:(.*)$/m.exec(firstEntry())?.[1].trim() ?? ''
  return known
}

/** True if `flags` has all that are wanted. */
export function hasFlags(wanted: readonly string[], flags = cpuFlags()): boolean {
  const has = new Set(flags.split(/\s+/))
  return wanted.every(flag => has.has(flag))
}

function firstEntry(): string {
  const start = Buffer.alloc(FIRST_ENTRY_BYTES)
  try {
    const file = openSync('/proc/cpuinfo', 'r')
    try {
      return start.toString('latin1', 0, readSync(file, start))
    } finally {
      closeSync(file)
    }
  } catch {
    return '' // not Linux
  }
}

/** Features of the processor, as the system reports them. Any thread; the parsers are pure. */
import { readdirSync, readFileSync } from 'node:fs'

/** Instructions that multiply bf16, by their names in Linux's list of the processor's features. */
const BF16_FLAGS = ['amx_bf16', 'avx512_bf16', 'bf16'] as const

/** Parses the text of /proc/cpuinfo; null where it names no features. */
export function bf16Flags(cpuinfo: string): string[] | null {
  const [, flags] = /^(?:flags|Features)\s*:(.*)$/m.exec(cpuinfo) ?? []
  if (flags === undefined) return null
  const known = new Set(flags.trim().split(/\s+/))
  return BF16_FLAGS.filter(flag => known.has(flag))
}

/** Reason why this machine cannot multiply bf16; null where it can, or where that is unknown. */
export function bf16Missing(): string | null {
  const flags = bf16Flags(readOr('/proc/cpuinfo', ''))
  return flags?.length === 0 ? `this CPU has no bf16 instructions (${BF16_FLAGS.join(', ')})` : null
}

/** Bytes of "32768K"; 0 for what is no size. */
export function cacheBytes(size: string): number {
  const [, count, unit = ''] = /^(\d+)([KMG]?)$/.exec(size.trim()) ?? []
  return count === undefined ? 0 : Number(count) * 1024 ** ['', 'K', 'M', 'G'].indexOf(unit)
}

const USUAL_LAST_LEVEL = 32 * 2 ** 20

/** The largest cache that the first core reaches; 32 MiB where the system does not say. */
export function lastLevelBytes(): number {
  const folder = '/sys/devices/system/cpu/cpu0/cache'
  try {
    const sizes = readdirSync(folder).map(entry => cacheBytes(readOr(`${folder}/${entry}/size`, '')))
    return Math.max(...sizes) || USUAL_LAST_LEVEL
  } catch {
    return USUAL_LAST_LEVEL
  }
}

function readOr(path: string, otherwise: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return otherwise
  }
}

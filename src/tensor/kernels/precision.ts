/** Which numbers matrices are multiplied in, and why. bf16 is never taken unless an experiment allows it. Main thread. */
import { cpus } from 'node:os'
import { ConfigError } from '../../errors.js'
import { cpuFlags } from './native/verdicts.js'

export interface PrecisionChoice {
  readonly precision: 'f32'
  /** Why `auto` does not take bf16; null where nobody asked for it. */
  readonly note: string | null
}

/** As Linux spells them. Either can multiply bf16 in the hardware. */
const BF16_FLAGS = ['amx_bf16', 'avx512_bf16']

export interface PrecisionWish {
  readonly precision: 'f32' | 'bf16' | 'auto'
  readonly backend: string
}

/** Throws ConfigError where bf16 is asked for and cannot be. `flags` are those of /proc/cpuinfo. */
export function choosePrecision({ precision, backend }: PrecisionWish, flags: string = cpuFlags()): PrecisionChoice {
  if (precision === 'f32') return { precision, note: null }
  const obstacle = obstacleToBf16(backend, flags)
  if (precision === 'auto') return { precision: 'f32', note: `f32, not bf16: ${obstacle}` }
  throw new ConfigError(`compute.precision is 'bf16', which does not work here: ${obstacle}`, {
    hint: 'compute.precision "auto" takes f32 where bf16 does not work',
  })
}

function obstacleToBf16(backend: string, flags: string): string {
  if (backend !== 'onednn' && backend !== 'auto') return `compute.backend is '${backend}', expected "onednn" or "auto"`
  const has = new Set(flags.split(' '))
  if (!BF16_FLAGS.some(flag => has.has(flag))) {
    const cpu = `the CPU (${cpus()[0]?.model.trim() || 'unknown'})`
    if (flags === '') return `${cpu} does not say whether it has ${BF16_FLAGS.join(' or ')}; only Linux is asked`
    return `${cpu} has neither ${BF16_FLAGS.join(' nor ')}`
  }
  return `the CPU has ${BF16_FLAGS.filter(flag => has.has(flag)).join(' and ')}, but this version has no bf16 kernels`
}

/**
 * Chooses backend and precision of a run. bf16 is never chosen unless an experiment
 * allows it. Main thread, before any worker starts.
 */
import { cpus } from 'node:os'
import { ConfigError } from '../errors.js'
import type { Precision } from './backend.js'
import { type CpuKind, type NetworkKind, reportBackend } from './backends.js'
import { type BackendChoice, type BackendWish, chooseBackend } from './choose.js'
import { cpuFlags, hasFlags } from './cpu.js'
import { BF16_VARIABLE, EMULATED_BF16 } from './native/emulated-bf16.js'
import type { NativeLibrary } from './products.js'

export interface ComputeChoice extends BackendChoice {
  readonly precision: Precision
}

export interface ComputeWish extends BackendWish {
  readonly precision: Precision | 'auto'
  readonly allReduce: 'fused' | 'buffers'
}

/** CPU flags, as Linux spells them, of which either is enough to multiply bf16 in the hardware. */
const BF16_FLAGS = ['amx_bf16', 'avx512_bf16']

interface Options {
  readonly cpu?: CpuKind
  readonly env?: NodeJS.ProcessEnv
}

/** Chooses both. Throws ConfigError if what is asked for does not work here. */
export async function chooseCompute(
  wish: ComputeWish,
  network?: NetworkKind,
  { cpu = { arch: process.arch, flags: cpuFlags() }, env = process.env }: Options = {},
): Promise<ComputeChoice> {
  const { precision } = wish
  if (precision === 'f32') return { ...(await chooseBackend(wish, network, cpu)), precision }
  const found = await findBf16(wish, cpu.flags, env[BF16_VARIABLE] === 'emulate')
  if ('library' in found) {
    const choice = await chooseBackend({ ...wish, backend: 'onednn' }, network, cpu)
    const { library } = found
    return { ...choice, library, reason: `${choice.reason}; bf16 by ${kernelOf(library)}`, precision: 'bf16' }
  }
  if (precision === 'auto') {
    const choice = await chooseBackend(wish, network, cpu)
    return { ...choice, reason: `${choice.reason}; f32, not bf16: ${found.obstacle}`, precision: 'f32' }
  }
  throw new ConfigError(`compute.precision is 'bf16', which does not work here: ${found.obstacle}`, {
    hint: 'compute.precision "auto" takes f32 where bf16 does not work',
  })
}

const kernelOf = ({ bf16 }: NativeLibrary): string => ('kernel' in bf16 ? bf16.kernel : bf16.obstacle)

type Found = { readonly library: NativeLibrary } | { readonly obstacle: string }

async function findBf16(
  { backend, library: named, allReduce }: ComputeWish,
  flags: string,
  emulate: boolean,
): Promise<Found> {
  if (backend !== 'onednn' && backend !== 'auto') {
    return { obstacle: `compute.backend is '${backend}', expected "onednn" or "auto"` }
  }
  if (allReduce !== 'fused') return { obstacle: `compute.allReduce is '${allReduce}', expected "fused"` }
  const missing = emulate ? null : missingFlags(flags)
  if (missing !== null) return { obstacle: missing }
  const { library, reason } = await reportBackend('onednn', { library: named })
  if (!library) return { obstacle: `oneDNN does not work here: ${reason}` }
  if (emulate) return { library: { ...library, bf16: { kernel: EMULATED_BF16 } } }
  return 'kernel' in library.bf16 ? { library } : library.bf16
}

function missingFlags(flags: string): string | null {
  // Let oneDNN decide if the system does not list flags.
  if (flags === '' || BF16_FLAGS.some(flag => hasFlags([flag], flags))) return null
  const cpu = `the CPU (${cpus()[0]?.model.trim() || 'unknown'})`
  return `${cpu} has neither ${BF16_FLAGS.join(' nor ')}`
}

/**
 * Chooses backend and precision of a run. bf16 is never chosen unless an experiment
 * allows it. Main thread, before any worker starts.
 */
import { cpus } from 'node:os'
import { ConfigError } from '../errors.js'
import type { Backend, Precision } from './backend.js'
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
  if (network?.convolutions && precision !== 'f32') {
    if (precision === 'bf16') {
      throw new ConfigError("compute.precision is 'bf16', expected 'f32' or 'auto' with model.convolutions", {
        hint: 'convolutions are computed in f32',
      })
    }
    const choice = await chooseBackend(wish, network, cpu)
    return { ...choice, reason: `${choice.reason}; f32, not bf16: convolutions are computed in f32`, precision: 'f32' }
  }
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

/** A backend in a precision. */
export interface ComputePair {
  readonly backend: Backend['name']
  readonly precision: Precision
  readonly library: NativeLibrary | null
}

/** Backends that a trial compares; `reference` is never the fastest. */
const COMPARED = ['onednn', 'blas', 'wasm'] as const

/**
 * Pairs that `auto` may take here, in no order of preference: backends that work and are not known to be slow, in bf16 only where
 * the experiment allows it. Empty where the experiment names both, or nothing works.
 */
export async function admissiblePairs(wish: ComputeWish, options: Options = {}): Promise<readonly ComputePair[]> {
  const { backend, precision, library: named } = wish
  if (backend !== 'auto' && precision !== 'auto') return []
  const { cpu = { flags: cpuFlags() }, env = process.env } = options
  const names = precision === 'bf16' ? [] : backend === 'auto' ? COMPARED : [backend]
  const reports = await Promise.all(names.map(name => reportBackend(name, { library: named })))
  const inF32 = reports.filter(
    ({ available, slow, library }) => available && (named === null ? slow === null : library !== null),
  )
  const found = precision === 'f32' ? null : await findBf16(wish, cpu.flags, env[BF16_VARIABLE] === 'emulate')
  return [
    ...inF32.map(({ name, library }): ComputePair => ({ backend: name, precision: 'f32', library })),
    ...(found && 'library' in found ? [{ backend: 'onednn', precision: 'bf16', library: found.library } as const] : []),
  ]
}

/** Name of a pair for people: `onednn bf16`; the precision is left out where it is f32. */
export const pairName = ({ backend, precision }: Pick<ComputePair, 'backend' | 'precision'>): string =>
  precision === 'f32' ? backend : `${backend} ${precision}`

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

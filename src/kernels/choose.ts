/**
 * Chooses the backend of a run, with the reason and with advice to make it faster; choose-compute.ts calls it, and adds the
 * precision. Main thread, before any worker starts.
 */
import { ConfigError } from '../errors.js'
import type { Backend, Precision } from './backend.js'
import { autoOrder, type BackendReport, type CpuKind, type NetworkKind, reportBackend } from './backends.js'
import { cpuFlags } from './cpu.js'
import { installAdvice } from './native/advice.js'
import type { NativeLibrary } from './products.js'

export interface BackendChoice {
  readonly name: Backend['name']
  readonly library: NativeLibrary | null
  readonly reason: string
  /** Advice that would make a run faster here; null if there is none. */
  readonly advice: string | null
}

export interface BackendWish {
  readonly backend: 'auto' | Backend['name']
  /** A file, or a name for the dynamic linker; null: the usual ones. */
  readonly library: string | null
}

/** Chooses for the given network, or for the reference network. Throws ConfigError if what is asked for does not work here. */
export async function chooseBackend(
  { backend, library }: BackendWish,
  network: NetworkKind = { weights: Number.POSITIVE_INFINITY, zeros: true },
  cpu: CpuKind = { arch: process.arch, flags: cpuFlags() },
): Promise<BackendChoice> {
  if (backend !== 'auto') {
    const report = await reportBackend(backend, { library })
    if (!report.available) {
      const doctor = library === null ? 'npx gradloom doctor reports what works' : undefined
      throw new ConfigError(`compute.backend is '${backend}', which does not work here: ${report.reason}`, {
        hint: installAdvice(backend) ?? doctor,
      })
    }
    return choice(report, 'the experiment asks for it', null)
  }
  const passed: BackendReport[] = []
  for (const name of autoOrder(network, cpu)) {
    const report = await reportBackend(name, { library })
    if (report.available && (report.slow === null || library !== null)) {
      if (report.library) return choice(report, 'the fastest that works here', null)
      if (library === null && name === 'wasm' && passed.length === 0) return choice(report, WASM_REASON, null)
      if (library === null) return choice(report, report.reason, adviceFor(passed))
    }
    passed.push(report)
  }
  // A library that the user named must be used, or nothing.
  const reasons = passed.filter(({ named }) => named !== null).map(({ name, reason }) => `as ${name}: ${reason}`)
  throw new ConfigError(`compute.library is '${library}', which does not work here: ${reasons.join('; ')}`)
}

const WASM_REASON = 'as fast as a native library on this CPU for this network; same bits on every CPU'

function choice({ name, library }: BackendReport, why: string, advice: string | null): BackendChoice {
  return { name, library, reason: library ? `${titleOf(library)}: ${why}` : why, advice }
}

/** Title of a library for people and checkpoints: everything that decides the bits of its products on one kind of CPU. */
export function titleOf({ name, version, detail, bf16 }: NativeLibrary, precision: Precision = 'f32'): string {
  const rounded = precision === 'bf16' && 'kernel' in bf16 ? `; bf16 ${bf16.kernel}` : ''
  return `${name} ${version} (${detail}${rounded})`
}

/** Precision of the run that has a title of its library from `titleOf`; null: it had none. */
export const precisionOfTitle = (title: string | null): Precision => (title?.includes('; bf16 ') ? 'bf16' : 'f32')

/** Advice about what a user can change: a named library that was refused, one that is slow, one that is missing. */
function adviceFor(passed: readonly BackendReport[]): string | null {
  const named = passed.find(report => report.named !== null && !report.available)
  if (named) return `${named.named} is not used: ${named.reason}`
  const native = passed.filter(({ name }) => name === 'onednn' || name === 'blas')
  if (native.length === 0) return null
  const slow = native.find(report => report.slow !== null)
  const koffi = native.find(({ reason }) => reason.startsWith('koffi'))
  if (koffi) return `faster with a native library: npm install koffi (${koffi.reason})`
  const install = installAdvice('onednn') ?? installAdvice('blas')
  const passedOver = slow ? `${slow.name} is passed over: ${slow.slow}` : null
  return [install && `faster with a native library: ${install}`, passedOver].filter(Boolean).join('; ') || null
}

/** Everything that the bits of a run's weights depend on besides its experiment and its data, for the manifest. */
export function bitsDependOn(name: Backend['name'], allReduce: 'fused' | 'buffers'): string {
  const on: Readonly<Record<Backend['name'], string>> = {
    wasm: "gradloom's version alone: the same on every machine",
    reference: "gradloom's and Node.js's versions",
    blas: "gradloom's version, the library, its version and settings, and the kind of CPU",
    onednn: "gradloom's version, the library, its version and settings, and the kind of CPU",
  }
  return allReduce === 'buffers' ? `the number of workers, and ${on[name]}` : on[name]
}

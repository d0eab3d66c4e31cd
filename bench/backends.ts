/** Backends that a benchmark measures, by name, and the reason for those it leaves out. Any thread. */
import { RunError } from '../src/errors.js'
import type { Precision } from '../src/kernels/backend.js'
import { listBackends } from '../src/kernels/backends.js'
import { BF16_VARIABLE, EMULATED_BF16 } from '../src/kernels/native/emulated-bf16.js'
import type { NativeLibrary } from '../src/kernels/products.js'

export const BACKENDS = ['wasm', 'blas', 'onednn', 'reference'] as const
export type BackendName = (typeof BACKENDS)[number]
export const BACKEND_CHOICES = ['auto', ...BACKENDS] as const
export type BackendChoice = (typeof BACKEND_CHOICES)[number]

export interface BenchBackend {
  readonly name: BackendName
  /** Reason and library of a backend that works. */
  readonly reason: string
  /** Library of a native backend. */
  readonly library: NativeLibrary | null
}

interface Known {
  readonly name: string
  readonly available: boolean
  readonly reason: string
  readonly library?: NativeLibrary | null | undefined
}

/**
 * The wanted backends that work here, and why the others do not. [] wants all but `reference`, which would take
 * minutes for a step. Throws RunError where none is left.
 */
export async function chooseBackends(
  wanted: readonly BackendName[],
): Promise<{ backends: BenchBackend[]; skipped: string[] }> {
  const known: readonly Known[] = await listBackends()
  const names = wanted.length > 0 ? wanted : BACKENDS.filter(name => name !== 'reference')
  const backends: BenchBackend[] = []
  const skipped: string[] = []
  for (const name of names) {
    const found = known.find(backend => backend.name === name)
    if (!found?.available) skipped.push(`backend ${name}: ${found?.reason ?? 'this build has none'}`)
    else backends.push({ name, reason: found.reason, library: found.library ?? null })
  }
  if (backends.length === 0) throw new RunError(`no backend to measure: ${skipped.join('; ')}`)
  return { backends, skipped }
}

/** A backend in one precision: the rows of a benchmark. */
export interface Variant extends BenchBackend {
  readonly precision: Precision
  /** The backend's name, with the precision where that is not f32. */
  readonly label: string
}

/** Each backend in f32, and in bf16 where it works here; reasons of the others are added to `skipped`. */
export function variantsOf(backends: readonly BenchBackend[], skipped: string[]): Variant[] {
  return backends.flatMap((backend): Variant[] => {
    const { name, library } = backend
    const f32: Variant = { ...backend, precision: 'f32', label: name }
    if (name !== 'onednn' || !library) return [f32]
    const emulated = process.env[BF16_VARIABLE] === 'emulate'
    const bf16 = emulated ? { kernel: EMULATED_BF16 } : library.bf16
    if ('obstacle' in bf16) {
      skipped.push(`${name} in bf16: ${bf16.obstacle}`)
      return [f32]
    }
    return [f32, { ...backend, library: { ...library, bf16 }, precision: 'bf16', label: `${name} bf16` }]
  })
}

/** Describes each backend for a page. */
export const backendLine = ({ name, reason, library }: BenchBackend): string =>
  library ? `${name}: ${library.name} ${library.version} (${library.detail})` : `${name}: ${reason}`

export const variantLine = (variant: Variant): string => {
  const { precision, library } = variant
  const bf16 = precision === 'bf16' && library && 'kernel' in library.bf16 ? `; bf16 by ${library.bf16.kernel}` : ''
  return `${variant.label}: ${backendLine(variant).replace(/^[^:]+: /, '')}${bf16}`
}

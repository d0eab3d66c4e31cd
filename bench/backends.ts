/** Which backends a benchmark takes, by name, and why it leaves one out. Any thread. */
import { RunError } from '../src/errors.js'
import { listBackends } from '../src/tensor/kernels/backends.js'
import type { NativeLibrary } from '../src/tensor/kernels/native/gemm.js'

export const BACKENDS = ['wasm', 'blas', 'onednn', 'reference'] as const
export type BackendName = (typeof BACKENDS)[number]
export const BACKEND_CHOICES = ['auto', ...BACKENDS] as const
export type BackendChoice = (typeof BACKEND_CHOICES)[number]

export interface BenchBackend {
  readonly name: BackendName
  /** Why it works, and with what. */
  readonly reason: string
  /** Of a native backend. */
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

/** What a page says of each backend. */
export const backendLine = ({ name, reason, library }: BenchBackend): string =>
  library ? `${name}: ${library.name} ${library.version} (${library.detail})` : `${name}: ${reason}`

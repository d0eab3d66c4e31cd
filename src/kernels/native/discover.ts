/**
 * Finds the library of a native backend: the one that the user named, or the first that works of those that systems usually
 * have. Main thread.
 */
import { realpath, stat } from 'node:fs/promises'
import { isAbsolute, resolve } from 'node:path'
import { loadKoffi } from '../../ffi/koffi.js'
import type { Bf16Support, NativeLibrary } from '../products.js'
import { bf16SparseTitle } from '../x64/bf16-sparse.js'
import { sparseTitle } from '../x64/sparse-products.js'
import { CORE_TYPE_VARIABLE } from './core-type.js'
import type { ProbeResult } from './probe.js'
import { knownOrProbed } from './probe-cache.js'

type NativeBackendName = NativeLibrary['backend']

/** Result of the search for one backend. */
export interface Finding {
  /** null: none works, and `reason` is why. */
  readonly library: NativeLibrary | null
  readonly reason: string
  /** Reason why `auto` passes over it all the same. */
  readonly slow: string | null
  /** Setting or variable that named it, if any; then no other is tried. */
  readonly named: string | null
}

/** Environment variables that set `compute.library` for every run. */
export const LIBRARY_VARIABLES: Readonly<Record<NativeBackendName, string>> = {
  blas: 'GRADLOOM_BLAS',
  onednn: 'GRADLOOM_ONEDNN',
}

/** Names for the dynamic linker, and files. oneDNN 3 is among them so that the message can say why it cannot be used. */
const USUAL: Readonly<Record<NativeBackendName, Readonly<Partial<Record<NodeJS.Platform, readonly string[]>>>>> = {
  blas: {
    linux: [
      ...['libopenblas.so.0', 'libopenblas.so'],
      ...['libmkl_rt.so.2', 'libmkl_rt.so.1', 'libmkl_rt.so'],
      ...['libblis.so.4', 'libblis.so.3', 'libblis.so'],
    ],
    darwin: [
      '/System/Library/Frameworks/Accelerate.framework/Accelerate',
      '/opt/homebrew/opt/openblas/lib/libopenblas.dylib',
      '/usr/local/opt/openblas/lib/libopenblas.dylib',
    ],
    win32: ['libopenblas.dll', 'openblas.dll', 'mkl_rt.2.dll', 'mkl_rt.1.dll', 'mkl_rt.dll'],
  },
  onednn: {
    linux: ['libdnnl.so.2', 'libdnnl.so', 'libdnnl.so.3'],
    darwin: ['libdnnl.2.dylib', '/opt/homebrew/lib/libdnnl.2.dylib', '/usr/local/lib/libdnnl.2.dylib'],
    win32: ['dnnl.dll'],
  },
}

export interface DiscoverOptions {
  /** `compute.library`: an absolute path, or a name for the dynamic linker. */
  readonly library?: string | null
  readonly env?: NodeJS.ProcessEnv
  /** Used by tests. */
  readonly limitMs?: number
}

/** Finds a library. Never rejects: any problem is the reason. */
export async function findLibrary(backend: NativeBackendName, options: DiscoverOptions = {}): Promise<Finding> {
  const { library: asked = null, env = process.env, limitMs } = options
  const variable = LIBRARY_VARIABLES[backend]
  const fromEnvironment = env[variable]
  let named: string | null = null
  if (asked !== null) named = `compute.library ${asked}`
  else if (fromEnvironment) named = `${variable}=${fromEnvironment}`
  const nothing = (reason: string): Finding => ({ library: null, reason, slow: null, named })
  try {
    await loadKoffi()
    const wanted = asked ?? (fromEnvironment ? libraryPath(fromEnvironment, '.') : null)
    const candidates = wanted === null ? (USUAL[backend][process.platform] ?? []) : [wanted]
    if (candidates.length === 0) return nothing(`gradloom knows no library of this kind on ${process.platform}`)

    const absent: ProbeResult[] = []
    const present: string[] = []
    for (const library of candidates) {
      const reason = isAbsolute(library) && !isOfTheSystem(library) ? await noFile(library) : null
      if (reason === null) present.push(library)
      else absent.push({ library, file: null, outcome: { is: 'not loaded', reason } })
    }
    const results = present.length > 0 ? await knownOrProbed(backend, present, limitMs) : []
    const last = results.at(-1)
    if (last?.outcome.is !== 'accepted') return nothing(refusal(candidates, [...results, ...absent], wanted !== null))
    const { facts, coreType, slow, speed } = last.outcome
    const path = last.file === null ? last.library : await realpath(last.file).catch(() => last.library)
    const { name, version, bf16 } = facts
    const kernel =
      coreType === null ? facts.detail : `${facts.detail}, by ${CORE_TYPE_VARIABLE}: it does not know this CPU`
    const detail = [kernel, await sparseTitle()].filter(Boolean).join('; ')
    return {
      library: { backend, path, name, version, detail, bf16: await withoutZeros(bf16), coreType },
      reason: `${name} ${version} (${detail}), ${Math.round(speed.gflops)} GFLOP/s a core when it was tried out`,
      slow,
      named,
    }
  } catch (error) {
    return nothing((error as Error).message)
  }
}

/** Name of the bf16 kernel, with a note if products also skip zeros. */
async function withoutZeros(bf16: Bf16Support): Promise<Bf16Support> {
  const title = 'kernel' in bf16 ? await bf16SparseTitle() : null
  return 'kernel' in bf16 && title ? { kernel: `${bf16.kernel}, ${title}` } : bf16
}

/** A name with a slash is a file, relative to `baseDir`; anything else is a name for the dynamic linker. */
export function libraryPath(library: string, baseDir: string): string {
  return /[/\\]/.test(library) ? resolve(baseDir, library) : library
}

/** True for files in the linker's cache, which are not on the disk. */
const isOfTheSystem = (path: string): boolean => path.startsWith('/System/')

async function noFile(path: string): Promise<string | null> {
  try {
    const found = await stat(path)
    if (!found.isFile()) return 'is not a file'
    return found.size === 0 ? 'is an empty file' : null
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'there is no such file' : (error as Error).message
  }
}

/** Reasons of libraries that were found and refused; a missing one is reported only if the user named it. */
function refusal(candidates: readonly string[], results: readonly ProbeResult[], named: boolean): string {
  const reasons = results.flatMap(({ library, outcome }) => {
    if (outcome.is === 'accepted') return []
    const missing =
      outcome.is === 'not loaded' && /no such file|cannot open shared object|not be found/i.test(outcome.reason)
    return missing && !named ? [] : [`${library}: ${outcome.reason}`]
  })
  return reasons.length > 0 ? reasons.join('; ') : `no library found; looked for ${candidates.join(', ')}`
}

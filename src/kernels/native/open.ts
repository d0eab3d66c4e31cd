/**
 * Opens a library that has passed its probe, in the calling thread. A handle is never closed: threads that a library
 * starts would return into code that is no longer there.
 *
 * A worker's `process.env` is a copy that no library sees, so the coordinator opens the library first: then the
 * variables that keep it from starting threads hold while it is loaded, and are put back before any child is started.
 */

import { isMainThread } from 'node:worker_threads'
import { type Koffi, type LibraryHandle, loadKoffi } from '../../ffi/koffi.js'
import type { BindBf16, NativeGemm, NativeLibrary } from '../products.js'
import { openBlas } from './blas.js'
import { CORE_TYPE_VARIABLE, isCoreType, withCoreType } from './core-type.js'
import { type Opener, type OpenLibrary, UnfitLibrary } from './library.js'
import { openOneDnn } from './onednn.js'

const OPENERS: Readonly<Record<NativeLibrary['backend'], Opener>> = { blas: openBlas, onednn: openOneDnn }

/** Environment that libraries, or their OpenMP, read when they are loaded: gradloom's own workers are the only threads. */
export const SINGLE_THREADED: Readonly<Record<string, string>> = {
  OMP_NUM_THREADS: '1',
  OPENBLAS_NUM_THREADS: '1',
  MKL_NUM_THREADS: '1',
  BLIS_NUM_THREADS: '1',
  VECLIB_MAXIMUM_THREADS: '1',
}

const handles = new Map<string, LibraryHandle>()
const opened = new Map<string, OpenLibrary>()

/** Opens a library. Throws UnfitLibrary if it cannot be used, and koffi's error if it cannot be loaded. */
export async function openLibrary(
  backend: NativeLibrary['backend'],
  path: string,
  coreType: string | null = null,
): Promise<OpenLibrary> {
  const key = `${backend} ${path}`
  const known = opened.get(key)
  if (known) return known
  const koffi = await loadKoffi()
  const library = OPENERS[backend](koffi, load(koffi, path, coreType))
  if (coreType !== null && !isCoreType(library, coreType)) {
    throw new UnfitLibrary(`runs its kernel ${library.detail}, expected ${coreType}: this process has loaded it before`)
  }
  opened.set(key, library)
  return library
}

/** Products of a library that has passed its probe. */
export async function openNative({
  backend,
  path,
  coreType,
}: Pick<NativeLibrary, 'backend' | 'path' | 'coreType'>): Promise<{
  readonly gemm: NativeGemm
  readonly bf16: BindBf16 | null
}> {
  try {
    const { gemm, bf16 } = await openLibrary(backend, path, coreType ?? null)
    return { gemm, bf16: 'bind' in bf16 ? bf16.bind : null }
  } catch (cause) {
    throw new Error(`${path}: ${(cause as Error).message}`, { cause })
  }
}

function load(koffi: Koffi, path: string, coreType: string | null): LibraryHandle {
  const known = handles.get(path)
  if (known) return known
  const variables = { ...SINGLE_THREADED, ...withCoreType(coreType) }
  const before = Object.keys(variables).map(name => [name, process.env[name]] as const)
  Object.assign(process.env, variables)
  // In a worker that opens the library before the main thread has, as those of a server do.
  const restore = coreType !== null && !isMainThread ? setForProcess(koffi, CORE_TYPE_VARIABLE, coreType) : null
  try {
    const handle = koffi.load(path)
    handles.set(path, handle)
    return handle
  } finally {
    restore?.()
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
  }
}

/** Sets a variable in the environment of the process, which a worker's `process.env` does not change. Returns what unsets it. */
function setForProcess(koffi: Koffi, name: string, value: string): () => void {
  const libc = koffi.load(null)
  libc.func('int setenv(const char* name, const char* value, int overwrite)')(name, value, 1)
  return () => void libc.func('int unsetenv(const char* name)')(name)
}

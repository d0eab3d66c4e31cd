/**
 * Opens a library that has passed its probe, in the calling thread. A handle is never closed: threads that a library
 * starts would return into code that is no longer there.
 *
 * A worker's `process.env` is a copy that no library sees, so the coordinator opens the library first: then the
 * variables that keep it from starting threads hold while it is loaded, and are put back before any child is started.
 */

import { type Koffi, type LibraryHandle, loadKoffi } from '../../ffi/koffi.js'
import type { BindBf16, NativeGemm, NativeLibrary } from '../products.js'
import { openBlas } from './blas.js'
import type { Opener, OpenLibrary } from './library.js'
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
export async function openLibrary(backend: NativeLibrary['backend'], path: string): Promise<OpenLibrary> {
  const key = `${backend} ${path}`
  const known = opened.get(key)
  if (known) return known
  const koffi = await loadKoffi()
  const library = OPENERS[backend](koffi, load(koffi, path))
  opened.set(key, library)
  return library
}

/** Products of a library that has passed its probe. */
export async function openNative({
  backend,
  path,
}: Pick<NativeLibrary, 'backend' | 'path'>): Promise<{ readonly gemm: NativeGemm; readonly bf16: BindBf16 | null }> {
  try {
    const { gemm, bf16 } = await openLibrary(backend, path)
    return { gemm, bf16: 'bind' in bf16 ? bf16.bind : null }
  } catch (cause) {
    throw new Error(`${path}: ${(cause as Error).message}`, { cause })
  }
}

function load(koffi: Koffi, path: string): LibraryHandle {
  const known = handles.get(path)
  if (known) return known
  const before = Object.keys(SINGLE_THREADED).map(name => [name, process.env[name]] as const)
  Object.assign(process.env, SINGLE_THREADED)
  try {
    const handle = koffi.load(path)
    handles.set(path, handle)
    return handle
  } finally {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
  }
}

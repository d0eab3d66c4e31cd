/** The native backends of this machine, for tests: where a library is missing they are skipped, but never in CI. */
import type { Backend, KernelContext } from '../../src/kernels/backend.js'
import { reportBackend } from '../../src/kernels/backends.js'
import { nativeBackend } from '../../src/kernels/native/f32.js'
import { openProducts } from '../../src/kernels/native/open-products.js'
import type { NativeLibrary } from '../../src/kernels/products.js'

export interface NativeCandidate {
  readonly backend: Backend
  readonly library: NativeLibrary | null
  /** For tap's `skip`: the reason, or false. In CI a missing library is a failure instead. */
  readonly skip: string | false
  /** The library's products over a memory. */
  open(memory: WebAssembly.Memory): Promise<KernelContext['native']>
}

export async function nativeCandidates(): Promise<NativeCandidate[]> {
  const names = ['blas', 'onednn'] as const
  return Promise.all(
    names.map(async (name): Promise<NativeCandidate> => {
      const { library, reason } = await reportBackend(name)
      if (!library && process.env.CI)
        throw new Error(`${name}: ${reason}; CI installs libopenblas0-pthread and libdnnl2`)
      return {
        backend: nativeBackend(name),
        library,
        skip: library ? false : `${name}: ${reason}`,
        open: async memory => library && openProducts(library, 'f32', memory),
      }
    }),
  )
}

/**
 * Products through `cblas_sgemm`, which OpenBLAS, MKL, BLIS, Accelerate and others have, with 32-bit integers. Any thread; each library
 * is set to compute in the calling thread alone.
 */

import { type Koffi, type LibraryHandle, optional } from '../../ffi/koffi.js'
import type { NativeGemm } from '../products.js'
import { type OpenLibrary, UnfitLibrary } from './library.js'

const ROW_MAJOR = 101
const PLAIN = 111
const TRANSPOSED = 112

const SGEMM =
  'void cblas_sgemm(int order, int transA, int transB, int m, int n, int k, float alpha, ' +
  'uintptr_t a, int lda, uintptr_t b, int ldb, float beta, uintptr_t c, int ldc)'

export function openBlas(_koffi: Koffi, handle: LibraryHandle): OpenLibrary {
  // Call this before any other function of MKL, which afterwards ignores it.
  const vendor = mkl(handle) ?? openblas(handle) ?? blis(handle) ?? accelerate(handle) ?? unknown
  const sgemm = optional<(...args: number[]) => void>(handle, SGEMM)
  if (!sgemm) {
    const wide = ['cblas_sgemm64_', 'cblas_sgemm_64'].find(name => optional(handle, `void ${name}()`))
    throw new UnfitLibrary(wide ? `has ${wide} alone, ${ILP64}` : 'has no cblas_sgemm')
  }
  const gemm: NativeGemm = {
    bind({ form, m, n, k, lda, ldb, ldc, accumulate }) {
      const transA = form === 'tn' ? TRANSPOSED : PLAIN
      const transB = form === 'nt' ? TRANSPOSED : PLAIN
      const beta = accumulate ? 1 : 0
      return (a, b, c) => sgemm(ROW_MAJOR, transA, transB, m, n, k, 1, a, lda, b, ldb, beta, c, ldc)
    },
  }
  return { ...vendor, gemm, bf16: { obstacle: 'CBLAS has no products in bf16' }, landmark: 'cblas_sgemm', slow: null }
}

type Vendor = Pick<OpenLibrary, 'name' | 'version' | 'detail'>

const ILP64 = 'expected 32-bit integers (LP64); this build has 64-bit ones (ILP64)'
const unknown: Vendor = { name: 'CBLAS', version: 'unknown', detail: 'unknown' }

type Text = () => string
type Setter = (value: number) => unknown

function openblas(handle: LibraryHandle): Vendor | null {
  const config = optional<Text>(handle, 'const char* openblas_get_config()')?.()
  if (config === undefined) {
    if (optional(handle, 'const char* openblas_get_config64_()')) throw new UnfitLibrary(`is an OpenBLAS, ${ILP64}`)
    return null
  }
  if (config.includes('USE64BITINT')) throw new UnfitLibrary(`says "${config}", ${ILP64}`)
  optional<Setter>(handle, 'void openblas_set_num_threads(int n)')?.(1)
  const core = optional<Text>(handle, 'const char* openblas_get_corename()')?.()
  return { name: 'OpenBLAS', version: /OpenBLAS (\S+)/.exec(config)?.[1] ?? 'unknown', detail: core ?? 'unknown' }
}

const MKL_INTERFACE_LP64 = 0
const MKL_THREADING_SEQUENTIAL = 1
const MKL_TEXT_BYTES = 200

function mkl(handle: LibraryHandle): Vendor | null {
  const threads = optional<Setter>(handle, 'void MKL_Set_Num_Threads(int n)')
  if (!threads) return null
  optional<Setter>(handle, 'int MKL_Set_Interface_Layer(int code)')?.(MKL_INTERFACE_LP64)
  optional<Setter>(handle, 'int MKL_Set_Threading_Layer(int code)')?.(MKL_THREADING_SEQUENTIAL)
  threads(1)
  const text = Buffer.alloc(MKL_TEXT_BYTES)
  optional<(text: Buffer, bytes: number) => void>(handle, 'void MKL_Get_Version_String(void* text, int bytes)')?.(
    text,
    text.length,
  )
  // The text is like "Intel(R) oneAPI Math Kernel Library Version 2023.2-Product Build 20230613 for Intel(R) 64 ... applications".
  const said = text.toString('latin1').replace(/[\0\s]+$/, '')
  return { name: 'MKL', version: /Version (\S+?)[-\s]/.exec(said)?.[1] ?? 'unknown', detail: 'sequential' }
}

function blis(handle: LibraryHandle): Vendor | null {
  const version = optional<Text>(handle, 'const char* bli_info_get_version_str()')?.()
  if (version === undefined) return null
  const bits = optional<() => number>(handle, 'int64_t bli_info_get_blas_int_type_size()')?.()
  if (Number(bits) === 64) throw new UnfitLibrary(`is a BLIS, ${ILP64}`)
  optional<Setter>(handle, 'void bli_thread_set_num_threads(int64_t n)')?.(1)
  const id = optional<() => number>(handle, 'int bli_arch_query_id()')?.()
  const name = optional<(id: number) => string>(handle, 'const char* bli_arch_string(int id)')
  return { name: 'BLIS', version, detail: (id !== undefined && name?.(id)) || 'unknown' }
}

const BLAS_THREADING_SINGLE_THREADED = 1

/** Accelerate of Apple, which reports no version; the system's decides. Before macOS 15 VECLIB_MAXIMUM_THREADS alone limits threads. */
function accelerate(handle: LibraryHandle): Vendor | null {
  if (process.platform !== 'darwin' || !optional(handle, 'void vDSP_vadd()')) return null
  optional<Setter>(handle, 'int BLASSetThreading(uint32_t mode)')?.(BLAS_THREADING_SINGLE_THREADED)
  return { name: 'Accelerate', version: 'of the system', detail: process.arch }
}

/** The backends there are, by name, and which of them work on this machine. */
import type { Backend } from './backend.js'
import type { DiscoverOptions } from './native/discover.js'
import type { NativeLibrary } from './native/gemm.js'

/** Loads one backend, and only that: a worker should not carry the code of the others. Any thread. */
export async function loadBackend(name: Backend['name']): Promise<Backend> {
  switch (name) {
    case 'wasm':
      return (await import('./wasm/index.js')).wasm
    case 'reference':
      return (await import('./reference/index.js')).reference
    case 'blas':
    case 'onednn':
      return (await import('./native/kernels.js')).nativeBackend(name)
    default:
      return name satisfies never
  }
}

export interface BackendReport {
  readonly name: Backend['name']
  readonly available: boolean
  readonly reason: string
  /** Of a native backend that works. */
  readonly library: NativeLibrary | null
  /** Why `auto` passes over it although it works; else null. */
  readonly slow: string | null
  /** The setting or variable that named its library; null where the usual ones were tried. */
  readonly named: string | null
}

/**
 * (module (memory 1 1 shared) (func (drop (f32x4.add (v128.const i32x4 0 0 0 0) (v128.const i32x4 0 0 0 0)))))
 * Validates only where WASM has SIMD and threads.
 */
const PROBE = new Uint8Array([
  ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
  ...[0x01, 0x04, 0x01, 0x60, 0x00, 0x00], // type: () -> ()
  ...[0x03, 0x02, 0x01, 0x00], // function 0 of type 0
  ...[0x05, 0x04, 0x01, 0x03, 0x01, 0x01], // memory 1 1 shared
  ...[0x0a, 0x2c, 0x01, 0x2a, 0x00], // code: one body of 42 bytes, no locals
  ...[0xfd, 0x0c, ...new Array<number>(16).fill(0)], // v128.const
  ...[0xfd, 0x0c, ...new Array<number>(16).fill(0)],
  ...[0xfd, 0xe4, 0x01, 0x1a, 0x0b], // f32x4.add, drop, end
])

/**
 * What `auto` takes: the first that works. An order, not a race at every start: the choice decides the bits, so it must
 * not depend on what else the machine is doing, and most of a step's time is in products whose ratio between these
 * kinds of kernels hardly varies. What can be slow by itself, a library that is not optimized, is measured once, with a
 * wide margin, when the library is tried out (native/probe.ts), and passed over.
 *
 * Measured with 2 workers on 2 Zen 3 cores (AVX2, busy with other work), `train` for an epoch: reference network 247 ms
 * a step with oneDNN 2.6, 297 with OpenBLAS 0.3.21, 425 with wasm, which skips zeros; 784-512-256-10 likewise 0.55, 0.65
 * and 0.75 s an epoch. With AVX-512, which WASM cannot use, the distance is larger.
 */
export const FASTEST_FIRST: readonly Backend['name'][] = ['onednn', 'blas', 'wasm', 'reference']
/**
 * The same for networks with fewer weights than this: there the three are within each other's noise (784-256-128-10), or
 * wasm is ahead (784-32-16-10), and its bits are the same everywhere.
 */
export const SMALL_NETWORK_WEIGHTS = 250_000
export const SMALL_FIRST: readonly Backend['name'][] = ['wasm', 'onednn', 'blas', 'reference']

/** Whether one backend works here, and why or why not. A native one is tried out, or remembered. Main thread. */
export async function reportBackend(name: Backend['name'], options: DiscoverOptions = {}): Promise<BackendReport> {
  const none = { library: null, slow: null, named: null }
  if (name === 'reference') {
    return { name, available: true, reason: 'plain float64 loops: the truth for tests, slow', ...none }
  }
  if (name === 'wasm') {
    const available = WebAssembly.validate(PROBE)
    const reason = available
      ? 'WebAssembly with SIMD and threads: portable, same bits on every CPU'
      : 'WebAssembly has no SIMD or threads here'
    return { name, available, reason, ...none }
  }
  const { findLibrary } = await import('./native/discover.js')
  const finding = await findLibrary(name, options)
  // What happens between products is WASM in these backends too.
  if (!WebAssembly.validate(PROBE)) return { ...(await reportBackend('wasm')), name }
  return { name, available: finding.library !== null, ...finding }
}

/** Every backend, in the order in which `auto` tries them. */
export async function listBackends(options: DiscoverOptions = {}): Promise<readonly BackendReport[]> {
  return Promise.all(FASTEST_FIRST.map(name => reportBackend(name, options)))
}

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
 * not depend on what else the machine is doing. What can be slow by itself, a library that is not optimized, is measured
 * once, with a wide margin, when the library is tried out (native/probe.ts), and passed over.
 *
 * A library multiplies everything, `wasm` only what is not zero after ReLU and dropout. With vectors of 256 bits that is
 * a draw, and `wasm` has the same bits everywhere: 2 workers on Zen 3 (AVX2), a step of the reference network in 233 ms
 * with wasm, 229 with oneDNN 2.6, 250 with OpenBLAS 0.3.21; 1024-1024-1024 in 82, 113 and 84 ms (`npm run bench -- step`).
 * With AVX-512, which WASM cannot use, libraries are ahead, but for small networks, where nothing is to be gained.
 */
export const NATIVE_FIRST: readonly Backend['name'][] = ['onednn', 'blas', 'wasm', 'reference']
export const WASM_FIRST: readonly Backend['name'][] = ['wasm', 'onednn', 'blas', 'reference']
export const SMALL_NETWORK_WEIGHTS = 250_000

/** What decides the order, beside the network. */
export interface CpuKind {
  readonly arch: string
  /** Of /proc/cpuinfo; empty where nobody tells. */
  readonly flags: string
}

/** The order for a network with so many weights on a kind of CPU. */
export function autoOrder(weights: number, { arch, flags }: CpuKind): readonly Backend['name'][] {
  const narrow = arch === 'x64' && flags !== '' && !flags.split(' ').includes('avx512f')
  return narrow || weights < SMALL_NETWORK_WEIGHTS ? WASM_FIRST : NATIVE_FIRST
}

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

/** Every backend. */
export async function listBackends(options: DiscoverOptions = {}): Promise<readonly BackendReport[]> {
  return Promise.all(NATIVE_FIRST.map(name => reportBackend(name, options)))
}

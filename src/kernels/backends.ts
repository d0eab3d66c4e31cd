/**
 * The backends by name, which of them work on this machine, and the order in which `auto` takes them. Any thread.
 *
 * A new backend is its name in backend.ts and config/schema/compute.ts, its `Kernels` in a folder beside this file, a case in
 * `loadBackend` and `reportBackend`, a place in each order below, and its `bitsDependOn` in choose.ts. A library is also a name in
 * products.ts, its usual places in native/discover.ts, its binding in native/open.ts and a line in native/advice.ts.
 */
import type { Backend, Precision } from './backend.js'
import { hasFlags } from './cpu.js'
import type { DiscoverOptions } from './native/discover.js'
import type { NativeLibrary } from './products.js'

/** Loads one backend alone: a worker should not carry the code of the others. */
export async function loadBackend(name: Backend['name'], precision: Precision = 'f32'): Promise<Backend> {
  if (precision === 'bf16') return (await import('./native/bf16.js')).bf16Backend()
  switch (name) {
    case 'wasm':
      return (await import('./wasm/index.js')).wasm
    case 'reference':
      return (await import('./reference/index.js')).reference
    case 'blas':
    case 'onednn':
      return (await import('./native/f32.js')).nativeBackend(name)
    default:
      return name satisfies never
  }
}

export interface BackendReport {
  readonly name: Backend['name']
  readonly available: boolean
  readonly reason: string
  /** Library of a native backend that works; else null. */
  readonly library: NativeLibrary | null
  /** Reason why `auto` passes over it although it works; else null. */
  readonly slow: string | null
  /** The setting or variable that named its library; null if the usual ones were tried. */
  readonly named: string | null
}

/**
 * (module (memory 1 1 shared) (func (drop (f32x4.add (v128.const i32x4 0 0 0 0) (v128.const i32x4 0 0 0 0)))))
 * Validates only if WASM has SIMD and threads.
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
 * Order in which `auto` takes backends: the first that works. An order, not a race at every start: the choice decides the bits, so it must
 * not depend on what else the machine is doing. What can be slow by itself, a library that is not optimized, is measured
 * once, with a wide margin, when the library is tried out (native/probe.ts), and passed over.
 *
 * A library multiplies everything, `wasm` skips what is zero after ReLU and dropout. With vectors of 256 bits that is
 * a draw, and `wasm` has the same bits everywhere: 2 workers on Zen 3 (AVX2), a step of the reference network in 233 ms
 * with wasm, 229 with oneDNN 2.6, 250 with OpenBLAS 0.3.21; 1024-1024-1024 in 82, 113 and 84 ms (`npm run bench -- step`).
 * Where fewer are zero, libraries are ahead: 784-1024-1024-1024-10 without dropout 5,800 to 6,200 samples/s with OpenBLAS,
 * 3,200 to 4,200 with oneDNN, 2,800 to 4,400 with wasm (`train` with `--backend`, in turns).
 * With AVX-512, which WASM cannot use, libraries are ahead, but for small networks, where nothing is to be gained.
 */
export const NATIVE_FIRST: readonly Backend['name'][] = ['onednn', 'blas', 'wasm', 'reference']
export const WASM_FIRST: readonly Backend['name'][] = ['wasm', 'onednn', 'blas', 'reference']
/** Order without AVX-512, where OpenBLAS has the faster kernels. */
export const BLAS_FIRST: readonly Backend['name'][] = ['blas', 'onednn', 'wasm', 'reference']
export const SMALL_NETWORK_WEIGHTS = 250_000

/** Properties of a network that decide the order. */
export interface NetworkKind {
  /** Weights; of convolutions, multiplications for a sample. */
  readonly weights: number
  /** True if most activations are zeros, which `wasm` skips in its products; see `hasSparseActivations`. */
  readonly zeros: boolean
  /** True if it has convolutions. */
  readonly convolutions?: boolean
}

/** Dropout of a ReLU network from which skipping zeros compensates for narrower kernels. */
const DROPOUT_OF_ZEROS = 0.2

interface ModelKind {
  readonly activation: string
  readonly norm: string
  readonly dropout: number | readonly number[]
}

/** True for ReLU with dropout, where two thirds of the activations or more are zero; normalised or without dropout it is half. */
export function hasSparseActivations({ activation, norm, dropout }: ModelKind): boolean {
  return activation === 'relu' && norm === 'none' && [dropout].flat().every(rate => rate >= DROPOUT_OF_ZEROS)
}

/** Properties of a machine that decide the order. */
export interface CpuKind {
  readonly arch: string
  /** Flags of /proc/cpuinfo; empty if the system does not list them. */
  readonly flags: string
}

/** Order of backends for a kind of network on a kind of CPU. */
export function autoOrder({ weights, zeros }: NetworkKind, { arch, flags }: CpuKind): readonly Backend['name'][] {
  const isKnown = arch === 'x64' && flags !== ''
  if (isKnown && hasFlags(['avx512f'], flags)) return NATIVE_FIRST
  if (weights < SMALL_NETWORK_WEIGHTS) return WASM_FIRST
  return isKnown ? (zeros ? WASM_FIRST : BLAS_FIRST) : NATIVE_FIRST
}

/** Reports whether one backend works here, with the reason. A native one is probed, or its probe result is read. Main thread. */
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
  // These backends use WASM between products, too.
  if (!WebAssembly.validate(PROBE)) return { ...(await reportBackend('wasm')), name }
  return { name, available: finding.library !== null, ...finding }
}

/** Every backend. */
export async function listBackends(options: DiscoverOptions = {}): Promise<readonly BackendReport[]> {
  return Promise.all(NATIVE_FIRST.map(name => reportBackend(name, options)))
}

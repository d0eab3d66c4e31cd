/** The backends there are, by name, and which of them work on this machine. Runs on any thread. */
import type { Backend } from './backend.js'

/** Loads one backend, and only that: a worker should not carry the code of the others. */
export async function loadBackend(name: Backend['name']): Promise<Backend> {
  switch (name) {
    case 'wasm':
      return (await import('./wasm/index.js')).wasm
    case 'reference':
      return (await import('./reference/index.js')).reference
    default:
      return name satisfies never
  }
}

export interface BackendReport {
  readonly name: Backend['name']
  readonly available: boolean
  readonly reason: string
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

/** Every backend, whether it works here, and why or why not; the best one that works comes first. */
export function listBackends(): readonly BackendReport[] {
  const simd = WebAssembly.validate(PROBE)
  return [
    {
      name: 'wasm',
      available: simd,
      reason: simd
        ? 'WebAssembly with SIMD and threads: portable, same bits on every CPU'
        : 'WebAssembly has no SIMD or threads here',
    },
    { name: 'reference', available: true, reason: 'plain float64 loops: the truth for tests, slow' },
  ]
}

/**
 * Facts about this machine, for manifests and `doctor`. Asks the operating system and V8, changes nothing.
 * Any thread.
 */
import { availableParallelism, cpus, freemem, release, totalmem } from 'node:os'
import { gradloomVersion } from '../version.js'

export interface MachineFacts {
  readonly gradloom: string
  readonly node: string
  readonly v8: string
  /** Operating system, such as `linux 6.1.0 x64`. */
  readonly os: string
  readonly cpu: {
    readonly model: string
    /** Logical cores of the machine, and those that this process may use. */
    readonly cores: number
    readonly available: number
  }
  readonly memory: {
    readonly totalBytes: number
    readonly freeBytes: number
    /** Memory limit of the container or service; null if there is none. */
    readonly limitBytes: number | null
  }
  readonly wasm: { readonly simd: boolean; readonly threads: boolean }
}

export function machineFacts(): MachineFacts {
  const cores = cpus()
  return {
    gradloom: gradloomVersion(),
    node: process.versions.node,
    v8: process.versions.v8,
    os: `${process.platform} ${release()} ${process.arch}`,
    cpu: {
      model: cores[0]?.model.trim() || 'unknown', // some ARM systems name none
      cores: cores.length,
      available: availableParallelism(),
    },
    memory: {
      totalBytes: totalmem(),
      freeBytes: freemem(),
      limitBytes: memoryLimit(process.constrainedMemory(), totalmem()),
    },
    wasm: { simd: WebAssembly.validate(SIMD_MODULE), threads: WebAssembly.validate(THREADS_MODULE) },
  }
}

/**
 * Memory limit of the cgroup, from the answer of `process.constrainedMemory`: 0 or undefined if it is unknown, and
 * a number beyond all memory if there is no limit.
 */
export function memoryLimit(constrained: number | undefined, totalBytes: number): number | null {
  return constrained !== undefined && constrained > 0 && constrained < totalBytes ? constrained : null
}

// Magic and version, then sections: id, length, content.
const WASM = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]

/** `(module (func (result v128) (i8x16.popcnt (i8x16.splat (i32.const 0)))))` */
const SIMD_MODULE = Uint8Array.of(
  ...WASM,
  ...[0x01, 5, 1, 0x60, 0, 1, 0x7b], //      type: () -> v128
  ...[0x03, 2, 1, 0], //                     function 0 has type 0
  ...[0x0a, 10, 1, 8, 0], //                 code: one body of 8 bytes, no locals
  ...[0x41, 0, 0xfd, 15, 0xfd, 98, 0x0b], // i32.const 0, i8x16.splat, i8x16.popcnt, end
)

/** `(module (memory 1 1 shared) (func (drop (i32.atomic.load (i32.const 0)))))` */
const THREADS_MODULE = Uint8Array.of(
  ...WASM,
  ...[0x01, 4, 1, 0x60, 0, 0], //                  type: () -> ()
  ...[0x03, 2, 1, 0], //                           function 0 has type 0
  ...[0x05, 4, 1, 3, 1, 1], //                     memory: shared, 1 to 1 pages
  ...[0x0a, 11, 1, 9, 0], //                       code: one body of 9 bytes, no locals
  ...[0x41, 0, 0xfe, 0x10, 2, 0, 0x1a, 0x0b], //   i32.const 0, i32.atomic.load align=4, drop, end
)

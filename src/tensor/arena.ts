/**
 * The arena: one shared `WebAssembly.Memory` that holds everything numeric of a run. It is sized once, from the
 * reservations, and never grown. Every thread makes the same reservations from the same plan, so only the plan and
 * the memory cross threads, never offsets.
 */
import { readFileSync } from 'node:fs'
import type { NdArray } from 'ndarray'
import { RunError } from '../errors.js'
import { formatBytes } from '../format.js'
import { bytesPerElement, type Dtype, sizeOf, type TensorData, viewTensor } from './tensor.js'

/** A planned tensor: its place in the arena is known, its memory may not exist yet. */
export interface Slot<T extends Dtype = Dtype> {
  readonly name: string
  readonly dtype: T
  readonly shape: readonly number[]
  readonly byteOffset: number
}

const PAGE_BYTES = 65536
/** Reach of a 32-bit WASM address. */
export const MAX_ARENA_BYTES = 65536 * PAGE_BYTES
/** A cache line, so that no two tensors share one. */
const ALIGN_BYTES = 64
/**
 * The first bytes stay unused: a null pointer there is a defect that shows, and the WASM module has no data segments
 * that could be written below it at each instantiation.
 */
const FIRST_BYTE = 1024

/**
 * Assigns places in order. The same calls in the same order give the same places on every thread. What is reserved in the second region lies
 * together, in pages of its own after all else, so that other memory can be mapped there.
 */
export class Reservations {
  readonly slots: Slot[] = []
  readonly #secondAt: number
  #end = FIRST_BYTE
  #secondEnd: number
  #isSecond = false

  /** `secondAt`: where the second region begins, `pagesOfFirst` of the same reservations; absent: places in it mean nothing. */
  constructor(secondAt = 0) {
    this.#secondAt = secondAt
    this.#secondEnd = secondAt
  }

  /** The region of what is reserved from now on. */
  use(region: 'first' | 'second'): void {
    this.#isSecond = region === 'second'
  }

  reserve<T extends Dtype>(name: string, dtype: T, shape: readonly number[]): Slot<T> {
    const at = this.#isSecond ? this.#secondEnd : this.#end
    const end = Math.ceil((at + sizeOf(shape) * bytesPerElement[dtype]) / ALIGN_BYTES) * ALIGN_BYTES
    if (this.#isSecond) this.#secondEnd = end
    else this.#end = end
    const slot = { name, dtype, shape, byteOffset: at }
    this.slots.push(slot)
    return slot
  }

  /** Bytes of the first region, in whole pages. */
  get pagesOfFirst(): number {
    return wholePages(this.#end)
  }

  /** The second region, in whole pages; null: nothing is in it. */
  get second(): { readonly byteOffset: number; readonly bytes: number } | null {
    const bytes = wholePages(this.#secondEnd - this.#secondAt)
    return bytes === 0 ? null : { byteOffset: this.#secondAt, bytes }
  }

  /** Bytes that the arena needs. */
  get bytes(): number {
    return this.second === null ? this.#end : this.second.byteOffset + this.second.bytes
  }
}

/** Bytes of the pages that so many bytes need; no system has larger ones. */
const wholePages = (bytes: number): number => Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES

/** Shared, zero-filled, of fixed size. Throws RunError where the system refuses it, with what helps. Main thread. */
export function createArena(bytes: number): WebAssembly.Memory {
  const pages = Math.ceil(bytes / PAGE_BYTES)
  try {
    return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true })
  } catch (cause) {
    throw arenaRefused(bytes, cause, addressSpaceLimit())
  }
}

/** V8 of Node.js 20 and 22 reserves this much address space for every shared memory; later versions accept less. */
const RESERVED_BYTES = 10 * 2 ** 30

/** Exported for tests. `limit`: bytes of address space this process may use; null where nothing limits it. */
export const arenaRefused = (bytes: number, cause: unknown, limit: number | null): RunError =>
  memoryRefused('shared memory', bytes, cause, limit)

/** Error for a memory of WebAssembly that the system refuses. `what` names it; `limit`: as for `arenaRefused`. */
export function memoryRefused(what: string, bytes: number, cause: unknown, limit: number | null): RunError {
  const refused = `memory: the system refuses ${formatBytes(bytes)} of ${what}`
  if (limit === null) {
    return new RunError(refused, { cause, hint: 'a smaller network or data set, or a machine with more memory' })
  }
  const evidence = `the address space of this process is limited to ${formatBytes(limit)}`
  if (limit > RESERVED_BYTES + bytes) {
    return new RunError(`${refused}; ${evidence}`, {
      cause,
      hint: 'ulimit -v unlimited, or a smaller network or data set',
    })
  }
  return new RunError(`${refused}; ${evidence}, and Node.js ${process.versions.node} needs about 10 GB of it`, {
    cause,
    hint: 'ulimit -v unlimited, or Node.js 24 or later, which needs less',
  })
}

/** The limit that `ulimit -v` or a batch system sets, in bytes; null where there is none or nothing lists it. */
export function addressSpaceLimit(): number | null {
  try {
    const soft = /^Max address space\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]
    return soft === undefined ? null : Number(soft)
  } catch {
    return null // not Linux
  }
}

/** The slot's tensor over the arena: a contiguous ndarray. */
export function viewSlot<T extends Dtype>(memory: WebAssembly.Memory, slot: Slot<T>): NdArray<TensorData[T]> {
  return viewTensor(memory.buffer, slot.dtype, slot.shape, slot.byteOffset)
}

/**
 * The arena: one shared `WebAssembly.Memory` that holds everything numeric of a run. It is sized once, from the
 * reservations, and never grown. Every thread makes the same reservations from the same plan, so only the plan and
 * the memory cross threads, never offsets.
 */
import type { NdArray } from 'ndarray'
import { bytesPerElement, type Dtype, sizeOf, type TensorData, viewTensor } from './tensor.js'

/** A tensor that will be: its place in the arena is known, its memory may not exist yet. */
export interface Slot<T extends Dtype = Dtype> {
  readonly name: string
  readonly dtype: T
  readonly shape: readonly number[]
  readonly byteOffset: number
}

const PAGE_BYTES = 65536
/** What a 32-bit WASM address reaches. */
export const MAX_ARENA_BYTES = 65536 * PAGE_BYTES
/** A cache line, so that no two tensors share one. */
const ALIGN_BYTES = 64
/**
 * The first bytes stay unused: a null pointer there is a defect that shows, and the WASM module has no data segments
 * that could be written below it at each instantiation.
 */
const FIRST_BYTE = 1024

/** Hands out places in order. The same calls in the same order give the same places on every thread. */
export class Reservations {
  readonly slots: Slot[] = []
  #end = FIRST_BYTE

  reserve<T extends Dtype>(name: string, dtype: T, shape: readonly number[]): Slot<T> {
    const slot = { name, dtype, shape, byteOffset: this.#end }
    this.#end = Math.ceil((this.#end + sizeOf(shape) * bytesPerElement[dtype]) / ALIGN_BYTES) * ALIGN_BYTES
    this.slots.push(slot)
    return slot
  }

  /** Bytes that the arena needs. */
  get bytes(): number {
    return this.#end
  }
}

/** Shared, zero-filled, of fixed size. Throws RangeError when the system refuses that much. */
export function createArena(bytes: number): WebAssembly.Memory {
  const pages = Math.ceil(bytes / PAGE_BYTES)
  return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true })
}

/** The slot's tensor over the arena: a contiguous ndarray. */
export function viewSlot<T extends Dtype>(memory: WebAssembly.Memory, slot: Slot<T>): NdArray<TensorData[T]> {
  return viewTensor(memory.buffer, slot.dtype, slot.shape, slot.byteOffset)
}

/**
 * The WebAssembly module of plain/assembly/, and the memory that a thread of a scan gives it. Any thread; each has an instance of its
 * own.
 */
import { readFileSync } from 'node:fs'
import { releasePages } from '../../../ffi/memory.js'
import { addressSpaceLimit, memoryRefused } from '../../../tensor/arena.js'

/** Byte of the thread's memory. */
type Pointer = number

export interface ScanExports {
  parse(
    from: Pointer,
    to: Pointer,
    columns: number,
    most: number,
    isText: Pointer,
    offsets: Pointer,
    numbers: Pointer,
    powers: Pointer,
    delimiter: number,
    point: number,
    ends: Pointer,
    padded: Pointer,
  ): number
  look(values: Pointer, count: number, state: Pointer, table: Pointer, spare: Pointer): void
  absorb(values: Pointer, count: number, mask: number, state: Pointer, table: Pointer, spare: Pointer): void
  take(state: Pointer, table: Pointer, to: Pointer): number
  count_nan(values: Pointer, count: number): number
  pack(values: Pointer, count: number, to: Pointer, power: number, powers: Pointer): number
  encode_numbers(columns: Pointer, count: number, rows: Pointer, n: number, to: Pointer, width: number): number
  count_labels(rows: Pointer, n: number, labels: Pointer, sizes: Pointer, classes: number): void
  divide(
    rows: Pointer,
    n: number,
    labels: Pointer,
    sizes: Pointer,
    wanted: Pointer,
    classes: number,
    order: Pointer,
    flags: Pointer,
    begins: Pointer,
    words: Pointer,
    k0: number,
    k1: number,
    first: Pointer,
    second: Pointer,
  ): void
  unsnap(at: Pointer, end: Pointer, to: Pointer, size: number): number
}

/** Reads fields that the module leaves to others, and returns the place of the byte that follows. */
export interface FieldReaders {
  number(begin: Pointer, column: number, row: number): Pointer
  text(begin: Pointer, column: number, row: number): Pointer
}

let compiled: WebAssembly.Module | undefined

/** Compiles the module, once in a thread, in a millisecond: the system keeps one compiled module for all that have the same bytes. */
function scanModule(): WebAssembly.Module {
  compiled ??= new WebAssembly.Module(readFileSync(new URL('./scan.wasm', import.meta.url)))
  return compiled
}

const PAGE_BYTES = 2 ** 16
/** Bytes behind each part of the memory that may be read or written: the module works on 16 at a time. */
const SPARE_BYTES = 16
const POWERS = Float64Array.from({ length: 23 }, (_, i) => Number(`1e${i}`))

/** Parts of a memory, before it is allocated. */
export class Rooms {
  bytes = 0

  /** Place of `bytes` bytes, a multiple of 16. */
  take(bytes: number): Pointer {
    const at = this.bytes
    this.bytes += Math.ceil((bytes + SPARE_BYTES) / 16) * 16
    return at
  }
}

/** Throws RunError where the system refuses the memory. */
function memoryOf(pages: number): WebAssembly.Memory {
  try {
    return new WebAssembly.Memory({ initial: pages, maximum: 65_536 })
  } catch (cause) {
    throw memoryRefused('memory', pages * PAGE_BYTES, cause, addressSpaceLimit())
  }
}

/** Instance with memory of a fixed size. */
export class ScanMemory {
  readonly call: ScanExports
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly ints: Int32Array<ArrayBuffer>
  readonly floats: Float64Array<ArrayBuffer>
  /** Place of 10^0 to 10^22. */
  readonly powers: Pointer

  /** `fields`: readers of text. */
  constructor(rooms: Rooms, fields: FieldReaders = NO_FIELDS) {
    this.powers = rooms.take(POWERS.byteLength)
    const pages = Math.ceil(rooms.bytes / PAGE_BYTES)
    const memory = memoryOf(pages)
    const imports = { env: { memory }, fields: { number: fields.number, text: fields.text } }
    this.call = new WebAssembly.Instance(scanModule(), imports).exports as unknown as ScanExports
    const buffer = memory.buffer as ArrayBuffer
    this.bytes = new Uint8Array(buffer)
    this.ints = new Int32Array(buffer)
    this.floats = new Float64Array(buffer)
    this.floats.set(POWERS, this.powers / 8)
  }

  /**
   * Gives its pages back to the system, as soon as other work lets it; else they stay until this thread collects garbage. Nothing of it
   * may be used any more. For the main thread alone: others would load koffi for that.
   */
  release(): void {
    void releasePages(this.bytes.buffer)
  }
}

/** Called with a memory that will not be used any more. */
export type MemoryUsed = (memory: ScanMemory) => void

const NO_FIELDS: FieldReaders = { number: () => 0, text: () => 0 }

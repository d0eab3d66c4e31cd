/**
 * Blocks of columns in a thread's memory: takes the facts of their numbers, and packs their values. Any thread. The instructions are
 * in assembly/facts.ts and assembly/pack.ts.
 */
import { Packing } from '../packed.js'
import { FactTables, type PackedNumbers } from './number-facts.js'
import type { Rooms, ScanMemory } from './scan-module.js'

export class BlockWriter {
  /** (C) Packings of the last block, and the bytes at which its columns begin. */
  readonly packings: Uint8Array
  readonly offsets: Float64Array
  /** Bytes of the last block. */
  bytes = 0
  /** (C) Powers of ten of the last blocks that have one. */
  readonly #powers: Uint8Array
  readonly #facts: FactTables
  readonly #packed: number
  #memory: ScanMemory | null = null

  /** `mostRows`: of a block; `buffered`: columns of a block that are packed. Takes its parts of the memory, which `use` then gives it. */
  constructor(
    readonly isText: readonly boolean[],
    mostRows: number,
    buffered: number,
    rooms: Rooms,
  ) {
    const columns = isText.length
    this.packings = new Uint8Array(columns)
    this.offsets = new Float64Array(columns)
    this.#powers = new Uint8Array(columns)
    this.#facts = new FactTables(columns, rooms)
    this.#packed = rooms.take(8 * buffered * mostRows)
  }

  use(memory: ScanMemory): void {
    this.#memory = memory
    this.#facts.use(memory)
  }

  /** Content of the last block, valid until the next one. */
  get content(): Uint8Array {
    return this.#memory!.bytes.subarray(this.#packed, this.#packed + this.bytes)
  }

  begin(): void {
    this.bytes = 0
  }

  /** Adds `rows` values from byte `at` of the memory on as the next rows of a column. Columns come in order. */
  addNumbers(column: number, at: number, rows: number): void {
    const { call, powers } = this.#memory!
    this.#facts.look(column, at, rows)
    this.offsets[column] = this.bytes
    const packing = call.pack(at, rows, this.#packed + this.bytes, this.#powers[column], powers)
    // A block that has no power, such as one with -0, says nothing about the next.
    if (packing < Packing.f32) this.#powers[column] = packing
    this.packings[column] = packing
    this.#end((packing === Packing.f64 ? 8 : 4) * rows)
  }

  /** Adds the next rows of a column of text. */
  addCodes(column: number, codes: Int32Array): void {
    this.offsets[column] = this.bytes
    this.packings[column] = Packing.codes
    this.#memory!.ints.set(codes, (this.#packed + this.bytes) / 4)
    this.#end(4 * codes.length)
  }

  #end(bytes: number): void {
    this.bytes += Math.ceil(bytes / 8) * 8
  }

  /** Facts of the columns of numbers, of all blocks. */
  numbers(): (PackedNumbers | null)[] {
    return this.isText.map((text, column) => (text ? null : this.#facts.pack(column)))
  }
}

/**
 * Numbers in as few bytes as give the same bits back: as integers of 32 bits and a power of ten by which they are divided, which fits
 * most tables; as f32 where all of them are f32 numbers; else as f64. Memory that is written for the first time costs more than packing.
 * Any thread.
 */
import { type ByteRange, PAGE_BYTES, releaseRanges } from '../../ffi/memory.js'

/** Ways to keep the values of a column: up to MOST_POWER, integers that are divided by that power of ten. */
export const Packing = { f32: 20, f64: 21, codes: 22 } as const

/** 10^0 to 10^9. */
const POWERS = Float64Array.from({ length: 10 }, (_, i) => Number(`1e${i}`))
const MOST_POWER = 9

/** Number by which the integers of a packing are divided. */
export const powerOf = (packing: number): number => POWERS[packing]
/** Integer that marks a missing value. */
const MISSING = -(2 ** 31)

/** Consecutive rows of all columns of a table. */
export interface PackedBlock {
  readonly rows: number
  readonly buffer: ArrayBufferLike
  /** (C) Byte of the buffer at which a column begins, and its packing. */
  readonly offsets: Float64Array
  readonly packings: Uint8Array
}

/** Packs blocks of columns, one after the other; the power of a column never falls, so that few are tried. */
export class BlockPacker {
  /** (C) Packings of the last block, and the bytes at which its columns begin. */
  readonly packings: Uint8Array
  readonly offsets: Float64Array
  /** Bytes of the last block. */
  bytes = 0
  /** (C) Powers of ten of the last blocks that have one. */
  readonly #powers: Uint8Array
  readonly #buffer: ArrayBuffer
  readonly #ints: Int32Array
  readonly #f32: Float32Array
  readonly #f64: Float64Array

  /** `buffered`: columns of a block that are packed. */
  constructor(columns: number, mostRows: number, buffered = columns) {
    this.packings = new Uint8Array(columns)
    this.offsets = new Float64Array(columns)
    this.#powers = new Uint8Array(columns)
    this.#buffer = new ArrayBuffer(buffered * mostRows * Float64Array.BYTES_PER_ELEMENT)
    this.#ints = new Int32Array(this.#buffer)
    this.#f32 = new Float32Array(this.#buffer)
    this.#f64 = new Float64Array(this.#buffer)
  }

  /** Content of the last block, valid until the next one. */
  get content(): Uint8Array {
    return new Uint8Array(this.#buffer, 0, this.bytes)
  }

  begin(): void {
    this.bytes = 0
  }

  /** Adds values [from, to) as the next rows of a column. Columns come in order. */
  addNumbers(column: number, values: Float64Array, from: number, to: number): void {
    const at = this.bytes
    this.offsets[column] = at
    let packing = this.#powers[column]
    while (packing <= MOST_POWER && !packIntegers(values, from, to, POWERS[packing], this.#ints, at / 4)) packing++
    // A block that has none, such as one with -0, says nothing about the next.
    if (packing <= MOST_POWER) this.#powers[column] = packing
    else packing = packFloats(values, from, to, this.#f32, at / 4) ? Packing.f32 : Packing.f64
    if (packing === Packing.f64) this.#f64.set(values.subarray(from, to), at / 8)
    this.packings[column] = packing
    this.#end((packing === Packing.f64 ? 8 : 4) * (to - from))
  }

  addCodes(column: number, codes: Int32Array, from: number, to: number): void {
    this.offsets[column] = this.bytes
    this.packings[column] = Packing.codes
    this.#ints.set(codes.subarray(from, to), this.bytes / 4)
    this.#end(4 * (to - from))
  }

  #end(bytes: number): void {
    this.bytes += Math.ceil(bytes / 8) * 8
  }
}

/** False if one of the values is not an integer divided by the power, to the bit. */
function packIntegers(
  values: Float64Array,
  from: number,
  to: number,
  power: number,
  into: Int32Array,
  at: number,
): boolean {
  for (let i = from; i < to; i++) {
    const value = values[i]
    const integer = Math.round(value * power)
    if ((integer | 0) === integer && integer / power === value && integer !== MISSING) {
      if (integer === 0 && Object.is(value, -0)) return false
      into[at + i - from] = integer
    } else if (Number.isNaN(value)) into[at + i - from] = MISSING
    else return false
  }
  return true
}

function packFloats(values: Float64Array, from: number, to: number, into: Float32Array, at: number): boolean {
  for (let i = from; i < to; i++) {
    const value = values[i]
    if (Math.fround(value) !== value && !Number.isNaN(value)) return false
    into[at + i - from] = value
  }
  return true
}

/** Consecutive rows in one block. */
export interface Piece {
  readonly block: number
  /** Index of the first row in the block, and among the rows that were asked for. */
  readonly first: number
  readonly at: number
  readonly rows: number
}

/** Rows of packed blocks, in order. */
export class PackedRows {
  readonly rows: number
  /** (blocks + 1) Rows before each block. */
  readonly #starts: Float64Array
  /** Block of the last row that was read: the next one is often in it too. */
  #last = 0
  /** Blocks at the beginning whose memory was given back, and rows: also the first ones of a block. */
  #released = 0
  #releasedRows = 0
  readonly #views: readonly Views[]

  /** `dictionaries`: (C) of the codes of columns of text; null for numbers. */
  constructor(
    readonly blocks: readonly PackedBlock[],
    readonly dictionaries: readonly (readonly string[] | null)[],
  ) {
    this.#starts = new Float64Array(blocks.length + 1)
    blocks.forEach(({ rows }, i) => {
      this.#starts[i + 1] = this.#starts[i] + rows
    })
    this.rows = this.#starts[blocks.length]
    const views = new Map<ArrayBufferLike, Views>()
    this.#views = blocks.map(({ buffer }) => {
      const made = views.get(buffer) ?? viewsOf(buffer)
      views.set(buffer, made)
      return made
    })
  }

  /** Writes values of rows [from, to) to the beginning of `into`; missing ones are NaN. */
  numbers(column: number, from: number, to: number, into: Float64Array): void {
    this.#each(from, to, (block, first, count, at) => {
      const { offsets, packings } = this.blocks[block]
      const { integers, f32, f64 } = this.#views[block]
      const packing = packings[column]
      const offset = offsets[column]
      if (packing === Packing.f64) copy(f64, offset / 8 + first, count, into, at)
      else if (packing === Packing.f32) copy(f32, offset / 4 + first, count, into, at)
      else unpack(integers, offset / 4 + first, count, POWERS[packing], into, at)
    })
  }

  /** Values of a column in some rows, ascending; missing ones are NaN. Overwrites `into`. */
  numbersAt(column: number, rows: Uint32Array, into: Float64Array = new Float64Array(rows.length)): Float64Array {
    let next = 0
    for (let block = 0; block < this.blocks.length && next < rows.length; block++) {
      const start = this.#starts[block]
      const end = this.#starts[block + 1]
      const from = next
      while (next < rows.length && rows[next] < end) next++
      if (next === from) continue
      this.#expectKept(rows[from])
      const { offsets, packings } = this.blocks[block]
      const { integers, f32, f64 } = this.#views[block]
      const packing = packings[column]
      const offset = offsets[column]
      if (packing === Packing.f64) choose(f64, offset / 8 - start, rows, from, next, into)
      else if (packing === Packing.f32) choose(f32, offset / 4 - start, rows, from, next, into)
      else unpackChosen(integers, offset / 4 - start, POWERS[packing], rows, from, next, into)
    }
    return into
  }

  /** Parts of rows [from, to) that lie in one block each. */
  pieces(from: number, to: number): Piece[] {
    const pieces: Piece[] = []
    this.#each(from, to, (block, first, rows, at) => pieces.push({ block, first, rows, at }))
    return pieces
  }

  /** Copies the packed values of a column in a piece to byte `to` of `into`. Returns their packing. */
  copy(column: number, { block, first, rows }: Piece, into: Uint8Array, to: number): number {
    const { offsets, packings } = this.blocks[block]
    const packing = packings[column]
    const bytes = bytesOf(packing)
    const from = offsets[column] + bytes * first
    into.set(this.#views[block].bytes.subarray(from, from + bytes * rows), to)
    return packing
  }

  /** Writes codes of rows [from, to) to the beginning of `into`. */
  codes(column: number, from: number, to: number, into: Int32Array): void {
    this.#each(from, to, (block, first, count, at) => {
      const begin = this.blocks[block].offsets[column] / 4 + first
      into.set(this.#views[block].integers.subarray(begin, begin + count), at)
    })
  }

  /**
   * Gives the memory of rows before `row` back to the system: of blocks that end there or before, and of a longer one in parts that are
   * worth it. These rows cannot be read any more.
   */
  async releaseBefore(row: number): Promise<void> {
    const { blocks } = this
    const starts = this.#starts
    const ranges = new Map<ArrayBufferLike, ByteRange[]>()
    const add = (buffer: ArrayBufferLike, of: readonly ByteRange[]) =>
      ranges.set(buffer, [...(ranges.get(buffer) ?? []), ...of])
    while (this.#released < blocks.length && starts[this.#released + 1] <= row) {
      const block = blocks[this.#released++]
      add(block.buffer, rangesOf(block))
      this.#releasedRows = starts[this.#released]
    }
    if (row - this.#releasedRows >= PART_ROWS && this.#released < blocks.length) {
      const block = blocks[this.#released]
      const start = starts[this.#released]
      add(block.buffer, rangesOfRows(block, this.#releasedRows - start, row - start))
      this.#releasedRows = row
    }
    for (const [buffer, of] of ranges) await releaseRanges(buffer, of)
  }

  #expectKept(row: number): void {
    if (row < this.#releasedRows) throw new Error(`row ${row} is read, whose memory was given back`)
  }

  #each(from: number, to: number, take: (block: number, first: number, count: number, at: number) => void): void {
    const starts = this.#starts
    let block = starts[this.#last] <= from ? this.#last : 0
    while (starts[block + 1] <= from) block++
    for (let row = from; row < to; block++) {
      this.#last = block
      this.#expectKept(row)
      const end = Math.min(to, starts[block + 1])
      if (end > row) take(block, row - starts[block], end - row, row - from)
      row = Math.max(row, end)
    }
  }
}

/** Rows of a long block whose memory is given back at once: 64 KiB of each column, or more. */
const PART_ROWS = 16_384

/** Bytes of each column in rows [from, to) of a block, and the page before, of which a part may have been left. */
const rangesOfRows = ({ offsets, packings }: PackedBlock, from: number, to: number): ByteRange[] =>
  Array.from(offsets, (begin, column) => {
    const bytes = bytesOf(packings[column])
    return { from: Math.max(begin, begin + bytes * from - PAGE_BYTES), to: begin + bytes * to }
  })

/** Bytes of a block's columns; those that follow each other are one range. */
function rangesOf({ rows, offsets, packings }: PackedBlock): ByteRange[] {
  const columns = Array.from(offsets, (from, column) => ({ from, to: from + bytesOf(packings[column]) * rows }))
  columns.sort((a, b) => a.from - b.from)
  const ranges: { from: number; to: number }[] = []
  for (const { from, to } of columns) {
    const last = ranges[ranges.length - 1]
    // A column begins at a multiple of 8 bytes.
    if (last !== undefined && from - last.to < 8) last.to = to
    else ranges.push({ from, to })
  }
  return ranges
}

const bytesOf = (packing: number): number => (packing === Packing.f64 ? 8 : 4)

/** Views of all of a buffer: making one for each column of a block takes longer than reading it. */
interface Views {
  readonly integers: Int32Array
  readonly f32: Float32Array
  readonly f64: Float64Array
  readonly bytes: Uint8Array
}

/** The length of a buffer is a multiple of 8. */
const viewsOf = (buffer: ArrayBufferLike): Views => ({
  ...{ integers: new Int32Array(buffer), f32: new Float32Array(buffer), f64: new Float64Array(buffer) },
  bytes: new Uint8Array(buffer),
})

function copy(from: Float32Array | Float64Array, first: number, count: number, into: Float64Array, at: number): void {
  for (let i = 0; i < count; i++) into[at + i] = from[first + i]
}

function unpack(
  integers: Int32Array,
  first: number,
  count: number,
  power: number,
  into: Float64Array,
  at: number,
): void {
  for (let i = 0; i < count; i++) {
    const integer = integers[first + i]
    into[at + i] = integer === MISSING ? Number.NaN : integer / power
  }
}

/** `offset`: of the value of row 0. */
function choose(
  values: Float32Array | Float64Array,
  offset: number,
  rows: Uint32Array,
  from: number,
  to: number,
  into: Float64Array,
): void {
  for (let i = from; i < to; i++) into[i] = values[offset + rows[i]]
}

function unpackChosen(
  integers: Int32Array,
  offset: number,
  power: number,
  rows: Uint32Array,
  from: number,
  to: number,
  into: Float64Array,
): void {
  for (let i = from; i < to; i++) {
    const integer = integers[offset + rows[i]]
    into[i] = integer === MISSING ? Number.NaN : integer / power
  }
}

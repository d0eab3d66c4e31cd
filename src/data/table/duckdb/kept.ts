/**
 * Values of all rows of a table, kept while they are read for the first time, so that most tables are read once. Main thread; holds
 * 4 or 8 bytes a number (packed.ts), and 4 a text beside each different one.
 */
import { adviseHugePages } from '../../../ffi/memory.js'
import { GrowingDictionary, withOwnDictionary } from '../dictionary.js'
import { BlockPacker, type PackedBlock, PackedRows } from '../packed.js'
import type { Rooms } from '../rooms.js'
import type { RawChunk, RawColumn } from './vectors.js'

/** Rows of a chunk of values that were kept. */
export const CHUNK_ROWS = 4096
/** Memory that is taken at once. */
const SLAB_BYTES = 2 ** 23
/** Rows up to which a slab is no larger than the blocks need: most small tables. */
const FEW_ROWS = 4096

export class KeptRows {
  #packer: BlockPacker | null = null
  #mostRows = 0
  #slab = new ArrayBuffer(0)
  #used = 0
  readonly #blocks: PackedBlock[] = []
  #dictionaries: (GrowingDictionary | null)[] = []
  #characters = 0
  #bytes = 0

  /** `maxBytes`: of values. */
  constructor(readonly maxBytes: number) {}

  /** Adds a copy of the chunk. False if it does not fit, and everything was dropped. */
  async add({ rows, columns }: RawChunk): Promise<boolean> {
    if (this.#packer === null || rows > this.#mostRows) {
      this.#mostRows = rows
      this.#packer = new BlockPacker(columns.length, rows)
      if (this.#blocks.length === 0) {
        this.#dictionaries = columns.map(column => ('values' in column ? null : new GrowingDictionary()))
      }
    }
    const packer = this.#packer
    packer.begin()
    for (const [i, column] of columns.entries()) {
      if ('values' in column) packer.addNumbers(i, column.values, 0, rows)
      else packer.addCodes(i, this.#ownCodes(i, column.codes, column.dictionary), 0, rows)
    }
    const at = await this.#room(packer.bytes, rows)
    new Uint8Array(this.#slab).set(packer.content, at)
    const offsets = packer.offsets.map(offset => at + offset)
    this.#blocks.push({ rows, buffer: this.#slab, offsets, packings: packer.packings.slice() })
    const texts = this.#dictionaries.reduce((sum, each) => sum + (each?.texts.length ?? 0), 0)
    if (this.#bytes + 16 * texts + 2 * this.#characters <= this.maxBytes) return true
    this.#blocks.length = 0
    this.#slab = new ArrayBuffer(0)
    this.#dictionaries = []
    return false
  }

  #ownCodes(column: number, codes: Int32Array, dictionary: readonly string[]): Int32Array {
    const own = this.#dictionaries[column]!
    const known = own.texts.length
    const into = new Int32Array(codes.length)
    own.append(codes, dictionary, into, 0)
    for (let code = known; code < own.texts.length; code++) this.#characters += own.texts[code].length
    return into
  }

  async #room(bytes: number, rows: number): Promise<number> {
    if (this.#used + bytes > this.#slab.byteLength) {
      const isSmall = this.#blocks.length === 0 && rows <= FEW_ROWS
      this.#slab = new ArrayBuffer(isSmall ? bytes : Math.max(bytes, SLAB_BYTES))
      this.#used = 0
      if (!isSmall) await adviseHugePages(this.#slab)
    }
    const at = this.#used
    this.#used += bytes
    this.#bytes += bytes
    return at
  }

  all(): PackedRows {
    return new PackedRows(
      this.#blocks,
      this.#dictionaries.map(each => each?.texts ?? null),
    )
  }
}

/** Unpacks rows [from, to) of the column at `place` into memory of the rooms, at place `room` there. */
function unpack(kept: PackedRows, place: number, from: number, to: number, rooms: Rooms, room: number): RawColumn {
  const dictionary = kept.dictionaries[place]
  if (dictionary === null) {
    const values = rooms.numbers(room, to - from)
    kept.numbers(place, from, to, values)
    return { values, nulls: 0 }
  }
  const codes = rooms.codes(room, to - from)
  kept.codes(place, from, to, codes)
  return { codes, dictionary }
}

/** Rows in chunks in the memory of `rooms`: one is valid until the next is asked for. `places`: of columns among those kept. */
export function* keptChunks(
  kept: PackedRows,
  places: readonly number[],
  rooms: Rooms,
): Generator<RawChunk, void, undefined> {
  for (let from = 0; from < kept.rows; from += CHUNK_ROWS) {
    const to = Math.min(from + CHUNK_ROWS, kept.rows)
    const columns = places.map((place, i): RawColumn => {
      const column = unpack(kept, place, from, to, rooms, i)
      return 'codes' in column ? withOwnDictionary(column.codes, column.dictionary) : column
    })
    yield { firstRow: from, rows: to - from, columns }
  }
}

/** All rows as one chunk, valid as long as the rooms are not used for others. */
export function wholeOf(kept: PackedRows, places: readonly number[], rooms: Rooms): RawChunk {
  const { rows } = kept
  return { firstRow: 0, rows, columns: places.map((place, i) => unpack(kept, place, 0, rows, rooms, i)) }
}

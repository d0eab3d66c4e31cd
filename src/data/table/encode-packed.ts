/**
 * Features of rows that lie packed in memory: plain numbers by plain/assembly/encode.ts, which needs a tenth of the time, all other
 * columns by encode.ts. Main thread.
 *
 * Letters: `N` rows, `F` features of one.
 */
import type { TableChunk } from './columns.js'
import { encodeRows } from './encode.js'
import { featureCount, isLinear, type NumberEncoding, type TableEncoding, widthOf } from './encoding.js'
import { Packing, type Piece, powerOf } from './packed.js'
import { Rooms, ScanMemory } from './plain/scan-module.js'
import type { PackedTable } from './reader.js'

/** Bytes of a column in the arguments of the module. */
const COLUMN_BYTES = 48
/** Most memory for rows that are encoded at a time. */
const MOST_BYTES = 2 ** 27

interface PackedColumn {
  readonly encoding: NumberEncoding
  /** Place among the packed columns. */
  readonly place: number
  /** Index of the feature in a row. */
  readonly at: number
}

export class PackedEncoder {
  /** Names of the columns that a chunk must have. */
  readonly names: readonly string[]
  readonly #width: number
  readonly #memory: ScanMemory
  readonly #rows: number
  readonly #values: number
  readonly #columnsAt: number
  readonly #features: number
  /** First row and pieces of the rows whose values are in the memory, and their packings by column. */
  #loaded: {
    readonly firstRow: number
    readonly pieces: readonly Piece[]
    readonly packings: readonly Uint8Array[]
  } | null = null

  private constructor(
    readonly packed: PackedTable,
    readonly encoding: TableEncoding,
    readonly columns: readonly PackedColumn[],
    readonly mostRows: number,
  ) {
    const quick = new Set<string>(columns.map(({ encoding: { column } }) => column))
    this.names = encoding.columns.map(({ column }) => column).filter(name => !quick.has(name))
    this.#width = featureCount(encoding)
    const rooms = new Rooms()
    this.#rows = rooms.take(4 * mostRows)
    this.#columnsAt = rooms.take(COLUMN_BYTES * columns.length)
    this.#values = rooms.take(8 * mostRows * columns.length)
    this.#features = rooms.take(4 * mostRows * this.#width)
    this.#memory = new ScanMemory(rooms)
    const { floats, ints } = this.#memory
    for (const [i, { encoding: each, at }] of columns.entries()) {
      const place = this.#columnsAt + COLUMN_BYTES * i
      floats.set([each.offset, each.factor, each.fill], place / 8)
      ints[place / 4 + 10] = at
      ints[place / 4 + 11] = each.indicator ? 1 : 0
    }
  }

  /** Null where no column can be encoded so, or rows are too long. `mostRows`: of a chunk. */
  static of(packed: PackedTable, encoding: TableEncoding, mostRows: number): PackedEncoder | null {
    const columns: PackedColumn[] = []
    let at = 0
    for (const each of encoding.columns) {
      if (each.kind === 'number' && isLinear(each)) {
        const place = packed.placeOf(each.column)
        if (place !== null) columns.push({ encoding: each, place, at })
      }
      at += widthOf(each)
    }
    const bytes = mostRows * (8 * columns.length + 4 * at)
    return columns.length === 0 || bytes > MOST_BYTES ? null : new PackedEncoder(packed, encoding, columns, mostRows)
  }

  /**
   * Overwrites `into` (N, F) with features. `chunk`: has the columns of `names`; `rows`: ascending indices in it. Throws DataError as
   * `encodeRows`.
   */
  encode(chunk: TableChunk, rows: Uint32Array, into: Float32Array, where: string): void {
    const { call, bytes, ints, floats } = this.#memory
    const width = this.#width
    // Shared memory is copied by words only where both places have the same alignment, else byte by byte.
    const featuresAt = this.#features + (into.byteOffset % 8)
    const features = new Float32Array(bytes.buffer, featuresAt, rows.length * width)
    if (this.names.length > 0) encodeRows(this.encoding, chunk, features, rows, where, this.names)
    const { pieces, packings } = this.#load(chunk)
    let from = 0
    for (const [p, { at, rows: count }] of pieces.entries()) {
      let to = from
      for (; to < rows.length && rows[to] < at + count; to++) ints[this.#rows / 4 + to] = rows[to] - at
      if (to === from) continue
      for (let column = 0; column < this.columns.length; column++) {
        const place = this.#columnsAt + COLUMN_BYTES * column
        const packing = packings[p][column]
        if (packing < Packing.f32) floats[place / 8 + 3] = powerOf(packing)
        ints[place / 4 + 8] = this.#valuesOf(column) + 8 * at
        ints[place / 4 + 9] = packing
      }
      const place = featuresAt + 4 * from * width
      const rowsAt = this.#rows + 4 * from
      if (call.encode_numbers(this.#columnsAt, this.columns.length, rowsAt, to - from, place, width) === 0) {
        encodeRows(this.encoding, this.#whole(chunk), into, rows, where) // throws
      }
      from = to
    }
    into.set(features)
  }

  /** Copies the packed values of a chunk into the memory, if they are not there. */
  #load({ firstRow, rows }: TableChunk) {
    if (this.#loaded?.firstRow === firstRow) return this.#loaded
    const { bytes } = this.#memory
    const pieces = this.packed.rows.pieces(firstRow, firstRow + rows)
    const packings = pieces.map(piece =>
      Uint8Array.from(this.columns, ({ place }, column) =>
        this.packed.rows.copy(place, piece, bytes, this.#valuesOf(column) + 8 * piece.at),
      ),
    )
    this.#loaded = { firstRow, pieces, packings }
    return this.#loaded
  }

  #valuesOf(column: number): number {
    return this.#values + 8 * this.mostRows * column
  }

  /** The chunk with all columns. */
  #whole({ firstRow, rows, columns }: TableChunk): TableChunk {
    const all = new Map(columns)
    for (const { encoding, place } of this.columns) {
      const values = new Float64Array(rows)
      this.packed.rows.numbers(place, firstRow, firstRow + rows, values)
      all.set(encoding.column, { type: 'number', values })
    }
    return { firstRow, rows, columns: all }
  }
}

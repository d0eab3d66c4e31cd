/** The WebAssembly module of tables: each function beside its form in TypeScript, or a definition, to the bit. */
import t from 'tap'
import { splitStrata, splitValidation } from '../../../src/data/split.js'
import type { TableChunk } from '../../../src/data/table/columns.js'
import { encodeRows } from '../../../src/data/table/encode.js'
import { PackedEncoder } from '../../../src/data/table/encode-packed.js'
import type { ColumnEncoding, TableEncoding } from '../../../src/data/table/encoding.js'
import { BlockPacker, type PackedBlock, PackedRows } from '../../../src/data/table/packed.js'
import { BlockWriter } from '../../../src/data/table/plain/block-writer.js'
import { merger } from '../../../src/data/table/plain/number-facts.js'
import { Rooms, ScanMemory } from '../../../src/data/table/plain/scan-module.js'
import { Snappy } from '../../../src/data/table/plain/snappy.js'
import { NumberStats } from '../../../src/data/table/profile.js'
import { tableStrata } from '../../../src/data/table/table-strata.js'

/** Numbers from 0 to below 1 of a generator of Park and Miller. */
function generator(seed: number): () => number {
  let state = seed
  return () => {
    state = (state * 48271) % 0x7fffffff
    return state / 0x7fffffff
  }
}

t.test('stratified splits: the rows that data/split.ts chooses', async t => {
  const random = generator(3)
  for (const [rows, classes] of [
    [1, 1],
    [2, 1],
    [7, 2],
    [1000, 3],
    [70_001, 2],
    [3000, 900],
  ]) {
    const labels = Int32Array.from({ length: rows }, () => Math.floor(random() ** 2 * classes))
    const all = Uint32Array.from({ length: rows }, (_, row) => row)
    // A part of the rows, as after a first split: the others may have no label.
    const some = all.filter(row => row % 3 !== 1)
    const marked = labels.map((label, row) => (row % 3 === 1 ? -1 : label))
    for (const [from, of] of [
      [all, labels],
      [some, marked],
    ] as const) {
      for (const seed of [0, 5, 2 ** 40 + 1]) {
        const own = Int32Array.from(from, row => of[row])
        let wanted: ReturnType<typeof splitValidation> | null = null
        try {
          wanted = splitValidation(own, 0.2, seed, 'data.testFraction')
        } catch (error) {
          t.throws(() => splitStrata(tableStrata(from, of, classes), 0.2, seed, 'data.testFraction'), {
            message: (error as Error).message,
          })
          continue
        }
        const found = splitStrata(tableStrata(from, of, classes), 0.2, seed, 'data.testFraction')
        const rowsAt = (places: Uint32Array) => places.map(place => from[place])
        t.same(found.train, rowsAt(wanted.train), `${rows} rows, ${classes} classes, seed ${seed}`)
        t.same(found.validation, rowsAt(wanted.validation))
      }
    }
  }
})

t.test('Snappy: literals and copies of all forms; damaged data are refused', async t => {
  const literal = (bytes: readonly number[], lengthBytes = 0): number[] => {
    const length = bytes.length - 1
    if (lengthBytes === 0) return [length << 2, ...bytes]
    const extra = Array.from({ length: lengthBytes }, (_, i) => (length >>> (8 * i)) & 0xff)
    return [(59 + lengthBytes) << 2, ...extra, ...bytes]
  }
  const copy1 = (length: number, offset: number) => [((length - 4) << 2) | 1 | ((offset >> 8) << 5), offset & 0xff]
  const copy2 = (length: number, offset: number) => [((length - 1) << 2) | 2, offset & 0xff, offset >> 8]
  const copy4 = (length: number, offset: number) => [((length - 1) << 2) | 3, offset & 0xff, offset >> 8, 0, 0]
  const random = generator(11)
  const snappy = new Snappy()
  let cases = 0
  for (let round = 0; round < 60; round++) {
    const packed: number[] = []
    const plain: number[] = []
    for (let part = 0; part < 1 + 12 * random(); part++) {
      const length = 1 + Math.floor(random() ** 3 * 700)
      if (plain.length === 0 || random() < 0.5) {
        const bytes = Array.from({ length }, () => Math.floor(random() * 256))
        packed.push(...literal(bytes, length > 60 ? 1 + Math.floor(random() * 4) + (length > 256 ? 1 : 0) : 0))
        if (packed.includes(Number.NaN)) t.fail('a form that does not exist')
        plain.push(...bytes)
        continue
      }
      const offset = 1 + Math.floor(random() * Math.min(plain.length, random() < 0.5 ? 20 : 2000))
      const form = Math.floor(random() * 3)
      const count = form === 0 ? 4 + Math.floor(random() * 8) : 1 + Math.floor(random() * 64)
      packed.push(
        ...(form === 0
          ? copy1(count, Math.min(offset, 2047))
          : form === 1
            ? copy2(count, offset)
            : copy4(count, offset)),
      )
      const distance = form === 0 ? Math.min(offset, 2047) : offset
      for (let i = 0; i < count; i++) plain.push(plain[plain.length - distance])
    }
    // A length of five bytes does not exist.
    if (packed.some(byte => byte > 255)) continue
    t.same([...snappy.unpack(Uint8Array.from(packed), plain.length)], plain, `round ${round}`)
    t.throws(() => snappy.unpack(Uint8Array.from(packed), plain.length + 1), 'too short')
    if (plain.length > 1) t.throws(() => snappy.unpack(Uint8Array.from(packed), plain.length - 1), 'too long')
    for (let cut = 0; cut < packed.length; cut += 1 + Math.floor(packed.length / 40)) {
      t.throws(() => snappy.unpack(Uint8Array.from(packed.slice(0, cut)), plain.length), `cut at ${cut}`)
    }
    cases++
  }
  t.ok(cases > 30, `${cases} cases`)
  t.throws(() => snappy.unpack(Uint8Array.from([...literal([1, 2]), ...copy2(3, 3)]), 5), 'a copy of what is not there')
  t.throws(() => snappy.unpack(Uint8Array.from([...literal([1, 2]), ...copy2(3, 0)]), 5), 'a copy at distance 0')
})

const columnsOfNumbers = (random: () => number): Record<string, Float64Array> => {
  const of = (value: (i: number) => number, length = 40_000) => Float64Array.from({ length }, (_, i) => value(i))
  return {
    fractions: of(() => Math.round(random() * 1e6) / 1e5),
    codes: of(() => Math.floor(random() * 7)),
    'many values': of(() => random()),
    'nearly as many as are counted': of(i => i % 10_000),
    'one more than are counted': of(i => i % 10_001),
    missing: of(i => (i % 3 === 0 ? Number.NaN : i / 4)),
    'nothing but missing': of(() => Number.NaN, 500),
    'zeros of both signs': of(i => (i % 2 === 0 ? 0 : -0)),
    negative: of(i => -i * 1e9),
    floats: of(() => Math.fround(random())),
    none: of(() => 0, 0),
  }
}

t.test('facts and packing: those of duckdb and of packed.ts, over blocks and threads', async t => {
  const random = generator(17)
  for (const [name, values] of Object.entries(columnsOfNumbers(random))) {
    const stats = new NumberStats()
    stats.add(values, 0, values.length)
    const parts = [0, 1, 2].map(part => {
      const rooms = new Rooms()
      const at = rooms.take(8 * 1000)
      const writer = new BlockWriter([false], 1000, 1, rooms)
      const memory = new ScanMemory(rooms)
      writer.use(memory)
      for (let from = 1000 * part; from < values.length; from += 3000) {
        const block = values.subarray(from, from + 1000)
        memory.floats.set(block, at / 8)
        writer.begin()
        writer.addNumbers(0, at, block.length)
        const packed = unpacked(writer.content, writer.packings, block.length)
        t.ok(
          packed.every((value, i) => Object.is(value, block[i])),
          `${name}: the same values, packing ${writer.packings[0]}`,
        )
      }
      return writer.numbers()[0]!
    })
    const { rows, missing, min, max, isInteger, distinct } = merger()(parts)
    const wanted = { rows: stats.rows, missing: stats.missing, min: stats.min, max: stats.max }
    t.same({ rows, missing, min, max }, wanted, `${name}: range`)
    t.same({ isInteger, distinct }, { isInteger: stats.isInteger, distinct: stats.distinct }, `${name}: distinct`)
  }
})

function unpacked(content: Uint8Array, packings: Uint8Array, rows: number): Float64Array {
  const buffer = content.slice().buffer
  const block: PackedBlock = { rows, buffer, offsets: Float64Array.of(0), packings: packings.slice() }
  const into = new Float64Array(rows)
  new PackedRows([block], [null]).numbers(0, 0, rows, into)
  return into
}

t.test('packed numbers are encoded to the same bits, with missing ones, in any packing', async t => {
  const random = generator(23)
  const rows = 5000
  const columns: Record<string, Float64Array> = {
    fractions: Float64Array.from({ length: rows }, () => Math.round(random() * 1e6) / 1e5),
    missing: Float64Array.from({ length: rows }, (_, i) => (i % 7 === 0 ? Number.NaN : i - 2500)),
    floats: Float64Array.from({ length: rows }, (_, i) => (i % 11 === 0 ? Number.NaN : Math.fround(random()))),
    doubles: Float64Array.from({ length: rows }, (_, i) => (i % 13 === 0 ? Number.NaN : random())),
    codes: Float64Array.from({ length: rows }, (_, i) => i % 3),
  }
  const names = Object.keys(columns)
  const packed = packedOf(Object.values(columns), [1000, 1, 1499, 2500])
  const number = (column: string, indicator: boolean): ColumnEncoding => ({
    ...{ column, kind: 'number', offset: 0.3, factor: 1.7, knots: [], fill: 0.25, indicator },
  })
  const encoding: TableEncoding = {
    ...{ version: 1, targets: [], weight: null, unused: [] },
    columns: [
      number('fractions', false),
      { column: 'codes', kind: 'category', categories: ['0', '2'], numeric: true, missing: false, buckets: 0 },
      number('missing', true),
      number('floats', true),
      number('doubles', false),
    ],
  }
  const table = { rows: packed, placeOf: (name: string) => (name === 'codes' ? null : names.indexOf(name)) }
  const encoder = PackedEncoder.of(table, encoding, 2000)!
  t.same(encoder.names, ['codes'])
  const chunkOf = (firstRow: number, count: number, wanted: readonly string[]): TableChunk => ({
    ...{ firstRow, rows: count },
    columns: new Map(
      wanted.map(name => [name, { type: 'number', values: columns[name].slice(firstRow, firstRow + count) }]),
    ),
  })
  for (let firstRow = 0; firstRow < rows; firstRow += 2000) {
    const count = Math.min(2000, rows - firstRow)
    for (const keep of [1, 2, 5]) {
      const chosen = Uint32Array.from({ length: Math.ceil(count / keep) }, (_, i) => i * keep)
      const [found, wanted] = [0, 1].map(() => new Float32Array(chosen.length * 8).fill(9))
      encoder.encode(chunkOf(firstRow, count, encoder.names), chosen, found, 'test')
      encodeRows(encoding, chunkOf(firstRow, count, names), wanted, chosen, 'test')
      t.same(found, wanted, `rows from ${firstRow} on, one in ${keep}`)
    }
  }
  const large = { ...encoding, columns: [{ ...number('missing', false), factor: 1e36 } as ColumnEncoding] }
  t.throws(
    () =>
      PackedEncoder.of(table, large, 2000)!.encode(
        chunkOf(0, 2000, []),
        Uint32Array.of(3, 4),
        new Float32Array(2),
        'f',
      ),
    { message: "f: column 'missing' in row 4 is -2497, expected a number that f32 can hold once it is standardised" },
  )
})

function packedOf(columns: readonly Float64Array[], blocks: readonly number[]): PackedRows {
  let from = 0
  const packed = blocks.map((rows): PackedBlock => {
    const packer = new BlockPacker(columns.length, rows)
    packer.begin()
    for (const [i, values] of columns.entries()) packer.addNumbers(i, values, from, from + rows)
    from += rows
    return {
      ...{ rows, buffer: packer.content.slice().buffer, offsets: packer.offsets.slice() },
      packings: packer.packings.slice(),
    }
  })
  return new PackedRows(
    packed,
    columns.map(() => null),
  )
}

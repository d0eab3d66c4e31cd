/** Packed numbers come back with the same bits, whatever they are. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { openDataset } from '../../../src/data/dataset.js'
import type { NumberEncoding } from '../../../src/data/table/encoding.js'
import { BlockPacker, type PackedBlock, PackedRows, Packing } from '../../../src/data/table/packed.js'
import { dataConfig } from '../../helpers/data-config.js'
import { csv, rowsOf } from './table-lab.js'

/** Packs blocks of one column, and reads them back. */
function roundTrip(blocks: readonly (readonly number[])[]) {
  const packer = new BlockPacker(1, Math.max(...blocks.map(({ length }) => length)))
  const packed = blocks.map((values): PackedBlock => {
    packer.begin()
    packer.addNumbers(0, Float64Array.from(values), 0, values.length)
    const { offsets, packings } = packer
    return {
      rows: values.length,
      buffer: packer.content.slice().buffer,
      offsets: offsets.slice(),
      packings: packings.slice(),
    }
  })
  const rows = new PackedRows(packed, [null])
  const back = new Float64Array(rows.rows)
  rows.numbers(0, 0, rows.rows, back)
  return { back, packings: packed.map(({ packings }) => packings[0]), rows }
}

const bits = (values: Iterable<number>) => Buffer.from(Float64Array.from(values).buffer).toString('hex')

t.test('decimals, floats, doubles, missing values: the fewest bytes that restore the same bits', async t => {
  const cases: [name: string, values: number[], packing: number][] = [
    ['integers', [1, -5, 0, 2 ** 31 - 1, -(2 ** 31) + 1], 0],
    ['decimals', [0.1, -0.25, 3, 12345.67], 2],
    ['five decimals', [-0.07947, 2.16859, 1e-5], 5],
    ['with missing values', [Number.NaN, 0.5, Number.NaN], 1],
    ['nothing but missing values', [Number.NaN, Number.NaN], 0],
    ['the integer that stands for a missing value', [-(2 ** 31), 1], Packing.f32],
    ['negative zero', [-0, 1], Packing.f32],
    ['floats', [Math.fround(0.1), Math.fround(1e20), Number.NaN], Packing.f32],
    ['doubles', [0.1, Math.PI, -0], Packing.f64],
    ['ids', [9007199254740991, 1700000000123], Packing.f64],
    ['infinite', [Number.POSITIVE_INFINITY, 0.1], Packing.f64],
    ['smallest and largest', [5e-324, 1.7976931348623157e308], Packing.f64],
  ]
  for (const [name, values, packing] of cases) {
    const { back, packings } = roundTrip([values])
    t.equal(bits(back), bits(values), name)
    t.same(packings, [packing], name)
  }
})

t.test('blocks that need more than the ones before', async t => {
  const blocks = [[1, 2], [0.5, 1], [1.25], [Math.PI, 1], [1, 2, 3]]
  const { back, packings } = roundTrip(blocks)
  t.equal(bits(back), bits(blocks.flat()))
  t.same(packings, [0, 1, 2, Packing.f64, 2])
})

t.test('any numbers, any rows', async t => {
  let state = 12345
  const random = (below: number) => {
    state = (state * 48271) % 2147483647
    return state % below
  }
  const makers = [
    () => random(1000),
    () => (random(2e9) - 1e9) / 10 ** random(10),
    () => Math.fround(random(2e9) / 7),
    () => random(2e9) / 7,
    () => [0, -0, Number.NaN, 1e300][random(4)],
  ]
  for (let round = 0; round < 200; round++) {
    const blocks = Array.from({ length: 1 + random(4) }, () => {
      const make = makers[random(makers.length)]
      return Array.from({ length: random(20) }, make)
    })
    const all = blocks.flat()
    const { back, rows } = roundTrip(blocks)
    t.equal(bits(back), bits(all), `round ${round}`)
    const from = random(all.length + 1)
    const to = from + random(all.length - from + 1)
    const part = new Float64Array(to - from)
    rows.numbers(0, from, to, part)
    t.equal(bits(part), bits(all.slice(from, to)), `round ${round}: rows ${from} to ${to}`)
  }
})

t.test(
  'packed numbers have the limit, with bins or without, and bins "auto" follow from the training rows',
  async t => {
    const rows = Array.from({ length: 100 }, (_, i) => [i % 3, i === 50 ? 1e6 : i / 4, i % 40 < 20 ? 'a' : 'b'])
    const path = join(t.testdir({}), 'rows.csv')
    writeFileSync(path, csv('few,many,kind', rows))
    for (const [bins, many] of [
      ['auto', 8],
      [3, 3],
      [0, 0],
    ] as const) {
      const config = dataConfig({ dataset: 'table', path, numbers: { bins, limit: 2 } })
      const source = await openDataset({ ...config, task: 'auto' }, { baseDir: '/' })
      t.equal(source.columns!.features.length, 2 + many, `bins ${bins}`)
      t.equal(source.notes!.includes(`bins: at most ${many} for a number, for 1 of 2 numbers`), many > 0)
      const [few] = source.table!.columns as NumberEncoding[]
      const limited = [0, 1, 2].map(value => {
        const part = ((value - few.offset) * few.factor) / 2
        return Math.fround((2 * part) / Math.sqrt(1 + part * part))
      })
      const train = await rowsOf(source, 'train')
      t.same(
        [...new Set(train.map(({ features }) => features.few))].sort((a, b) => a - b),
        limited,
      )
      t.ok(train.every(({ features }) => Math.abs(features.many) <= 2))
      await source.close?.()
    }
  },
)

t.test('both splits at once: the same as one after the other, and the memory is given back', async t => {
  // More than 2^20 values: fewer are not packed.
  const rows = Array.from({ length: 76_000 }, (_, i) => [
    ...Array.from({ length: 14 }, (_, k) => (i * (k + 3)) % 11),
    ['no', 'yes'][i & 1],
  ])
  const path = join(t.testdir({}), 'rows.csv')
  writeFileSync(path, csv('a,b,c,d,e,f,g,h,i,j,k,l,m,n,kind', rows))
  const config = { ...dataConfig({ dataset: 'table', path }), task: 'auto' as const, validation: 0.1 }
  const open = () => openDataset(config, { baseDir: '/' })
  const [source, last] = [await open(), await open()]
  const viewsOf = (split: 'train' | 'test') => ({
    features: new Float32Array(source[split].rows * source.width),
    labels: new Int32Array(source[split].rows),
    targets: new Float32Array(),
  })
  const into = { train: viewsOf('train'), test: viewsOf('test') }
  const { train } = await last.loadLast!(into)
  t.equal(train.files[0].path, path)
  for (const split of ['train', 'test'] as const) {
    const { features, labels } = viewsOf(split)
    await source.load(split, features, labels)
    t.ok(
      features.every((value, i) => Object.is(value, into[split].features[i])),
      `features of ${split}`,
    )
    t.strictSame(labels, into[split].labels, `labels of ${split}`)
  }
  const { features, labels } = viewsOf('train')
  await t.rejects(last.load('train', features, labels), { message: /memory was given back/ })
  await last.close!()
  await source.close!()
})

t.test('rows of a long block are given back in parts; those that follow keep their values', async t => {
  const [long, short] = [50_000, 3000]
  const values = Float64Array.from({ length: long + short }, (_, row) => row / 4)
  const buffer = new SharedArrayBuffer(4 * 2 * values.length)
  const ints = new Int32Array(buffer)
  // Two columns; the store has the short block first.
  const offsets = [
    [short, short + long],
    [0, 2 * long + short],
  ]
  for (const [block, [from, rows]] of [[0, long] as const, [long, short] as const].entries()) {
    for (const at of offsets[block]) for (let i = 0; i < rows; i++) ints[at + i] = 100 * values[from + i]
  }
  const blocks = [long, short].map(
    (rows, i): PackedBlock => ({
      ...{ rows, buffer, offsets: Float64Array.from(offsets[i], at => 4 * at), packings: Uint8Array.of(2, 2) },
    }),
  )
  const packed = new PackedRows(blocks, [null, null])
  const isKept = (from: number) => {
    for (const column of [0, 1]) {
      const left = new Float64Array(values.length - from)
      packed.numbers(column, from, values.length, left)
      if (bits(left) !== bits(values.subarray(from))) return false
    }
    return true
  }
  for (const row of [4096, 16_384, 20_001, 40_960, 49_999]) {
    await packed.releaseBefore(row)
    t.ok(isKept(row), `rows from ${row} on`)
  }
  t.throws(
    () => packed.numbers(1, 40_959, 40_961, new Float64Array(2)),
    /row 40959 is read, whose memory was given back/,
  )
  t.throws(() => packed.numbersAt(0, Uint32Array.of(16_383, 50_000)), /row 16383 is read/)
  if (process.platform === 'linux') {
    t.ok(
      ints.subarray(short + 2048, short + 36_000).every(integer => integer === 0),
      'its pages are empty',
    )
  }
  await packed.releaseBefore(values.length - 1)
  t.ok(isKept(values.length - 1))
  await packed.releaseBefore(values.length)
  t.throws(() => packed.numbers(0, values.length - 1, values.length, new Float64Array(1)), /given back/)
})

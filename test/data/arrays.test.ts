/** NumPy arrays and folders of pictures as data sets, and every way in which they can be wrong. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { unzipSync, zipSync } from 'fflate'
import t from 'tap'
import { openDataset } from '../../src/data/dataset.js'
import { asFeatureType } from '../../src/data/feature-type.js'
import type { DataConfig, DatasetSource } from '../../src/data/source.js'
import { parseNpy } from '../../src/formats/npy.js'
import { encodePng } from '../../src/picture/png.js'
import { dataConfig } from '../helpers/data-config.js'
import fc from '../helpers/fast-check.js'

const dir = t.testdir()
let folders = 0
const folder = () => join(dir, String(folders++))

/** An .npy file as NumPy writes it. */
function npy(
  type: string,
  shape: readonly number[],
  numbers: Uint8Array,
  { fortran = false, version = 1 } = {},
): Uint8Array {
  const dims = shape.length === 1 ? `${shape[0]},` : shape.join(', ')
  const header = `{'descr': '${type}', 'fortran_order': ${fortran ? 'True' : 'False'}, 'shape': (${dims}), }\n`
  const start = Buffer.alloc(version === 1 ? 10 : 12)
  start.write('\x93NUMPY', 'latin1')
  start[6] = version
  if (version === 1) start.writeUInt16LE(header.length, 8)
  else start.writeUInt32LE(header.length, 8)
  return Buffer.concat([start, Buffer.from(header, 'latin1'), numbers])
}
const bytesOf = (data: Float32Array | Float64Array | Int32Array | BigInt64Array | Uint16Array): Uint8Array =>
  new Uint8Array(data.buffer, data.byteOffset, data.byteLength)

/** 6 images of 3 x 2 in 2 classes, and 2 test images. */
const PIXELS = Uint8Array.from({ length: 8 * 6 }, (_, i) => i * 5)
const LABELS = BigInt64Array.from([0n, 1n, 0n, 1n, 0n, 1n])
const KERAS = {
  'x_train.npy': npy('|u1', [6, 3, 2], PIXELS.slice(0, 36)),
  'y_train.npy': npy('<i8', [6], bytesOf(LABELS)),
  'x_test.npy': npy('|u1', [2, 3, 2], PIXELS.slice(36)),
  'y_test.npy': npy('<i8', [2], bytesOf(LABELS.slice(0, 2))),
}

function writeFiles(files: Readonly<Record<string, Uint8Array>>): string {
  const path = folder()
  for (const [name, bytes] of Object.entries(files)) {
    mkdirSync(dirname(join(path, name)), { recursive: true })
    writeFileSync(join(path, name), bytes)
  }
  return path
}

function openArrays(files: Readonly<Record<string, Uint8Array>>, form: 'npz' | 'npy' = 'npz'): Promise<DatasetSource> {
  const path = form === 'npy' ? writeFiles(files) : writeFiles({ 'data.npz': zipSync(files) })
  return openDataset(dataConfig({ dataset: 'npz', path: form === 'npy' ? path : join(path, 'data.npz') }), {
    baseDir: '/',
  })
}

async function load(source: DatasetSource, split: 'train' | 'test') {
  const count = source[split].rows * source.height * source.width
  const features = source.dtype === 'uint8' ? new Uint8Array(count) : new Float32Array(count)
  const labels = new Int32Array(source[split].rows)
  const { files } = await source.load(split, features, labels)
  return { features: [...features], labels: [...labels], files }
}

t.test('an .npz archive as Keras has them, and a folder of .npy files, are images with their test split', async t => {
  for (const form of ['npz', 'npy'] as const) {
    const source = await openArrays(KERAS, form)
    t.match(source, {
      height: 3,
      width: 2,
      dtype: 'uint8',
      classNames: ['0', '1'],
      train: { rows: 6 },
      test: { rows: 2 },
    })
    const { features, labels, files } = await load(source, 'train')
    t.same(features, [...PIXELS.slice(0, 36)])
    t.same(labels, [0, 1, 0, 1, 0, 1])
    t.equal(files.length, form === 'npz' ? 1 : 2)
    t.same((await load(source, 'test')).features, [...PIXELS.slice(36)])
  }
})

t.test('numbers of every type and order are read as f32; without test rows a fifth is taken', async t => {
  const values = Float64Array.from({ length: 20 }, (_, i) => i / 4 - 2)
  const labels = npy('<i4', [10, 1], bytesOf(Int32Array.from({ length: 10 }, (_, i) => 7 + (i % 2))))
  const swapped = Buffer.from(bytesOf(values)).swap64()
  const columns = Float64Array.from({ length: 20 }, (_, i) => values[(i % 10) * 2 + Math.floor(i / 10)])
  for (const [what, x] of [
    ['f8', npy('<f8', [10, 2], bytesOf(values))],
    ['f4', npy('<f4', [10, 2], bytesOf(Float32Array.from(values)))],
    ['big-endian', npy('>f8', [10, 2], swapped)],
    ['Fortran order', npy('<f8', [10, 2], bytesOf(columns), { fortran: true })],
    ['version 2', npy('<f8', [10, 2], bytesOf(values), { version: 2 })],
  ] as const) {
    const source = await openArrays({ 'x_train.npy': x, 'y_train.npy': labels })
    t.match(source, {
      height: 1,
      width: 2,
      dtype: 'float32',
      classNames: ['7', '8'],
      train: { rows: 8 },
      test: { rows: 2 },
    })
    const all = [...(await load(source, 'train')).features, ...(await load(source, 'test')).features]
    t.same(
      all.sort((a, b) => a - b),
      [...values],
      what,
    )
  }
})

/** Text as NumPy's `U`: code points of 4 bytes. */
function unicode(texts: readonly string[], length: number, swap = false): Uint8Array {
  const points = texts.flatMap(text => Array.from({ length }, (_, i) => [...text][i]?.codePointAt(0) ?? 0))
  const bytes = Buffer.alloc(points.length * 4)
  for (const [i, point] of points.entries())
    swap ? bytes.writeUInt32BE(point, 4 * i) : bytes.writeUInt32LE(point, 4 * i)
  return bytes
}

t.test('labels in every common form name the same classes', async t => {
  const rows = [0, 1, 1, 0, 1, 0, 0, 1, 0, 1]
  const x = npy('<f4', [10, 1], bytesOf(Float32Array.from(rows, (label, i) => label + i / 100)))
  const hot = rows.flatMap(label => [1 - label, label])
  const numbers = Object.entries({
    bool: npy('|b1', [10], Uint8Array.from(rows)),
    f4: npy('<f4', [10], bytesOf(Float32Array.from(rows))),
    f2: npy('<f2', [10], bytesOf(Uint16Array.from(rows, label => label * 0x3c00))),
    'i8 (N, 1)': npy('<i8', [10, 1], bytesOf(BigInt64Array.from(rows.map(BigInt)))),
    'u1 (1, N)': npy('|u1', [1, 10], Uint8Array.from(rows)),
    'one-hot u1': npy('|u1', [10, 2], Uint8Array.from(hot)),
    'one-hot bool': npy('|b1', [10, 2], Uint8Array.from(hot)),
    'one-hot f8': npy('<f8', [10, 2], bytesOf(Float64Array.from(hot))),
    'one-hot f4, Fortran': npy('<f4', [10, 2], bytesOf(Float32Array.from([...rows.map(label => 1 - label), ...rows])), {
      fortran: true,
    }),
    'text S': npy('|S1', [10], Buffer.from(rows.join(''))),
    'text U (N, 1)': npy('<U3', [10, 1], unicode(rows.map(String), 3)),
  })
  const want = await load(await openArrays({ 'x_train.npy': x, 'y_train.npy': numbers[1][1] }), 'train')
  for (const [name, y] of numbers) {
    const source = await openArrays({ 'x_train.npy': x, 'y_train.npy': y })
    t.same(source.classNames, ['0', '1'], name)
    const { features, labels } = await load(source, 'train')
    t.same([features, labels], [want.features, want.labels], name)
  }
  const words = rows.map(label => ['chat', 'été 🐈'][label])
  for (const swap of [false, true]) {
    const y = npy(`${swap ? '>' : '<'}U5`, [10], unicode(words, 5, swap))
    t.same((await openArrays({ 'x_train.npy': x, 'y_train.npy': y })).classNames, ['chat', 'été 🐈'])
  }
})

t.test(
  'float16 features, as numbers and as subnormal ones; one feature in one dimension; a channel in front',
  async t => {
    const y = npy('|u1', [4], Uint8Array.of(0, 1, 0, 1))
    const halves = Uint16Array.of(0x3c00, 0xc000, 0x0001, 0x7bff) // 1, -2, 2^-24, 65504
    for (const [name, shape] of [
      ['(N, 1)', [4, 1]],
      ['(N)', [4]],
    ] as const) {
      const source = await openArrays({ 'x_train.npy': npy('<f2', shape, bytesOf(halves)), 'y_train.npy': y })
      t.match(source, { height: 1, width: 1, dtype: 'float32' }, name)
      const all = [...(await load(source, 'train')).features, ...(await load(source, 'test')).features]
      t.same(
        all.sort((a, b) => a - b),
        [-2, 2 ** -24, 1, 65504],
        name,
      )
    }
    const channels = npy('|u1', [4, 1, 2, 3], new Uint8Array(24))
    t.match(await openArrays({ 'x_train.npy': channels, 'y_train.npy': y }), { height: 2, width: 3, dtype: 'uint8' })
  },
)

t.test('a 2-dimensional array is numbers for every type; bytes with height and width are images', async t => {
  const values = Uint8Array.from({ length: 40 }, (_, i) => (i * 37) % 200)
  const y = npy(
    '|u1',
    [10],
    Uint8Array.from({ length: 10 }, (_, i) => i % 2),
  )
  const want = await load(
    await openArrays({ 'x_train.npy': npy('<f4', [10, 4], bytesOf(Float32Array.from(values))), 'y_train.npy': y }),
    'train',
  )
  for (const [type, numbers] of [
    ['|u1', values],
    ['<i4', bytesOf(Int32Array.from(values))],
    ['<f8', bytesOf(Float64Array.from(values))],
  ] as const) {
    const source = await openArrays({ 'x_train.npy': npy(type, [10, 4], numbers), 'y_train.npy': y })
    t.match(source, { height: 1, width: 4, dtype: 'float32' }, type)
    t.same((await load(source, 'train')).features, want.features, type)
  }
  const images = await openArrays({ 'x_train.npy': npy('|u1', [10, 2, 2], values), 'y_train.npy': y })
  t.match(images, { height: 2, width: 2, dtype: 'uint8' })
  // A model that learned from the other type gets the type that it learned from.
  const path = writeFiles({ 'x_train.npy': npy('|u1', [10, 2, 2], values), 'y_train.npy': y })
  const asNumbers = asFeatureType(await openDataset(dataConfig({ dataset: 'npz', path }), { baseDir: '/' }), 'float32')
  t.same(await load(asNumbers, 'train').then(({ features }) => features), want.features)
  const floats = npy('<f4', [10, 2, 2], bytesOf(Float32Array.from(values)))
  const asBytes = writeFiles({ 'x_train.npy': floats, 'y_train.npy': y })
  const bytes = asFeatureType(
    await openDataset(dataConfig({ dataset: 'npz', path: asBytes }), { baseDir: '/' }),
    'uint8',
  )
  t.match(bytes, { dtype: 'uint8' })
  t.same((await load(bytes, 'train')).features, want.features)
  const scaled = npy('<f4', [10, 2, 2], bytesOf(Float32Array.from(values, value => value / 255)))
  const other = writeFiles({ 'x_train.npy': scaled, 'y_train.npy': y })
  const refused = asFeatureType(
    await openDataset(dataConfig({ dataset: 'npz', path: other }), { baseDir: '/' }),
    'uint8',
  )
  await t.rejects(load(refused, 'train'), {
    name: 'DataError',
    message: /train row 0 is 0\.1.*, expected an integer/,
  })
})

t.test('features that are different but equal in f32 are refused, in arrays and tables', async t => {
  const rows = Array.from({ length: 400 }, (_, i) => i)
  const labels = rows.map(i => i % 2)
  const y = npy('|u1', [400], Uint8Array.from(labels))
  const columns: [name: string, refused: boolean, values: number[]][] = [
    ['times', true, rows.map(i => 1_700_000_000 + (i % 60))],
    ['milliseconds', true, rows.map(i => 1_700_000_000_000 + 1000 * i)],
    ['identifiers', true, labels.map(label => 20_000_000 + label)],
    ['large identifiers', true, labels.map(label => 200_000_000 + label)],
    ['years of seconds', false, rows.map(i => 1_600_000_000 + 86_400 * 3 * i)],
    ['times beside zeros', true, rows.map(i => (i % 4 === 0 ? 0 : 1_700_000_000 + (i % 60)))],
    ['small differences', true, rows.map(i => 1 + (i % 50) * 1e-9)],
    ['noise of computing', false, rows.map(i => (i % 3 === 0 ? 0.1 + 0.2 : 0.3))],
    ['constant', false, rows.map(() => 1_700_000_001)],
    ['sums', false, rows.map(i => Array.from({ length: i % 7 }, () => 0.1).reduce((a, b) => a + b, 0))],
    ['measurements', false, rows.map(i => Math.sin(i) * 1e6)],
    ['small whole numbers', false, rows],
  ]
  for (const [name, isRefused, values] of columns) {
    const x = npy('<f8', [400, 2], bytesOf(Float64Array.from(values.flatMap(value => [1, value]))))
    const path = writeFiles({
      't.csv': Buffer.from(`one,${name},class\n${values.map((value, i) => `1,${value},${labels[i]}`).join('\n')}\n`),
    })
    const table = () => openDataset(dataConfig({ dataset: 'table', path: join(path, 't.csv') }), { baseDir: '/' })
    const arrays = () => openArrays({ 'x_train.npy': x, 'y_train.npy': y })
    if (isRefused) {
      await t.rejects(arrays, { message: /x_train: feature 1 has \d+ different values .* f32 keeps \d+ apart/ }, name)
      // A table's columns are shifted before they are rounded.
      await t.resolves(table, name)
    } else {
      await t.resolves(arrays, name)
      if (name === 'constant') await t.rejects(table, /has no column to learn from/, name)
      else await t.resolves(table, name)
    }
  }
})

t.test('errors of arrays name the file and the problem', async t => {
  const { 'x_train.npy': x, 'y_train.npy': y } = KERAS
  const nan = npy('<f4', [2, 1], bytesOf(Float32Array.of(1, Number.NaN)))
  const two = npy('<i4', [2], bytesOf(Int32Array.of(0, 1)))
  for (const [files, message] of [
    [{ 'y_train.npy': y }, /has no array 'x_train'/],
    [{ 'x_train.npy': x }, /has 'x_train' but no array 'y_train'/],
    [{ 'x_train.npy': x, 'y_train.npy': two }, /x_train has 6 rows, expected 2/],
    [{ 'x_train.npy': nan, 'y_train.npy': two }, /x_train: element 1 is NaN, expected finite numbers/],
    [{ 'x_train.npy': npy('|O', [2, 1], new Uint8Array(4)), 'y_train.npy': two }, /elements are 'O', expected one of/],
    [{ 'x_train.npy': npy('<c8', [2, 1], new Uint8Array(16)), 'y_train.npy': two }, /elements are 'c8'/],
    [
      { 'x_train.npy': npy('<i8', [2, 1], bytesOf(BigInt64Array.of(1n, 2n ** 53n + 1n))), 'y_train.npy': two },
      /x_train: element 1 is about 9007199254740992, expected whole numbers up to 2\^53/,
    ],
    [{ 'x_train.npy': npy('<f2', [2, 1], bytesOf(Uint16Array.of(0, 0x7e00))), 'y_train.npy': two }, /element 1 is NaN/],
    [
      { 'x_train.npy': npy('<f2', [2, 1], bytesOf(Uint16Array.of(0xfc00, 0))), 'y_train.npy': two },
      /element 0 is -Infinity/,
    ],
    [{ 'x_train.npy': x.subarray(0, 60), 'y_train.npy': y }, /header is \d+ bytes long, expected at most/],
    [{ 'x_train.npy': x.subarray(0, x.length - 1), 'y_train.npy': y }, /has 35 bytes of elements, expected 36/],
    [{ 'x_train.npy': Buffer.from('hello, world'), 'y_train.npy': y }, /begins with 'hello,'/],
    [
      { 'x_train.npy': npy('|u1', [2, 0, 5, 3], new Uint8Array(0)), 'y_train.npy': two },
      /shape is \(2, 0, 5, 3\).*at least one/,
    ],
    [{ 'x_train.npy': npy('|u1', [2, 2, 2, 4], new Uint8Array(32)), 'y_train.npy': two }, /shape is \(2, 2, 2, 4\)/],
    [
      { 'x_train.npy': npy('|u1', [2, 3, 2, 3], new Uint8Array(36)), 'y_train.npy': two },
      /\(2, 3, 2, 3\), expected one dimension of channels, 1 or 3; both the second and the last may be it/,
    ],
    [
      {
        'x_train.npy': npy('|u1', [2, 1], new Uint8Array(2)),
        'y_train.npy': npy('<f4', [2], bytesOf(Float32Array.of(1, 0.5))),
      },
      /y_train: element 1 is 0\.5, expected integers as classes; it is f4/,
    ],
    [
      {
        'x_train.npy': npy('|u1', [2, 1], new Uint8Array(2)),
        'y_train.npy': npy('|u1', [2, 3], Uint8Array.of(0, 1, 0, 1, 1, 0)),
      },
      /y_train: row 1 is u1 \(1, 1, 0\), expected one-hot/,
    ],
    [
      { 'x_train.npy': npy('|u1', [2, 1], new Uint8Array(2)), 'y_train.npy': npy('|S2', [2], Buffer.from('a\0\0\0')) },
      /y_train: element 1 is empty, expected the name of a class/,
    ],
    [
      { ...KERAS, 'x_test.npy': npy('|u1', [2, 2, 2], new Uint8Array(8)) },
      /x_test is uint8 of 2 x 2, expected uint8 of 3 x 2/,
    ],
  ] as const) {
    await t.rejects(openArrays(files), { name: 'DataError', message }, String(message))
  }
})

t.test('types that are not read are named as NumPy writes them', async t => {
  const dates = npy('<M8[s]', [6, 1], bytesOf(LABELS))
  await t.rejects(openArrays({ ...KERAS, 'x_train.npy': dates }), {
    name: 'DataError',
    message: /x_train: elements are '<M8\[s\]', expected one of b1, /,
    hint: /^dates as numbers/,
  })
  const single = npy('<f4', [1], new Uint8Array(4))
  const scalar = Buffer.from(Buffer.from(single).toString('latin1').replace('(1,)', '(  )'), 'latin1')
  await t.rejects(openArrays({ ...KERAS, 'x_train.npy': scalar }), {
    name: 'DataError',
    message: /x_train is a single number, expected an array with rows/,
  })
})

t.test('archives that are truncated or claim what they cannot hold are refused', async t => {
  const archive = zipSync(KERAS)
  for (const length of [0, 10, 100, archive.length - 1]) {
    const path = join(writeFiles({ 'cut.npz': archive.subarray(0, length) }), 'cut.npz')
    await t.rejects(
      openDataset(dataConfig({ dataset: 'npz', path }), { baseDir: '/' }),
      { name: 'DataError' },
      `${length} bytes`,
    )
  }
  // A byte of the pixels, which is a valid pixel too: only the checksum tells.
  const flipped = Buffer.from(zipSync(KERAS, { level: 0 }))
  flipped[flipped.indexOf(PIXELS.slice(0, 36)) + 5] ^= 1
  await t.rejects(
    openDataset(dataConfig({ dataset: 'npz', path: join(writeFiles({ 'flipped.npz': flipped }), 'flipped.npz') }), {
      baseDir: '/',
    }),
    { name: 'DataError', message: /flipped\.npz: is not a whole \.npz archive: CRC-32 of x_train\.npy is/ },
  )
  // The size that the directory claims of the first file, at 24 bytes into its entry.
  const bomb = Buffer.from(archive)
  const entry = bomb.indexOf('PK\x01\x02', 0, 'latin1')
  bomb.writeUInt32LE(0xfffffffe, entry + 24)
  const path = join(writeFiles({ 'bomb.npz': bomb }), 'bomb.npz')
  await t.rejects(openDataset(dataConfig({ dataset: 'npz', path }), { baseDir: '/' }), {
    name: 'DataError',
    message: /x_train\.npy claims 4294967294 bytes out of \d+/,
  })
  t.equal(Object.keys(unzipSync(archive)).length, 4)
})

t.test('any bytes at all are an array or a DataError', async t => {
  const good = Buffer.from(KERAS['x_train.npy'])
  let refused = 0
  await fc.assert(
    fc.asyncProperty(fc.nat(good.length - 1), fc.nat(255), async (at, byte) => {
      const bytes = Buffer.from(good)
      bytes[at] = byte
      try {
        parseNpy('x', bytes)
      } catch (error) {
        if ((error as Error).name !== 'DataError') throw error
        refused++
      }
    }),
    { numRuns: 500 },
  )
  t.ok(refused > 50, `${refused} of 500 refused`)
})

/** A picture of one grey, as PNG. */
function png(width: number, height: number, grey: number): Uint8Array {
  return encodePng(width, height, new Uint8Array(width * height * 3).fill(grey))
}

function openPictures(files: Readonly<Record<string, Uint8Array>>, more: Partial<DataConfig> = {}) {
  return openDataset(dataConfig({ dataset: 'images', path: writeFiles(files), ...more }), { baseDir: '/' })
}

t.test('pictures in folders of classes: grey, in the order of classes and names', async t => {
  const pictures = {
    'train/cat/b.png': png(4, 3, 20),
    'train/cat/a.png': png(4, 3, 10),
    'train/dog/a.png': png(4, 3, 200),
    'train/dog/notes.txt': Buffer.from('not a picture'),
    'test/cat/a.png': png(4, 3, 30),
  }
  const source = await openPictures(pictures)
  t.match(source, {
    height: 3,
    width: 4,
    dtype: 'uint8',
    classNames: ['cat', 'dog'],
    train: { rows: 3 },
    test: { rows: 1 },
  })
  const { features, labels } = await load(source, 'train')
  t.same(labels, [0, 0, 1])
  t.same(
    [0, 12, 24].map(at => features[at]),
    [10, 20, 200],
  )
  t.equal((await load(source, 'test')).features[0], 30)

  const flat = await openPictures(
    Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`${i % 2}/${i}.png`, png(2, 2, i)])),
  )
  t.match(flat, { classNames: ['0', '1'], train: { rows: 8 }, test: { rows: 2 } })
})

t.test('pictures of different sizes are resized if a size is given', async t => {
  const pictures = {
    'a/1.png': png(4, 4, 10),
    'b/1.png': png(8, 6, 90),
    'b/2.png': png(2, 2, 50),
    'a/2.png': png(4, 4, 1),
  }
  await t.rejects(openPictures(pictures), {
    name: 'DataError',
    message: /1\.png: picture is 8 x 6, expected 4 x 4 as/,
    hint: /data\.imageSize=\[4,4\]/,
  })
  const source = await openPictures(pictures, { imageSize: [3, 5] })
  t.match(source, { height: 3, width: 5 })
})

t.test('pictures that fit in no memory are refused before any is decoded', async t => {
  const picture = Buffer.from('no picture: it is not looked at')
  const files = Object.fromEntries(Array.from({ length: 257 }, (_, i) => [`${i % 2 ? 'a' : 'b'}/${i}.png`, picture]))
  await t.rejects(openPictures(files, { imageSize: [4096, 4096], channels: 1 }), {
    name: 'DataError',
    message: /png: 257 pictures of 4096 x 4096 as this one would need 4\.3 GB, expected at most 4\.3 GB/,
    hint: /"imageSize": \[64, 64\] in the experiment's data/,
  })
  const third = Object.fromEntries(Object.entries(files).slice(0, 86))
  await t.rejects(openPictures(third, { imageSize: [4096, 4096], channels: 3 }), /86 pictures of .* need 4\.3 GB/)
  await t.rejects(openPictures(third, { imageSize: [4096, 4096], channels: 1 }), /begins with .*, expected a picture/)
})

t.test('errors of pictures name the file and the problem', async t => {
  await t.rejects(openPictures({ 'a/x.txt': Buffer.from('x') }), {
    name: 'DataError',
    message: /a: the class has no picture that can be read, expected PNG, .*; it has 1 other file/,
  })
  await t.rejects(openPictures({ 'a/1.png': Buffer.from('not a PNG') }), { name: 'PictureError' })
  await t.rejects(openPictures({ 'a/1.png': png(2, 2, 0).subarray(0, 40) }), { name: 'PictureError' })
  await t.rejects(openPictures({ 'a/1.png': png(2, 2, 0) }), { message: /1 classes, expected at least 2/ })
  const path = join(dir, 'nowhere')
  await t.rejects(openDataset(dataConfig({ dataset: 'images', path }), { baseDir: '/' }), {
    name: 'DataError',
    message: /cannot be read/,
  })
})

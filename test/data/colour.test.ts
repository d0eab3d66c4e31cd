/** Pictures in colour as data: what folders and arrays have, what the settings make of it, and what is cached. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import sharp from 'sharp'
import t from 'tap'
import { openDataset } from '../../src/data/dataset.js'
import { openImageFolder } from '../../src/data/image-folder.js'
import { scalingOf } from '../../src/data/input.js'
import { PictureCache } from '../../src/data/picture-cache.js'
import { readPictures } from '../../src/data/picture-reads.js'
import type { DataConfig, DatasetSource } from '../../src/data/source.js'
import { encodePng } from '../../src/picture/png.js'
import { inputSize } from '../../src/tensor/input-shape.js'
import { dataConfig } from '../helpers/data-config.js'
import { npzOf } from '../helpers/npy.js'
import { writeFolder } from '../helpers/write-folder.js'

const dir = t.testdir()
process.env.GRADLOOM_CACHE = join(dir, 'cache')
let folders = 0

type Rgb = readonly [number, number, number]
const flat = (rgb: Rgb, width = 2, height = 2): Uint8Array =>
  encodePng(
    width,
    height,
    Uint8Array.from({ length: width * height * 3 }, (_, i) => rgb[i % 3]),
  )

const writeFiles = (files: Readonly<Record<string, Uint8Array>>): string =>
  writeFolder(join(dir, String(folders++)), files)

const open = (path: string, more: Partial<DataConfig> = {}) =>
  openImageFolder(path, null, dataConfig({ dataset: 'images', path, ...more }))

async function rowsOf(source: DatasetSource, split: 'train' | 'test' = 'train'): Promise<number[][]> {
  const { rows } = source[split]
  const size = inputSize(source)
  const features = source.dtype === 'uint8' ? new Uint8Array(rows * size) : new Float32Array(rows * size)
  await source.load(split, features, new Int32Array(rows))
  return Array.from({ length: rows }, (_, row) => [...features.subarray(row * size, (row + 1) * size)])
}

const GREY: Rgb = [90, 90, 90]
const RED: Rgb = [200, 10, 20]

t.test('a folder is in colour if a training picture is, and every picture then has three channels', async t => {
  const grey = { 'train/a/1.png': flat(GREY), 'train/b/1.png': flat([7, 7, 7]), 'test/a/1.png': flat(RED) }
  const all = await open(writeFiles(grey))
  t.match(all, { channels: 1, height: 2, width: 2 })
  t.match(all.notes?.[0], /^grey pictures, 2 x 2, of 2 classes: a \(1\), b \(1\)$/)
  t.same(await rowsOf(all), [Array(4).fill(90), Array(4).fill(7)])
  t.same(await rowsOf(all, 'test'), [Array(4).fill(Math.round(0.299 * 200 + 0.587 * 10 + 0.114 * 20))])

  const greyJpeg = await sharp(Buffer.alloc(4, 60), { raw: { width: 2, height: 2, channels: 1 } })
    .jpeg()
    .toBuffer()
  const mixed = { ...grey, 'train/a/0.jpg': greyJpeg, 'train/b/2.png': flat(RED), 'test/b/1.png': flat(GREY) }
  const some = await open(writeFiles(mixed))
  t.match(some, { channels: 3, height: 2, width: 2 })
  t.match(some.notes?.[0], /^pictures in colour \(3 of them are grey\), 2 x 2, of 2 classes: a \(2\), b \(2\)$/)
  const four = (rgb: Rgb) => [rgb, rgb, rgb, rgb].flat()
  t.same(await rowsOf(some), [four([60, 60, 60]), four(GREY), four([7, 7, 7]), four(RED)])
  t.same(await rowsOf(some, 'test'), [four(RED), four(GREY)])
})

t.test('data.channels decides, else a model that the pictures are for', async t => {
  const red = writeFiles({ 'train/a/1.png': flat(RED), 'train/b/1.png': flat(GREY), 'test/a/1.png': flat(RED) })
  const made = await open(red, { channels: 1 })
  t.equal(made.channels, 1)
  t.match(made.notes?.[0], /^grey pictures \(1 of them had colours\), /)
  t.same(await rowsOf(made), [Array(4).fill(68), Array(4).fill(90)])
  const grey = writeFiles({ 'train/a/1.png': flat(GREY), 'train/b/1.png': flat([1, 1, 1]), 'test/a/1.png': flat(GREY) })
  t.equal((await open(grey)).channels, 1)
  t.equal((await open(grey, { channels: 3 })).channels, 3)
  const config = dataConfig({ dataset: 'images', path: grey })
  const forModel = await openImageFolder(grey, null, config, { channels: 3 })
  t.same(await rowsOf(forModel), [Array(12).fill(90), Array(12).fill(1)])
  t.equal((await openImageFolder(red, null, config, { channels: 1 })).channels, 1)
})

t.test('transparent pixels show the background: white, or the one that is given', async t => {
  const glass = (rgb: Rgb, alpha: number) =>
    sharp(Buffer.from([...rgb, Math.round(255 * alpha)]), { raw: { width: 1, height: 1, channels: 4 } })
      .png()
      .toBuffer()
  const path = writeFiles({
    'train/a/1.png': await glass([200, 10, 20], 0.4),
    'train/b/1.png': await glass([5, 5, 5], 0),
    'test/a/1.png': flat(RED, 1, 1),
  })
  const over = (rgb: Rgb, alpha: number, under: Rgb) =>
    rgb.map((c, i) => Math.round(c * alpha + under[i] * (1 - alpha)))
  t.same(await rowsOf(await open(path)), [over([200, 10, 20], 0.4, [255, 255, 255]), [255, 255, 255]])
  const background = [0, 100, 250]
  t.same(await rowsOf(await open(path, { background })), [over([200, 10, 20], 0.4, [0, 100, 250]), background])
  // A colour behind a grey picture is a colour.
  const grey = { 'train/a/1.png': await glass([9, 9, 9], 0.5), 'train/b/1.png': flat(GREY, 1, 1) }
  const set = writeFiles({ ...grey, 'test/a/1.png': flat(GREY, 1, 1) })
  t.same([(await open(set)).channels, (await open(set, { background })).channels], [1, 3])
})

t.test('pictures in colour are resized channel by channel, as grey ones are', async t => {
  const ramp = (of: (x: number, c: number) => number) =>
    encodePng(
      4,
      4,
      Uint8Array.from({ length: 48 }, (_, i) => of(Math.floor(i / 3) % 4, i % 3)),
    )
  const coloured = { 'train/a/1.png': ramp((x, c) => x * 20 + 50 * c), 'train/b/1.png': flat(RED, 4, 4) }
  const path = writeFiles({ ...coloured, 'test/a/1.png': flat(RED, 4, 4) })
  for (const side of [2, 7]) {
    const [row] = await rowsOf(await open(path, { imageSize: [side, side] }))
    for (const c of [0, 1, 2]) {
      const grey = { 'train/a/1.png': ramp(x => x * 20 + 50 * c), 'train/b/1.png': flat(GREY, 4, 4) }
      const plain = await open(writeFiles({ ...grey, 'test/a/1.png': flat(GREY, 4, 4) }), { imageSize: [side, side] })
      const [want] = await rowsOf(plain)
      const worst = Math.max(...want.map((value, i) => Math.abs(value - row[3 * i + c])))
      t.ok(worst <= 1, `channel ${c} at ${side} x ${side}: ${worst} of 255`)
    }
  }
})

t.test('a second run decodes nothing and has the same bits; a changed picture is decoded', async t => {
  const picture = (i: number, more = 0): Uint8Array =>
    encodePng(
      5,
      4,
      Uint8Array.from({ length: 60 }, (_, k) => (i * 31 + k * (i % 3 === 0 ? 0 : 29) + more) & 255),
    )
  const COUNT = 120
  const names = Array.from({ length: COUNT }, (_, i) => `${i % 2 ? 'b' : 'a'}/${String(i).padStart(3, '0')}.png`)
  const path = writeFiles(Object.fromEntries(names.map((name, i) => [name, picture(i)])))
  const pictures = names.map(name => ({ className: name[0], name: name.slice(2), file: join(path, name) }))
  const read = async (form: Partial<Parameters<typeof readPictures>[1]> = {}) => {
    const whole = { size: null, channels: 'auto', background: null, ...form } as const
    return readPictures(pictures, whole, await PictureCache.open(path, pictures.length, whole), null)
  }
  const first = await read()
  t.match(first, { decoded: COUNT, channels: 3, coloured: 80 })
  const again = await read()
  t.same(again, { ...first, decoded: 0 })

  writeFileSync(pictures[7].file, picture(7, 1))
  const changed = await read()
  t.equal(changed.decoded, 1)
  t.not(changed.md5, first.md5)
  const at = 7 * 60
  t.same(
    changed.features.slice(at, at + 60),
    Uint8Array.from(first.features.slice(at, at + 60), x => (x + 1) & 255),
  )
  t.same(
    [changed.features.slice(0, at), changed.features.slice(at + 60)],
    [first.features.slice(0, at), first.features.slice(at + 60)],
  )
  writeFileSync(pictures[7].file, picture(7))
  t.same(await read(), { ...first, decoded: 1 }, 'the former content is not kept')

  t.match(await read({ size: { height: 2, width: 2 } }), { decoded: COUNT }, 'another size is another cache')
  t.match(await read({ background: [1, 2, 3] }), { decoded: COUNT }, 'another background too')
  const grey = await read({ channels: 1 })
  t.equal(grey.channels, 1)
  t.ok(grey.decoded >= 80, 'grey pixels of coloured pictures are new')
  t.same((await read()).features, first.features, 'whatever the cache has by now')

  const cache = join(dir, 'cache', 'pictures')
  for (const file of readdirSync(cache)) {
    const bytes = readFileSync(join(cache, file))
    bytes[bytes.length - 1] ^= 1
    writeFileSync(join(cache, file), bytes)
  }
  t.same(await read(), { ...first, decoded: COUNT }, 'a damaged cache is not used')
  process.env.GRADLOOM_CACHE = '/dev/null/nowhere'
  t.same(await read(), { ...first, decoded: COUNT }, 'and none is needed')
  process.env.GRADLOOM_CACHE = join(dir, 'cache')
})

t.test('arrays: the channels of a pixel side by side, whatever the order of the file', async t => {
  const [N, H, W] = [10, 4, 5]
  const value = (n: number, y: number, x: number, c: number) => (n * 60 + y * 15 + x * 3 + c * 40) & 255
  const last = Uint8Array.from({ length: N * H * W * 3 }, (_, i) =>
    value(Math.floor(i / 60), Math.floor(i / 15) % 4, Math.floor(i / 3) % 5, i % 3),
  )
  const first = Uint8Array.from({ length: last.length }, (_, i) =>
    value(Math.floor(i / 60), Math.floor(i / 5) % 4, i % 5, Math.floor(i / 20) % 3),
  )
  const y: [readonly number[], Int32Array] = [[N], Int32Array.from({ length: N }, (_, i) => i % 2)]
  const write = (shape: readonly number[], values: Uint8Array | Float32Array) => {
    const path = join(dir, `${folders++}.npz`)
    writeFileSync(path, npzOf({ x_train: [shape, values], y_train: y }))
    return path
  }
  const openArrays = (path: string, more: Partial<DataConfig> = {}) =>
    openDataset(dataConfig({ dataset: 'npz', path, ...more }), { baseDir: '/' })
  const wanted = await rowsOf(await openArrays(write([N, H, W, 3], last)))
  t.equal(wanted[0].length, 60)
  const source = await openArrays(write([N, 3, H, W], first))
  t.match(source, { height: H, width: W, channels: 3, dtype: 'uint8' })
  t.same(await rowsOf(source), wanted)
  const floats = await openArrays(write([N, 3, H, W], Float32Array.from(first)))
  t.match([floats.dtype, await rowsOf(floats)], ['float32', wanted])

  const grey = wanted.map(row =>
    Array.from({ length: H * W }, (_, i) =>
      Math.round(0.299 * row[3 * i] + 0.587 * row[3 * i + 1] + 0.114 * row[3 * i + 2]),
    ),
  )
  const asGrey = await openArrays(write([N, H, W, 3], last), { channels: 1 })
  t.same([asGrey.channels, await rowsOf(asGrey)], [1, grey])
  const tripled = await openArrays(write([N, 1, H, W], last.slice(0, N * H * W)), { channels: 3 })
  t.same(
    (await rowsOf(tripled))[0],
    [...last.slice(0, H * W)]
      .flatMap(v => [v, v, v])
      .concat([])
      .slice(0, 60),
  )

  const either = write([N, 3, 5, 3], last.slice(0, N * 45))
  await t.rejects(openArrays(either), { name: 'DataError', hint: /data\.npz\.order=channels-last/ })
  const npz = dataConfig({ dataset: 'npz' }).npz
  t.match(await openArrays(either, { npz: { ...npz, order: 'channels-last' } }), { height: 3, width: 5, channels: 3 })
  t.match(await openArrays(either, { npz: { ...npz, order: 'channels-first' } }), { height: 5, width: 3, channels: 3 })
  await t.rejects(
    openArrays(write([N, H, W, 3], last), { npz: { ...npz, order: 'channels-first' } }),
    /data\.npz\.order is/,
  )
  await t.rejects(openArrays(write([N, 60], last), { channels: 3 }), /expected pictures, because data\.channels is 3/)
})

t.test('standardise-channels: one mean and one deviation a channel, over all pixels of the rows', async t => {
  const features = Uint8Array.from({ length: 5 * 12 }, (_, i) => (i % 3 === 2 ? 9 : (i * 53) % 256))
  const rows = [0, 2, 3]
  const { offset, factor } = scalingOf('standardise-channels', features, 12, rows, 3)
  for (const channel of [0, 1]) {
    const values = rows.flatMap(row => [0, 1, 2, 3].map(pixel => features[row * 12 + 3 * pixel + channel]))
    const mean = values.reduce((sum, v) => sum + v, 0) / values.length
    const deviation = Math.sqrt(values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / values.length)
    for (const pixel of [0, 1, 2, 3]) {
      t.equal(offset[3 * pixel + channel], Math.fround(mean))
      t.equal(factor[3 * pixel + channel], Math.fround(1 / deviation))
    }
  }
  t.same([offset[2], factor[2]], [9, 0], 'a constant channel')
})

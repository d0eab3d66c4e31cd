/** Opening and loading data sets: where they are looked for, what is refused, and the embedded digits. */
import { createHash } from 'node:crypto'
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { type DataConfig, type DatasetSource, openDataset, type Split } from '../../src/data/dataset.js'
import { digitsDir, openDigits, readDigit } from '../../src/data/digits.js'
import { usualPlaces } from '../../src/data/places.js'
import { dataConfig } from '../helpers/data-config.js'
import { header, imagesFile, labelsFile, NAMES, smallSet, writeSet } from './idx-files.js'

const idx = (path: string | null): DataConfig => dataConfig({ dataset: 'idx', path })
const mnist = (path: string | null): DataConfig => dataConfig({ dataset: 'mnist', path })

async function loadInto(source: DatasetSource, split: Split, Memory: typeof ArrayBuffer | typeof SharedArrayBuffer) {
  const { rows } = source[split]
  const images = new Uint8Array(new Memory(rows * source.height * source.width)).fill(0xee)
  const labels = new Int32Array(new Memory(rows * 4)).fill(-7)
  return { images, labels, ...(await source.load(split, images, labels)) }
}

t.test('idx: any image size, classes from the labels of both splits, into shared memory', async t => {
  const files = { ...smallSet(), testLabels: labelsFile([2, 0, 6]) }
  for (const gzip of [false, true]) {
    const dir = writeSet(join(t.testdir(), `gzip-${gzip}`), files, gzip)
    const source = await openDataset(idx(dir), { baseDir: '/nowhere' })
    t.match(source, { name: 'idx', where: dir, height: 4, width: 5, classes: 7, train: { rows: 6 }, test: { rows: 3 } })
    t.same(source.classNames, ['0', '1', '2', '3', '4', '5', '6'])
    const train = await loadInto(source, 'train', SharedArrayBuffer)
    t.ok(Buffer.from(train.images).equals(files.trainImages.subarray(16)))
    t.same([...train.labels], [0, 1, 2, 2, 1, 0])
    t.same(
      train.files.map(({ bytes, official }) => ({ bytes, official })),
      [
        { bytes: 16 + 120, official: null },
        { bytes: 8 + 6, official: null },
      ],
      'lengths are those of the uncompressed content',
    )
    const test = await loadInto(source, 'test', ArrayBuffer)
    t.ok(Buffer.from(test.images).equals(files.testImages.subarray(16)))
    t.same([...test.labels], [2, 0, 6])
  }
})

t.test('idx: a class without training samples is reported; transposed images are transposed back', async t => {
  const files = { ...smallSet(), trainLabels: labelsFile([1, 2, 3, 3, 2, 1]), testLabels: labelsFile([1, 2, 3]) }
  const base = t.testdir()
  const dir = writeSet(join(base, 'letters'), files)
  const source = await openDataset(idx(dir), { baseDir: '/' })
  t.equal(source.warnings?.length, 1)
  t.match(source.warnings![0], /train-labels-idx1-ubyte: no training sample has the class 0; .* from 0 to 3/)
  t.same((await openDataset(idx(writeSet(join(base, 'whole'), smallSet())), { baseDir: '/' })).warnings, [])
  const plain = await loadInto(source, 'train', ArrayBuffer)
  const upright = await openDataset(dataConfig({ dataset: 'idx', path: dir, transpose: true }), { baseDir: '/' })
  t.match(upright, { height: 5, width: 4 })
  const { images } = await loadInto(upright, 'train', SharedArrayBuffer)
  const want = Array.from({ length: 120 }, (_, i) => {
    const [image, y, x] = [Math.floor(i / 20), Math.floor((i % 20) / 4), i % 4]
    return plain.images[image * 20 + x * 5 + y]
  })
  t.same([...images], want)
})

t.test('a relative data.path starts at the folder of the experiment', async t => {
  const base = t.testdir()
  writeSet(join(base, 'my', 'data'), smallSet())
  t.equal((await openDataset(idx('my/data'), { baseDir: base })).train.rows, 6)
  t.equal((await openDataset(idx('./data'), { baseDir: join(base, 'my') })).train.rows, 6)
  t.equal((await openDataset(idx('data'), { baseDir: relative(process.cwd(), join(base, 'my')) })).train.rows, 6)
})

t.test('files spelled with a dot, or unpacked under a .gz name, are read', async t => {
  const dir = t.testdir()
  for (const [role, content] of Object.entries(smallSet()) as [keyof typeof NAMES, Buffer][]) {
    const name = role === 'trainImages' ? `${NAMES[role]}.gz` : NAMES[role].replace('-idx', '.idx')
    writeFileSync(join(dir, name), content)
  }
  t.equal((await openDataset(idx(dir), { baseDir: '/' })).test.rows, 3)
})

t.test('lookup order: GRADLOOM_DATA/<name>, GRADLOOM_DATA, cache, system', async t => {
  const base = t.testdir()
  const env = { GRADLOOM_DATA: join(base, 'data'), GRADLOOM_CACHE: join(base, 'cache') }
  const dirs = usualPlaces('mnist', env).map(place => place.dir)
  t.same(dirs, [
    join(base, 'data', 'mnist'),
    join(base, 'data'),
    join(base, 'cache', 'data', 'mnist'),
    '/usr/share/datasets/mnist',
  ])
  for (const dir of dirs.slice(0, 3)) writeSet(dir, smallSet())
  // An incomplete folder does not count.
  for (const [i, dir] of dirs.slice(0, 3).entries()) {
    const source = await openDataset(mnist(null), { baseDir: '/', env })
    t.equal(source.where, dir, `place ${i}`)
    t.equal(source.classes, 10, 'a known set has its classes whatever the labels')
    rmSync(join(dir, NAMES.testLabels))
  }
  t.equal(usualPlaces('mnist', { GRADLOOM_DATA: '' }).length, 2, 'an empty variable is no variable')
})

t.test('a missing set: the error lists the places and the commands that help', async t => {
  const base = t.testdir()
  writeSet(join(base, 'data'), { trainImages: smallSet().trainImages })
  const env = { GRADLOOM_DATA: join(base, 'data'), GRADLOOM_CACHE: join(base, 'cache') }
  const places = usualPlaces('mnist', env).slice(0, 3) // the system may have MNIST
  const { findFiles, notFound } = await import('../../src/data/places.js')
  const { found, misses } = await findFiles(places)
  t.equal(found, null)
  const error = notFound('mnist', misses)
  t.match(error.message, 'data.dataset: mnist was not found, expected its four files in one of these places:')
  t.match(error.message, `${join(base, 'data')} (GRADLOOM_DATA): lacks train-labels-idx1-ubyte, t10k-images-idx3-ubyte`)
  t.match(error.message, `${join(base, 'cache', 'data', 'mnist')} (cache): no such folder`)
  t.match(error.hint, /npx gradloom data fetch mnist.*data\.path=FOLDER.*data\.dataset=digits/)
  t.notMatch(error.hint, /apt-get/)
  t.match(notFound('fashion-mnist', misses).hint, /apt-get install dataset-fashion-mnist/)
})

t.test('with data.path only that folder is searched, and the error says so', async t => {
  const base = t.testdir()
  writeSet(join(base, 'elsewhere'), smallSet())
  const env = { GRADLOOM_DATA: join(base, 'elsewhere') }
  const open = openDataset(mnist('wrong'), { baseDir: base, env })
  await t.rejects(open, {
    name: 'DataError',
    message: `only this folder was looked at, because data.path names it:\n  ${join(base, 'wrong')} (data.path): no such folder`,
    hint: /data fetch mnist/,
  })
})

t.test('idx without a path, and digits with one, are config errors', async t => {
  await t.rejects(openDataset(idx(null), { baseDir: '/' }), { name: 'ConfigError', message: /data.path is null/ })
  const digits = openDataset(dataConfig({ dataset: 'digits', path: 'x' }), { baseDir: '/' })
  await t.rejects(digits, { name: 'ConfigError', message: /data.path is 'x', expected null/ })
})

t.test('files that do not match are refused when the data set is opened', async t => {
  const good = smallSet()
  const cases: [name: string, open: (dir: string) => Promise<unknown>, files: typeof good, want: RegExp][] = [
    [
      'fewer labels than images',
      dir => openDataset(idx(dir), { baseDir: '/' }),
      { ...good, trainLabels: labelsFile([0, 1]) },
      /train-labels-idx1-ubyte: number of labels at offset 4 is 2, expected 6, one for each image in .*train-images/,
    ],
    [
      'test images of another size',
      dir => openDataset(idx(dir), { baseDir: '/' }),
      { ...good, testImages: imagesFile(3, 5, 4) },
      /t10k-images-idx3-ubyte: images at offset 8 are 5 x 4, expected 4 x 5 as in .*train-images/,
    ],
    [
      'a label beyond the classes of a known set',
      dir => openDataset(mnist(dir), { baseDir: '/' }),
      { ...good, testLabels: labelsFile([0, 10, 1]) },
      /t10k-labels-idx1-ubyte: label of row 1 at offset 9 is 10, expected 0 to 9/,
    ],
  ]
  for (const [name, open, files, want] of cases) {
    await t.rejects(open(writeSet(join(t.testdir(), name), files)), { name: 'DataError', message: want }, name)
  }
  t.equal(cases.length, 3)
})

t.test('views of the wrong size are refused before anything is read', async t => {
  const source = await openDataset(idx(writeSet(t.testdir(), smallSet())), { baseDir: '/' })
  const load = source.load('test', new Uint8Array(61), new Int32Array(3))
  await t.rejects(load, { name: 'ShapeError', message: /61 bytes of images and 3 labels, expected 60 and 3/ })
  await t.rejects(openDigits().load('test', new Uint8Array(1), new Int32Array(1996)), { name: 'ShapeError' })
})

/** V8's own function, which no option has to ask for. */
setFlagsFromString('--expose-gc')
const collectGarbage: () => void = runInNewContext('gc')

t.test('load holds no second copy of the images: 96 MiB in, less than 16 MiB more that is in use', async t => {
  const dir = writeSet(
    t.testdir(),
    { ...smallSet(), trainLabels: labelsFile(Array(6144).fill(1)), testImages: imagesFile(3, 128, 128) },
    true,
  )
  // Written in gzip members of 1 MiB, so that building it leaves no such memory behind.
  const mebibyte = gzipSync(Buffer.alloc(2 ** 20, 'some pixels'))
  const members = [gzipSync(header(0x0803, 6144, 128, 128)), ...Array<Buffer>(96).fill(mebibyte)]
  writeFileSync(join(dir, `${NAMES.trainImages}.gz`), Buffer.concat(members))
  const source = await openDataset(idx(dir), { baseDir: '/' })
  const images = new Uint8Array(new SharedArrayBuffer(6144 * 128 * 128)).fill(1) // touched, so that it counts before
  const labels = new Int32Array(6144)
  // zlib makes a new buffer for each chunk, and V8 collects them when it likes: what is left after a collection counts.
  const inUse = () => {
    collectGarbage()
    return process.memoryUsage().arrayBuffers
  }
  const before = inUse()
  let peak = before
  let samples = 0
  const timer = setInterval(() => {
    samples++
    peak = Math.max(peak, inUse())
  }, 50)
  await source.load('train', images, labels)
  clearInterval(timer)
  peak = Math.max(peak, inUse())
  t.ok(samples > 3, `${samples} samples`)
  t.equal(images[images.length - 1], 'some pixels'.charCodeAt((2 ** 20 - 1) % 11), 'to the last byte')
  t.ok(peak - before < 16 * 2 ** 20, `grew by ${((peak - before) / 2 ** 20).toFixed(1)} MiB`)
})

t.test('digits: 8,004 + 1,996 rows, every fifth of a digit is a test image, every image used once', async t => {
  const source = await openDataset(dataConfig({ dataset: 'digits', path: null }), { baseDir: '/' })
  t.match(source, { name: 'digits', height: 28, width: 28, classes: 10, train: { rows: 8004 }, test: { rows: 1996 } })
  const train = await loadInto(source, 'train', SharedArrayBuffer)
  const test = await loadInto(source, 'test', SharedArrayBuffer)
  t.equal(train.files.length, 10)
  t.ok(train.files.every(file => file.official))
  const next = { train: 0, test: 0 }
  let wrong = 0
  for (let digit = 0; digit < 10; digit++) {
    // The package's own text, read the plain way.
    const { data } = JSON.parse(readFileSync(join(digitsDir(), `${digit}.json`), 'utf8')) as { data: number[] }
    for (let position = 0; position < data.length / 784; position++) {
      const split = position % 5 === 4 ? 'test' : 'train'
      const { images, labels } = split === 'test' ? test : train
      const row = next[split]++
      if (labels[row] !== digit) wrong++
      for (let i = 0; i < 784; i++) {
        if (images[row * 784 + i] !== Math.round(data[position * 784 + i] * 255)) wrong++
      }
    }
  }
  t.same(next, { train: 8004, test: 1996 })
  t.equal(wrong, 0)
})

t.test('digits: loading twice gives the same samples, and a file that changed between is noticed', async t => {
  const dir = join(t.testdir(), 'digits')
  cpSync(digitsDir(), dir, { recursive: true })
  const load = async () => {
    const [images, labels] = [new Uint8Array(1996 * 784), new Int32Array(1996)]
    const { files } = await openDigits(dir).load('test', images, labels)
    const digest = createHash('sha256').update(images).update(labels).digest('hex')
    return { digest, files }
  }
  t.strictSame(await load(), await load())
  const path = join(dir, '7.json')
  const bytes = readFileSync(path)
  bytes[bytes.length - 20] ^= 1
  writeFileSync(path, bytes)
  await t.rejects(load(), { name: 'DataError', message: /7\.json: MD5 is [0-9a-f]{32}, expected 29033516/ })
})

t.test('digits: a package with other content, or without it, is refused', async t => {
  const dir = t.testdir()
  mkdirSync(join(dir, 'digits'))
  cpSync(join(digitsDir(), '0.json'), join(dir, 'digits', '0.json'))
  const path = join(dir, 'digits', '1.json')
  await t.resolves(readDigit(join(dir, 'digits'), 0))
  await t.rejects(readDigit(join(dir, 'digits'), 1), { name: 'DataError', message: `${path}: cannot be read; ENOENT` })
  writeFileSync(path, '{ "data": [0,1] }')
  await t.rejects(readDigit(join(dir, 'digits'), 1), {
    name: 'DataError',
    message: /1\.json: MD5 is [0-9a-f]{32}, expected b688449bfb81c0247ccc491e7a9d9158 as in mnist 1\.1\.0/,
  })
})

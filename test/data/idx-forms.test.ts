/** IDX files of the user's own: element types, tables of numbers, and the labels of QMNIST. */
import { join } from 'node:path'
import t from 'tap'
import { openDataset } from '../../src/data/dataset.js'
import { dataConfig } from '../helpers/data-config.js'
import { header, imagesFile, labelsFile, writeSet } from './idx-files.js'

const dir = t.testdir()
let sets = 0

type Write = 'writeInt8' | 'writeUInt8' | 'writeInt16BE' | 'writeInt32BE' | 'writeFloatBE' | 'writeDoubleBE'

/** Every type of the format. */
const TYPES: readonly (readonly [code: number, bytes: number, write: Write])[] = [
  [0x08, 1, 'writeUInt8'],
  [0x09, 1, 'writeInt8'],
  [0x0b, 2, 'writeInt16BE'],
  [0x0c, 4, 'writeInt32BE'],
  [0x0d, 4, 'writeFloatBE'],
  [0x0e, 8, 'writeDoubleBE'],
]

function elements(code: number, dims: readonly number[], numberAt: (i: number) => number): Buffer {
  const [, bytes, write] = TYPES.find(([each]) => each === code)!
  const count = dims.reduce((product, size) => product * size, 1)
  const content = Buffer.alloc(count * bytes)
  for (let i = 0; i < count; i++) content[write](numberAt(i), i * bytes)
  return Buffer.concat([header((code << 8) | dims.length, ...dims), content])
}

const LABELS = { train: [0, 1, 2, 2, 1, 0], test: [2, 0, 1] }
const open = (files: Parameters<typeof writeSet>[1], gzip = false, more = {}) =>
  openDataset(
    { ...dataConfig({ dataset: 'idx', path: writeSet(join(dir, `set-${sets++}`), files, gzip) }), ...more },
    { baseDir: '/' },
  )

const labelled = (label = labelsFile) => ({ trainLabels: label(LABELS.train), testLabels: label(LABELS.test) })
const pictures = { trainImages: imagesFile(6, 4, 5), testImages: imagesFile(3, 4, 5) }

async function loaded(source: Awaited<ReturnType<typeof open>>) {
  const { rows } = source.train
  const size = rows * source.height * source.width
  const features = source.dtype === 'uint8' ? new Uint8Array(size) : new Float32Array(size)
  const labels = new Int32Array(rows)
  await source.load('train', features, labels)
  return { features, labels: [...labels] }
}

for (const [code, , write] of TYPES) {
  for (const shape of [[4, 5], [20]]) {
    t.test(`features by ${write}, ${shape.join(' x ')} a row, gzipped or not, are read as they are`, async t => {
      const numberAt = (i: number) => (code >= 0x0d ? i / 4 - 9 : code === 0x08 ? i * 2 : i - 60)
      for (const gzip of [false, true]) {
        const source = await open(
          {
            ...labelled(),
            trainImages: elements(code, [6, ...shape], numberAt),
            testImages: elements(code, [3, ...shape], numberAt),
          },
          gzip,
        )
        t.same([source.height, source.width], shape.length === 1 ? [1, 20] : shape)
        t.equal(source.dtype, code === 0x08 && shape.length === 2 ? 'uint8' : 'float32')
        const { features, labels } = await loaded(source)
        t.same(
          [...features],
          Array.from({ length: 120 }, (_, i) => numberAt(i)),
        )
        t.same(labels, LABELS.train)
      }
    })
  }

  t.test(`labels by ${write} are classes`, async t => {
    const source = await open({ ...pictures, ...labelled(list => elements(code, [list.length], i => list[i])) })
    t.same((await loaded(source)).labels, LABELS.train)
    t.equal(source.classes, 3)
  })
}

t.test('elements that lie across two chunks of a large file are read whole', async t => {
  const rows = 50_000
  const list = Array.from({ length: rows }, (_, i) => i % 3)
  const source = await open(
    {
      trainImages: elements(0x0e, [rows, 3], i => i / 8),
      trainLabels: labelsFile(list),
      testImages: elements(0x0e, [3, 3], i => i),
      testLabels: labelsFile([0, 1, 2]),
    },
    true,
  )
  const { features } = await loaded(source)
  t.ok(features.every((value, i) => value === i / 8))
})

t.test('labels of QMNIST: the first of eight numbers is the class, which the start line reports', async t => {
  const wide = (list: readonly number[]) =>
    elements(0x0c, [list.length, 8], i => (i % 8 === 0 ? list[i / 8] : 3000 + i))
  const source = await open({ ...pictures, ...labelled(wide) })
  t.equal(source.classes, 3)
  t.same((await loaded(source)).labels, LABELS.train)
  t.match(source.notes?.join('\n'), /first of 8 numbers, as in QMNIST/)
  t.match(source.notes?.join('\n'), /train-images-idx3-ubyte: 6 x 4 x 5 unsigned bytes, images of bytes/)
})

t.test('files that hold no labels or features are refused with what is expected', async t => {
  const bad = (code: number, wrong: number) =>
    labelled(list => elements(code, [list.length], i => (i === 1 ? wrong : list[i])))
  await t.rejects(open({ ...pictures, ...bad(0x0d, 1.5) }), {
    message: /row 1 at offset 12 is 1.5, expected a whole number/,
  })
  await t.rejects(open({ ...pictures, ...bad(0x0e, Number.NaN) }), {
    message: /row 1 at offset 16 is NaN, expected a whole/,
  })
  await t.rejects(open({ ...pictures, ...bad(0x09, -1) }), { message: /row 1 at offset 9 is -1, expected 0 to 65535/ })
  const columns = (code: number, count: number) => labelled(list => elements(code, [list.length, count], () => 0))
  await t.rejects(open({ ...pictures, ...columns(0x08, 10) }), {
    message: /has 10 unsigned bytes, expected one number, the class, or QMNIST's 8 ints/,
    hint: /npz/,
  })
  await t.rejects(open({ ...pictures, ...columns(0x0d, 8) }), { message: /has 8 floats, expected one number/ })

  const numbers = (trainCode: number, testCode: number, numberAt = (i: number) => i) => ({
    ...labelled(),
    trainImages: elements(trainCode, [6, 3], numberAt),
    testImages: elements(testCode, [3, 3], numberAt),
  })
  const nan = await open(numbers(0x0d, 0x0d, i => (i === 4 ? Number.NaN : i)))
  await t.rejects(loaded(nan), { message: /feature 1 of row 1 at offset 28 is NaN, expected a finite number in f32/ })
  const close = await open(numbers(0x0c, 0x0c, i => 2e9 + (i % 7)))
  await t.rejects(loaded(close), { message: /f32 keeps/ }, 'values that f32 takes for the same')
  await t.resolves(open(numbers(0x0d, 0x0c)), 'numbers of two types are numbers')
  await t.rejects(open({ ...numbers(0x0d, 0x0d), testImages: imagesFile(3, 1, 3) }), {
    message: /images at offset 8 are 1 x 3/,
  })
  await t.rejects(open(numbers(0x08, 0x08), false, { transpose: true }), {
    message: /data.transpose is true, expected false/,
  })
})

t.test('the published data sets are required in their published form', async t => {
  const set = writeSet(join(dir, 'floats'), {
    ...labelled(),
    trainImages: elements(0x0d, [6, 4, 5], i => i),
    testImages: elements(0x0d, [3, 4, 5], i => i),
  })
  await t.rejects(openDataset({ ...dataConfig({ dataset: 'mnist' }), path: set }, { baseDir: '/' }), {
    message: /is 0x00000d03 \(3-dimensional floats\), expected 0x00000803/,
  })
})

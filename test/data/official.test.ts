/** The official files as they are: counts, digests, first labels; and that `digits` is part of them. */
import { createHash } from 'node:crypto'
import t from 'tap'
import { type DatasetSource, openDataset, type Split } from '../../src/data/dataset.js'
import { digitsDir, readDigit } from '../../src/data/digits.js'
import { KNOWN } from '../../src/data/known.js'
import { verifyDataset } from '../../src/data/verify.js'
import { dataConfig } from '../helpers/data-config.js'
import { officialData } from '../helpers/official-data.js'

async function load(source: DatasetSource, split: Split) {
  const { rows } = source[split]
  const images = new Uint8Array(new SharedArrayBuffer(rows * source.height * source.width))
  const labels = new Int32Array(new SharedArrayBuffer(rows * 4))
  const { files } = await source.load(split, images, labels)
  return { images, labels, files }
}

const firstLabels = {
  mnist: { train: [5, 0, 4, 1, 9, 2, 1, 3, 1, 4], test: [7, 2, 1, 0, 4, 1, 4, 9, 5, 9] },
  'fashion-mnist': { train: [9, 0, 0, 3, 0, 2, 7, 2, 5, 5], test: [9, 2, 1, 1, 6, 1, 4, 6, 5, 7] },
} as const
/** Rows of each class in the training set. */
const trainCounts = {
  mnist: [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
  'fashion-mnist': Array<number>(10).fill(6000),
} as const

for (const name of ['mnist', 'fashion-mnist'] as const) {
  t.test(`${name}: counts, digests and first labels of the official files`, async t => {
    const path = officialData(t, name)
    if (path === null) return
    const source = await openDataset(dataConfig({ dataset: name, path }), { baseDir: '/' })
    t.match(source, { height: 28, width: 28, classes: 10, train: { rows: 60_000 }, test: { rows: 10_000 } })
    t.equal(source.classNames.length, 10)
    const train = await load(source, 'train')
    const test = await load(source, 'test')
    const { trainImages, trainLabels, testImages, testLabels } = KNOWN[name].files
    t.match(train.files, [
      { ...trainImages, official: true },
      { ...trainLabels, official: true },
    ])
    t.match(test.files, [
      { ...testImages, official: true },
      { ...testLabels, official: true },
    ])
    t.same([...train.labels.subarray(0, 10)], firstLabels[name].train)
    t.same([...test.labels.subarray(0, 10)], firstLabels[name].test)
    const counts = Array<number>(10).fill(0)
    for (const label of train.labels) counts[label]++
    t.same(counts, trainCounts[name])
    t.match(await verifyDataset(name, { path }), { ok: true, files: { length: 4 } })
  })
}

t.test('each set is refused under the name of the other', async t => {
  const [mnist, fashion] = [officialData(t, 'mnist'), officialData(t, 'fashion-mnist')]
  if (mnist === null || fashion === null) return
  const wrong = openDataset(dataConfig({ dataset: 'mnist', path: fashion }), { baseDir: '/' })
  await t.rejects(wrong, {
    name: 'DataError',
    message: /train-labels-idx1-ubyte(\.gz)?: is from fashion-mnist, expected mnist/,
    hint: /data.dataset=fashion-mnist/,
  })
  const other = openDataset(dataConfig({ dataset: 'fashion-mnist', path: mnist }), { baseDir: '/' })
  await t.rejects(other, { message: /is from mnist, expected fashion-mnist/ })
})

t.test('digits are the official training images 0 to 9999, by digit, and none is in the official test set', async t => {
  const path = officialData(t, 'mnist')
  if (path === null) return
  const source = await openDataset(dataConfig({ dataset: 'mnist', path }), { baseDir: '/' })
  const { images, labels } = await load(source, 'train')
  const digits: Uint8Array[] = []
  for (let digit = 0; digit < 10; digit++) digits.push((await readDigit(digitsDir(), digit)).pixels)
  const next = Array<number>(10).fill(0)
  let equal = 0
  for (let row = 0; row < 10_000; row++) {
    const digit = labels[row]
    const at = next[digit]
    next[digit] += 784
    const image = Buffer.from(digits[digit].subarray(at, at + 784))
    if (image.equals(images.subarray(row * 784, (row + 1) * 784))) equal++
  }
  t.equal(equal, 10_000)
  t.same(
    next.map(end => end / 784),
    digits.map(pixels => pixels.length / 784),
    'every embedded image was used',
  )

  const fingerprint = (all: Uint8Array, row: number) =>
    createHash('md5')
      .update(Buffer.from(all.subarray(row * 784, (row + 1) * 784)))
      .digest('base64')
  const test = await load(source, 'test')
  const inTest = new Set(Array.from({ length: 10_000 }, (_, row) => fingerprint(test.images, row)))
  const shared = Array.from({ length: 10_000 }, (_, row) => fingerprint(images, row)).filter(print => inTest.has(print))
  t.equal(shared.length, 0)
})

t.test('without the official files, tests are skipped locally and fail on CI', async t => {
  const result = (env: NodeJS.ProcessEnv) => {
    const said: string[] = []
    const spy = {
      fail: (message: string) => said.push(`fail: ${message}`),
      pass: (_message: string, extra: { skip: string }) => said.push(`skip: ${extra.skip}`),
    } as unknown as Parameters<typeof officialData>[0]
    return { dir: officialData(spy, 'mnist', env), said }
  }
  const message = /official mnist not found: \/nonexistent lacks .*; set GRADLOOM_TEST_MNIST to its folder/
  const desk = result({ GRADLOOM_TEST_MNIST: '/nonexistent' })
  t.equal(desk.dir, null)
  t.match(desk.said, [message])
  t.match(desk.said[0], /^skip: /)
  t.match(result({ GRADLOOM_TEST_MNIST: '/nonexistent', CI: 'true' }).said[0], /^fail: /)
})

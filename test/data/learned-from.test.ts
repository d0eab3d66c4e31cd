/** Notes of a data set before training, and numeric columns that must not disappear. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { resolveExperiment } from '../../src/config/load.js'
import { openDataset } from '../../src/data/dataset.js'
import type { DataConfig } from '../../src/data/source.js'
import { encodePng } from '../../src/picture/png.js'
import { dataConfig } from '../helpers/data-config.js'
import { npzOf } from '../helpers/npy.js'

const dir = t.testdir()
let files = 0

function open(text: string, more: Partial<DataConfig> = {}) {
  const path = join(dir, `table-${files++}.csv`)
  writeFileSync(path, text)
  const config = dataConfig({ dataset: 'table', path })
  return openDataset({ ...config, ...more }, { baseDir: '/' })
}

t.test('all rows for training: the error says how to get them', async t => {
  const xor = 'a,b,class\n0,0,no\n0,1,yes\n1,0,yes\n1,1,no\n'
  const advice = /with a test file of its own \(data.testPath\) all rows are trained on/
  await t.rejects(open(xor, { testFraction: 0.01 }), { message: /leaves the test split empty/, hint: advice })
  await t.rejects(open(xor, { target: 'b', testFraction: 1e-9, task: 'regression' }), {
    message: /leaves the test split empty/,
    hint: advice,
  })
  for (const [dataset, hint] of [
    ['table', advice],
    ['images', /data.testPath/],
    ['npz', /data.npz.testFeatures=x_train/],
    ['memory', /`test` samples/],
  ] as const) {
    const path = dataset === 'memory' ? null : '/data'
    for (const testFraction of [0, 1, -0.5]) {
      t.throws(() => resolveExperiment({ data: { dataset, path, testFraction } }), { message: /testFraction/, hint })
    }
  }
  const four = {
    features: [
      [0, 0],
      [0, 1],
      [1, 0],
      [1, 1],
    ],
    labels: [0, 1, 1, 0],
  }
  const memory = { ...dataConfig({ dataset: 'memory' }), testFraction: 0.01 }
  await t.rejects(openDataset(memory, { baseDir: '/', samples: four }), { message: /./, hint: /`test` samples/ })
  const all = await openDataset(memory, { baseDir: '/', samples: { ...four, test: four } })
  t.same([all.train.rows, all.test.rows], [4, 4])
})

t.test('samples in memory that are different but equal in f32 are refused, as in files', async t => {
  const features = Array.from({ length: 400 }, (_, i) => [1_700_000_000 + (i % 60), i % 3])
  const labels = features.map(([time]) => (time % 60 < 30 ? 'early' : 'late'))
  const memory = dataConfig({ dataset: 'memory' })
  const at = (samples: never) => openDataset(memory, { baseDir: '/', samples })
  await t.rejects(at({ features, labels } as never), {
    message: /training samples: features: feature 0 has .* f32 keeps/,
  })
  const flat = { data: Float64Array.from(features.flat()), shape: [400, 2] }
  await t.rejects(at({ features: flat, labels } as never), { message: /f32 keeps/ })
  const rows = features.map((line, i) => ({ features: line, label: labels[i] }))
  await t.rejects(at({ rows } as never), { message: /f32 keeps/ })
  const near = features.map(([time, other]) => [time - 1_700_000_000, other])
  await t.resolves(at({ features: near, labels } as never))
  await t.rejects(at({ features: near, labels, test: { features, labels } } as never), {
    message: /test samples: features/,
  })
})

t.test('the start line of arrays and pictures lists the features and what is left out', async t => {
  const path = join(dir, 'set.npz')
  const labels = [[10], Uint8Array.from({ length: 10 }, (_, i) => i % 2)] as const
  const features = Float32Array.from({ length: 30 }, (_, i) => i)
  writeFileSync(path, npzOf({ x_train: [[10, 3], features], y_train: labels, weights: labels }))
  const arrays = await openDataset(dataConfig({ dataset: 'npz', path }), { baseDir: '/' })
  t.same(arrays.notes, [
    'predicts y_train from x_train: f4 of shape (10, 3), numbers',
    'left out: weights, which data.npz does not name',
  ])
  const folder = join(dir, 'pictures')
  for (const [i, name] of ['cat', 'cat', 'cat', 'dog', 'dog'].entries()) {
    mkdirSync(join(folder, name), { recursive: true })
    writeFileSync(join(folder, name, `${i}.png`), encodePng(4, 3, new Uint8Array(36).fill(40 * i)))
  }
  const pictures = await openDataset(dataConfig({ dataset: 'images', path: folder }), { baseDir: '/' })
  t.same(pictures.notes, ['grey pictures, 4 x 3, of 2 classes: cat (3), dog (2)'])
})

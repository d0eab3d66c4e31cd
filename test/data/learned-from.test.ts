/** What a data set says of itself before training, and columns of numbers that must not vanish. */
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

function open(text: string, csv: Partial<DataConfig['csv']> = {}, more: Partial<DataConfig> = {}) {
  const path = join(dir, `table-${files++}.csv`)
  writeFileSync(path, text)
  const config = dataConfig({ dataset: 'csv', path })
  return openDataset({ ...config, ...more, csv: { ...config.csv, ...csv } }, { baseDir: '/' })
}

/** Columns as `columns` has them, `rows` rows; the class is the parity of the row. */
function table(
  columns: Readonly<Record<string, (row: number) => string | number>>,
  rows = 20,
  delimiter = ',',
): string {
  const lines = Array.from({ length: rows }, (_, row) =>
    [...Object.values(columns).map(of => of(row)), row % 2 ? 'odd' : 'even'].join(delimiter),
  )
  return [[...Object.keys(columns), 'class'].join(delimiter), ...lines, ''].join('\n')
}

t.test('columns learned from and columns left out are said, with the reason', async t => {
  const source = await open(
    table({ a: row => row / 3, city: row => `Town ${row}`, b: row => row % 5, empty: () => '' }),
  )
  t.same(source.notes, [
    "predicts 'class' from 2 columns: 'a', 'b'",
    "left out: 'city' (text, as 'Town 0'), 'empty' (no values)",
  ])
  t.same(source.warnings, [])
  const chosen = await open(table({ a: row => row / 3, b: row => row % 5 }), { features: ['b'] })
  t.same(chosen.notes, ["predicts 'class' from 1 column: 'b'", "left out: 'a', which data.csv.features does not name"])
})

for (const gap of ['', 'NA', 'NaN', 'null', '?', 'n/a', '-', 'Inf']) {
  t.test(`a column of numbers whose first value is '${gap}' is refused as it is where the gap comes later`, async t => {
    for (const at of [0, 1, 9, 19]) {
      const text = table({ age: row => (row === at ? gap : row * 1.5), noise: row => (row * 7) % 11 })
      await t.rejects(open(text), {
        message: new RegExp(`line ${at + 2}: column 'age' is '${gap.replace('?', '\\?')}', expected a finite number`),
      })
      await t.resolves(open(text, { features: ['noise'] }), 'the user may leave it out')
    }
  })
}

t.test('numbers in the writing of other countries are named, not dropped', async t => {
  for (const first of ['9,1', '-0,25', '1.234,5', "1'000", '12 000']) {
    const text = table({ temp: row => (row === 0 ? first : `${row},5`), flag: row => row % 3 }, 20, ';')
    await t.rejects(open(text), { message: /column 'temp' is .*expected a number with a decimal point/ }, first)
  }
})

t.test('text in the first row of a column of numbers is named', async t => {
  await t.rejects(open(table({ age: row => (row === 0 ? 'unknown' : row), b: row => row % 3 })), {
    message: /line 2: column 'age' is 'unknown', expected a finite number; 19 of the column's 20 fields are numbers/,
  })
  const codes = await open(
    table({ code: row => (row % 4 === 0 ? row : `x${row}`), b: row => row % 3 }).replace('\n0,', '\nx0,'),
  )
  t.match(codes.notes?.[1], /'code' \(text, as 'x0'\)/, 'a few numbers among text are text')
})

t.test('columns chosen twice are refused by name, however they are written', async t => {
  const text = table({ a: row => row / 3, b: row => row % 5 })
  await t.rejects(open(text, { features: ['a', 'b', 'a'] }), { message: /data.csv.features has 'a' twice/ })
  await t.rejects(open(text, { features: ['b', 1] }), { message: /data.csv.features has 'b' twice/ })
  await t.rejects(open(text, { features: ['b', 'class'] }), {
    message: /features has 'class', the column of data.csv.label/,
  })
  await t.rejects(open(text, { features: [2] }), { message: /features has 'class', the column of data.csv.label/ })
  await t.rejects(open(text, { label: ['a', 0], features: ['b'] }, { task: 'regression' }), {
    message: /data.csv.label has 'a' twice/,
  })
  await t.rejects(open('a,b,a,class\n1,2,3,x\n'), { message: /two columns are named 'a'/ })
})

t.test('row numbers, and a first line of numbers, are warned of', async t => {
  for (const name of ['', 'Unnamed: 0', 'index', 'id']) {
    const source = await open(table({ [name]: row => row + 7, x: row => (row * 7) % 11 }))
    t.match(source.warnings, [/counts the rows and is learned from/])
  }
  const time = await open(table({ day: row => row, x: row => (row * 7) % 11 }))
  t.same(time.warnings, [], 'a column that has another name may count')
  const iris = await open('6.0,3.9,setosa\n6.1,3.0,virginica\n5.1,3.1,setosa\n6.4,3.2,virginica\n')
  t.match(iris.warnings, [/first line is taken for the names of the columns, and they are numbers \('6.0', '3.9'\)/])
  const pandas = await open('0,1,class\n5.1,3,x\n5.2,3.1,y\n5.7,3.2,x\n5.1,1,y\n5.1,2,y\n')
  t.same(pandas.warnings, [], 'names that count up')
})

t.test('one class in two spellings is refused, classes are in the order of their numbers', async t => {
  const labelled = (of: (row: number) => string) =>
    ['x,y', ...Array.from({ length: 24 }, (_, row) => `${row % 7},${of(row)}`)].join('\n')
  await t.rejects(open(labelled(row => (row < 12 ? `${row % 2}` : `${row % 2}.0`))), {
    message: /has the classes '0' and '0.0', expected one spelling/,
  })
  await t.rejects(open(labelled(row => (row % 2 ? '1.5' : '1.50'))), { message: /'1.5' and '1.50'/ })
  t.same(
    (await open(labelled(row => `${row % 12}.0`))).classNames,
    Array.from({ length: 12 }, (_, label) => `${label}.0`),
  )
  t.same((await open(labelled(row => (row % 2 ? '01' : '1')))).classNames.length, 2, 'codes')
  const testPath = join(dir, 'test.csv')
  writeFileSync(
    testPath,
    labelled(row => `${row % 2}.0`),
  )
  await t.rejects(
    open(
      labelled(row => `${row % 2}`),
      {},
      { testPath },
    ),
    {
      message: new RegExp(
        `^${testPath}: test rows have the class '0.0', expected one of the training rows, which have it as '0'`,
      ),
    },
  )
})

t.test('all rows for training: the message says how', async t => {
  const xor = 'a,b,class\n0,0,no\n0,1,yes\n1,0,yes\n1,1,no\n'
  const advice = /with a test file of its own \(data.testPath\) all rows are trained on/
  await t.rejects(open(xor, {}, { testFraction: 0.01 }), { message: /leaves the test split empty/, hint: advice })
  await t.rejects(open(xor, { label: 'b', features: ['a'] }, { testFraction: 1e-9, task: 'regression' }), {
    message: /leaves the test split empty/,
    hint: advice,
  })
  for (const [dataset, hint] of [
    ['csv', advice],
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

t.test('samples in memory that f32 takes for the same are refused, as in files', async t => {
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

t.test('arrays and pictures say what is learned from, and what is left out', async t => {
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

/** Tables of the user's own: columns, classes, test rows, and every way in which a file can be wrong. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { detectDelimiter } from '../../src/data/csv.js'
import { openDataset } from '../../src/data/dataset.js'
import type { DataConfig, DatasetSource, Split } from '../../src/data/source.js'
import { dataConfig } from '../helpers/data-config.js'
import fc from '../helpers/fast-check.js'

const dir = t.testdir()
let files = 0

/** A data set of a table with that text. */
function open(text: string | Buffer, csv: Partial<DataConfig['csv']> = {}, more: Partial<DataConfig> = {}) {
  const path = join(dir, `table-${files++}.csv`)
  writeFileSync(path, text)
  const config = dataConfig({ dataset: 'csv', path })
  return openDataset({ ...config, ...more, csv: { ...config.csv, ...csv } }, { baseDir: '/' })
}

async function rowsOf(source: DatasetSource, split: Split) {
  const features = new Float32Array(source[split].rows * source.width)
  const labels = new Int32Array(source[split].rows)
  const { files } = await source.load(split, features, labels)
  const rows = Array.from(labels, (label, row) => ({
    features: [...features.subarray(row * source.width, (row + 1) * source.width)],
    className: source.classNames[label],
  }))
  return { rows, files }
}

/** All rows, training rows first. */
const allRows = async (source: DatasetSource) => [
  ...(await rowsOf(source, 'train')).rows,
  ...(await rowsOf(source, 'test')).rows,
]

const IRIS = `sepal,petal,note,species
5.1,1.4,x,setosa
7,4.7,y,versicolor
6.3,6,,virginica
4.9,1.5,,setosa
6.4,4.5,,versicolor
5.8,5.1,,virginica
4.7,1.3,,setosa
6.9,4.9,,versicolor
`

t.test('numeric columns are features, the last column is the class, a fifth of the rows is the test split', async t => {
  const source = await open(IRIS)
  t.match(source, { height: 1, width: 2, dtype: 'float32', classes: 3 })
  t.same(source.classNames, ['setosa', 'versicolor', 'virginica'])
  t.same([source.train.rows, source.test.rows], [6, 2])
  const rows = await allRows(source)
  t.equal(rows.length, 8)
  t.ok(
    rows.some(
      ({ features, className }) => features.join() === [6.3, 6].map(Math.fround).join() && className === 'virginica',
    ),
  )
  const { files } = await rowsOf(source, 'train')
  t.match(files, [{ bytes: IRIS.length, md5: /^[0-9a-f]{32}$/, official: null }])
  const again = await open(IRIS)
  t.same(await allRows(again), rows, 'the same test rows every time')
})

t.test('delimiters, headers, byte order marks, line ends, quotes and gzip change nothing', async t => {
  const want = await allRows(await open(IRIS))
  const semicolons = IRIS.replaceAll(',', ';')
  for (const [what, source] of [
    ['semicolons', open(semicolons)],
    ['tabs', open(IRIS.replaceAll(',', '\t'))],
    ['a named delimiter', open(semicolons, { delimiter: ';' })],
    ['a byte order mark', open(`\ufeff${IRIS}`)],
    ['CRLF', open(IRIS.replaceAll('\n', '\r\n'))],
    ['no last line end', open(IRIS.trimEnd())],
    ['empty lines', open(IRIS.replaceAll('\n', '\n\n'))],
    ['quotes', open(IRIS.replaceAll(/[^,\n]+/g, '"$&"'))],
    ['quoted line ends and quotes', open(IRIS.replace('5.1,1.4,x', '5.1,1.4,"a\n""b"",c"'))],
    ['gzip', open(gzipSync(IRIS))],
    ['no header', open(IRIS.split('\n').slice(1).join('\n'), { header: false, label: 3, features: [0, 1] })],
    ['columns by name', open(IRIS, { label: 'species', features: ['sepal', 'petal'] })],
  ] as const) {
    t.same(await allRows(await source), want, what)
  }
  const swapped = await open(IRIS, { features: ['petal', 'sepal'] })
  t.same(
    (await allRows(swapped)).map(({ features }) => features.reverse()),
    want.map(({ features }) => features),
  )
  t.equal(detectDelimiter('"a,b,c";d;e\n1,2,3,4,5'), ';')
})

t.test('classes of whole numbers are in the order of their values', async t => {
  const rows = [10, 9, -1, 2, 10, 9, -1, 2].map((label, i) => `${i},${label}`)
  t.same((await open(`x,y\n${rows.join('\n')}\n`)).classNames, ['-1', '2', '9', '10'])
})

t.test('test rows in a file of their own need the same columns, in any order', async t => {
  const testPath = join(dir, 'test-rows.csv')
  writeFileSync(testPath, 'species,petal,sepal\nsetosa,1.5,5\nvirginica,5.5,6\n')
  const source = await open(IRIS, { label: 'species' }, { testPath })
  t.same([source.train.rows, source.test.rows], [8, 2])
  t.same((await rowsOf(source, 'test')).rows, [
    { features: [5, 1.5], className: 'setosa' },
    { features: [6, 5.5], className: 'virginica' },
  ])
  writeFileSync(testPath, 'species,petal\nsetosa,1.5\n')
  await t.rejects(open(IRIS, { label: 'species' }, { testPath }), {
    message: /a column of the training rows is 'sepal'/,
  })
  writeFileSync(testPath, 'species,petal,sepal\nalba,1.5,5\n')
  await t.rejects(open(IRIS, { label: 'species' }, { testPath }), { message: /have the class 'alba'/ })
})

t.test('what is wrong is named with its line and column', async t => {
  for (const [text, csv, message] of [
    ['', {}, /is empty/],
    ['a,b\n', {}, /the table is empty/],
    ['a,b\n1,x\n2,x\n', {}, /2 rows in 1 classes, expected at least 2/],
    ['a,b,c\n1,2,x\n1,2\n', {}, /line 3: has 2 fields, expected 3 as in the first line, separated by ','/],
    ['a,b\n1,x\n2,y,z\n', {}, /line 3: has 3 fields, expected 2/],
    ['a,b\n1,x\nNaN,y\n', {}, /line 3: column 'a' is 'NaN', expected a finite number/],
    ['a,b\n1,x\n,y\n', {}, /line 3: column 'a' is '', expected a finite number/],
    ['a,b\n1,x\n1e99,y\n', {}, /line 3: column 'a' is '1e99', expected a finite number/],
    ['a,b\n1,x\nInfinity,y\n', {}, /column 'a' is 'Infinity'/],
    ['a,b\n1,x\n0x10,y\n', {}, /column 'a' is '0x10'/],
    ['a,b\n1,x\n1 000,y\n', {}, /column 'a' is '1 000'/],
    ['a,b\n1,x\n2,\n', {}, /line 3: column 'b' is empty, expected a class/],
    ['a,a\n1,x\n', {}, /line 1: two columns are named 'a'/],
    ['a,b\nz,x\nz,y\n', {}, /has no column of numbers beside 'b'/],
    ['a,b\n1,x\n2,y\n', { label: 'c' }, /data\.csv\.label is 'c', expected one of its 2 columns: a, b/],
    ['a,b\n1,x\n2,y\n', { features: [7] }, /data\.csv\.features is 7, expected one of its 2 columns/],
    ['a,b\n1,2\n2,3\n', { features: ['a', 'b'] }, /data\.csv\.features has 'b', the column of data.csv.label/],
    ['a,b\n1,"x\n2,y\n', {}, /Quote Not Closed/],
    ['a,b\n1,x"y\n', {}, /Invalid Opening Quote/],
  ] as const) {
    await t.rejects(open(text, csv), { name: 'DataError', message }, JSON.stringify(text))
  }
  await t.rejects(open(gzipSync(IRIS).subarray(0, 60)), { name: 'DataError', message: /gzip data is damaged/ })
  const folder = join(dir, 'folder.csv')
  mkdirSync(folder)
  await t.rejects(openDataset(dataConfig({ dataset: 'csv', path: folder }), { baseDir: '/' }), { name: 'DataError' })
})

t.test('a field without an end is refused before it fills the memory', async t => {
  const bomb = gzipSync(Buffer.concat([Buffer.from('a,b\n1,"'), Buffer.alloc(60 * 2 ** 20, 'x')]), { level: 1 })
  const before = process.memoryUsage().rss
  await t.rejects(open(bomb), { name: 'DataError', message: /Max Record Size/i })
  const grown = (process.memoryUsage().rss - before) / 2 ** 20
  t.ok(grown < 90, `memory grew by ${grown.toFixed(0)} MB`)
})

t.test('whatever is written is read back: any numbers, any names', async t => {
  const name = fc.string({ minLength: 1, maxLength: 12 }).map(text => `_${text.trim()}`)
  const row = fc.tuple(fc.float({ noNaN: true, noDefaultInfinity: true }), fc.integer({ min: -1000, max: 1000 }), name)
  const quoted = (text: string) => `"${text.replaceAll('"', '""')}"`
  const spell = (features: readonly number[], className: string) => `${features.map(x => x + 0).join()} ${className}`
  let compared = 0
  await fc.assert(
    fc.asyncProperty(fc.array(row, { maxLength: 20 }), async some => {
      const rows = [...some, [1, 2, 'first'], [3, 4, 'second']] as const
      const text = `u,v,w\n${rows.map(([a, b, c]) => `${a},${b},${quoted(c)}\n`).join('')}`
      const path = join(dir, 'property.csv')
      writeFileSync(path, text)
      const source = await openDataset(dataConfig({ dataset: 'csv', path, testPath: path }), { baseDir: '/' })
      const got = (await rowsOf(source, 'train')).rows.map(({ features, className }) => spell(features, className))
      if (got.join('\n') !== rows.map(([a, b, c]) => spell([a, b], c)).join('\n')) throw new Error(got.join('\n'))
      compared++
    }),
    { numRuns: 40 },
  )
  t.equal(compared, 40)
})

t.test('any bytes at all are a table or an error that says what is wrong', async t => {
  const names = new Set<string>()
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async bytes => {
      await open(Buffer.from(bytes)).catch(error => names.add(error.name))
    }),
    { numRuns: 80 },
  )
  t.same(
    [...names].filter(name => name !== 'ConfigError'),
    ['DataError'],
  )
})

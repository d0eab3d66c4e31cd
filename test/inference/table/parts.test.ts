/** Predictions for Parquet files that threads read by themselves: the bytes, the order and the errors of DuckDB's rows. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { resolveExperiment } from '../../../src/config/load.js'
import { train } from '../../../src/coordinator/new-run.js'
import { ANY_FORMAT, openTableReader } from '../../../src/data/table/duckdb/open.js'
import { formatOf } from '../../../src/data/table/format.js'
import { DataError } from '../../../src/errors.js'
import { Predictor } from '../../../src/inference/predictor.js'
import { linesOfParts } from '../../../src/inference/table/lines-pool.js'
import { predictTable } from '../../../src/inference/table/predict-table.js'
import { copiedToParquet, parquetFile, type WrittenColumn } from '../../helpers/parquet.js'

const dir = t.testdir()
let files = 0
const written = (select: string, options = ''): Promise<string> =>
  copiedToParquet(join(dir, `${files++}.parquet`), select, options)

/** Rows that threads are started for. */
const MANY = 140_000
const COLUMNS = [
  '(hash(i) % 1000003) / 1000 - 500 AS size',
  'CASE WHEN hash(i) % 9 > 0 THEN CAST(i % 17 AS FLOAT) / 3 END AS gap',
  'CAST(hash(i * 3) % 2001 AS INTEGER) AS count',
  "CASE i % 7 WHEN 0 THEN NULL WHEN 1 THEN ' b ' ELSE 'c' || (i % 5) END AS colour",
]
const OTHERS = [
  "'row ' || i AS id",
  "DATE '2020-01-01' + (i % 400)::INT AS day",
  'i % 3 = 0 AS flag',
  '(i % 9)::UTINYINT AS byte',
]
const rowsOf = (rows: number, others: readonly string[] = OTHERS) =>
  `SELECT ${[...COLUMNS, ...others].join(', ')} FROM range(${rows}) r(i)`

const experiment = resolveExperiment({
  data: { dataset: 'table', path: await written(`SELECT *, colour = 'c2' AS kind FROM (${rowsOf(700, [])})`) },
  model: { hidden: [64, 64] },
  train: { epochs: 1, batchSize: 16 },
  compute: { backend: 'wasm', workers: 1 },
})
const run = join(dir, 'run')
await train(experiment, { runDir: run })
const { forward, shared } = await Predictor.openShared(run, { threads: 3 })
const encoding = shared.source.input.table!

/** Bytes of all lines, or the message of the error after those that came before it. */
async function predicted(path: string, access: 'plain' | 'native', keep: readonly string[] = []): Promise<string> {
  const format = { ...ANY_FORMAT, ...formatOf(shared.source.experiment.data, encoding) }
  let text = ''
  let rows = 0
  try {
    const reader = await openTableReader(path, format, { facts: false, ...(access === 'native' && { access }) })
    try {
      const predictions = predictTable({ forward, shared, encoding }, reader, keep, path)
      for await (const lines of predictions.lines('csv')) {
        text += Buffer.from(lines.bytes).toString()
        rows += lines.rows
      }
      return `${rows} of ${reader.rows} rows without ${predictions.ignored}\n${text}`
    } finally {
      await reader.close()
    }
  } catch (error) {
    if (error instanceof DataError || (error as Error).name === 'DataError') return (error as Error).message
    throw error
  }
}

async function partsOf(path: string, names: readonly string[]) {
  const reader = await openTableReader(path, ANY_FORMAT, { facts: false })
  try {
    return await reader.parts(names)
  } finally {
    await reader.close()
  }
}

/** Compares two long texts; a difference is shown with what is around it. */
function same(t: Test, found: string, expected: string, name: string): void {
  if (found === expected) {
    t.pass(name)
    return
  }
  let at = 0
  while (found[at] === expected[at]) at++
  const around = (text: string) => text.slice(Math.max(0, at - 80), at + 80)
  t.equal(around(found), around(expected), name)
}

t.test('the bytes of DuckDB, for few rows and many, in all forms of the file', async t => {
  const cases = ['', ', ROW_GROUP_SIZE 8192', ', COMPRESSION uncompressed', ', COMPRESSION zstd'].flatMap(options =>
    (options === '' ? [1, 3000, MANY] : options.includes('ROW_GROUP') ? [20_000, MANY] : [3000]).map(rows => ({
      rows,
      options,
    })),
  )
  for (const { rows, options } of cases) {
    const path = await written(rowsOf(rows), options)
    const keep = ['id', 'gap', 'day', 'flag']
    const found = await predicted(path, 'plain', keep)
    same(t, found, await predicted(path, 'native', keep), `${rows} rows${options}`)
    t.ok(found.startsWith(`${rows} of ${rows} rows without byte\n`), found.slice(0, 100))
  }
})

t.test('what is read by parts: plain columns, beside others that are not asked for', async t => {
  const path = await written(rowsOf(3000, [OTHERS[0], OTHERS[3]]), ', ROW_GROUP_SIZE 2048')
  const parts = await partsOf(path, ['size', 'id'])
  t.same(
    parts?.parts.map(({ firstRow, from, to }) => [firstRow, from, to]),
    [
      [0, 0, 2048],
      [2048, 0, 952],
    ],
  )
  t.equal(await partsOf(path, []), null)
  const large = await partsOf(await written('SELECT i AS x FROM range(300000) r(i)', ', ROW_GROUP_SIZE 300000'), ['x'])
  const ends = large?.parts.map(({ from, to }) => [from, to])
  t.same(ends, [
    [0, 100_352],
    [100_352, 200_704],
    [200_704, 300_000],
  ])
})

t.test('groups of several parts, with pages that end elsewhere in each column', async t => {
  const rows = MANY
  const values = <T>(of: (i: number) => T) => Array.from({ length: rows }, (_, i) => of(i))
  const columns: WrittenColumn[] = [
    {
      name: 'size',
      type: 'DOUBLE',
      values: values(i => ((i * 7919) % 10007) / 8),
      pages: [30_000, 1, 999, 50_000],
      dictionaryPages: 1,
    },
    {
      name: 'gap',
      type: 'DOUBLE',
      values: values(i => (i % 11 === 3 || i > 120_000 ? null : i / 4)),
      pages: [4096],
      dictionaryPages: 0,
    },
    {
      name: 'count',
      type: 'INT64',
      values: values(i => (i * 31) % 2001),
      pages: [35_536, 91_072],
      dictionaryPages: 2,
      statistics: 700,
    },
    {
      name: 'colour',
      type: 'BYTE_ARRAY',
      values: values(i => (i % 7 === 0 ? null : `c${i % 6}`)),
      pages: [20_000, 45_001],
      dictionaryPages: 2,
    },
    { name: 'id', type: 'BYTE_ARRAY', values: values(i => `row ${i}`), pages: [50_000], dictionaryPages: 0 },
  ]
  for (const groups of [[rows], [133_000, 20, rows - 133_020]]) {
    const path = join(dir, `${files++}.parquet`)
    writeFileSync(path, parquetFile(columns, groups))
    t.ok((await partsOf(path, ['size', 'id']))!.parts.length > groups.length, 'groups are divided')
    const found = await predicted(path, 'plain', ['id', 'gap', 'count'])
    same(t, found, await predicted(path, 'native', ['id', 'gap', 'count']), `groups of ${groups} rows`)
    t.ok(found.startsWith(`${rows} of ${rows} rows`))
  }
})

t.test('what is not plain from some row on is read by DuckDB from there', async t => {
  for (const late of [5, MANY - 9]) {
    const odd = `CASE WHEN i = ${late} THEN 'inf'::DOUBLE ELSE i / 4 END AS odd`
    const path = await written(rowsOf(MANY, [odd]), ', ROW_GROUP_SIZE 20480')
    const found = await predicted(path, 'plain', ['odd'])
    same(t, found, await predicted(path, 'native', ['odd']), `row ${late}`)
    t.match(found, /\nInfinity,/)
  }
})

t.test('a value that the network cannot take is refused with its row, by both', async t => {
  for (const rows of [4000, MANY]) {
    const select = rowsOf(rows).replace('AS size', `+ CASE WHEN i = ${rows - 3} THEN 1e300 ELSE 0 END AS size`)
    const path = await written(select, ', ROW_GROUP_SIZE 20480')
    const found = await predicted(path, 'plain')
    t.match(found, new RegExp(`: column 'size' in row ${rows - 2} is 1e\\+300, expected a number that f32 can hold`))
    t.equal(found, await predicted(path, 'native'))
  }
})

t.test('files of a folder, one after the other', async t => {
  const folder = t.testdir()
  for (const [name, rows] of [
    ['a', 70_000],
    ['b', 5],
    ['c', 68_000],
  ] as const) {
    writeFileSync(join(folder, `${name}.parquet`), readFileSync(await written(rowsOf(rows), ', ROW_GROUP_SIZE 40960')))
  }
  same(t, await predicted(folder, 'plain', ['id']), await predicted(folder, 'native', ['id']), 'three files')
})

/** xorshift: the same bytes are changed in every run. */
let state = 2463534242
function random(below: number): number {
  state ^= state << 13
  state ^= state >>> 17
  state ^= state << 5
  return (state >>> 0) % below
}

t.test('damaged files are refused as DuckDB refuses them, or read as before the damage', async t => {
  const path = await written(rowsOf(4096, []), ', ROW_GROUP_SIZE 2048')
  const whole = readFileSync(path)
  const content = await predicted(path, 'native')
  let refused = 0
  for (let i = 0; i < 80; i++) {
    const bytes = Buffer.from(whole)
    const where = i % 2 === 0 ? random(bytes.length) : bytes.length - 8 - random(600)
    for (let k = 0; k <= i % 3; k++) bytes[(where + k) % bytes.length] = random(256)
    const cut = i % 10 === 9 ? bytes.subarray(0, random(bytes.length)) : bytes
    const damaged = join(dir, 'damaged.parquet')
    writeFileSync(damaged, cut)
    const found = await predicted(damaged, 'plain')
    if (found === content) continue
    const expected = await predicted(damaged, 'native')
    if (found === expected) refused++
    else same(t, found, expected, `${i}, byte ${where}`)
  }
  t.ok(refused > 20, `${refused} files were refused, or read as damaged, by both`)
})

t.test('a file that changes while it is read is refused', async t => {
  const path = await written(rowsOf(MANY), ', ROW_GROUP_SIZE 20480')
  const format = { ...ANY_FORMAT, ...formatOf(shared.source.experiment.data, encoding) }
  const reader = await openTableReader(path, format, { facts: false })
  t.teardown(() => reader.close())
  const { lines } = predictTable({ forward, shared, encoding }, reader, [], path)
  await t.rejects(
    async () => {
      for await (const _ of lines('csv')) writeFileSync(path, readFileSync(path).subarray(0, -1))
    },
    { message: /bytes, expected \d+ while it was read|cannot be read/ },
  )
})

t.test('an early end of the loop ends the threads', async t => {
  const path = await written(rowsOf(MANY, []), ', ROW_GROUP_SIZE 20480')
  const parts = (await partsOf(
    path,
    encoding.columns.map(({ column }) => column),
  ))!
  const { input, outputNames } = shared.source
  const outputs = { task: input.task, outputNames, target: 'kind' }
  const spec = { encoding, outputs, keep: [], format: 'csv', where: path } as const
  const threads = { threads: 2, blockRows: 512 }
  for await (const { rows } of linesOfParts(shared, spec, parts, threads)) {
    t.equal(rows, 20_480)
    break
  }
})

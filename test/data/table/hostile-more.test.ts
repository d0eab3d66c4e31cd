/**
 * Hostile tables, continued: very many columns, very long fields, NUL, every type of Parquet, files that change while they are
 * read. GRADLOOM_TEST_CASES=1000 is the long form: as many cuts of a Parquet file, and fields of 100 MB.
 */
import { appendFileSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ANY_FORMAT, openTableReader } from '../../../src/data/table/duckdb/open.js'
import { DataError } from '../../../src/errors.js'
import { rowsOfReader, rowsOfText } from './table-files.js'

const CASES = Number(process.env.GRADLOOM_TEST_CASES ?? 50)
const isLong = CASES >= 1000

const dir = t.testdir()
let files = 0
const fileOf = (content: string | Buffer, name = 'table.csv') => {
  const path = join(dir, `${files++}-${name}`)
  writeFileSync(path, content)
  return path
}

/** A Parquet file of the rows of a query. */
async function parquetOf(query: string): Promise<string> {
  const { DuckDBInstance } = await import('@duckdb/node-api')
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  const path = join(dir, `${files++}.parquet`)
  await connection.run(`COPY (${query}) TO '${path}'`)
  connection.closeSync()
  instance.closeSync()
  return path
}

t.test('100,000 columns are refused in each form, with bounded memory', async t => {
  const names = Array.from({ length: 100_000 }, (_, i) => `c${i}`)
  const row = names.map((_, i) => i % 10)
  const before = process.memoryUsage().rss
  for (const [path, message] of [
    [fileOf(`${names.join(',')}\n${row.join(',')}\n`), /has 100000 columns, expected at most/],
    [fileOf(`${row.join(',')}\n${row.join(',')}\n`), /has 100000 columns, expected at most/],
    [fileOf(`${JSON.stringify(Object.fromEntries(names.map((name, i) => [name, i])))}\n`, 't.ndjson'), /columns|keys/],
  ] as const) {
    await t.rejects(rowsOfText(path), { name: 'DataError', message })
  }
  t.ok(process.memoryUsage().rss - before < 1.5e9, 'memory')
})

t.test('a field of 100 MB in delimited text is refused, quoted or not', async t => {
  const long = 'x'.repeat(isLong ? 100e6 : 20e6)
  for (const [name, path, message] of [
    ['plain', fileOf(`a,b\n1,${long}\n`), /line 2: the record is longer than/],
    ['quoted', fileOf(`a,b\n1,"${long}"\n`), /line 2: a quote begins here that does not end within/],
    ['quoted, without end', fileOf(`a,b\n1,"${long}\n`), /line 2: a quote begins here that does not end within/],
    ['a name', fileOf(`a,${long}\n1,2\n`), /line 1: the record is longer than/],
    ['no line end', fileOf(long), /line 1: the record is longer than/],
    ['tabs', fileOf(`a\tb\n1\t${long}\n`, 't.tsv'), /line 2: the record is longer than/],
  ] as const) {
    const error = await rowsOfText(path).catch((error: unknown) => error)
    t.match(error, { name: 'DataError', message }, name)
    t.ok((error as Error).message.length < 1000, 'a message that can be read')
    rmSync(path)
  }
})

t.test('a field of 100 MB in JSON is refused or read exactly', async t => {
  const long = 'x'.repeat(isLong ? 100e6 : 20e6)
  const path = fileOf(`{"a":1,"b":"${long}"}\n{"a":2,"b":"y"}\n`, 't.ndjson')
  const result = await rowsOfText(path).catch((error: unknown) => error)
  if (result instanceof DataError) t.ok(result.message.length < 1000, result.message)
  else {
    const { rows } = result as Awaited<ReturnType<typeof rowsOfText>>
    t.ok(rows.length === 2 && rows[0].b === long && rows[1].b === 'y', 'read as it is')
  }
})

t.test('NUL: refused in text with the place, kept in the formats that allow it', async t => {
  for (const [content, offset] of [
    ['a\0,b\n1,2\n', 1],
    ['a,b\n\0\n', 4],
    ['a,b\n"x\0",2\n', 6],
  ] as const) {
    await t.rejects(rowsOfText(fileOf(content)), {
      name: 'DataError',
      message: new RegExp(`byte at offset ${offset} is NUL`),
    })
  }
  const { rows } = await rowsOfText(await parquetOf("SELECT chr(0) || 'x' AS s, 1 AS n"))
  t.strictSame(rows, [{ s: '\0x', n: 1 }])
})

t.test('types of Parquet: numbers, dates and texts are read as what they are', async t => {
  const path =
    await parquetOf(`SELECT 12345678901234567890123456.789::DECIMAL(38, 3) AS big, -0.05::DECIMAL(4, 2) AS small,
    170141183460469231731687303715884105727::HUGEINT AS huge, 18446744073709551615::UBIGINT AS ubig, 200::UTINYINT AS tiny, 1.5::FLOAT AS f,
    TIMESTAMP_NS '2020-01-01 00:00:00.123456789' AS ns, TIMESTAMP_S '2020-01-01 00:00:01' AS s, TIMESTAMPTZ '2020-01-01 01:00:00+01' AS tz,
    DATE '0001-01-01' AS old, TIME '23:59:59.5' AS clock, 'b'::ENUM('a', 'b') AS e, uuid '00000000-0000-0000-0000-000000000001' AS u,
    NULL::INTEGER AS nothing, true AS yes`)
  const { rows, table } = await rowsOfText(path)
  const [row] = rows
  const start = Date.UTC(2020, 0, 1) / 1000
  t.match(row, {
    small: -0.05,
    tiny: 200,
    f: 1.5,
    e: 'b',
    yes: 1,
    nothing: null,
    clock: 86_399.5,
    s: start + 1,
    tz: start,
  })
  t.ok(Math.abs(Number(row.ns) - start - 0.123456) < 1e-5)
  t.equal(row.old, new Date('0001-01-01T00:00:00Z').getTime() / 1000)
  t.equal(row.big, Number('12345678901234567890123456.789'))
  for (const name of ['huge', 'ubig']) {
    const value = row[name] ?? table.columns.find(column => column.name === name)
    t.ok(typeof value !== 'number' || value >= 2 ** 63, `${name}: ${value}`)
  }
})

t.test('nested types are not read, and the reason is given', async t => {
  const path = await parquetOf(`SELECT 1 AS x, [1, 2] AS l, [[1]] AS ll, {'a': 1, 'b': [2]} AS st, MAP {'k': 1} AS m,
    'ab'::BLOB AS blob, INTERVAL 3 DAY AS i FROM range(3)`)
  const { table, rows } = await rowsOfText(path)
  t.equal(rows.length, 3)
  for (const name of ['l', 'll', 'st', 'm']) {
    t.ok(table.columns.find(column => column.name === name)!.unreadable, name)
  }
  for (const row of rows) t.equal(row.x, 1)
})

t.test(`a Parquet file cut at ${CASES} places is refused, and the process lives`, async t => {
  const path =
    await parquetOf(`SELECT i AS x, i * 0.5 AS h, 'n' || (i % 40) AS s, i % 2 = 0 AS b, DATE '2020-01-01' + (i % 99)::INT AS day
    FROM range(3000) r(i)`)
  const whole = readFileSync(path)
  let refused = 0
  for (let i = 0; i < CASES; i++) {
    const cut = fileOf(whole.subarray(0, Math.floor((whole.length * i) / CASES)), 't.parquet')
    const error = await rowsOfText(cut).catch((error: unknown) => error)
    if (error instanceof DataError) refused++
    else t.fail(`${i}: ${error}`)
    rmSync(cut)
  }
  t.equal(refused, CASES)
})

t.test('a file that changes while it is opened is refused, or read as it was', async t => {
  const text = `a,b\n${Array.from({ length: 60_000 }, (_, i) => `${i},${i % 7}\n`).join('')}`
  for (const [name, change] of [
    ['appended', (path: string) => appendFileSync(path, '5,6\n')],
    ['cut', (path: string) => truncateSync(path, 1000)],
    ['emptied', (path: string) => truncateSync(path, 0)],
    ['overwritten', (path: string) => writeFileSync(path, text.replaceAll('5', '6'))],
    [
      'replaced',
      (path: string) => {
        writeFileSync(`${path}.new`, 'a,b\n1,2\n')
        renameSync(`${path}.new`, path)
      },
    ],
    ['removed', (path: string) => rmSync(path)],
  ] as const) {
    const path = fileOf(text)
    let isChanged = false
    const onProgress = () => {
      if (isChanged) return
      isChanged = true
      change(path)
    }
    const result = await rowsOfText(path, {}, { onProgress }).catch((error: unknown) => error)
    if (result instanceof DataError) t.pass(`${name}: ${result.message}`)
    else t.fail(`${name}: ${result instanceof Error ? result.stack : 'was read'}`)
  }
})

t.test('a file that changes after it was opened is refused when it is read again', async t => {
  for (const [name, change] of [
    ['cut', (path: string) => truncateSync(path, 6)],
    ['replaced', (path: string) => writeFileSync(path, 'a,b\n9,9\n9,9\n9,9\n')],
    ['removed', (path: string) => rmSync(path)],
  ] as const) {
    const path = fileOf('a,b\n1,2\n3,4\n')
    const reader = await openTableReader(path, ANY_FORMAT, { keepBytes: 0 })
    change(path)
    await t.rejects(rowsOfReader(reader), { name: 'DataError' }, name)
    await reader.close()
  }
})

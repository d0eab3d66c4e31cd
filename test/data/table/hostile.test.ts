/** Files that are damaged, hostile or change while they are read: an error that names the place, or the right rows. */
import { appendFileSync, readFileSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { ANY_FORMAT, openTableReader } from '../../../src/data/table/duckdb/open.js'
import { DataError } from '../../../src/errors.js'
import { rowsOfReader, rowsOfText } from './table-files.js'

const dir = t.testdir()
let files = 0
const fileOf = (content: string | Buffer, name = 'table.csv') => {
  const path = join(dir, `${files++}-${name}`)
  writeFileSync(path, content)
  return path
}

t.test('malformed delimited text is refused', async t => {
  const many = '1,2\n'.repeat(30_000)
  for (const [name, content, message] of [
    ['a row too short', 'a,b\n1,2\n3\n', /line 3: has 1 field, expected 2/],
    ['a row too short, far', `a,b\n${many}3\n`, /line 30002: has 1 field, expected 2/],
    ['a row too long', 'a,b\n1,2\n3,4,5\n', /line 3: has 3 fields, expected 2/],
    ['a comment above the names', '# made by x\na,b\n1,2\n', /line 2: has 2 fields, expected 1/],
    ['a row too long, mixed line ends', 'a,b\r\n1,2\n3,4,5\n', /line 3: has 3 fields, expected 2/],
    ['a line after quoted newlines', 'a,b\n"x\n\ny",2\n3\n', /line 5: has 1 field, expected 2/],
    ['a quote without end', 'a,b\n1,"2\n3,4\n', /line 2: a quote begins here that never ends/],
    ['a quote without end, far', `a,b\n${many}1,"2\n${many}`, /line 30002: a quote begins here that never ends/],
    ['text after a quote', 'a,b\n"x"y,2\n', /line 2: a field has text after its closing quote/],
    ['NUL', 'a,b\n1,x\0\n', /byte at offset 7 is NUL/],
    ['UTF-16', Buffer.from('\ufeffa,b\n1,2\n', 'utf16le'), /NUL/],
    ['ISO 8859-1', Buffer.from('a,b\n1,caf\xe9\n', 'latin1'), /line 2 is not UTF-8/],
    ['a long field', `a,b\n1,${'x'.repeat(6e6)}\n`, /line 2: the record is longer than/],
    ['a long quoted field', `a,b\n1,"${'x'.repeat(6e6)}"\n`, /line 2: /],
    [
      'many columns',
      `${Array.from({ length: 20_000 }, (_, i) => `c${i}`).join(',')}\n`,
      /has 20000 columns, expected at most/,
    ],
    ['equal names', 'a,b,a\n1,2,3\n', /columns 1 and 3 are both named 'a'/],
    [
      'a class beyond the names',
      '3,2,x,y\n1,2,0\n1,2,1\n1,2,2\n',
      /line 4: column '2' is '2', expected the number of a class/,
    ],
    ['wrong counts', '4,2,x,y\n1,2,0\n1,2,1\n1,2,1\n', /line 1: states that the table has 4 rows, expected 3/],
    ['nothing', '', /is empty/],
    ['empty lines', '\n\n', /has no rows/],
    ['an archive', 'PK\x03\x04', /ZIP archive/],
    ['gzip cut', gzipSync(many).subarray(0, 40), /gzip data is damaged/],
    ['gzip with more behind', Buffer.concat([gzipSync('a,b\n1,2\n'), Buffer.from('x')]), /gzip/],
  ] as const) {
    await t.rejects(rowsOfText(fileOf(content)), { name: 'DataError', message }, name)
  }
})

t.test('lines above the names of the columns are named in the hint', async t => {
  const error = await rowsOfText(fileOf('# made by x\na,b\n1,2\n')).catch(error => error)
  t.match(error.hint, /delete lines above the names of the columns/)
  const usual = await rowsOfText(fileOf('a,b\n1,2\n3,4,5\n')).catch(error => error)
  t.match(usual.hint, /fields with the separator in them are put in quotes/)
})

t.test('a long field that is allowed, and odd characters', async t => {
  const long = 'x'.repeat(2e6)
  t.strictSame((await rowsOfText(fileOf(`a,b\n1,${long}\n`))).rows, [{ a: 1, b: long }])
  const { rows } = await rowsOfText(fileOf('ä,名\n1,日本語日本語日本語\n2,é"x\n'))
  t.strictSame(rows, [
    { ä: 1, 名: '日本語日本語日本語' },
    { ä: 2, 名: 'é"x' },
  ])
})

t.test('a Parquet file cut anywhere is refused', async t => {
  const whole = readFileSync(await parquetFile())
  for (let i = 0; i < 24; i++) {
    const cut = Math.floor((whole.length * i) / 24)
    await t.rejects(rowsOfText(fileOf(whole.subarray(0, cut), 't.parquet')), { name: 'DataError' }, `${cut} bytes`)
  }
})

t.test('a Parquet file with a wrong byte is refused or read, and never crashes', async t => {
  const whole = readFileSync(await parquetFile())
  for (let i = 0; i < 16; i++) {
    const bytes = Buffer.from(whole)
    bytes[Math.floor((whole.length * i) / 16)] ^= 0x55
    const error = await rowsOfText(fileOf(bytes, 't.parquet')).catch(error => error)
    t.ok(error instanceof DataError || Array.isArray(error.rows), `byte ${i}`)
  }
})

async function parquetFile(): Promise<string> {
  const { DuckDBInstance } = await import('@duckdb/node-api')
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  const path = join(dir, `${files++}.parquet`)
  await connection.run(
    `COPY (SELECT i AS x, i * 0.5 AS h, (i % 3)::DECIMAL(9, 2) AS d, 'n' || (i % 4) AS s, i % 2 = 0 AS b, DATE '2020-01-01' AS day, ` +
      `TIME '10:30:00' AS t, [i] AS l, {'a': i} AS st, CASE WHEN i = 3 THEN NULL ELSE i END AS n FROM range(5) r(i)) TO '${path}'`,
  )
  connection.closeSync()
  instance.closeSync()
  return path
}

t.test('types of Parquet: nested columns are left out with a reason, and refused if a setting names them', async t => {
  const path = await parquetFile()
  const { table, rows } = await rowsOfText(path)
  t.strictSame(rows[3], { x: 3, h: 1.5, d: 0, s: 'n3', b: 0, day: 1577836800, t: 37800, n: null })
  t.match(table.columns.find(({ name }) => name === 'l')?.unreadable, /BIGINT\[\]/)
  const reader = await openTableReader(path)
  t.teardown(() => reader.close())
  await t.rejects(reader.read(['st'])[Symbol.asyncIterator]().next(), /column 'st' cannot be read; its type is STRUCT/)
  await t.rejects(reader.read(['y'])[Symbol.asyncIterator]().next(), /has no column 'y'/)
})

t.test('a file that changes while it is read is refused', async t => {
  for (const change of [
    (path: string) => appendFileSync(path, '5,6\n'),
    (path: string) => utimesSync(path, new Date(0), new Date(0)),
  ]) {
    const path = fileOf('a,b\n1,2\n')
    // Without room to keep values, the rows are read again.
    const reader = await openTableReader(path, ANY_FORMAT, { keepBytes: 0 })
    change(path)
    await t.rejects(rowsOfReader(reader), /while it was read/)
    await reader.close()
  }
})

t.test('values that are not kept are read again, the same, from any row and with any number of threads', async t => {
  const text = Array.from({ length: 40_000 }, (_, i) => `${i},t${i % 1000},${i % 3 === 0 ? 'NA' : i / 3}\n`).join('')
  const path = fileOf(`a,b,c\n${text}`)
  const kept = await rowsOfText(path)
  const again = await rowsOfText(path, {}, { keepBytes: 0, threads: 4 })
  t.equal(kept.rows.length, 40_000)
  t.ok(kept.rows.every(({ a }, i) => a === i))
  t.strictSame(again.rows, kept.rows)
  for (const keepBytes of [0, 2 ** 30]) {
    const reader = await openTableReader(path, ANY_FORMAT, { keepBytes })
    t.strictSame(await rowsOfReader(reader, 23_456), kept.rows.slice(23_456))
    await reader.close()
  }
})

t.test('a query can read only the table', async t => {
  const path = fileOf('a,b,c\n1,x,NA\n2,y,3\n3,,4\n')
  const other = fileOf('secret\n1\n')
  const query = (sql: string) => rowsOfText(path, { query: sql })
  t.strictSame((await query('SELECT a * 2 AS d, b, c FROM data WHERE a > 1 ORDER BY a DESC;')).rows, [
    { d: 6, b: null, c: 4 },
    { d: 4, b: 'y', c: 3 },
  ])
  for (const [sql, message] of [
    [`SELECT * FROM read_csv('${other}')`, /file system operations are disabled/],
    [`SELECT * FROM '${other}'`, /file system operations are disabled/],
    [`SELECT * FROM read_text('/etc/hostname')`, /file system operations are disabled/],
    [`COPY data TO '${other}.out'`, /file system operations are disabled/],
    ['INSTALL httpfs', /expected a SELECT/],
    ['SET threads = 4', /expected a SELECT/],
    ['DROP VIEW data', /is DROP, expected a SELECT/],
    ['SELECT 1; SELECT 2', /has 2 statements/],
    ['SELECT * FROM nothing', /does not exist/],
  ] as const) {
    await t.rejects(query(sql), { name: 'DataError', message }, sql)
  }
})

t.test('JSON as one object per line or as an array', async t => {
  const lines = fileOf('{"a":1,"b":"x","c":{"z":1}}\n{"a":"NA","b":null}\n{"a":2.5,"B":true}\n', 't.ndjson')
  const { table, rows } = await rowsOfText(lines)
  t.strictSame(rows, [
    { a: 1, b: 'x', B: null },
    { a: null, b: null, B: null },
    { a: 2.5, b: null, B: 1 },
  ])
  t.match(table.columns.find(({ name }) => name === 'c')?.unreadable, /arrays or objects/)
  t.strictSame((await rowsOfText(fileOf('[{"a":1},{"a":2}]', 't.json'))).rows, [{ a: 1 }, { a: 2 }])
  await t.rejects(rowsOfText(fileOf('{"a":1}\n{"a":2', 't.json')), /cannot be read as JSON/)
  await t.rejects(rowsOfText(fileOf('{"a":1}\n3\n', 't.json')), /row 2 is no object/)
})

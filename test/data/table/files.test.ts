/** Files of a table: compressed with zstd, several of a folder or a glob, and what happens where DuckDB is not installed. */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { rowsOfText } from './table-files.js'

const dir = t.testdir()
const at = (name: string) => join(dir, name)
const rows = Array.from({ length: 3000 }, (_, i) => ({ x: i, s: `n${i % 7}` }))

/** Runs a statement in a database of its own. */
async function run(sql: string): Promise<void> {
  const { DuckDBInstance } = await import('@duckdb/node-api')
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  await connection.run(sql)
  connection.closeSync()
  instance.closeSync()
}

const QUERY = "SELECT i AS x, 'n' || (i % 7) AS s FROM range(3000) r(i)"

t.test('zstd: CSV, NDJSON and Parquet; the digest is that of the compressed file', async t => {
  await run(`COPY (${QUERY}) TO '${at('a.csv')}' (HEADER)`)
  await run(`COPY (${QUERY}) TO '${at('a.csv.zst')}' (HEADER, COMPRESSION zstd)`)
  await run(`COPY (${QUERY}) TO '${at('a.ndjson.zst')}' (FORMAT json, COMPRESSION zstd)`)
  await run(`COPY (${QUERY}) TO '${at('zstd.parquet')}' (FORMAT parquet, COMPRESSION zstd)`)
  await run(`COPY (${QUERY}) TO '${at('gzip.parquet')}' (FORMAT parquet, COMPRESSION gzip)`)
  for (const name of ['a.csv', 'a.csv.zst', 'a.ndjson.zst', 'zstd.parquet', 'gzip.parquet']) {
    const read = await rowsOfText(at(name))
    t.same(read.rows, rows, name)
    t.equal(
      (await read.table.digests())[0].md5,
      createHash('md5')
        .update(readFileSync(at(name)))
        .digest('hex'),
      name,
    )
  }
})

t.test('zstd that is damaged, cut, or something else is refused', async t => {
  await run(`COPY (${QUERY}) TO '${at('b.csv.zst')}' (HEADER, COMPRESSION zstd)`)
  const whole = readFileSync(at('b.csv.zst'))
  const damaged = Buffer.from(whole)
  for (let i = 20; i < 60; i++) damaged[i] ^= 0xff
  for (const [name, bytes] of [
    ['cut', whole.subarray(0, whole.length / 2)],
    ['damaged', damaged],
    ['head alone', whole.subarray(0, 4)],
  ] as const) {
    writeFileSync(at('c.csv.zst'), bytes)
    await t.rejects(rowsOfText(at('c.csv.zst')), { name: 'DataError' }, name)
  }
  // The content decides, not the name.
  writeFileSync(at('plain.csv.zst'), 'x,s\n1,a\n')
  t.same((await rowsOfText(at('plain.csv.zst'))).rows, [{ x: 1, s: 'a' }])
})

/** A zstd frame with one raw block: the bytes as they are. At most 255. */
function zstdOf(text: string): Buffer {
  const content = Buffer.from(text)
  const block = (content.length << 3) | 1
  const head = [0x28, 0xb5, 0x2f, 0xfd, 0x20, content.length, block & 255, (block >> 8) & 255, block >> 16]
  return Buffer.concat([Buffer.from(head), content])
}

t.test('zstd: text is checked as other text is', async t => {
  for (const [text, message] of [
    ['a,b\n1,2\n3\n', /line 3|1 field|expected 2/i],
    ['a,b\n1,2\n3,4,5\n', /line 3|3 fields|expected 2/i],
    ['a,b\n1,"2\n3,4\n', /quote/i],
    ['a,b,a\n1,2,3\n', /columns 1 and 3 are both named 'a'/],
  ] as const) {
    writeFileSync(at('d.csv.zst'), zstdOf(text))
    await t.rejects(rowsOfText(at('d.csv.zst')), { name: 'DataError', message }, JSON.stringify(text))
  }
  // NUL is detected only where Node decompresses the text: DuckDB accepts it.
  writeFileSync(at('d.csv.zst'), zstdOf('a,b\n1,x\0\n'))
  t.same((await rowsOfText(at('d.csv.zst'))).rows, [{ a: 1, b: 'x\0' }])
  writeFileSync(at('d.csv.zst'), zstdOf('a,b\n1,\n0.5,"x,\ny"\n'))
  t.same((await rowsOfText(at('d.csv.zst'))).rows, [
    { a: 1, b: null },
    { a: 0.5, b: 'x,\ny' },
  ])
})

t.test('a folder and a glob: files by name, one kind, the same columns', async t => {
  mkdirSync(at('parts'))
  for (const [name, text] of [
    ['2.csv', 'x,s\n3,c\n'],
    ['1.csv', 'x,s\n1,a\n2,b\n'],
    ['10.csv', 'x,s\n4,d\n'],
    ['.hidden.csv', 'x,s\n9,z\n'],
  ] as const) {
    writeFileSync(at(`parts/${name}`), text)
  }
  const folder = await rowsOfText(at('parts'))
  const names = folder.table.files.map(({ path }) => path.split('/').at(-1))
  t.same(new Set(names), new Set(['1.csv', '2.csv', '10.csv']))
  t.same(
    folder.rows,
    names.flatMap(
      name =>
        ({
          '1.csv': [
            { x: 1, s: 'a' },
            { x: 2, s: 'b' },
          ],
          '2.csv': [{ x: 3, s: 'c' }],
          '10.csv': [{ x: 4, s: 'd' }],
        })[name!]!,
    ),
  )
  t.same((await rowsOfText(at('parts/1*.csv'))).rows.length, 3)
  await t.rejects(rowsOfText(at('parts/3*.csv')), { name: 'DataError' })
  writeFileSync(at('parts/3.csv'), 'x,other\n5,e\n')
  await t.rejects(rowsOfText(at('parts')), { name: 'DataError', message: /3\.csv/ })
  mkdirSync(at('mixed'))
  writeFileSync(at('mixed/a.csv'), 'x\n1\n')
  writeFileSync(at('mixed/b.ndjson'), '{"x":1}\n')
  await t.rejects(rowsOfText(at('mixed')), { name: 'DataError' })
  mkdirSync(at('empty'))
  await t.rejects(rowsOfText(at('empty')), { name: 'DataError', message: /empty/ })
})

t.test('without the package: tables are refused with the command that helps, everything else works', async t => {
  writeFileSync(
    at('without.cjs'),
    `const Module = require('node:module'); const resolve = Module._resolveFilename
     Module._resolveFilename = function (name, ...more) {
       if (!name.startsWith('@duckdb/')) return resolve.call(this, name, ...more)
       throw Object.assign(new Error("Cannot find module '" + name + "'"), { code: 'MODULE_NOT_FOUND' })
     }`,
  )
  writeFileSync(at('t.csv'), 'x,y\n1,a\n2,b\n')
  writeFileSync(at('table.json'), JSON.stringify({ data: { dataset: 'table', path: 't.csv' } }))
  writeFileSync(
    at('digits.json'),
    JSON.stringify({
      data: { dataset: 'digits' },
      model: { hidden: [4] },
      train: { epochs: 1 },
      compute: { backend: 'wasm' },
    }),
  )
  const gradloom = (...args: string[]) =>
    spawnSync(process.execPath, ['--require', at('without.cjs'), 'dist/src/cli/main.js', ...args], { encoding: 'utf8' })
  for (const args of [
    ['train', at('table.json'), '--run-dir', at('run')],
    ['data', 'describe', at('t.csv')],
  ]) {
    const { status, stderr } = gradloom(...args)
    t.equal(status, 1)
    t.match(
      stderr,
      /t\.csv: tables are read by the npm package @duckdb\/node-api, which cannot be loaded here: Cannot find module/,
    )
    t.match(stderr, /hint: npm install --include=optional @duckdb\/node-api@/)
    t.notMatch(stderr, /^ +at /m)
  }
  const { status, stderr } = gradloom('train', at('digits.json'), '--run-dir', at('run'))
  t.equal(status, 0, stderr)
})

t.test('a table with a header and no rows is refused, as the data and as the test file', async t => {
  const { openReader } = await import('../../../src/data/table/open-reader.js')
  const { openTable } = await import('../../../src/data/table/source.js')
  const { dataConfig } = await import('../../helpers/data-config.js')
  writeFileSync(at('names.csv'), 'x,s\n')
  await run(`COPY (SELECT 1.5 AS x, 'n' AS s WHERE false) TO '${at('names.parquet')}' (FORMAT parquet)`)
  writeFileSync(at('full.csv'), `x,s\n${rows.map(({ x, s }) => `${x},${s}`).join('\n')}\n`)
  const config = { ...dataConfig({ dataset: 'table' }), task: 'auto' as const }
  const message = /names\.(csv|parquet): the table is empty, expected rows with a target/
  for (const name of ['names.csv', 'names.parquet']) {
    await t.rejects(openTable(at(name), null, config, null, openReader), { name: 'DataError', message })
    await t.rejects(openTable(at('full.csv'), at(name), config, null, openReader), { name: 'DataError', message })
  }
})

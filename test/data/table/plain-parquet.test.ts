/** Parquet files, made by chance from a seed: those that are plain give what DuckDB gives, to the bit, or are left to it. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as zlib from 'node:zlib'
import t from 'tap'
import { DataError } from '../../../src/errors.js'
import { copiedToParquet } from '../../helpers/parquet.js'
import { readBy } from './read-by.js'

const dir = t.testdir()
let files = 0

/** A text for each failure, so that two readers can be compared. */
async function told(path: string, access: 'plain' | 'native') {
  try {
    const { read: _, ...content } = await readBy(path, access)
    return JSON.stringify(content)
  } catch (error) {
    if (!(error instanceof DataError)) throw error
    return access === 'plain' && /is not plain Parquet/.test(error.message) ? null : `refused: ${error.message}`
  }
}

const written = (select: string, options = ''): Promise<string> =>
  copiedToParquet(join(dir, `${files++}.parquet`), select, options)

const COLUMNS: Readonly<Record<string, string>> = {
  numbers: 'CAST((hash(i) % 100003) / 1000.0 - 50 AS DOUBLE)',
  few: 'CAST(hash(i) % 7 AS DOUBLE) / 4',
  zeros: "CASE WHEN i % 3 = 0 THEN '-0'::DOUBLE ELSE i END",
  nan: "CASE WHEN i % 5 = 0 THEN 'nan'::DOUBLE ELSE i / 3 END",
  gaps: 'CASE WHEN hash(i) % 4 > 0 THEN sqrt(i) END',
  gone: 'NULL::DOUBLE',
  late: 'CASE WHEN i > 2500 THEN sqrt(i) END',
  single: 'CAST(i / 7 AS FLOAT)',
  small: 'CAST(hash(i) % 2001 AS INTEGER) - 1000',
  large: '(hash(i) % 9007199254740993)::BIGINT - 4503599627370496',
  huge: '9223372036854775807 - i',
  negative: '-9223372036854775807 + i * 1025',
  names: "'n' || (hash(i) % 40)",
  spaces:
    "CASE i % 6 WHEN 0 THEN ' a ' WHEN 1 THEN 'a' WHEN 2 THEN '' WHEN 3 THEN '  ' WHEN 4 THEN NULL ELSE 'ä€😀' END",
  different: "'id' || i",
  digits: "CAST(i % 50 AS VARCHAR) || '.5'",
  lines: '\'a\n"b",\' || (i % 3)',
  tiny: '(CAST(hash(i) % 256 AS INTEGER) - 128)::TINYINT',
  short: '(i % 7 - 3)::SMALLINT',
  flags: 'CASE WHEN hash(i) % 5 > 0 THEN i % 3 = 1 END',
  days: "DATE '1969-12-01' + CAST(hash(i) % 90 AS INTEGER)",
  moments: "CASE WHEN i % 4 > 0 THEN TIMESTAMP '2020-02-29 23:59:59.123456' + to_microseconds(i * 98765432101) END",
  milliseconds: "(TIMESTAMP '1960-02-29 23:59:59.123' + to_milliseconds(i * 987654321))::TIMESTAMP_MS",
  zoned: "TIMESTAMPTZ '2020-02-29 23:59:59.1+02' + to_hours(i)",
}

/** Node.js before 22.15 has no zstd: DuckDB reads it there. */
const hasZstd = 'zstdDecompressSync' in zlib
const CODECS = ['gzip', 'brotli', 'lz4_raw', ...(hasZstd ? ['zstd'] : [])]
const PLAIN = [
  ...CODECS.map(codec => `, COMPRESSION ${codec}`),
  '',
  ', COMPRESSION uncompressed',
  ', ROW_GROUP_SIZE 2048',
  ', PARQUET_VERSION v1, ROW_GROUP_SIZE 2048',
]

t.test('plain files give the same result with both readers', async t => {
  for (const options of PLAIN) {
    const all = Object.entries(COLUMNS).map(([name, sql]) => `${sql} AS "${name}"`)
    const path = await written(`SELECT ${all.join(', ')} FROM range(5000) r(i)`, options)
    const plain = await told(path, 'plain')
    t.equal(plain, await told(path, 'native'), `all columns${options}`)
    t.ok(plain?.startsWith('{'), 'read by the parser of plain files')
  }
  const path = await written(`SELECT ${COLUMNS.gaps} AS x, ${COLUMNS.names} AS y FROM range(400000) r(i)`)
  t.equal(await told(path, 'plain'), await told(path, 'native'), 'several groups, several threads')
})

t.test('tables whose values are not kept give the same result, read in parts after the first pass', async t => {
  const all = Object.entries(COLUMNS).map(([name, sql]) => `${sql} AS "${name}"`)
  // A column that is not plain, and one of more texts than the first pass takes, beside plain ones.
  const others = ['(i / 4)::DECIMAL(9, 2) AS decimals', "'text' || i AS many"]
  for (const [rows, columns] of [
    [5000, all],
    [5000, [...all, others[0]]],
    [40_000, [...all, others[1]]],
  ] as const) {
    const path = await written(`SELECT ${columns.join(', ')} FROM range(${rows}) r(i)`, ', ROW_GROUP_SIZE 4096')
    const { read: _, ...found } = await readBy(path, undefined, {}, 2, 0)
    const { read: __, ...expected } = await readBy(path, 'native')
    t.ok(JSON.stringify(found) === JSON.stringify(expected), `${rows} rows, ${columns.length} columns`)
  }
})

t.test('Parquet files beyond the plain subset are left to DuckDB', async t => {
  for (const [what, select] of [
    ['infinite', `SELECT CASE WHEN i = 70 THEN 'inf'::DOUBLE ELSE i END AS x FROM range(100) r(i)`],
    [
      'an infinite date',
      `SELECT CASE WHEN i = 70 THEN 'infinity' ELSE '2020-01-02' END::DATE AS x FROM range(100) r(i)`,
    ],
    ['times of day', `SELECT TIME '10:11:12' AS x, i AS y FROM range(100) r(i)`],
    ['nanoseconds', `SELECT TIMESTAMP_NS '2020-01-02 10:11:12.123456789' AS x, i AS y FROM range(100) r(i)`],
    ['decimals', 'SELECT (i / 4)::DECIMAL(9, 2) AS x FROM range(100) r(i)'],
    ['unsigned', 'SELECT i::UINTEGER AS x FROM range(100) r(i)'],
    ['bytes', `SELECT 'a'::BLOB AS x, i AS y FROM range(100) r(i)`],
    ['lists', 'SELECT [i, i] AS x, i AS y FROM range(100) r(i)'],
    ['no rows', 'SELECT i AS x FROM range(0) r(i)'],
    ['many texts', `SELECT 'text' || i AS x, i AS y FROM range(40000) r(i)`],
  ] as const) {
    t.equal(await told(await written(select), 'plain'), null, what)
  }
  if (!hasZstd) {
    const path = await written('SELECT i AS x FROM range(100) r(i)', ', COMPRESSION zstd')
    t.equal(await told(path, 'plain'), null, 'zstd')
  }
})

t.test('unsigned integers above the signed range stay positive', async t => {
  const path = await written(
    'SELECT (4294967290 + i)::UINTEGER AS x, (4503599627370496 + i)::UBIGINT AS y FROM range(5) r(i)',
  )
  const { columns } = await readBy(path, undefined)
  t.same(columns.x.slice(1), [4294967290, 4294967291, 4294967292, 4294967293, 4294967294])
  t.same(columns.y.slice(1, 3), [4503599627370496, 4503599627370497])
})

/** xorshift: the same bytes are changed in every run. */
let state = 2463534242
function random(below: number): number {
  state ^= state << 13
  state ^= state >>> 17
  state ^= state << 5
  return (state >>> 0) % below
}

t.test('damaged files are read as DuckDB reads them, as before the damage, or left to it', async t => {
  let read = 0
  for (const options of ['', ', COMPRESSION uncompressed', ', COMPRESSION lz4_raw', ', COMPRESSION gzip']) {
    const names = ['few', 'gaps', 'single', 'small', 'large', 'names', 'spaces']
    const select = names.map(name => `${COLUMNS[name]} AS ${name}`).join(', ')
    const undamaged = await written(`SELECT ${select} FROM range(300) r(i)`, options)
    const content = await told(undamaged, 'native')
    const whole = readFileSync(undamaged)
    for (let i = 0; i < 75; i++) {
      const bytes = Buffer.from(whole)
      const where = i % 2 === 0 ? random(bytes.length) : bytes.length - 8 - random(600)
      for (let k = 0; k <= i % 3; k++) bytes[(where + k) % bytes.length] = i % 5 === 0 ? 0xff : random(256)
      const path = join(dir, `${files++}.parquet`)
      writeFileSync(path, bytes)
      const plain = await told(path, 'plain')
      if (plain === null) continue
      read++
      // DuckDB also refuses damage of what neither types nor values are taken from.
      if (plain === content) continue
      const expected = await told(path, 'native')
      if (plain !== expected) t.equal(plain.slice(0, 300), expected?.slice(0, 300), `${options} ${i}, byte ${where}`)
    }
  }
  t.ok(read > 25, `${read} damaged files were read`)
})

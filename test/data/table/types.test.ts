/** Types of columns, which all fields of the file decide. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { TableFormat } from '../../../src/data/table/reader.js'
import { rowsOfText } from './table-files.js'

const dir = t.testdir()
let files = 0
const read = (text: string, format: Partial<TableFormat> = {}) => {
  const path = join(dir, `${files++}.csv`)
  writeFileSync(path, text)
  return rowsOfText(path, format)
}
/** Column `a` of these fields beside a column of numbers, after 3,000 rows of `first`. */
const column = async (first: string, fields: readonly string[], format: Partial<TableFormat> = {}) => {
  const before = first === '' ? '' : `${first},1\n`.repeat(3000)
  const { table, rows } = await read(`a,b\n${before}${fields.map(field => `${field},1\n`).join('')}`, format)
  return { type: table.columns[0].type, values: rows.slice(first === '' ? 0 : 3000).map(({ a }) => a), table }
}

t.test('the last rows count for the type of a column as the first ones do', async t => {
  for (const [first, fields, type, values] of [
    ['1', ['2.5', '1e3', '-.5'], 'number', [2.5, 1000, -0.5]],
    ['1', ['NA', '?', 'N/A', 'null', 'NULL', 'NaN', '  ', ''], 'number', Array(8).fill(null)],
    ['1', ['1_000'], 'text', ['1_000']],
    ['1', ['0x10'], 'text', ['0x10']],
    ['1', ['abc', 'NA'], 'text', ['abc', 'NA']],
    ['true', ['FALSE', 'True', ''], 'boolean', [0, 1, null]],
    ['true', ['yes'], 'text', ['yes']],
    ['', ['t', 'f'], 'text', ['t', 'f']],
    ['', ['yes', 'no'], 'text', ['yes', 'no']],
    ['', ['1', '1.0', '0'], 'number', [1, 1, 0]],
    ['10001', ['01234', ''], 'text', ['01234', null]],
    ['', ['00', '01'], 'text', ['00', '01']],
    ['10001', ['"01234"'], 'text', ['01234']],
    ['100000000000001', ['000000000000001'], 'text', ['000000000000001']],
    ['1', ['01.5'], 'number', [1.5]],
    ['-1', ['01'], 'number', [1]],
    ['1', ['0', '0.5', '-01'], 'number', [0, 0.5, -1]],
    ['+1', ['01'], 'number', [1]],
    ['0.5', ['007'], 'number', [7]],
    ['', ['1700000001', '1700000002'], 'number', [1700000001, 1700000002]],
    ['1', ['9223372036854775808', '9223372036854775809'], 'text', ['9223372036854775808', '9223372036854775809']],
    ['1', ['1e300'], 'number', [1e300]],
    ['', ['', ''], 'number', [null, null]],
    [
      '2020-01-01',
      ['2020-01-02', '1969-12-31T23:59:59Z', '2020-01-01 00:00:00+01:00'],
      'date',
      [1577923200, -1, 1577833200],
    ],
    ['01/02/2020', ['13/02/2020'], 'date', [1581552000]],
    ['01/02/2020', ['02/13/2020'], 'date', [1581552000]],
    ['01/02/2020', ['02/03/2020'], 'text', ['02/03/2020']],
    ['13/02/2020', ['02/13/2020'], 'text', ['02/13/2020']],
    ['2020-01-01', ['2020-02-30'], 'text', ['2020-02-30']],
    ['10:30', ['23:59:59'], 'date', [86399]],
  ] as const) {
    const found = await column(first, fields)
    t.strictSame({ type: found.type, values: found.values }, { type, values }, `${first} … ${fields.join(' ')}`)
  }
})

t.test('a column that stays text although most fields look otherwise is reported with the line', async t => {
  const warningOf = async (first: string, field: string) => (await column(first, [field])).table.warnings.join()
  t.match(await warningOf('1', 'abc'), /line 3002: column 'a' is text: "abc" is not a number; 3,000 of its 3,001/)
  t.match(await warningOf('1', '"1,5"'), /"1,5" is a number in another form.*make it a number in data.columns/)
  for (const text of ['"1,234.5"', '$5', '-3.5 %', '12%', '€ 1.50', '1_000']) {
    const conversion = /is a number in another form.*data\.query converts such texts: CAST\(regexp_replace\(/
    t.match(await warningOf('1', text), conversion, text)
  }
  t.notMatch(await warningOf('1', '5 kg'), /another form/)
  t.match(await warningOf('01/02/2020', '02/03/2020'), /line 2: .*two readings, as 01\/02\/2020.*data.table.dayFirst/)
  t.match(await warningOf('1', '9223372036854775808'), /integers above 2\^53/)
  const notes = (await column('1', ['NA', '?'])).table.notes.join()
  t.match(notes, /column 'a': 2 fields such as 'NA' are missing/)
  t.match((await column('x', ['NA'])).table.notes.join(), /1 field such as 'NA' is text like others/)
})

t.test('codes with leading zeros are text, whoever reads them and wherever the first is', async t => {
  const codes = [...Array(3000).keys()].map(i => (i === 2999 ? '00700' : `1${i}`))
  const rows = codes.map(code => `${code},1\n`)
  for (const [name, text] of Object.entries({
    plain: `a,b\n${rows.join('')}`,
    'two quotes, left to DuckDB': `a,b,c\n${codes.map(code => `${code},1,"x""y"\n`).join('')}`,
    'decimal commas': `a;b\n${codes.map(code => `${code};1,5\n`).join('')}`,
  })) {
    const { table, rows } = await read(text)
    t.equal(rows[2999].a, '00700', name)
    t.equal(table.columns[1].type, 'number', name)
    t.match(table.notes.join(), /column 'a' has codes with leading zeros, such as 00700, and is text/, name)
  }
  const forced = await read(`a,b\n${rows.join('')}`, { types: { a: 'number' } })
  t.equal(forced.rows[2999].a, 700)
  t.strictSame(forced.table.notes, [])
})

t.test('a requested type is used, or the field that does not fit is named', async t => {
  t.strictSame((await column('', ['01', '007'], { types: { a: 'text' } })).values, ['01', '007'])
  t.strictSame((await column('', ['yes', 'n', ''], { types: { a: 'boolean' } })).values, [1, 0, null])
  t.strictSame((await column('', ['01/02/2020'], { types: { a: 'date' }, dayFirst: true })).values, [1580515200])
  const number = { types: { a: 'number' } } as const
  t.strictSame((await column('', ['9223372036854775808'], number)).values, [2 ** 63])
  await t.rejects(column('1', ['abc'], number), /line 3002: column 'a' is 'abc', expected a finite number/)
  await t.rejects(
    column('', ['01/02/2020'], { types: { a: 'date' } }),
    /line 2: column 'a' is '01\/02\/2020', expected a date/,
  )
})

t.test('infinite numbers are refused with their line', async t => {
  for (const text of ['inf', '-Infinity', '1e400']) {
    await t.rejects(column('1', [text]), /line 3002: column 'a' is .*, expected a finite number/, text)
  }
  t.equal((await column('x', ['inf'])).type, 'text')
})

t.test('distinct values are counted exactly, then estimated', async t => {
  const few = await read(`a,b\n${Array.from({ length: 9000 }, (_, i) => `${i % 4500},t${i % 7}\n`).join('')}`)
  t.strictSame(
    few.table.columns.map(({ distinct }) => distinct),
    [4500, 7],
  )
  const many = await read(`a,b\n${Array.from({ length: 60_000 }, (_, i) => `${i / 7},t${i}\n`).join('')}`)
  for (const { distinct, name } of many.table.columns) {
    t.ok(distinct > 55_000 && distinct <= 60_000, `${name}: ${distinct} of 60,000`)
  }
})

t.test('the reading of dates may differ from column to column', async t => {
  const path = join(dir, 'orders.csv')
  writeFileSync(path, 'a,b,c\n01/02/2020,01/02/2020,03/04/2020\n')
  const { rows } = await rowsOfText(path, { dayFirst: true, dayFirstOf: { b: false } })
  t.same(rows, [{ a: Date.UTC(2020, 1, 1) / 1000, b: Date.UTC(2020, 0, 2) / 1000, c: Date.UTC(2020, 3, 3) / 1000 }])
})

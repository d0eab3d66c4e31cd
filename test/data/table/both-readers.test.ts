/** Awkward files, made by chance from a seed: plain text gives what DuckDB gives, or is left to it. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { BLOCK_BYTES } from '../../../src/data/table/plain/blocks.js'
import type { TableFormat } from '../../../src/data/table/reader.js'
import fc from '../../helpers/fast-check.js'
import { plain, readBy, toldBy } from './read-by.js'

const dir = t.testdir()
let files = 0
function fileOf(content: string | Uint8Array, ending = 'csv'): string {
  const path = join(dir, `${files++}.${ending}`)
  writeFileSync(path, content)
  return path
}

/** Compares everything to the bit; a difference is shown with what is around it. */
function same(t: Test, found: unknown, expected: unknown, name: string): void {
  const [a, b] = [JSON.stringify(found), JSON.stringify(expected)]
  if (a === b) {
    t.pass(name)
    return
  }
  let at = 0
  while (a[at] === b[at]) at++
  const around = (text: string) => text.slice(Math.max(0, at - 100), at + 200)
  t.equal(around(a), around(b), name)
}

/** Fields that mean something else to some readers. */
const FIELDS = [
  ...['NAN', 'Nan', '-nan', '+nan', 'nan(1)', 'NaN', 'nan', 'NA', 'N/A', 'null', 'NULL', '?', 'none', '-', '+', '.'],
  ...['+5', '+-5', '-+5', '--5', '5-', '- 5', '5.', '.5', '-.5', '+.5', '5..', '5.5.5', '1e5', '1E+5', '1E-5', '1e'],
  ...[
    '1e+',
    'e5',
    '1e5.',
    '1.e5',
    '.5e5',
    '1e-400',
    '-1e-400',
    '1e-320',
    '4.9e-324',
    '2e-324',
    '1.7976931348623158e308',
  ],
  ...['0x10', '1_000', '1__0', '_1', '1.5_0', '1e1_0', '1.000', '1,5', '1.000,5', '1 000', "1'000", '1d5', '1f', '1%'],
  ...['00012', '-00012', '0000000000000000000000001', `0.${'0'.repeat(350)}1`, `${'0'.repeat(390)}.5`, '-0', '-0.0'],
  ...['9007199254740991', '9007199254740993', '9223372036854775807', '9223372036854775808', '0.1234567890123456'],
  ...[
    '0.12345678901234567',
    '2147483648',
    '-2147483648',
    '21474836.47',
    'true',
    'True',
    'FALSE',
    't',
    'yes',
    '2020-01-02',
  ],
  ...[
    '2020-01-02 10:11:12',
    '01/02/2020',
    '13/02/2020',
    '10:11',
    '\t1',
    '1\v',
    ' 1',
    '1 ',
    '\u00a01',
    '\ufeff1',
    '−5',
    '１',
  ],
  ...['"1"', '" 1 "', '"1.5"', '"NA"', '"NaN"', '"-0"', '"x y"', "'1'", '\\N', '#1', 'é', '😀', '', '', 'x'],
]

t.test('an unusual field after the first rows: both readers give the same type, value and message', async t => {
  for (const [delimiter, decimal, usual] of [
    [',', '.', '3'],
    [';', ',', '1,5'],
  ] as const) {
    // Columns do not depend on each other, so one file has all fields.
    const odd = FIELDS.filter(field => !field.includes(delimiter))
    const row = `${odd.map(() => usual).join(delimiter)}\n`
    const names = odd.map((_, i) => `c${i}`).join(delimiter)
    const path = fileOf(`${names}\n${row.repeat(1001)}${odd.join(delimiter)}\n${row}`)
    const format = { delimiter, decimal, header: true }
    const found = await plain(path, format)
    t.ok(found, `${delimiter}${decimal}: is plain`)
    same(t, found, await readBy(path, 'native', format), `${delimiter}${decimal}${usual}`)
  }
})

t.test('the type of a column depends on all of its fields, with both readers', async t => {
  const rows = '1.5,2\n'.repeat(1001)
  const ints = '1,2\n'.repeat(1001)
  const cases: Record<string, [string, Partial<TableFormat>, (type: string) => boolean]> = {
    'an integer that f64 cannot tell, and NA': [`${rows}9007199254740993,1\nNA,2\n`, {}, type => type === 'text'],
    'NA in numbers that are to be booleans': [
      `${ints}NA,2\n0,1\n`,
      { types: { a: 'boolean' } },
      type => type === 'boolean',
    ],
    'another spelling of NaN': [`${rows}NAN,2\n`, {}, type => type === 'text'],
    'two signs': [`${rows}+-5,2\n`, {}, type => type === 'text'],
  }
  for (const [name, [content, format, isRight]] of Object.entries(cases)) {
    const text = `a,b\n${content}`
    const path = fileOf(text)
    const found = await plain(path, format)
    const native = await readBy(path, 'native', format)
    same(t, found, native, name)
    const zipped = await readBy(fileOf(gzipSync(text), 'csv.gz'), 'native', format)
    for (const each of [found, native, zipped]) t.ok(isRight(each?.profiles[0].type ?? ''), name)
  }
})

t.test('an infinite number is refused with its text and place by both', async t => {
  for (const text of ['inf', '-Infinity', '1e999']) {
    const path = fileOf(`a,b\n${'1.5,2\n'.repeat(1001)}${text},1\n`)
    for (const access of ['native', undefined] as const) {
      await t.rejects(readBy(path, access), {
        message: `${path}: line 1003: column 'a' is '${text}', expected a finite number`,
      })
    }
  }
})

t.test('an empty line before the names, and names that are not UTF-8, are refused', async t => {
  for (const content of ['\ufeff\na,b\n1,2\n', '\na\n1\n2\n', '\r\na,b\r\n1,2\r\n', '\n\na,b\nx,y\n']) {
    for (const access of ['native', undefined] as const) {
      await t.rejects(readBy(fileOf(content), access), {
        message: /line 1: is empty, expected the names of the columns/,
      })
    }
  }
  const path = fileOf(Buffer.from('gr\xf6\xdfe,b\n1,2\n', 'latin1'))
  await t.rejects(readBy(path, undefined), { message: `${path}: line 1 is not UTF-8, expected text in UTF-8` })
})

t.test('delimiters that are a part of numbers or of a character are left to DuckDB', async t => {
  for (const delimiter of ['é', '-', '.', 'e', '1', '"', '::', "'"]) {
    const lines = [
      ['a', 'b'],
      [2, 3],
      [4, 5],
    ].map(line => line.join(delimiter))
    t.equal(await plain(fileOf(`${lines.join('\n')}\n`), { delimiter, header: true }), null, delimiter)
  }
  t.equal(await plain(fileOf('a,b\n1,5\n2,6\n'), { delimiter: ',', decimal: ',', header: true }), null, 'decimal')
})

t.test('fields across the border of two blocks are read as any other', async t => {
  const middles = ['"x",1', 'é,2', '😀,-3.25', '"ä,b",4', ',', 'x,', '"",5', '\n', 'x,1e5', 'x,-0']
  for (const [i, middle] of middles.entries()) {
    const end = i % 3 === 0 ? '\r\n' : '\n'
    const head = `s,v${end}`
    const line = `t${i},0.125${end}`
    const shift = (i * 3) % (middle.length + 3)
    const room = BLOCK_BYTES - shift
    const count = Math.floor(room / line.length) - 20
    const filler = `${'y'.repeat(room - count * line.length - 2 - end.length)},1${end}`
    const content = `${head}${line.repeat(count)}${filler}${middle}${end}${line.repeat(3)}${middle}`
    const path = fileOf(content)
    const found = await plain(path, { header: true })
    if (found === null) continue
    same(t, found, await readBy(path, 'native', { header: true }), JSON.stringify([middle, end, shift]))
  }
})

t.test('the result does not depend on the number of threads', async t => {
  const lines = Array.from(
    { length: 400_000 },
    (_, i) => `${(i * 0.37).toFixed(i % 9)},${i % 7 ? 0 : '-0'},t${(i * 7) % 5000}`,
  )
  const path = fileOf(`v,z,s\n${lines.join('\n')}\n`)
  const one = await readBy(path, 'plain', {}, 1)
  t.equal(Object.is(one.profiles[1].range?.[0], 0), true)
  same(t, await readBy(path, 'plain', {}, 3), one, 'three threads and one')
})

const DELIMITERS = [',', ';', '\t', '|', ' '] as const
const field = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: -1000, max: 1000 }).map(String) },
  { weight: 4, arbitrary: fc.double({ noNaN: true, noDefaultInfinity: true }).map(String) },
  { weight: 2, arbitrary: fc.constantFrom('', 'x', 'yes', 'b c') },
  {
    weight: 1,
    arbitrary: fc.constantFrom(...FIELDS, '""', '"a""b"', '"a\nb"', 'a"b', '"', ' "x"', '"x" ', '\0', '  ', '1e999'),
  },
)
const table = fc.record({
  delimiter: fc.constantFrom(...DELIMITERS),
  columns: fc.integer({ min: 1, max: 4 }),
  kinds: fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 4, maxLength: 4 }),
  rows: fc.array(fc.array(field, { minLength: 4, maxLength: 4 }), { minLength: 1, maxLength: 6 }),
  usual: fc.constantFrom(0, 0, 0, 1100),
  start: fc.constantFrom('', '', '', '\ufeff', '\n', '# c\n'),
  end: fc.constantFrom('\n', '\n', '\r\n', '\r'),
  otherEnd: fc.constantFrom(null, null, null, '\n', '\r\n', '\n\n'),
  finish: fc.constantFrom('', '\n', '\n\n', '\r', ' ', ','),
  names: fc.constantFrom<'names' | 'none' | 'numbers' | 'odd'>('names', 'names', 'none', 'numbers', 'odd'),
  given: fc.record({
    delimiter: fc.boolean(),
    header: fc.constantFrom(null, null, true, false),
    decimal: fc.constantFrom<'.' | ',' | null>(null, null, '.', ','),
    type: fc.constantFrom<'number' | 'boolean' | 'date' | 'text' | null>(
      null,
      null,
      null,
      'number',
      'boolean',
      'date',
      'text',
    ),
  }),
  parts: fc.integer({ min: 1, max: 3 }),
})

t.test('random files of awkward parts: both readers give the same result or the same error', async t => {
  let read = 0
  await fc.assert(
    fc.asyncProperty(table, async each => {
      const { columns, delimiter, rows, end, otherEnd, names, given } = each
      const first = Array.from({ length: columns }, (_, i) =>
        names === 'numbers' ? String(2000 + i) : names === 'odd' ? ['ä', '', '"n"', '0'][i] : `c${i}`,
      ).join(delimiter)
      const usual = `${each.kinds
        .slice(0, columns)
        .map(kind => ['1', '2.5', 'x', ''][kind])
        .join(delimiter)}${end}`
      const lines = rows.map(row => row.slice(0, columns).join(delimiter))
      const body = `${usual.repeat(each.usual)}${lines.join(end)}${otherEnd ?? end}${lines[0]}`
      const content = `${each.start}${names === 'none' ? '' : first + end}${body}${each.finish}`
      let path = fileOf(content)
      if (each.parts > 1) {
        path = join(dir, `parts${files++}`)
        mkdirSync(path)
        for (let i = 0; i < each.parts; i++) writeFileSync(join(path, `${i}.csv`), content)
      }
      const format: Partial<TableFormat> = {
        ...(given.delimiter && { delimiter }),
        ...{ header: given.header, decimal: given.decimal, types: given.type ? { c0: given.type } : {} },
      }
      const found = await toldBy(path, 'plain', format)
      if (found === null) return
      if (!('message' in found)) read++
      same(t, found, await toldBy(path, 'native', format), JSON.stringify([content.slice(-300), format, each.parts]))
      if (!t.passing()) throw new Error(`differs: ${path}`)
    }),
    { numRuns: Number(process.env.GRADLOOM_TEST_RUNS ?? 100), endOnFailure: true },
  )
  t.ok(read > 15, `${read} were plain`)
})

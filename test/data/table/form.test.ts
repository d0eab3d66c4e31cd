/** Form of delimited text: separators, names, line ends, decimal commas, and files whose first line is neither. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import type { TableFormat } from '../../../src/data/table/reader.js'
import { rowsOfText } from './table-files.js'

const dir = t.testdir()
let files = 0
const read = (text: string | Buffer, format: Partial<TableFormat> = {}, name = 'table.csv') => {
  const path = join(dir, `${files++}-${name}`)
  writeFileSync(path, text)
  return rowsOfText(path, format)
}

t.test('each file has the rows that a reader of it expects', async t => {
  for (const [name, text, rows] of [
    [
      'decimal commas',
      'temp;flag;class\n9,1;1;warm\n-3,5;0;cold\n',
      [
        { temp: 9.1, flag: 1, class: 'warm' },
        { temp: -3.5, flag: 0, class: 'cold' },
      ],
    ],
    [
      'decimal commas, no header',
      '9,1;1\n-3,5;0\n',
      [
        { 0: 9.1, 1: 1 },
        { 0: -3.5, 1: 0 },
      ],
    ],
    ['tab', 'a\tb\n1.5\tx\n', [{ a: 1.5, b: 'x' }]],
    ['pipe', 'a|b\n1|x\n', [{ a: 1, b: 'x' }]],
    [
      'numbers without a header',
      '1,2\n3,4\n',
      [
        { 0: 1, 1: 2 },
        { 0: 3, 1: 4 },
      ],
    ],
    [
      'iris without a header',
      '5.1,setosa\n6.2,virginica\n',
      [
        { 0: 5.1, 1: 'setosa' },
        { 0: 6.2, 1: 'virginica' },
      ],
    ],
    [
      'texts without a header',
      'rep,n\ndem,y\nrep,n\n',
      [
        { 0: 'rep', 1: 'n' },
        { 0: 'dem', 1: 'y' },
        { 0: 'rep', 1: 'n' },
      ],
    ],
    ['years as names', 'name,2019,2020\nx,1,2\n', [{ name: 'x', 2019: 1, 2020: 2 }]],
    ['counts as names', '0,1,2\n5,6,7\n', [{ 0: 5, 1: 6, 2: 7 }]],
    [
      'pandas',
      ',x\n0,1.5\n1,2.5\n',
      [
        { column0: 0, x: 1.5 },
        { column0: 1, x: 2.5 },
      ],
    ],
    [
      'header CRLF, rows LF',
      'a,b\r\n1,2\n3,4\n',
      [
        { a: 1, b: 2 },
        { a: 3, b: 4 },
      ],
    ],
    [
      'some rows CRLF',
      'a,b\n1,2\r\n3,4\n5,6\r\n',
      [
        { a: 1, b: 2 },
        { a: 3, b: 4 },
        { a: 5, b: 6 },
      ],
    ],
    [
      'CR alone',
      'a,b\r1,2\r3,4\r',
      [
        { a: 1, b: 2 },
        { a: 3, b: 4 },
      ],
    ],
    ['no end of the last line', 'a,b\n1,2', [{ a: 1, b: 2 }]],
    [
      'empty lines',
      'a,b\n\n1,2\n\n\n3,4\n\n',
      [
        { a: 1, b: 2 },
        { a: 3, b: 4 },
      ],
    ],
    ['byte order mark', '\ufeffa,b\n1,2\n', [{ a: 1, b: 2 }]],
    [
      'newline in quotes',
      'a,b\n"x\ny",1\n"say ""hi""",2\n',
      [
        { a: 'x\ny', b: 1 },
        { a: 'say "hi"', b: 2 },
      ],
    ],
    ['spaces around', 'a , b\n 1 , x \n', [{ a: 1, b: 'x' }]],
    [
      'wine',
      '3,2,red,white\n1.5,2.5,0\n1,2,1\n3,4,0\n',
      [
        { 0: 1.5, 1: 2.5, 2: 'red' },
        { 0: 1, 1: 2, 2: 'white' },
        { 0: 3, 1: 4, 2: 'red' },
      ],
    ],
    [
      'counts, then names',
      '2,2,\n"A","B","M"\n1.5,2.5,0\n1,2,1\n',
      [
        { A: 1.5, B: 2.5, M: 0 },
        { A: 1, B: 2, M: 1 },
      ],
    ],
    [
      'a row like counts',
      '4,2,red\n1,3,blue\n',
      [
        { 0: 4, 1: 2, 2: 'red' },
        { 0: 1, 1: 3, 2: 'blue' },
      ],
    ],
  ] as const) {
    t.strictSame((await read(text)).rows, rows, name)
  }
})

t.test('the detected form is reported', async t => {
  t.match((await read('1,2\n3,4\n')).table.notes.join(), /first line is taken for a row .* data.table.header true/)
  t.match((await read('name,2019,2020\nx,1,2\n')).table.warnings.join(), /names of the columns, and has numbers/)
  t.match((await read(',x\n0,1.5\n')).table.notes.join(), /column 1 has no name and is called 'column0'/)
  t.match((await read('a;b\n1,5;2\n')).table.notes.join(), /decimal commas are read/)
  t.strictSame((await read('a;b\n1,5;2\n')).table.format, {
    ...{ delimiter: ';', header: true, decimal: ',', dayFirst: null, query: null, types: {} },
  })
})

t.test('settings take precedence over detection', async t => {
  t.strictSame((await read('1,2\n3,4\n', { header: true })).rows, [{ 1: 3, 2: 4 }])
  t.strictSame((await read('a,b\n1,2\n', { header: false })).rows.length, 2)
  t.strictSame((await read('a;b\n1,5;2\n', { decimal: '.' })).rows, [{ a: '1,5', b: 2 }])
  t.strictSame((await read('a;b,c\n1;2,3\n', { delimiter: ',' })).rows, [{ 'a;b': '1;2', c: 3 }])
})

t.test('gzip under any file name, and in two members', async t => {
  const text = 'a,b\n1,x\n'
  t.strictSame((await read(gzipSync(text), {}, 't.csv.gz')).rows, [{ a: 1, b: 'x' }])
  const { rows, table } = await read(Buffer.concat([gzipSync(text), gzipSync('2,y\n')]))
  t.strictSame(rows, [
    { a: 1, b: 'x' },
    { a: 2, b: 'y' },
  ])
  t.match(await table.digests(), [{ bytes: 12, official: null }])
})

t.test('a folder, a glob pattern, and a file name that looks like a pattern', async t => {
  const folder = t.testdir({
    'b.csv': 'a,b\n3,4\n',
    'a.csv': 'a,b\n1,2\n',
    '.hidden.csv': 'zzz',
    'notes.md': 'x',
    'q[1].csv': 'q\n7\n',
    'q1.csv': 'r\n8\n',
  })
  const both = [
    { a: 1, b: 2 },
    { a: 3, b: 4 },
  ]
  t.strictSame((await rowsOfText(join(folder, '[ab].csv'))).rows, both)
  t.strictSame((await rowsOfText(join(folder, 'q[1].csv'))).rows, [{ q: 7 }])
  await t.rejects(rowsOfText(folder), /q1\.csv: its number of columns is 1, expected 2 as in .*a\.csv/)
  await t.rejects(rowsOfText(join(folder, '*.tsv')), /no file matches the pattern/)
  const clean = t.testdir({ 'b.csv': 'a,b\n3,4\n', 'a.csv': 'a,b\n1,2\n', '.hidden.csv': 'zzz', 'notes.md': 'x' })
  const { rows, table } = await rowsOfText(clean)
  t.strictSame(rows, both)
  t.strictSame(
    table.files.map(({ path }) => path),
    [join(clean, 'a.csv'), join(clean, 'b.csv')],
  )
})

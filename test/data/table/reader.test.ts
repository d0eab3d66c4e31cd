/** Tables as people have them: the form, the types and the rows that the reader finds. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
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

t.test('numbers, texts, booleans and missing values', async t => {
  const { table, rows } = await read('a,b,c,d\n1,x,true,2.5\n,"y z",false,\n3e2,,TRUE,-1\n')
  t.strictSame(rows, [
    { a: 1, b: 'x', c: 1, d: 2.5 },
    { a: null, b: 'y z', c: 0, d: null },
    { a: 300, b: null, c: 1, d: -1 },
  ])
  t.strictSame(
    table.columns.map(({ type, missing, distinct, range, isInteger }) => ({
      type,
      missing,
      distinct,
      range,
      isInteger,
    })),
    [
      { type: 'number', missing: 1, distinct: 2, range: [1, 300], isInteger: true },
      { type: 'text', missing: 1, distinct: 2, range: null, isInteger: false },
      { type: 'boolean', missing: 0, distinct: 2, range: [0, 1], isInteger: true },
      { type: 'number', missing: 1, distinct: 2, range: [-1, 2.5], isInteger: false },
    ],
  )
})

t.test('a fraction far below integers is not rounded', async t => {
  const { rows } = await read(`a,b\n${'1,2\n'.repeat(30_000)}0.92,3\n`)
  t.strictSame(rows.at(-1), { a: 0.92, b: 3 })
  t.equal(rows.length, 30_001)
})

t.test('a text far below numbers makes the column text, and is named', async t => {
  const { table, rows } = await read(`a,b\n${'1,2\n'.repeat(30_000)}abc,3\n`)
  t.strictSame(rows.at(-1), { a: 'abc', b: 3 })
  t.strictSame(rows[0], { a: '1', b: 2 })
  t.match(table.warnings.join(), /column 'a' is text: "abc" is not a number; 30,000 of its 30,001/)
})

/** Both ways in which rows come from DuckDB, its C API and its package, give the same values. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { ColumnValues } from '../../../src/data/table/columns.js'
import { openDatabase } from '../../../src/data/table/duckdb/database.js'
import { ANY_FORMAT, type OpenOptions, openTableReader } from '../../../src/data/table/duckdb/open.js'

const dir = t.testdir()
const ROWS = 40_000

/** Numbers with gaps, short, long and non-ASCII texts, dates. */
const line = (i: number) =>
  [
    i % 7 === 3 ? '' : (i * 0.37).toFixed(3),
    i % 11 === 0 ? '' : `t${i % 50}`,
    i % 13 === 0 ? '' : `a text that is long enough for the heap: ${'é'.repeat(i % 90)} ${i % 1000}`,
    `2024-01-${String(1 + (i % 28)).padStart(2, '0')}`,
    i % 5 === 0 ? 'ünïcödé' : '  ',
  ].join(',')

const file = join(dir, 'mixed.csv')
writeFileSync(file, `n,short,long,day,other\n${Array.from({ length: ROWS }, (_, i) => line(i)).join('\n')}\n`)

async function valuesOf(options: OpenOptions) {
  const reader = await openTableReader(file, ANY_FORMAT, options)
  try {
    const rows: unknown[][] = []
    const names = reader.columns.map(({ name }) => name)
    for await (const chunk of reader.read(names)) {
      for (let row = 0; row < chunk.rows; row++) rows.push(names.map(name => fieldOf(chunk.columns.get(name)!, row)))
    }
    return { columns: reader.columns, rows }
  } finally {
    await reader.close()
  }
}

const fieldOf = (column: ColumnValues, row: number) =>
  column.type === 'text' ? (column.codes[row] < 0 ? null : column.dictionary[column.codes[row]]) : column.values[row]

t.test('the C API, the npm package, rows kept in memory and rows read again give the same rows', async t => {
  const kept = await valuesOf({ access: 'package' })
  t.equal(kept.rows.length, ROWS)
  t.equal(kept.rows[4][2], `a text that is long enough for the heap: ${'é'.repeat(4)} 4`)
  for (const options of [
    { access: 'native' },
    { access: 'native', keepBytes: 0 },
    { access: 'package', keepBytes: 0 },
  ] as const) {
    const other = await valuesOf(options)
    t.strictSame(other.columns, kept.columns, JSON.stringify(options))
    t.ok(JSON.stringify(other.rows) === JSON.stringify(kept.rows), JSON.stringify(options))
  }
})

t.test('the loop can be left early, repeatedly, also while a query fails', async t => {
  for (const access of ['native', 'package'] as const) {
    const database = await openDatabase(file, [file], { access })
    const sql = `SELECT n FROM read_csv('${file}', header = true, columns = {'n': 'DOUBLE', 's': 'VARCHAR', 'l': 'VARCHAR', 'd': 'VARCHAR', 'o': 'VARCHAR'})`
    for (let round = 0; round < 5; round++) {
      let rows = 0
      for await (const chunk of database.rows(sql, [false])) {
        rows += chunk.rows
        if (round > 0) break
      }
      t.equal(rows, round > 0 ? rows : ROWS)
    }
    await t.rejects(
      async () => {
        for await (const _ of database.rows(`${sql} WHERE n < 9000 OR error('stop')`, [false])) void _
      },
      { message: /stop/ },
    )
    await t.rejects(
      async () => {
        for await (const _ of database.rows('SELECT nothing FROM nowhere', [false])) void _
      },
      { message: /nowhere/ },
    )
    let rows = 0
    for await (const chunk of database.rows(sql, [false])) rows += chunk.rows
    t.equal(rows, ROWS, 'and it can be read after that')
    database.close()
  }
})

t.test('distinct integers in a column named id are an identifier in a large table too', async t => {
  const ids = join(dir, 'ids.csv')
  const shuffled = (i: number) => ((i * 7919) % 50_021) + 1_000_000
  writeFileSync(
    ids,
    `id,x,y\n${Array.from({ length: 50_000 }, (_, i) => `${shuffled(i)},${i % 17},${i % 2}`).join('\n')}\n`,
  )
  const reader = await openTableReader(ids)
  const { chooseKinds } = await import('../../../src/data/table/kinds.js')
  const { unused } = chooseKinds(ids, reader.columns, reader.rows, {}, ['y'])
  t.match(unused, [{ column: 'id', reason: /identifier/ }])
  await reader.close()
})

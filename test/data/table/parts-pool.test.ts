/** Parts of plain Parquet files that threads read ahead: the rows of one thread, in order, for several passes at a time. */
import { join } from 'node:path'
import t from 'tap'
import type { TableChunk } from '../../../src/data/table/columns.js'
import { ANY_FORMAT, openTableReader } from '../../../src/data/table/duckdb/open.js'
import { loadDuckDB } from '../../../src/data/table/duckdb/package.js'
import { chunksOfParts, type StoredParts } from '../../../src/data/table/plain/parquet-parts.js'
import { PartsPool } from '../../../src/data/table/plain/parts-pool.js'

const dir = t.testdir()
async function written(name: string, select: string): Promise<string> {
  const path = join(dir, name)
  const { DuckDBInstance } = loadDuckDB('test')
  const instance = await DuckDBInstance.create(':memory:', { threads: '1' })
  const connection = await instance.connect()
  await connection.run(`COPY (${select}) TO '${path}' (FORMAT parquet, ROW_GROUP_SIZE 4096)`)
  connection.closeSync()
  instance.closeSync()
  return path
}

const ROWS = 50_000
const COLUMNS = "i / 8 AS x, CASE WHEN i % 5 > 0 THEN 'n' || (i % 900) END AS name, CASE WHEN i % 3 > 0 THEN i END AS y"
const path = await written('all.parquet', `SELECT ${COLUMNS} FROM range(${ROWS}) r(i)`)
const odd = await written(
  'odd.parquet',
  `SELECT ${COLUMNS}, CASE WHEN i = 30000 THEN 'inf'::DOUBLE ELSE 1 END AS z FROM range(${ROWS}) r(i)`,
)

async function partsOf(path: string, names: readonly string[]): Promise<StoredParts> {
  const reader = await openTableReader(path, ANY_FORMAT, { facts: false })
  try {
    return (await reader.parts(names))!
  } finally {
    await reader.close()
  }
}

/** Rows of a chunk as text: it is valid until the next one alone. */
const told = ({ firstRow, rows, columns }: TableChunk): string =>
  JSON.stringify([
    firstRow,
    rows,
    ...[...columns].map(([name, values]) => [
      name,
      ...(values.type === 'text' ? Array.from(values.codes, code => values.dictionary[code] ?? null) : values.values),
    ]),
  ])

async function toldBy(chunks: Iterable<TableChunk> | AsyncIterable<TableChunk>): Promise<string[]> {
  const all: string[] = []
  for await (const chunk of chunks) all.push(told(chunk))
  return all
}

t.test('the rows of one thread for any number of threads, from any row on', async t => {
  const parts = await partsOf(path, ['y', 'name', 'x'])
  const others = await partsOf(path, ['x'])
  for (const threads of [1, 3]) {
    const pool = new PartsPool(threads)
    for (const first of [0, 1, 4096, 49_999, ROWS]) {
      t.same(await toldBy(pool.chunks(parts, first)), await toldBy(chunksOfParts(parts, first)), `${threads}, ${first}`)
    }
    const [a, b] = await Promise.all([toldBy(pool.chunks(parts, 0)), toldBy(pool.chunks(others, 0))])
    t.same(a, await toldBy(chunksOfParts(parts, 0)), 'two passes at a time')
    t.same(b, await toldBy(chunksOfParts(others, 0)))
    pool.close()
  }
})

t.test('a pass that is left early, and one that ends at a part that is not plain', async t => {
  const parts = await partsOf(path, ['x', 'name'])
  const pool = new PartsPool(2)
  t.teardown(() => pool.close())
  for await (const { firstRow } of pool.chunks(parts, 0)) if (firstRow > 9000) break
  t.same(await toldBy(pool.chunks(parts, 0)), await toldBy(chunksOfParts(parts, 0)))
  const some = await toldBy(pool.chunks(await partsOf(odd, ['z', 'x']), 0))
  t.equal(some.length, 7)
  t.same(await toldBy(pool.chunks(parts, 0)), await toldBy(chunksOfParts(parts, 0)))
})

t.test('rows after a part that is not plain come from DuckDB', async t => {
  const read = async (access?: 'native') => {
    const reader = await openTableReader(odd, ANY_FORMAT, { facts: false, ...(access && { access }) })
    try {
      const values: number[] = []
      for await (const chunk of reader.read(['z', 'x'], 20_001)) {
        for (const column of chunk.columns.values()) if (column.type === 'number') values.push(...column.values)
        t.equal(chunk.columns.size, 2)
      }
      return values.sort((a, b) => a - b)
    } finally {
      await reader.close()
    }
  }
  t.same(await read(), await read('native'))
})

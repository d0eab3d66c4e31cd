/** `gradloom predict --data`: every row of a table, in every format, by the names of its columns. */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { resolveExperiment } from '../../src/config/load.js'
import { train } from '../../src/coordinator/new-run.js'
import { loadDuckDB } from '../../src/data/table/duckdb/package.js'
import { openReader } from '../../src/data/table/open-reader.js'
import { Predictor } from '../../src/inference/predictor.js'
import { gradloom } from './run-cli.js'

const dir = t.testdir()
const at = (name: string) => join(dir, name)
const FIRST_LINE = 'predicted_kind,probability_large,probability_small'
const COLOURS = ['red', 'green', 'blue']
/** More than are predicted at a time. */
const MANY = 20_000
const rows = Array.from({ length: MANY }, (_, i) => ({
  id: `row ${i}`,
  size: (i * 37) % 101,
  colour: COLOURS[(i * 7) % 3],
  kind: ((i * 37) % 101) + 30 * ((i * 7) % 3) > 80 ? 'large' : 'small',
}))
type Row = (typeof rows)[number]
const csv = (names: readonly (keyof Row)[], of: readonly Row[]) =>
  `${[names.join(','), ...of.map(row => names.map(name => row[name]).join(','))].join('\n')}\n`

writeFileSync(at('train.csv'), csv(['size', 'colour', 'kind'], rows.slice(0, 400)))
const run = at('run')
await train(
  resolveExperiment({
    data: { dataset: 'table', path: at('train.csv') },
    model: { hidden: [8], dropout: 0 },
    train: { epochs: 20, batchSize: 16 },
    compute: { backend: 'wasm', workers: 1 },
  }),
  { runDir: run },
)
const predictor = await Predictor.open(run)
const some = rows.slice(0, 3)
const wanted = predictor.predictClasses(some.map(({ size, colour }) => ({ size, colour })))

// Without the target, in another order, with a column that the model does not know.
writeFileSync(at('new.csv'), csv(['id', 'colour', 'size'], rows))

t.test(`${MANY} rows as CSV and NDJSON: kept columns, the predictions of Predictor, in order`, async t => {
  const predict = (out: string) => gradloom(['predict', run, '--data', at('new.csv'), '--keep', 'id', '--out', at(out)])
  const [asCsv, asLines] = await Promise.all([predict('p.csv'), predict('p.ndjson')])
  t.match(asCsv, { code: 0, stdout: '', stderr: /(^|\n)20,000 rows of .*new\.csv to .*p\.csv\n/ })
  t.equal(asLines.code, 0)
  const [head, ...lines] = readFileSync(at('p.csv'), 'utf8').trimEnd().split('\n')
  t.equal(head, `id,${FIRST_LINE}`)
  t.equal(lines.length, MANY)
  const objects = readFileSync(at('p.ndjson'), 'utf8')
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line))
  t.equal(objects.length, MANY)
  t.same(
    objects.slice(0, 3).map(({ predicted_kind }) => predicted_kind),
    wanted.map(({ className }) => className),
  )
  const probabilities = predictor.predict(some.map(({ size, colour }) => ({ size, colour }))).data
  t.same(
    objects.slice(0, 3).flatMap(row => [Math.fround(row.probability_large), Math.fround(row.probability_small)]),
    [...probabilities],
  )
  t.ok(
    lines.every((line, i) => line.startsWith(`row ${i},`) && line === Object.values(objects[i]).join(',')),
    'every row is where it was',
  )
})

t.test('Parquet has the same numbers, with column types', async t => {
  const { code, stderr } = await gradloom(
    ['predict', run, '--data', at('new.csv'), '--keep', 'id', '--keep', 'size'].concat(['--out', at('p.parquet')]),
  )
  t.equal(code, 0, stderr)
  const format = { ...{ delimiter: null, header: null, decimal: null, dayFirst: null, query: null }, types: {} }
  const reader = await openReader(at('p.parquet'), format)
  t.teardown(() => reader.close())
  t.equal(reader.rows, MANY)
  t.same(
    reader.columns.map(({ name, sqlType }) => [name, sqlType]),
    [
      ['id', 'VARCHAR'],
      ['size', 'DOUBLE'],
      ['predicted_kind', 'VARCHAR'],
      ['probability_large', 'FLOAT'],
      ['probability_small', 'FLOAT'],
    ],
  )
  const lines = readFileSync(at('p.csv'), 'utf8').trimEnd().split('\n').slice(1)
  let checked = 0
  for await (const { firstRow, columns } of reader.read(['probability_large'])) {
    const { values } = columns.get('probability_large') as { values: Float64Array }
    for (const [i, value] of values.entries()) {
      if (Math.fround(Number(lines[firstRow + i].split(',')[2])) === value) checked++
    }
  }
  t.equal(checked, MANY)
})

t.test('predictions to stdout; a closed pipe ends the command without a stack', async t => {
  const { code, stdout } = await gradloom(['predict', run, '--data', at('train.csv')])
  t.equal(code, 0)
  t.equal(stdout.trimEnd().split('\n').length, 401)
  const command = `"${process.execPath}" dist/src/cli/main.js predict "${run}" --data "${at('new.csv')}" 2> "${at('stderr')}" | head -n 1`
  t.equal(execFileSync('sh', ['-c', command], { encoding: 'utf8' }), `${FIRST_LINE}\n`)
  t.notMatch(readFileSync(at('stderr'), 'utf8'), /^ +at /m)
})

t.test('data that do not fit the model are refused with the name of the column', async t => {
  writeFileSync(at('short.csv'), 'size\n3\n')
  writeFileSync(at('text.csv'), 'size,colour\n3,red\nbig,blue\n')
  for (const [args, message] of [
    [
      ['--data', at('short.csv')],
      /short\.csv: has no column 'colour', expected all that the model takes; it has 'size'/,
    ],
    [['--data', at('text.csv')], /text\.csv: line 3: column 'size' is 'big', expected a finite number/],
    [
      ['--data', at('new.csv'), '--keep', 'nix'],
      /--keep is 'nix', expected a column of the data: 'id', 'colour', 'size'/,
    ],
    [['--data', at('new.csv'), '--out', at('p.txt')], /--out is '.*p\.txt', expected a name that ends in \.csv/],
    [['--data', at('new.csv'), '--out', join(dir, 'none', 'p.csv')], /p\.csv: cannot be written: ENOENT/],
    [['--data', at('new.csv'), '--index', '3'], /--index is given beside --data/],
    [['--keep', 'id'], /--keep is given without --data/],
  ] as const) {
    const { code, stderr } = await gradloom(['predict', run, ...args])
    t.ok(code === 1 || code === 2, `${args.join(' ')}: exit code ${code}`)
    t.match(stderr, message)
    t.notMatch(stderr, /^ +at /m)
  }
})

t.test('a signal ends the predictions with its exit code, and leaves no partial file', async t => {
  const large = at('large.parquet')
  const { DuckDBInstance } = loadDuckDB('test')
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  await connection.run(
    `COPY (SELECT i % 101 AS size, 'red' AS colour FROM range(3000000) t(i)) TO '${large}' (FORMAT parquet)`,
  )
  connection.closeSync()
  instance.closeSync()
  const folder = t.testdir()
  const args = ['bin/gradloom.js', 'predict', run, '--data', large, '--out', join(folder, 'out.csv')]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  let stderr = ''
  child.stderr.on('data', text => (stderr += text))
  const closed = once(child, 'close')
  while (child.exitCode === null && readdirSync(folder).length === 0) await delay(5)
  child.kill('SIGINT')
  const [code] = await closed
  t.equal(code, 130, stderr)
  t.match(stderr, /SIGINT: stopping; no file is left/)
  t.strictSame(readdirSync(folder), [])
})

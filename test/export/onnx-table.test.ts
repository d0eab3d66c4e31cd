/** ONNX files of tables: raw columns in, and the outputs of `predict`. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as ort from 'onnxruntime-web'
import t, { type Test } from 'tap'
import { loadExperiment } from '../../src/config/load.js'
import type { ColumnValues, TableChunk } from '../../src/data/table/columns.js'
import { encodeRows } from '../../src/data/table/encode.js'
import { type ColumnEncoding, featureCount } from '../../src/data/table/encoding.js'
import { openReader } from '../../src/data/table/open-reader.js'
import { onnxTable } from '../../src/export/onnx-table.js'
import { exportWeights, Predictor, resolveExperiment, train } from '../../src/index.js'
import { gradloom } from '../cli/run-cli.js'
import { REAL_TABLES, realTable } from '../helpers/real-tables.js'
import { listOf, tableFeeds } from './table-feeds.js'

ort.env.wasm.numThreads = 1
const dir = t.testdir()
const ANY = { delimiter: null, header: null, decimal: null, dayFirst: null, query: null, types: {} }

async function chunkOf(file: string, columns: readonly ColumnEncoding[]): Promise<TableChunk> {
  const reader = await openReader(file, ANY)
  try {
    for await (const chunk of reader.read(columns.map(({ column }) => column))) return chunk
    throw new Error(`${file} has no rows`)
  } finally {
    await reader.close()
  }
}

/** Largest difference between ONNX Runtime and `predict`, in parts of the larger of 1 and the largest output. */
async function differenceOf(t: Test, run: string, chunk: TableChunk): Promise<number> {
  const predictor = await Predictor.open(run)
  const table = predictor.source.input.table!
  const features = new Float32Array(chunk.rows * featureCount(table))
  encodeRows(table, chunk, features)
  const want = predictor.predict(features).data
  const file = `${run}.onnx`
  await exportWeights(run, file)
  const session = await ort.InferenceSession.create(readFileSync(file))
  const { inputs } = onnxTable(table)
  t.same(
    session.inputNames,
    inputs.map(({ input }) => input),
    'the metadata name every input',
  )
  const feeds = tableFeeds(table, chunk)
  const outputs = await session.run(feeds)
  const got = outputs[session.outputNames[0]].data as Float32Array
  await session.release()
  if (got.length !== want.length) throw new Error(`${got.length} outputs, expected ${want.length}`)
  const size = want.reduce((most, value) => Math.max(most, Math.abs(value)), 1)
  return want.reduce((most, value, i) => {
    const difference = Math.abs(value - got[i]) / size
    return Number.isNaN(difference) ? Number.POSITIVE_INFINITY : Math.max(most, difference)
  }, 0)
}

for (const name of REAL_TABLES) {
  t.test(`onnx: ${name}: raw columns give what predict gives for all test rows, to 1e-5`, async t => {
    const files = realTable(t, name)
    if (files === null) return
    const sets = [
      ...[`data.path=${JSON.stringify(files.train)}`, `data.testPath=${JSON.stringify(files.test)}`],
      ...['train.epochs=1', 'model.hidden=[32]', 'compute.backend="wasm"', 'compute.workers=1'],
    ]
    const run = join(dir, name)
    await train(await loadExperiment('configs/table.json', sets), { runDir: run })
    const { columns } = (await Predictor.open(run)).source.input.table!
    const chunk = await chunkOf(files.test, columns)
    const worst = await differenceOf(t, run, withStrangers(chunk, columns))
    t.ok(worst < 1e-5, `largest difference ${worst} of ${chunk.rows} rows`)
  })
}

/** The rows, with a missing value in every third row of every column, and in every seventh a category that was never seen. */
function withStrangers({ rows, columns, ...rest }: TableChunk, encodings: readonly ColumnEncoding[]): TableChunk {
  const changed = encodings.map(({ column, kind }, place): [string, ColumnValues] => {
    const values = columns.get(column)!
    const stranger = values.type === 'text' ? 'never seen' : 1e6
    const isStrange = (row: number) => kind === 'category' && (row + place) % 7 === 0
    const list = listOf(values).map((value, row) =>
      (row + place) % 3 === 0 ? null : isStrange(row) ? stranger : value,
    )
    return [column, columnOf(list)]
  })
  return { ...rest, rows, columns: new Map(changed) }
}

function columnOf(list: readonly (string | number | null)[]): ColumnValues {
  if (list.every(value => typeof value !== 'string')) {
    return { type: 'number', values: Float64Array.from(list, value => value ?? Number.NaN) }
  }
  const dictionary = [...new Set(list.filter(value => value !== null).map(String))]
  return {
    type: 'text',
    dictionary,
    codes: Int32Array.from(list, value => (value === null ? -1 : dictionary.indexOf(String(value)))),
  }
}

const DAY = 86_400
const cities = ['Oslo', 'Bergen', 'Århus', '東京', 'a "b", c', 'x', 'yy', 'zzz', 'Rome', 'Wien']

/** A table with every kind of column, under names that a file of ONNX has for other things. */
function everyKind(file: string): string {
  const lines = Array.from({ length: 400 }, (_, i) => {
    const when = new Date(Date.UTC(2015, 0, 1) + i * 7.3 * DAY * 1000 + (i % 24) * 3_600_000 + (i % 60) * 61_000)
    const fields = [
      ...[i % 9 === 0 ? '' : i * 0.25, 1_700_000_000_000_000 + (i % 60), i % 7 === 0 ? '' : (i % 3) - 1],
      ...[i % 5 === 0 ? '' : i % 2 === 0, i % 11 === 0 ? '' : when.toISOString().slice(0, 19)],
      ...[
        i % 13 === 0 ? '' : `"${cities[(i * i) % 10].replaceAll('"', '""')}"`,
        i % 17 === 0 ? '' : ((i * 5) % 12) * 10,
      ],
      ...[i % 4 === 0 ? 'low' : 'high', i % 60 < 30 ? 'early' : 'late'],
    ]
    return fields.join(',')
  })
  const names = ['probabilities', '__proto__', 'columns.0', 'a.b', 'when', 'city', 'city bucket', 'label', 'y']
  writeFileSync(file, `${names.join(',')}\n${lines.join('\n')}\n`)
  return file
}

/** Trains on `everyKind`; columns of more than four categories are hashed, or embedded. */
async function trained(run: string, above: 'hash' | 'embed', norm: 'none' | 'batch'): Promise<string> {
  const experiment = resolveExperiment({
    data: {
      ...{ dataset: 'table', path: everyKind(`${run}.csv`), target: 'y', numbers: { bins: 6, limit: 3 } },
      ...{ columns: { 'city bucket': 'category', 'columns.0': 'category' }, categories: { max: 4, buckets: 3, above } },
    },
    model: { hidden: [16], dropout: 0, norm },
    train: { epochs: 3, batchSize: 16, l2: 0 },
    compute: { backend: 'wasm', workers: 1 },
  })
  await train(experiment, { runDir: run })
  return run
}

/** Values of the columns of `everyKind`: known ones, others, and none; the ends of months and years. */
function valuesOfEveryKind(): ReadonlyMap<string, ColumnValues> {
  const days = ['1890-12-31', '1900-02-28', '1900-03-01', '1999-12-31', '2000-02-29', '2000-03-01', '2024-02-29']
  const dates = [...days, '2023-02-28', '2023-12-31', '2024-12-31', '2100-03-01', '2110-01-01', '1969-12-31']
  const lists: Readonly<Record<string, readonly (string | number | null)[]>> = {
    probabilities: [null, -3, 0, 12.5, 50.123, 99.75, 1e7],
    ['__proto__']: [1_700_000_000_000_000, 1_700_000_000_000_029, 1_700_000_000_000_059, null],
    'columns.0': [-1, 0, 1, -0, 2, null],
    'a.b': [0, 1, null],
    when: dates.flatMap((date, i) => [Date.parse(date) / 1000 + ((i * 8641) % DAY) + 0.25, null]),
    city: [...cities, null, 'unknown', 'oslo'],
    'city bucket': [...Array.from({ length: 15 }, (_, n) => n * 10), null, 0.5, -7],
    label: ['low', 'high', 'middle', null],
  }
  return new Map(
    Object.entries(lists).map(([name, list]) => [
      name,
      columnOf(Array.from({ length: ROWS }, (_, i) => list[i % list.length])),
    ]),
  )
}
const ROWS = 600

t.test('onnx: every kind of column, hashed categories, awkward names, dates from 1890 to 2110: to 1e-5', async t => {
  const run = await trained(join(dir, 'every-kind'), 'hash', 'none')
  const table = (await Predictor.open(run)).source.input.table!
  t.same(
    table.columns.map(({ kind }) => kind),
    ['number', 'number', 'category', 'boolean', 'date', 'category', 'category', 'category'],
  )
  t.match(table.columns[4], { cycles: ['year', 'month', 'week', 'day', 'hour'], elapsed: true, indicator: true })
  t.match(table.columns[5], { buckets: 3, missing: true })
  t.match(table.columns[6], { buckets: 3, numeric: true })
  t.same(
    onnxTable(table).inputs.map(({ input, type }) => `${input}: ${type}`),
    [
      ...['column 1: double', 'column 2: double', 'column 3: double', 'a.b: double', 'when: double', 'city: string'],
      ...['city bucket 2: int64', 'city bucket: double', 'city bucket bucket: int64', 'label: string'],
    ],
  )
  const worst = await differenceOf(t, run, { firstRow: 0, rows: ROWS, columns: valuesOfEveryKind() })
  t.ok(worst < 1e-5, `largest difference ${worst}`)
})

t.test('onnx: embeddings of texts and of numbers, beside batch norm: to 1e-5', async t => {
  const run = await trained(join(dir, 'embedded'), 'embed', 'batch')
  const table = (await Predictor.open(run)).source.input.table!
  t.match(table.columns.slice(-2), [
    { column: 'city', kind: 'embedding', numeric: false, missing: true },
    { column: 'city bucket', kind: 'embedding', numeric: true, missing: true },
  ])
  const worst = await differenceOf(t, run, { firstRow: 0, rows: ROWS, columns: valuesOfEveryKind() })
  t.ok(worst < 1e-5, `largest difference ${worst}`)
})

t.test('onnx: inputs have the names of columns, except names reserved in the file', async t => {
  const names = [
    '',
    'outputs',
    'features',
    'layers.0.weight',
    'embeddings.0.weight',
    'constant.1',
    'column 1',
    ' ',
    'a',
  ]
  const columns = names.map(column => ({ column, kind: 'boolean', fill: 0, indicator: false }) as const)
  t.same(
    onnxTable({ columns }).inputs.map(({ input }) => input),
    [...['column 1 2', 'column 2', 'column 3', 'column 4', 'column 5', 'column 6', 'column 1', ' ', 'a']],
  )
})

t.test('onnx: a bucket outside the range of the column is a runtime error, not another category', async t => {
  const session = await ort.InferenceSession.create(readFileSync(join(dir, 'every-kind.onnx')))
  const table = (await Predictor.open(join(dir, 'every-kind'))).source.input.table!
  const ask = (bucket: bigint) =>
    session.run(
      Object.fromEntries(
        onnxTable(table).inputs.map(({ input, type }) => [
          input,
          type === 'int64'
            ? new ort.Tensor('int64', [bucket], [1, 1])
            : type === 'double'
              ? new ort.Tensor('float64', [1], [1, 1])
              : new ort.Tensor('string', ['a'], [1, 1]),
        ]),
      ),
    )
  t.ok(await ask(2n))
  await t.rejects(ask(3n))
  await t.rejects(ask(-1n))
  await session.release()
})

t.test('a file for other programs is refused where a run is expected, with the command that helps', async t => {
  const run = join(dir, 'every-kind')
  for (const command of ['evaluate', 'predict', 'serve']) {
    const { code, stderr } = await gradloom([command, `${run}.onnx`])
    t.not(code, 0, command)
    t.match(stderr, /every-kind\.onnx: is an ONNX model, which is for other programs, expected a run directory/)
    t.match(stderr, /hint: npx gradloom export RUN --out model\.safetensors/)
  }
  await exportWeights(run, `${run}.npz`)
  t.match(
    (await gradloom(['evaluate', `${run}.npz`])).stderr,
    /is an \.npz archive.*\nhint: .*--from .*every-kind\.npz/,
  )
})

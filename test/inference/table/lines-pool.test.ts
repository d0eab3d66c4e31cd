/** Lines of predictions by several threads: the bytes, the order and the errors of one thread. */
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { resolveExperiment } from '../../../src/config/load.js'
import { train } from '../../../src/coordinator/new-run.js'
import type { ColumnValues, TableChunk } from '../../../src/data/table/columns.js'
import { DataError } from '../../../src/errors.js'
import { Predictor } from '../../../src/inference/predictor.js'
import { LineMaker, type LinesSpec } from '../../../src/inference/table/lines.js'
import { linesInThreads } from '../../../src/inference/table/lines-pool.js'

const dir = t.testdir({
  'train.csv': `size,colour,kind\n${Array.from({ length: 60 }, (_, i) => `${i % 7},${'rgb'[i % 3]},${i % 2 ? 'yes' : 'no'}`).join('\n')}\n`,
})
await train(
  resolveExperiment({
    data: { dataset: 'table', path: `${dir}/train.csv` },
    model: { hidden: [8] },
    train: { epochs: 1, batchSize: 16 },
    compute: { backend: 'wasm', workers: 1 },
  }),
  { runDir: `${dir}/run` },
)
const THREADS = 3
const { forward, shared } = await Predictor.openShared(`${dir}/run`, { threads: THREADS })
const { input, outputNames } = shared.source
const spec: LinesSpec = {
  ...{ encoding: input.table!, keep: ['colour', 'day'], format: 'ndjson', where: 'new.csv' },
  outputs: { task: 'classification', outputNames, target: 'kind' },
}

/** Texts differ from chunk to chunk, as those of a reader do. */
function chunkAt(index: number, firstRow: number, rows: number): TableChunk {
  const dictionary = ['r', `text ${index}`, 'ä, "b"']
  const columns: [string, ColumnValues][] = [
    ['size', { type: 'number', values: Float64Array.from({ length: rows }, (_, i) => (firstRow + i) % 11) }],
    ['colour', { type: 'text', codes: Int32Array.from({ length: rows }, (_, i) => (i % 4) - 1), dictionary }],
    ['day', { type: 'date', values: Float64Array.from({ length: rows }, (_, i) => (i % 5 ? 86400 * i : Number.NaN)) }],
  ]
  return { firstRow, rows, columns: new Map(columns) }
}

const SIZES = [1000, 1, 129, 64, 500]
const all = SIZES.map((rows, i) =>
  chunkAt(
    i,
    SIZES.slice(0, i).reduce((sum, n) => sum + n, 0),
    rows,
  ),
)
async function* chunksOf(chunks: readonly TableChunk[]) {
  for (const chunk of chunks) {
    yield chunk
    // A chunk is valid until the next one is asked for.
    for (const values of chunk.columns.values()) if (values.type !== 'text') values.values.fill(-1)
  }
}
const copied = (chunks: readonly TableChunk[]) => structuredClone(chunks) as readonly TableChunk[]

const maker = new LineMaker(spec, forward)
const expected = all.map(chunk => Buffer.from(maker.lines(chunk).bytes).toString()).join('')

t.test('the bytes of one thread for any number of threads and any size of a block', async t => {
  for (const threads of [1, 2, THREADS]) {
    for (const blockRows of [64, 100, 4096]) {
      let [text, rows] = ['', 0]
      for await (const lines of linesInThreads(shared, spec, chunksOf(copied(all)), { threads, blockRows })) {
        text += Buffer.from(lines.bytes).toString()
        rows += lines.rows
        t.same(lines.types, ['text', 'date', 'name', 'f32', 'f32'])
      }
      t.equal(rows, 1694)
      t.equal(text, expected, `${threads} threads, blocks of ${blockRows}`)
    }
  }
})

t.test('lines longer than the initial buffer are written', async t => {
  const wide = { ...chunkAt(0, 0, 64) }
  const columns = new Map(wide.columns)
  columns.set('colour', { type: 'text', codes: new Int32Array(64), dictionary: ['x'.repeat(9000)] })
  const chunk = { ...wide, columns }
  const text = Buffer.from(maker.lines(chunk).bytes).toString()
  for await (const { bytes } of linesInThreads(shared, spec, chunksOf([chunk]), { threads: 1, blockRows: 64 })) {
    t.equal(Buffer.from(bytes).toString(), text)
  }
})

t.test('an invalid value: the error names its row, after the lines of all rows before it', async t => {
  const chunks = copied(all)
  ;(chunks[3].columns.get('size')! as { values: Float64Array }).values[5] = Number.POSITIVE_INFINITY
  let text = ''
  const read = async () => {
    for await (const { bytes } of linesInThreads(shared, spec, chunksOf(chunks), { threads: 2, blockRows: 64 })) {
      text += Buffer.from(bytes).toString()
    }
  }
  await t.rejects(read(), { name: 'DataError', message: /^new\.csv: column 'size' in row 1136 is Infinity, expected/ })
  t.equal(text, expected.split('\n').slice(0, 1130).join('\n').concat('\n'))
})

t.test('a reader that fails: its error follows the lines of all rows before it', async t => {
  async function* failing() {
    yield* chunksOf(copied(all).slice(0, 2))
    throw new DataError('new.csv: line 1003: is cut')
  }
  let rows = 0
  const read = async () => {
    for await (const lines of linesInThreads(shared, spec, failing(), { threads: 2, blockRows: 64 })) rows += lines.rows
  }
  await t.rejects(read(), { message: 'new.csv: line 1003: is cut' })
  t.equal(rows, 1001)
})

t.test('a loop that ends early ends the reader and the threads', async t => {
  let ended = false
  async function* endless() {
    try {
      for (let i = 0; ; i++) yield chunkAt(0, 256 * i, 256)
    } finally {
      ended = true
    }
  }
  const before = process.getActiveResourcesInfo().filter(name => name === 'MessagePort').length
  for await (const { rows } of linesInThreads(shared, spec, endless(), { threads: 2, blockRows: 256 })) {
    t.equal(rows, 256)
    break
  }
  t.ok(ended)
  await delay(10)
  t.equal(process.getActiveResourcesInfo().filter(name => name === 'MessagePort').length, before)
})

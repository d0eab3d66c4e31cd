/**
 * Predictions for the rows of a table, as lines of text: read chunk by chunk, encoded as the model's checkpoint says, and passed
 * through the network, in several threads where there are rows enough; memory does not grow with the rows. Main thread.
 */
import { inspect } from 'node:util'
import type { TableChunk } from '../../data/table/columns.js'
import type { TableEncoding } from '../../data/table/encoding.js'
import { expectColumns } from '../../data/table/kinds.js'
import type { TableReader } from '../../data/table/reader.js'
import { ConfigError } from '../../errors.js'
import { formatNames } from '../../format.js'
import { multiplications } from '../../model/parameters.js'
import type { Forward, SharedModel } from '../forward.js'
import { PASS_ROWS } from '../thread-layouts.js'
import { LineMaker, type Lines, type LinesSpec } from './lines.js'
import { predictionNames } from './predictions.js'
import type { TextFormat } from './writers.js'

/** Model whose network predicts: in the calling thread, and in more that share its memory. */
export interface TableModel {
  readonly forward: Forward
  readonly shared: SharedModel
  readonly encoding: TableEncoding
}

export interface TablePredictions {
  /** Names of the columns: those that are kept, then the answer. */
  readonly names: readonly string[]
  /** Columns of the data that are neither features of the model nor kept. */
  readonly ignored: readonly string[]
  /** Lines of consecutive rows, in the order of the data. */
  lines(format: TextFormat): AsyncIterable<Lines>
}

/** Cost of a row besides its products (reading, encoding, writing), in multiplications. */
const ROW_WORK = 10_000
/** Work, in multiplications, below which starting threads takes longer than doing it here. */
const LEAST_WORK = 2e9
/** Work of a block that is sent to a thread, in multiplications. */
const BLOCK_WORK = 2e8
/** Work of the rows that a thread that reads them passes through the network at once: their features stay in its caches. */
const OWN_BLOCK_WORK = 3e7

/**
 * Throws DataError for a column of the model that the data lack, ConfigError for a column in `keep` that they lack or whose name a
 * prediction has. `where` begins messages about the data.
 */
export function predictTable(
  { forward, shared, encoding }: TableModel,
  reader: TableReader,
  keep: readonly string[],
  where: string,
): TablePredictions {
  const found = reader.columns.map(({ name }) => name)
  const wanted = encoding.columns.map(({ column }) => column)
  expectColumns(where, found, wanted)
  const unknown = keep.find(name => !found.includes(name))
  if (unknown !== undefined) {
    throw new ConfigError(`--keep is ${inspect(unknown)}, expected a column of the data: ${formatNames(found)}`)
  }
  const target = encoding.targets.length === 1 ? encoding.targets[0] : null
  const { input, outputNames } = shared.source
  const outputs = { task: input.task, outputNames, target }
  const answers = predictionNames(outputs)
  const taken = keep.find(name => answers.includes(name))
  if (taken !== undefined) {
    throw new ConfigError(`--keep is ${inspect(taken)}, expected another column: the predictions have one of that name`)
  }
  function lines(format: TextFormat): AsyncIterable<Lines> {
    const spec = { encoding, outputs, keep, format, where }
    const columns = [...new Set([...wanted, ...keep])]
    const rowWork = multiplications(shared.plan) + ROW_WORK
    const threads = shared.plan.workers - 1
    if (threads < 2 || reader.rows * rowWork < LEAST_WORK) return linesHere(forward, spec, reader.read(columns))
    const blockRows = (work: number) => PASS_ROWS * Math.ceil(work / rowWork / PASS_ROWS)
    return linesThere(shared, spec, reader, columns, {
      threads,
      sent: blockRows(BLOCK_WORK),
      own: blockRows(OWN_BLOCK_WORK),
    })
  }
  // The table need not have its target.
  const used = new Set([...wanted, ...keep, ...encoding.targets])
  return { names: [...keep, ...answers], ignored: found.filter(name => !used.has(name)), lines }
}

async function* linesHere(
  forward: Forward,
  spec: LinesSpec,
  chunks: AsyncIterable<TableChunk>,
): AsyncGenerator<Lines, void, undefined> {
  const maker = new LineMaker(spec, forward)
  for await (const chunk of chunks) yield maker.lines(chunk)
}

/** Lines made by threads, which read the rows themselves as far as they can. The pool is loaded here: few tables are large enough. */
async function* linesThere(
  shared: SharedModel,
  spec: LinesSpec,
  reader: TableReader,
  columns: readonly string[],
  { threads, sent, own }: { readonly threads: number; readonly sent: number; readonly own: number },
): AsyncGenerator<Lines, void, undefined> {
  const { linesInThreads, linesOfParts } = await import('./lines-pool.js')
  const parts = await reader.parts(columns)
  let first = 0
  if (parts !== null) {
    await reader.expectUnchanged()
    first = yield* linesOfParts(shared, spec, parts, { threads, blockRows: own })
    await reader.expectUnchanged()
    if (first === reader.rows) return
  }
  yield* linesInThreads(shared, spec, reader.read(columns, first), { threads, blockRows: sent })
}

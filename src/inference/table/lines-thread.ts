/**
 * Thread that makes lines of predictions: piscina calls the default export with one chunk of rows after the other, or with one part of
 * a table after the other, which the thread reads itself.
 */
import { workerData } from 'node:worker_threads'
import type { TableChunk } from '../../data/table/columns.js'
import { rowsOf } from '../../data/table/dictionary.js'
import type { PartReader, StoredPart, StoredParts } from '../../data/table/plain/parquet-parts.js'
import { chunkOf, type SharedChunk } from '../../data/table/shared-chunk.js'
import { type Outcome, outcomeOf } from '../outcome.js'
import { openForward, type ThreadData } from '../predict-thread.js'
import { LineMaker, type LinesSpec } from './lines.js'
import type { OutputValues } from './predictions.js'

/** Data of every thread of a pool. */
export interface LinesThreadData extends ThreadData {
  readonly spec: LinesSpec
  /** Table that the parts are of; null: chunks come with the tasks. */
  readonly parts: StoredParts | null
  /** Most rows that go through the network at once. */
  readonly blockRows: number
}

export interface LinesTask {
  readonly rows: SharedChunk | StoredPart
  /** Place of the lines. */
  readonly into: SharedArrayBuffer
}

/** Lines that are in `into`, or in a larger place where they had no room in it. */
export interface LinesDone {
  readonly bytes: number
  readonly into: SharedArrayBuffer | null
  readonly types: readonly OutputValues['type'][]
}

interface Opened {
  readonly maker: LineMaker
  readonly reader: PartReader | null
}

const data = workerData as LinesThreadData
let opening: Promise<Opened> | undefined

/** Null for a part that is not plain. */
export default function makeLines({ rows, into }: LinesTask): Promise<Outcome<LinesDone | null>> {
  return outcomeOf(async () => {
    opening ??= open()
    const { maker, reader } = await opening
    const chunk = 'memory' in rows ? chunkOf(rows) : reader!.read(rows)
    return chunk && linesOf(maker, chunk, into)
  })
}

function linesOf(maker: LineMaker, chunk: TableChunk, into: SharedArrayBuffer): LinesDone {
  const { bytes, types } = maker.linesInto(into, blocksOf(chunk))
  const room = bytes.buffer as SharedArrayBuffer
  return { bytes: bytes.length, into: room === into ? null : room, types }
}

/** Rows of a chunk that go through the network at once. */
function* blocksOf(chunk: TableChunk): Generator<TableChunk, void, undefined> {
  for (let from = 0; from < chunk.rows; from += data.blockRows) {
    yield partOf(chunk, from, Math.min(from + data.blockRows, chunk.rows))
  }
}

function partOf(chunk: TableChunk, from: number, to: number): TableChunk {
  if (to - from === chunk.rows) return chunk
  const columns = [...chunk.columns].map(([name, values]) => [name, rowsOf(values, from, to)] as const)
  return { firstRow: chunk.firstRow + from, rows: to - from, columns: new Map(columns) }
}

async function open(): Promise<Opened> {
  const maker = new LineMaker(data.spec, await openForward(data))
  if (data.parts === null) return { maker, reader: null }
  const { PartReader } = await import('../../data/table/plain/parquet-parts.js')
  return { maker, reader: new PartReader(data.parts) }
}

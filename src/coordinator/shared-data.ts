/**
 * Data of a run over several ranks that rank 0 alone reads (`data.from` "rank0"): it describes the data set to the others, which plan with
 * that, and sends them what it has loaded. So they need no file of it, nor the libraries that read one. Main thread; writes the slots of
 * data of the layout, and a spool, on the ranks that receive.
 */
import { tmpdir } from 'node:os'
import type { Experiment } from '../config/schema.js'
import type { KnownInput } from '../data/input.js'
import type { DatasetSource, SourceFacts } from '../data/source.js'
import { RunError } from '../errors.js'
import { bytesPerElement, sizeOf } from '../tensor/tensor.js'
import { type LoadedData, loadData, type PreparedSession } from './load.js'
import type { SharedRun, Told } from './ranks.js'
import { dataSlots } from './run-memory.js'
import { Spool } from './spool.js'

/** Bytes of a spool that are sent at a time. */
const PIECE_BYTES = 2 ** 24

/** Message of rank 0 to the others when it has loaded the data, before it sends them. */
export type ToldData = Omit<LoadedData, 'warnings' | 'spool'> & {
  readonly call: 'data'
  /** Bytes of each slot. */
  readonly bytes: readonly number[]
  /** Rows in the spool; null: there is none. */
  readonly spooled: number | null
}

/** The run has ended before this rank had its data: rank 0 could not load them, and says so. */
export class EndedEarly extends Error {
  readonly exitCode: number

  constructor(exitCode: number) {
    super('rank 0 has ended the run before it sent its data')
    this.exitCode = exitCode
  }
}

/** The data set as the others are told of it; null: each rank reads its own. */
export function sharedSource({ data }: Experiment, source: DatasetSource): SourceFacts | null {
  if (data.from !== 'rank0') return null
  const { name, where, dtype, task, classes, classNames, columns, table, weighted, validationFrom } = source
  const { height, width, channels, train, test } = source
  return {
    ...{ name, where, dtype, task, classes, classNames, height, width, channels },
    ...(columns && { columns }),
    ...(table && { table }),
    ...(weighted !== undefined && { weighted }),
    ...(validationFrom !== undefined && { validationFrom }),
    ...{ train: { rows: train.rows }, test: { rows: test.rows }, isStreamed: source.stream !== undefined },
  }
}

/** The data set of a rank that is sent its data. */
export function sourceOf({ isStreamed, ...facts }: SourceFacts): DatasetSource {
  const load = () => Promise.reject(new TypeError(`${facts.name}: rank 0 alone reads it`))
  return { ...facts, load, ...(isStreamed && { stream: load }) }
}

/** Loads the data of a session as `loadData` does; where rank 0 alone reads them, the others get them from it. */
export async function loadShared(
  prepared: PreparedSession,
  memory: WebAssembly.Memory,
  experiment: Experiment,
  known: KnownInput | null,
  folder = tmpdir(),
): Promise<LoadedData> {
  const { ranks } = prepared
  if (!ranks || experiment.data.from !== 'rank0') return loadData(prepared, memory, experiment, known, folder)
  if (ranks.rank > 0) return receive(ranks, prepared, memory, folder)
  const loaded = await loadData(prepared, memory, experiment, known, folder)
  try {
    await send(ranks, prepared, memory, loaded)
    return loaded
  } catch (error) {
    await loaded.spool?.close()
    throw error
  }
}

const slotsOf = ({ layout }: PreparedSession) =>
  dataSlots(layout)
    .filter(slot => slot !== null)
    .map(({ byteOffset, dtype, shape }) => ({ byteOffset, bytes: sizeOf(shape) * bytesPerElement[dtype] }))

async function send(
  ranks: SharedRun,
  prepared: PreparedSession,
  memory: WebAssembly.Memory,
  { warnings: _, spool, ...loaded }: LoadedData,
): Promise<void> {
  const places = slotsOf(prepared)
  const spooled = spool === null ? null : prepared.data.validationFrom!
  ranks.tell({ call: 'data', ...loaded, bytes: places.map(({ bytes }) => bytes), spooled } satisfies ToldData)
  for (const place of places) await ranks.broadcast(memory.buffer, place)
  if (spool === null) return
  await inPieces(
    ranks,
    spooled!,
    spool.features,
    (row, rows) => spool.read(row, rows),
    async () => {},
  )
}

async function receive(
  ranks: SharedRun,
  prepared: PreparedSession,
  memory: WebAssembly.Memory,
  folder: string,
): Promise<LoadedData> {
  const told = (await ranks.next()).message as ToldData | Extract<Told, { call: 'end' }>
  if (told.call === 'end') throw new EndedEarly(told.exitCode)
  const { call: _, bytes, spooled, ...loaded } = told
  const places = slotsOf(prepared)
  const own = places.map(place => place.bytes)
  if (own.join() !== bytes.join()) {
    throw new RunError(`data: rank 0 has slots of ${bytes.join(', ')} bytes, expected ${own.join(', ')}`)
  }
  for (const place of places) await ranks.broadcast(memory.buffer, place)
  if (spooled === null) return { ...loaded, warnings: [], spool: null }
  const spool = await Spool.create(folder, spooled, prepared.plan.features)
  try {
    await inPieces(
      ranks,
      spooled,
      spool.features,
      () => {},
      rows => spool.append(rows),
    )
    return { ...loaded, warnings: [], spool }
  } catch (error) {
    await spool.close()
    throw error
  }
}

/** Sends rows of a spool, which `fill` reads on rank 0 and `take` gets on the others. */
async function inPieces(
  ranks: SharedRun,
  rows: number,
  width: number,
  fill: (row: number, into: Float32Array) => void,
  take: (rows: Float32Array) => Promise<void>,
): Promise<void> {
  const atOnce = Math.max(1, Math.floor(PIECE_BYTES / 4 / width))
  const buffer = new SharedArrayBuffer(4 * width * Math.min(atOnce, rows))
  for (let row = 0; row < rows; row += atOnce) {
    const piece = new Float32Array(buffer, 0, width * Math.min(atOnce, rows - row))
    fill(row, piece)
    await ranks.broadcast(buffer, { byteOffset: 0, bytes: piece.byteLength })
    await take(piece)
  }
}

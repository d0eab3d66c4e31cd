/**
 * Loads the splits of a table: features by its encoding, and labels or targets. From memory, or from the files chunk by chunk. Main
 * thread.
 *
 * Letters: `N` rows of a split, `F` features, `K` targets.
 */
import { ShapeError } from '../../errors.js'
import {
  checkViews,
  type LoadedFile,
  type LoadedSplit,
  type Split,
  type SplitViews,
  type WriteRows,
} from '../source.js'
import type { TableChunk } from './columns.js'
import { CHUNK_ROWS } from './duckdb/kept.js'
import { encodeRows } from './encode.js'
import { PackedEncoder } from './encode-packed.js'
import { featureCount, type TableEncoding } from './encoding.js'
import type { TableRows } from './table-rows.js'
import type { TargetValues } from './targets.js'
import { weightsOf } from './weights.js'

/** Rows of a split, with what the network is to learn from them. */
export interface TablePart {
  readonly table: TableRows
  /** Columns that are in memory in any case: targets, weights, what splits are made by. */
  readonly chunk: TableChunk
  readonly targets: TargetValues
  /** (N) Rows of the file: ascending up to `validationFrom`, and from there on. */
  readonly rows: Uint32Array
  readonly validationFrom: number
  readonly files: readonly { readonly path: string }[]
  /** Takes the digests of the files that the rows are of. */
  readonly digests: () => Promise<readonly LoadedFile[]>
}

export interface LoadSettings {
  readonly encoding: TableEncoding
  readonly classNames: readonly string[]
  readonly where: string
  /** Column of the weights; null: there are none. */
  readonly weight: string | null
}

/** Loads a split into memory. `targets`: (N, K), for regression. */
export async function loadPart(
  part: TablePart,
  split: Split,
  { encoding, ...settings }: LoadSettings,
  into: SplitViews,
): Promise<LoadedSplit> {
  const width = featureCount(encoding)
  checkViews('table', split, part.rows.length, width, into.features, into.labels)
  const features = into.features as Float32Array
  if (part.table.memory !== null) encodeRows(encoding, part.table.memory, features, part.rows, placeOf(part, settings))
  else {
    const into = { place: (row: number, count: number) => features.subarray(row * width, (row + count) * width) }
    await writeEncoded(part, { encoding, ...settings }, into)
  }
  return loadTargets(part, split, { encoding, ...settings }, into)
}

/**
 * Loads both splits of a table whose packed rows nobody will read again: their memory is given back while the features are written, so that
 * values and features are not all in memory at once.
 */
export async function loadParts(
  parts: Readonly<Record<Split, TablePart>>,
  settings: LoadSettings,
  into: Readonly<Record<Split, SplitViews>>,
): Promise<Record<Split, LoadedSplit>> {
  const width = featureCount(settings.encoding)
  const runs = (['train', 'test'] as const).flatMap(split => {
    const { rows } = parts[split]
    const features = into[split].features as Float32Array
    checkViews('table', split, rows.length, width, features, into[split].labels)
    const place = (row: number, count: number) => features.subarray(row * width, (row + count) * width)
    return runsOf(parts[split], { place })
  })
  const packed = parts.train.table.packed!.rows
  await writeRuns(parts.train, settings, runs, row => packed.releaseBefore(row))
  return {
    train: await loadTargets(parts.train, 'train', settings, into.train),
    test: await loadTargets(parts.test, 'test', settings, into.test),
  }
}

/** Loads the training split without its features, which `write` gets in pieces, in the order of the file. */
export async function streamPart(
  part: TablePart,
  settings: LoadSettings,
  write: WriteRows,
  into: { readonly labels: Int32Array; readonly targets: Float32Array },
): Promise<LoadedSplit> {
  const staging = new Float32Array(MOST_ROWS * featureCount(settings.encoding))
  const place = (_: number, count: number) => staging.subarray(0, count * featureCount(settings.encoding))
  await writeEncoded(part, settings, { place, write })
  return loadTargets(part, 'train', settings, into)
}

const placeOf = ({ files }: TablePart, { where }: Pick<LoadSettings, 'where'>): string => files[0]?.path ?? where

/** Rows that are encoded at a time, where a chunk has more. */
const MOST_ROWS = 16_384

/** Memory that rows are encoded into. */
interface Into {
  /** Room for `count` rows from `row` of the split on. */
  place(row: number, count: number): Float32Array
  /** Called when they are there. */
  readonly write?: WriteRows
}

/** Ascending rows of a split: those from `next` to `end` are not encoded yet. */
interface Run {
  readonly rows: Uint32Array
  next: number
  readonly end: number
  readonly into: Into
}

const runsOf = ({ rows, validationFrom }: TablePart, into: Into): Run[] => [
  { rows, next: 0, end: validationFrom, into },
  { rows, next: validationFrom, end: rows.length, into },
]

const writeEncoded = (part: TablePart, settings: LoadSettings, into: Into): Promise<void> =>
  writeRuns(part, settings, runsOf(part, into))

/** Writes the rows of all runs, which are of one table. `onRow`: called with the row that follows those that are written. */
async function writeRuns(
  part: TablePart,
  { encoding, where }: LoadSettings,
  runs: readonly Run[],
  onRow?: (row: number) => Promise<void>,
): Promise<void> {
  const { table } = part
  const here = new Uint32Array(MOST_ROWS)
  const file = placeOf(part, { where })
  const packed = table.packed && PackedEncoder.of(table.packed, encoding, CHUNK_ROWS)
  for await (const chunk of table.chunks(packed?.names ?? encoding.columns.map(({ column }) => column))) {
    const chunkEnd = chunk.firstRow + chunk.rows
    for (const run of runs) {
      const { rows, into } = run
      while (run.next < run.end && rows[run.next] < chunkEnd) {
        const first = run.next
        const most = Math.min(run.end, first + MOST_ROWS)
        for (; run.next < most && rows[run.next] < chunkEnd; run.next++)
          here[run.next - first] = rows[run.next] - chunk.firstRow
        const count = run.next - first
        const encoded = into.place(first, count)
        if (packed) packed.encode(chunk, here.subarray(0, count), encoded, file)
        else encodeRows(encoding, chunk, encoded, here.subarray(0, count), file)
        await into.write?.(first, encoded)
      }
    }
    await onRow?.(chunkEnd)
  }
}

async function loadTargets(
  part: TablePart,
  split: Split,
  { encoding, classNames, where, weight }: LoadSettings,
  { labels, targets: into }: { readonly labels: Int32Array; readonly targets: Float32Array },
): Promise<LoadedSplit> {
  const { chunk, rows, targets } = part
  const weights = split === 'train' && weight !== null ? weightsOf(placeOf(part, { where }), chunk, weight, rows) : null
  const loaded = { files: await part.digests(), ...(weights && { weights }) }
  if (targets.task === 'classification') {
    const place = targets.names.map(name => classNames.indexOf(name))
    for (let i = 0; i < rows.length; i++) labels[i] = place[targets.labels[rows[i]]]
    return loaded
  }
  const count = encoding.targets.length
  if (into.length !== rows.length * count) {
    throw new ShapeError(`table: load got room for ${into.length} targets, expected ${rows.length * count}`)
  }
  labels.fill(0)
  into.set(valuesOf(targets.values, count, rows))
  return loaded
}

/** Rows of values (N, K). */
export function valuesOf(values: Float64Array, width: number, rows: Uint32Array): Float64Array {
  const taken = new Float64Array(rows.length * width)
  for (let i = 0; i < rows.length; i++) {
    for (let k = 0; k < width; k++) taken[i * width + k] = values[rows[i] * width + k]
  }
  return taken
}

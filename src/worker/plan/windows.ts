/**
 * Windows of training rows that are not all in memory: where each row of a mini-batch lies, and the order of the rows of an epoch.
 * A pure function of the plan, so that workers and the coordinator, which loads the windows, agree without a message. Any thread.
 *
 * Rows are taken in blocks of consecutive rows. Each epoch permutes the blocks, cuts the sequence into windows, and permutes the
 * rows of each window: a mini-batch is drawn from all blocks of its window. Two windows are in memory, one that is trained on and
 * one that is being loaded.
 *
 * Letters: `W` rows of a window.
 */
import { Purpose, permutation } from '../../tensor/random.js'

export interface Windows {
  /** W: a multiple of the rows of a step, so that no step needs two windows. */
  readonly rows: number
  /** Consecutive rows of the data that stay in one window. */
  readonly blockRows: number
  /** Validation rows, which are all in memory, after the two windows. */
  readonly keptRows: number
}

/** Bytes of features of a window, if its rows are not given: blocks of 128 KiB are read well from a disk. */
const WINDOW_BYTES = 2 ** 27
/** Blocks of a window. */
const BLOCKS = 1024

/** Windows for rows of `features` f32 values, of about `windowRows` rows; null: of 128 MiB. */
export function windowsFor(
  features: number,
  rowsPerStep: number,
  windowRows: number | null,
  keptRows: number,
): Windows {
  const wanted = windowRows ?? WINDOW_BYTES / (features * Float32Array.BYTES_PER_ELEMENT)
  const rows = Math.max(1, Math.floor(wanted / rowsPerStep)) * rowsPerStep
  return { rows, blockRows: Math.max(1, Math.floor(rows / BLOCKS)), keptRows }
}

/** Row in memory of the first validation row: two windows come before it. */
export const placeOfKept = ({ rows }: Windows): number => 2 * rows

/** Rows of the features in memory: two windows, then the validation rows. */
export const rowsInMemory = (windows: Windows): number => placeOfKept(windows) + windows.keptRows

export const windowsPerEpoch = (windows: Windows, rows: number): number => Math.ceil(rows / windows.rows)

/** Row in memory of the first row of a window. `window` counts over all epochs. */
export const placeOfWindow = (windows: Windows, window: number): number => (window % 2) * windows.rows

/** A run of rows of the data, which follow each other in the sequence of an epoch from position `at` of the window on. */
export interface Run {
  readonly row: number
  readonly rows: number
  readonly at: number
}

/** Order of the rows of a window. */
export interface WindowOrder {
  /** Blocks, or the parts of them that are in the window. */
  readonly runs: readonly Run[]
  /** Position in the sequence of each row of the window: row i of its mini-batches is that at `positions[i]`. */
  readonly positions: Uint32Array
}

/** Order of window `index` of an epoch. `rows`: training rows. */
export function windowOrder(
  { seed }: { readonly seed: number },
  windows: Windows,
  rows: number,
  epoch: number,
  index: number,
): WindowOrder {
  const { blockRows } = windows
  const first = index * windows.rows
  const end = Math.min(first + windows.rows, rows)
  const runs: Run[] = []
  let at = 0
  for (const block of permutation(Math.ceil(rows / blockRows), seed, Purpose.blocks, epoch)) {
    const row = block * blockRows
    const length = Math.min(blockRows, rows - row)
    const from = Math.max(at, first)
    const to = Math.min(at + length, end)
    if (from < to) runs.push({ row: row + from - at, rows: to - from, at: from - first })
    at += length
  }
  const window = epoch * windowsPerEpoch(windows, rows) + index
  return { runs, positions: permutation(end - first, seed, Purpose.shuffle, window) }
}

/** Rows of the data in the order of the window. */
export function rowsOfWindow({ runs, positions }: WindowOrder): Uint32Array {
  const sequence = new Uint32Array(positions.length)
  for (const { row, rows, at } of runs) for (let i = 0; i < rows; i++) sequence[at + i] = row + i
  return positions.map(position => sequence[position])
}

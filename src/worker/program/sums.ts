/** Sums of losses and hits over rows, in row order, in the stats of the shared memory. Runs in workers. */
import type { FloatTensor } from '../../tensor/tensor.js'
import { copyRow } from '../network/copy-rows.js'
import type { Network } from '../network/network.js'
import { Stat } from '../plan/words.js'
import type { PlainTask } from './stage.js'

/** Places of three sums: of the epoch, and of the epoch with what is not done yet. */
export const DONE = Stat.loss
const PENDING = Stat.pending

/** Adds the mini-batch's losses and hits to the epoch's, in row order; they count with the last one of a step. */
export function sumTask(network: Network, stats: FloatTensor): PlainTask {
  return ({ step, stepInEpoch, rows, isFirst, isLast }) => {
    const from = !isFirst ? PENDING : stepInEpoch === 0 ? null : DONE
    addRows(network, stats.data, rows, from, isLast ? DONE : PENDING)
    if (isLast) stats.data[Stat.step] = step + 1
  }
}

/** Sets the sums at `to` to those at `from` (or 0) plus those of the rows. */
export function addRows(
  network: Network,
  stats: FloatTensor['data'],
  rows: number,
  from: number | null,
  to: number,
): void {
  const [lossBefore, correctBefore, rowsBefore] = from === null ? [0, 0, 0] : [0, 1, 2].map(i => stats[from + i])
  const losses = network.batch.losses.data
  const hits = network.batch.correct.data
  let loss = lossBefore
  let correct = correctBefore
  for (let i = 0; i < rows; i++) {
    loss += losses[i]
    correct += hits[i]
  }
  stats[to] = loss
  stats[to + 1] = correct
  stats[to + 2] = rowsBefore + rows
}

/** Adds the squared errors of each output to the sums of an evaluation, in row order; `isFirst`: to none. */
export function addSquares(
  { outputs, targets, batch: { samples } }: Network,
  stats: FloatTensor['data'],
  rows: number,
  images: 'train' | 'test',
  isFirst: boolean,
): void {
  const width = outputs.cols
  const sums = stats.subarray(Stat.squares, Stat.squares + width)
  if (isFirst) sums.fill(0)
  const truth = targets[images].data // (N, K)
  const row = new Float32Array(width)
  for (let r = 0; r < rows; r++) {
    copyRow(row, 0, outputs, r)
    const at = samples.data[r] * width
    for (let k = 0; k < width; k++) sums[k] += (row[k] - truth[at + k]) ** 2
  }
}

/**
 * Cost of the exchanges of a run over ranks: bytes by a formula, time by latency and bandwidth of the link, and the choice between the two
 * forms in which the gradient of a dense layer comes together. Pure; any thread.
 *
 * `rows`: inputs and deltas of the layer are gathered, so that each rank sums the gradient of its tiles over all rows. `partials`: each rank
 * sums the gradient of all tiles over its own groups of rows, and gets the sums of the others for its tiles. Only a run with
 * `compute.gradientGroups` may choose, since there both forms add the same sums in the same order.
 */
import { keepsDerivatives } from '../../model/activation.js'
import type { RunPlan } from './run-plan.js'
import { gradientGroups, groupsOfRank, mostGroups, nodesWithin } from './sharing.js'

/** A connection between ranks. */
export interface Link {
  readonly latencyMs: number
  readonly bytesPerMs: number
}

/** A link of 10 Gbit/s, where none has been measured. */
export const ASSUMED_LINK: Link = { latencyMs: 0.05, bytesPerMs: 1.25e6 }

const BYTES = 4
/** Bytes of a row's loss and hit, which every rank gets. */
const SCORE_BYTES = 12

/** Facts of a plan that decide what is exchanged. */
export type ExchangePlan = Pick<RunPlan, 'widths' | 'batchSize' | 'gradientRows' | 'images' | 'activation' | 'norm'> &
  Partial<Pick<RunPlan, 'convolutions'>>

/** Bytes that a rank gets in a step, as a mean over ranks. */
export interface ExchangeBytes {
  readonly weights: number
  readonly rows: number
  readonly partials: number
}

/** Sums of gradients that all other ranks send to one, as a mean. */
function sumsReceived(plan: ExchangePlan, size: number): number {
  const groups = mostGroups(plan)
  const all = Array.from({ length: size }, (_, rank) => nodesWithin(groups, groupsOfRank(rank, groups, size)).length)
  return (all.reduce((sum, nodes) => sum + nodes, 0) * (size - 1)) / size
}

/** Columns of a row that are gathered of each block: by `matrixColumns` in the order of inputs and deltas. */
function columnsOf(plan: ExchangePlan, partials: readonly boolean[]): number {
  const { widths, gradientRows, activation, norm } = plan
  const first = plan.convolutions?.length ?? 0
  const last = widths.length - 2
  const isGrouped = gradientRows !== null
  let columns = 0
  for (let block = first; block <= last; block++) {
    const [inputs, outputs] = [widths[block], widths[block + 1]]
    const isNormed = norm.type !== 'none' && block < last
    const before = norm.type !== 'none' && block > first
    // A normalisation gathers its product, and what is normalised, then the deltas, twice.
    if (isNormed) columns += 5 * outputs + (keepsDerivatives(activation) ? outputs : 0)
    if (isGrouped && partials[block]) continue
    if (block > first && !before) columns += inputs + (!isGrouped && keepsDerivatives(activation) ? inputs : 0)
    if (!isNormed) columns += outputs
  }
  return columns
}

/**
 * bytes = c · 4 · P + (N - 1) / N · 4 · B · columns + 12 · B · (N - 1) / N + sums · 4 · P / N, with the weights P of dense layers that exchange
 * partial sums in the last term alone. `c`: share of the weights that a rank gets (weight-use.ts); default: all that it does not update.
 */
export function exchangeBytes(
  plan: ExchangePlan,
  size: number,
  partials: readonly boolean[],
  weightShare = (size - 1) / size,
): ExchangeBytes {
  const { widths, batchSize } = plan
  const share = (size - 1) / size
  const first = plan.convolutions?.length ?? 0
  const dense = widths.slice(1).map((outputs, block) => (block < first ? 0 : outputs * widths[block]))
  const weights = dense.reduce((sum, count) => sum + count, 0)
  const summed = dense.reduce((sum, count, block) => sum + (partials[block] ? count : 0), 0)
  const biases = plan.gradientRows === null ? 0 : mostGroups(plan) * widths.slice(1 + first).reduce((a, b) => a + b, 0)
  return {
    weights: weightShare * BYTES * weights,
    rows: share * (BYTES * (batchSize * columnsOf(plan, partials) + biases) + SCORE_BYTES * batchSize),
    partials: (sumsReceived(plan, size) * BYTES * summed) / size,
  }
}

export const totalBytes = ({ weights, rows, partials }: ExchangeBytes): number => weights + rows + partials

/** Exchanges that a layer of the form `rows` makes more than one of partial sums: of inputs and of deltas. */
const EXCHANGES_OF_ROWS = 2

/** By block: true where partial sums take less time than rows. */
export function choosePartials(plan: ExchangePlan, size: number, { latencyMs, bytesPerMs }: Link): boolean[] {
  const first = plan.convolutions?.length ?? 0
  const none = plan.widths.slice(1).map(() => false)
  if (plan.gradientRows === null || gradientGroups(plan, plan.batchSize) === 1) return none
  return none.map((_, block) => {
    if (block < first) return false
    const alone = none.map((_, other) => other === block)
    const [rows, sums] = [none, alone].map(forms => exchangeBytes(plan, size, forms))
    return totalBytes(sums) / bytesPerMs < totalBytes(rows) / bytesPerMs + EXCHANGES_OF_ROWS * latencyMs
  })
}

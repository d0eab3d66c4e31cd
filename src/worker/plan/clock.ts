/**
 * Clock of a run: shuffles each epoch, and maps a step's number to everything the step depends on: epoch, order of the
 * samples, rows, learning rate. A pure function of the plan, so that nothing has to be remembered or sent. Runs in workers.
 */
import { type OptimizerStep, optimizerStep } from '../../model/optimizer.js'
import { learningRateAt } from '../../model/schedule.js'
import { averageShare } from '../../model/state.js'
import { Purpose, permutation } from '../../tensor/random.js'
import type { RunPlan } from './run-plan.js'
import { placeOfWindow, rowsOfWindow, type Windows, windowOrder, windowsPerEpoch } from './windows.js'

export interface StepContext {
  /** Steps completed before this one, in the whole run. */
  readonly step: number
  /** Epoch, from 0, as is the step within it. */
  readonly epoch: number
  readonly stepInEpoch: number
  /** Position of this mini-batch in the step; others than first and last are neither. */
  readonly isFirst: boolean
  readonly isLast: boolean
  /** Rows of this mini-batch; the last one of an epoch may have fewer than `batchSize`. */
  readonly rows: number
  /** Rows of all mini-batches of the step, over which the loss is a mean. */
  readonly stepRows: number
  /**
   * Permutation of the epoch, or of the window that the step is in: row i of the mini-batch is row shuffledIndices[first + i] of the
   * split, and those of the step begin at firstOfStep.
   */
  readonly shuffledIndices: Uint32Array
  readonly first: number
  readonly firstOfStep: number
  /** Row in memory of the features of the mini-batch's first row, where rows are in windows; else 0. */
  readonly place: number
  readonly optimizer: OptimizerStep
  /** Share of the weights in their averages; 0: there are none. */
  readonly averageShare: number
}

/** Rows of an optimizer step, but for the last one of an epoch. */
export const rowsPerStep = (plan: Pick<RunPlan, 'batchSize' | 'accumulateSteps'>): number =>
  plan.batchSize * plan.accumulateSteps

export const stepsPerEpoch = (plan: Pick<RunPlan, 'batchSize' | 'accumulateSteps' | 'rows'>): number =>
  Math.ceil(plan.rows.train / rowsPerStep(plan))

/**
 * Returns the clock of a run: contexts by step, and mini-batch of the step, from 0 to that which is its last. Remembers the
 * order of one epoch, or of one window, 4 bytes a row.
 */
export function startClock(plan: RunPlan): (step: number, rateFactor: number, miniBatch?: number) => StepContext {
  const { batchSize } = plan
  const rowsTotal = plan.rows.train
  const perEpoch = stepsPerEpoch(plan)
  const shuffledAt = plan.windows === null ? shuffledEpochs(plan) : shuffledWindows(plan, plan.windows)

  return (step, rateFactor, miniBatch = 0) => {
    const epoch = Math.floor(step / perEpoch)
    const stepInEpoch = step % perEpoch
    const firstOfStep = stepInEpoch * rowsPerStep(plan)
    const stepRows = Math.min(rowsPerStep(plan), rowsTotal - firstOfStep)
    const first = firstOfStep + miniBatch * batchSize
    const end = Math.min(first + batchSize, firstOfStep + stepRows)
    const { indices, from, place } = shuffledAt(epoch, firstOfStep)
    const rate = learningRateAt(plan, step, perEpoch) * rateFactor
    return {
      step,
      epoch,
      stepInEpoch,
      isFirst: miniBatch === 0,
      isLast: end === firstOfStep + stepRows,
      rows: end - first,
      stepRows,
      shuffledIndices: indices,
      first: first - from,
      firstOfStep: firstOfStep - from,
      place: place + first - from,
      averageShare: plan.ema === null ? 0 : averageShare(plan.ema, step),
      optimizer: optimizerStep(
        plan.optimizer,
        step + 1,
        rate,
        plan.l2 / stepRows,
        plan.clipValue ?? Number.POSITIVE_INFINITY,
      ),
    }
  }
}

/** Shuffled rows around a position of an epoch. */
interface Shuffled {
  /** Rows of the split. */
  readonly indices: Uint32Array
  /** Position in the epoch of the first of them. */
  readonly from: number
  /** Row in memory of its features. */
  readonly place: number
}

function shuffledEpochs({ rows, seed }: RunPlan): (epoch: number) => Shuffled {
  let of = -1
  let shuffled: Shuffled = { indices: new Uint32Array(0), from: 0, place: 0 }
  return epoch => {
    if (of !== epoch) {
      shuffled = { indices: permutation(rows.train, seed, Purpose.shuffle, epoch), from: 0, place: 0 }
      of = epoch
    }
    return shuffled
  }
}

function shuffledWindows(plan: RunPlan, windows: Windows): (epoch: number, position: number) => Shuffled {
  const { train } = plan.rows
  let of = -1
  let shuffled: Shuffled = { indices: new Uint32Array(0), from: 0, place: 0 }
  return (epoch, position) => {
    const index = Math.floor(position / windows.rows)
    const window = epoch * windowsPerEpoch(windows, train) + index
    if (of !== window) {
      const indices = rowsOfWindow(windowOrder(plan, windows, train, epoch, index))
      shuffled = { indices, from: index * windows.rows, place: placeOfWindow(windows, window) }
      of = window
    }
    return shuffled
  }
}

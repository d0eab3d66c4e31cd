/**
 * Clock of a run: shuffles each epoch, and maps a step's number to everything the step depends on: epoch, order of the
 * samples, rows, learning rate. A pure function of the plan, so that nothing has to be remembered or sent. Runs in workers.
 */
import { type OptimizerStep, optimizerStep } from '../../model/optimizer.js'
import { learningRateAt } from '../../model/schedule.js'
import { averageShare } from '../../model/state.js'
import { Purpose, permutation } from '../../tensor/random.js'
import type { RunPlan } from './run-plan.js'

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
  /** The epoch's permutation: row i of the mini-batch is row shuffledIndices[first + i] of the split. */
  readonly shuffledIndices: Uint32Array
  readonly first: number
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
 * order of one epoch, 4 bytes a training row.
 */
export function startClock(plan: RunPlan): (step: number, rateFactor: number, miniBatch?: number) => StepContext {
  const { batchSize, seed } = plan
  const rowsTotal = plan.rows.train
  const perEpoch = stepsPerEpoch(plan)
  let shuffled: { epoch: number; indices: Uint32Array } = { epoch: -1, indices: new Uint32Array(0) }

  return (step, rateFactor, miniBatch = 0) => {
    const epoch = Math.floor(step / perEpoch)
    const stepInEpoch = step % perEpoch
    if (shuffled.epoch !== epoch) {
      shuffled = { epoch, indices: permutation(rowsTotal, seed, Purpose.shuffle, epoch) }
    }
    const firstOfStep = stepInEpoch * rowsPerStep(plan)
    const stepRows = Math.min(rowsPerStep(plan), rowsTotal - firstOfStep)
    const first = firstOfStep + miniBatch * batchSize
    const end = Math.min(first + batchSize, firstOfStep + stepRows)
    const rate = learningRateAt(plan, step, perEpoch) * rateFactor
    return {
      step,
      epoch,
      stepInEpoch,
      isFirst: miniBatch === 0,
      isLast: end === firstOfStep + stepRows,
      rows: end - first,
      stepRows,
      shuffledIndices: shuffled.indices,
      first,
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

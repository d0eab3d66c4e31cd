/**
 * Learning-rate schedules: pure functions of the step, of how many steps an epoch has, and of how many epochs there are.
 * Nothing is remembered, so a run that is resumed has the same rates. Runs in workers and in the coordinator.
 */
import type { Experiment } from '../config/schema.js'
import { falling, fractionalPower, power } from '../tensor/exact-math.js'

export interface ScheduleInput {
  readonly optimizer: Pick<Experiment['optimizer'], 'learningRate'>
  readonly schedule: Experiment['schedule']
  /** Epochs of the whole run: the end of cosine and one-cycle. */
  readonly epochs: number
}

/**
 * The learning rate of a step, counted from 0. The warm-up comes first, then the schedule with its own step 0; where the
 * run ends inside the warm-up, there is no schedule left.
 */
export function learningRateAt(input: ScheduleInput, step: number, stepsPerEpoch: number): number {
  const { warmup } = input.schedule
  const warmupSteps = warmup.steps + warmup.epochs * stepsPerEpoch
  const total = Math.max(0, input.epochs * stepsPerEpoch - warmupSteps)
  if (step >= warmupSteps) return scheduledRate(input, (step - warmupSteps) / stepsPerEpoch, stepsPerEpoch, total)
  const share = warmup.from + (1 - warmup.from) * (step / warmupSteps)
  return scheduledRate(input, 0, stepsPerEpoch, total) * share
}

/** True if the rates of completed steps would have been different with another `train.epochs`. */
export function dependsOnEpochs({ type }: Experiment['schedule']): boolean {
  return type === 'cosine' || type === 'one-cycle'
}

/** `time`: epochs since the schedule began, a fraction within one. `total`: its steps. */
function scheduledRate(
  { optimizer: { learningRate }, schedule }: ScheduleInput,
  time: number,
  stepsPerEpoch: number,
  total: number,
): number {
  switch (schedule.type) {
    case 'constant':
    case 'plateau': // the factor that follows from scores is the coordinator's: coordinator/early-stopping.ts
      return learningRate
    case 'inverse-sqrt':
      return learningRate / Math.sqrt(timeIn(schedule.per) + 1) / schedule.decayRate
    case 'step':
      return learningRate * power(schedule.factor, Math.floor(time / schedule.everyEpochs))
    case 'exponential':
      return learningRate * fractionalPower(schedule.factor, timeIn(schedule.per))
    case 'cosine': {
      const { minimum } = schedule
      return learningRate * (minimum + (1 - minimum) * falling(progress(schedule.per)))
    }
    case 'one-cycle': {
      const { at, end } = unitsOf(schedule.per)
      return oneCycle(learningRate, schedule, at, end)
    }
    default:
      return schedule satisfies never
  }

  function timeIn(per: Per): number {
    return per === 'epoch' ? Math.floor(time) : time
  }

  /** Position in the schedule and its length, in epochs or in steps. */
  function unitsOf(per: Per): { at: number; end: number } {
    return per === 'epoch'
      ? { at: Math.floor(time), end: total / stepsPerEpoch }
      : { at: Math.round(time * stepsPerEpoch), end: total }
  }

  function progress(per: Per): number {
    const { at, end } = unitsOf(per)
    return end > 0 ? Math.min(at / end, 1) : 0
  }
}

type Per = 'epoch' | 'step'

/**
 * Smith and Topin 2018, "Super-convergence" (arXiv 1708.07120), as PyTorch's OneCycleLR with cosines, which is to say
 * from rate / divFactor up to the rate, then down to rate / divFactor / finalDivFactor. Momentum stays as it is.
 */
function oneCycle(
  rate: number,
  { pctStart, divFactor, finalDivFactor }: Extract<Experiment['schedule'], { type: 'one-cycle' }>,
  at: number,
  end: number,
): number {
  const first = rate / divFactor
  const last = first / finalDivFactor
  const peak = pctStart * end - 1
  if (at < peak) return between(first, rate, at / peak)
  return between(rate, last, end - 1 > peak ? Math.min((at - peak) / (end - 1 - peak), 1) : 0)
}

/** Value between `start` and `end` along half a cosine. */
function between(start: number, end: number, share: number): number {
  return end + (start - end) * falling(share)
}

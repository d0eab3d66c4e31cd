/**
 * How a run stands after each epoch: the best score so far, how long there has been none better, and what follows from
 * that: an early end, a smaller learning rate. Pure bookkeeping, kept in checkpoints. Main thread.
 */
import type { Experiment } from '../config/schema.js'
import type { Score } from '../run/events.js'
import type { TrainingState } from '../run/training-state.js'

export type Standing = TrainingState['standing']

export const NEW_STANDING: Standing = { best: null, waited: 0, plateau: 0, rateFactor: 1 }

export interface EpochScores {
  readonly train: Score
  /** Where the run has validation rows. */
  readonly validation: Score | null
}

/** The number that makes one epoch better than another: larger is better. */
export function scoreOf(
  { bestMetric }: Experiment['checkpoint'],
  { train, validation }: EpochScores,
): { metric: string; value: number } {
  const ofValidation = train.r2 === undefined ? 'validation-accuracy' : 'validation-loss'
  const metric = bestMetric === 'auto' ? (validation ? ofValidation : 'train-loss') : bestMetric
  switch (metric) {
    case 'validation-accuracy':
      return { metric, value: validation?.accuracy ?? Number.NEGATIVE_INFINITY }
    case 'validation-loss':
      return { metric: `${metric}, negated`, value: validation ? -validation.loss : Number.NEGATIVE_INFINITY }
    case 'train-loss':
      return { metric: `${metric}, negated`, value: -train.loss }
    default:
      return metric satisfies never
  }
}

/** The standing after an epoch that ended at `step` with a score of `value`. */
export function standingAfter(before: Standing, experiment: Experiment, step: number, value: number): Standing {
  const { minDelta } = experiment.train.earlyStopping
  const better = before.best === null || value > before.best.value + minDelta
  if (better) return { ...before, best: { step, value }, waited: 0, plateau: 0 }
  const { schedule } = experiment
  const plateau = before.plateau + 1
  const falls = schedule.type === 'plateau' && plateau >= schedule.patience
  return {
    best: before.best,
    waited: before.waited + 1,
    plateau: falls ? 0 : plateau,
    rateFactor: falls ? Math.max(before.rateFactor * schedule.factor, schedule.minimum) : before.rateFactor,
  }
}

export function stopsEarly({ waited }: Standing, { train: { earlyStopping } }: Experiment): boolean {
  return earlyStopping.patience !== null && waited >= earlyStopping.patience
}

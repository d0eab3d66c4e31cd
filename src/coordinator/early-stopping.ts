/**
 * Early stopping and the plateau schedule: the best epoch so far, epochs since without a better score, and
 * the decisions that follow; `scoreOf`, by which epochs and the runs of a sweep are compared. Pure; the state is kept in checkpoints. Main thread.
 */
import type { Experiment } from '../config/schema.js'
import { SCORES, type ScoreMetric, scoreOfMetric } from '../config/scores.js'
import type { Score } from '../run/events.js'
import type { TrainingState } from '../run/training-state.js'

export type EarlyStoppingState = TrainingState['standing']

export const NO_EPOCH_YET: EarlyStoppingState = { best: null, waited: 0, plateau: 0, rateFactor: 1 }

/** Scores of an epoch; null: not finite, or nothing was trained. */
export interface EpochScores {
  readonly train: Score | null
  /** undefined: the run has no validation split. */
  readonly validation: Score | null | undefined
}

export interface EpochScore {
  readonly metric: string
  /** Score value; larger is better. null: the epoch has no such score, and is worse than any that has one. */
  readonly value: number | null
}

/** The score that epochs are compared by. */
export function scoreOf(
  { data: { task }, checkpoint: { bestMetric } }: Pick<Experiment, 'data' | 'checkpoint'>,
  { train, validation }: EpochScores,
): EpochScore {
  const ofValidation = task === 'regression' ? 'validation-loss' : 'validation-accuracy'
  const metric = bestMetric === 'auto' ? (validation === undefined ? 'train-loss' : ofValidation) : bestMetric
  const negated = (score: Score | null | undefined) => ({
    metric: `${metric}, negated`,
    value: score ? -score.loss : null,
  })
  switch (metric) {
    case 'validation-accuracy':
      return { metric, value: validation?.accuracy ?? null }
    case 'validation-loss':
      return negated(validation)
    case 'train-loss':
      return negated(train)
    default:
      return ofScore(metric, validation)
  }
}

/** A score of config/scores.ts; one of which lower is better is negated. */
function ofScore(metric: ScoreMetric, validation: Score | null | undefined): EpochScore {
  const name = scoreOfMetric(metric)!
  const value = validation?.[name] ?? null
  if (SCORES[name].better === 'higher') return { metric, value }
  return { metric: `${metric}, negated`, value: value === null ? null : -value }
}

/** State after an epoch that ended at `step`; a `value` of null counts as better than no epoch. */
export function stateAfterEpoch(
  before: EarlyStoppingState,
  experiment: Experiment,
  step: number,
  value: number | null,
): EarlyStoppingState {
  const { minDelta } = experiment.train.earlyStopping
  const better = value !== null && (before.best === null || value > before.best.value + minDelta)
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

export function stopsEarly({ waited }: EarlyStoppingState, { train: { earlyStopping } }: Experiment): boolean {
  return earlyStopping.patience !== null && waited >= earlyStopping.patience
}

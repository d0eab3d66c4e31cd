/**
 * Scores of a split beside loss and accuracy: their names, the tasks that have them, and which direction is better.
 * `checkpoint.bestMetric`, summaries, `evaluate`, reports and comparisons read this table. Data only; any thread.
 */

import type { Task } from './tasks.js'

export interface ScoreFacts {
  readonly title: string
  readonly tasks: readonly Task[]
  readonly better: 'higher' | 'lower'
  /** Form in tables: a percentage, or a number. */
  readonly form: 'percent' | 'number'
}

const LABELLED: readonly Task[] = ['classification', 'multi-label']
const share = (title: string, tasks: readonly Task[], better: ScoreFacts['better'] = 'higher'): ScoreFacts => ({
  ...{ title, tasks, better, form: 'percent' },
})
const number = (title: string, tasks: readonly Task[], better: ScoreFacts['better']): ScoreFacts => ({
  ...{ title, tasks, better, form: 'number' },
})

/** Scores in the order in which they are shown. */
export const SCORES = {
  exactMatch: share('exact match', ['multi-label']),
  balancedAccuracy: share('balanced accuracy', ['classification']),
  macroF1: share('macro F1', LABELLED),
  rocAuc: number('ROC AUC', LABELLED, 'higher'),
  averagePrecision: number('average precision', LABELLED, 'higher'),
  logLoss: number('log loss', LABELLED, 'lower'),
  brier: number('Brier score', LABELLED, 'lower'),
  calibrationError: share('calibration error', LABELLED, 'lower'),
  r2: number('R²', ['regression'], 'higher'),
  rmse: number('RMSE', ['regression'], 'lower'),
  mae: number('MAE', ['regression'], 'lower'),
} as const satisfies Readonly<Record<string, ScoreFacts>>

export type ScoreName = keyof typeof SCORES
export const SCORE_NAMES = Object.keys(SCORES) as readonly ScoreName[]

/** Scores of a split; null: undefined for these rows. */
export type ScoreValues = Readonly<Partial<Record<ScoreName, number | null>>>

export const scoreNamesOf = (task: Task): ScoreName[] =>
  SCORE_NAMES.filter(name => (SCORES[name].tasks as readonly Task[]).includes(task))

type Kebab<T extends string> = T extends `${infer A}${infer B}`
  ? `${A extends Lowercase<A> ? A : `-${Lowercase<A>}`}${Kebab<B>}`
  : T
export type ScoreMetric = `validation-${Kebab<ScoreName>}`

/** `rocAuc` as `checkpoint.bestMetric` has it: `validation-roc-auc`. */
export const metricOf = (name: ScoreName): ScoreMetric =>
  `validation-${name.replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)}` as ScoreMetric

/** Score that a `checkpoint.bestMetric` names; null for accuracy, losses and `auto`. */
export const scoreOfMetric = (metric: string): ScoreName | null =>
  SCORE_NAMES.find(name => metricOf(name) === metric) ?? null

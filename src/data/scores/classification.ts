/**
 * Scores of a classifier or a multi-label network from labels and probabilities, by scikit-learn's definitions (named at
 * each). A score that the rows do not define is null, with the reason. Pure; any thread.
 *
 * Letters: `N` rows, `C` classes, `K` labels.
 */
import { type ScoreName, type ScoreValues, scoreNamesOf } from '../../config/scores.js'
import { formatList } from '../../format.js'
import { calibrationOf } from './calibration.js'
import { rankingScores } from './ranking.js'

export interface ScoredRows {
  readonly values: ScoreValues
  /** Reason why a score is undefined. */
  readonly reasons: Readonly<Partial<Record<ScoreName, string>>>
}

export interface ScoredClasses {
  readonly classNames: readonly string[] // (C)
  readonly labels: Int32Array // (N)
  /** Probabilities, or outputs of a squared error. */
  readonly outputs: Float32Array // (N, C)
  /** Mean of -log p(label), which the loss kernels compute from logits; null: outputs are no probabilities. */
  readonly logLoss: number | null
}

/** Names in a reason. */
const MOST_NAMED = 5
const NO_PROBABILITIES = 'the outputs are no probabilities, because train.loss is "mean-squared-error"'

type Result = number | string

/** A result of text is the reason why there is none. */
function collected(results: ReadonlyMap<ScoreName, () => Result>, wanted: readonly ScoreName[]): ScoredRows {
  const values: Partial<Record<ScoreName, number | null>> = {}
  const reasons: Partial<Record<ScoreName, string>> = {}
  for (const name of wanted) {
    const result = results.get(name)?.()
    if (result === undefined) continue
    values[name] = typeof result === 'number' ? result : null
    if (typeof result === 'string') reasons[name] = result
  }
  return { values, reasons }
}

/** Computes the scores that are wanted, all by default; needs at least one row. */
export function classificationScores(
  rows: ScoredClasses,
  wanted: readonly ScoreName[] = scoreNamesOf('classification'),
): ScoredRows {
  const { labels, outputs, classNames, logLoss } = rows
  const classes = classNames.length
  const support = countsOf(labels, classes)
  const present = support.filter(count => count > 0).length
  const single = `all rows have the class '${classNames[labels[0]]}'`
  const predicted = mostProbable(outputs, classes)
  const several = (score: () => Result) => () => (present < 2 ? single : score())
  const ofProbabilities = (score: () => Result) => () => (logLoss === null ? NO_PROBABILITIES : score())
  const ranking = once(() => classRanking(rows, support))
  return collected(
    new Map<ScoreName, () => Result>([
      ['balancedAccuracy', several(() => balancedAccuracy(labels, predicted, support))],
      ['macroF1', several(() => macroF1(labels, predicted, support))],
      ['rocAuc', several(() => rankedScore(ranking(), 'rocAuc'))],
      ['averagePrecision', several(() => rankedScore(ranking(), 'averagePrecision'))],
      ['logLoss', ofProbabilities(() => logLoss!)],
      ['brier', ofProbabilities(() => brierOf(rows))],
      ['calibrationError', ofProbabilities(() => classCalibration(rows, predicted))],
    ]),
    wanted,
  )
}

const rankedScore = (ranking: Ranking, name: keyof Ranking & ('rocAuc' | 'averagePrecision')): Result =>
  ranking.reason ?? ranking[name]

interface Ranking {
  readonly rocAuc: number
  readonly averagePrecision: number
  /** Reason why both are undefined; null if they are not. */
  readonly reason: string | null
}

/** Means of rankings, one for each of some columns; `reason` if a column has no positive or no negative row. */
function meanRanking(columns: readonly (ReturnType<typeof rankingScores> | string)[]): Ranking {
  const reason = columns.find(column => typeof column === 'string') ?? null
  const mean = (name: 'rocAuc' | 'averagePrecision') =>
    columns.reduce((sum, column) => sum + (typeof column === 'object' && column ? column[name] : 0), 0) / columns.length
  return { rocAuc: mean('rocAuc'), averagePrecision: mean('averagePrecision'), reason }
}

/**
 * Ranking of two classes: the second one against the first; of more: the mean over the classes of each against all others, as
 * `roc_auc_score(multi_class="ovr", average="macro")` and `average_precision_score(average="macro")` have it; both need a
 * row of every class.
 */
function classRanking({ labels, outputs, classNames }: ScoredClasses, support: readonly number[]): Ranking {
  const missing = classNames.filter((_, label) => support[label] === 0)
  if (missing.length > 0) return meanRanking([`no row has the class ${namesOf(missing)}`])
  const classes = classNames.length
  const scored = classes === 2 ? [1] : classNames.map((_, label) => label)
  return meanRanking(
    scored.map(label =>
      rankColumn(
        labels.length,
        row => outputs[row * classes + label],
        row => labels[row] === label,
      ),
    ),
  )
}

function rankColumn(
  rows: number,
  score: (row: number) => number,
  isPositive: (row: number) => boolean,
): ReturnType<typeof rankingScores> {
  let positives = 0
  for (let row = 0; row < rows; row++) if (isPositive(row)) positives++
  const positive = new Float32Array(positives)
  const negative = new Float32Array(rows - positives)
  let [p, n] = [0, 0]
  for (let row = 0; row < rows; row++) {
    if (isPositive(row)) positive[p++] = score(row)
    else negative[n++] = score(row)
  }
  return rankingScores(positive, negative)
}

const namesOf = (names: readonly string[]): string =>
  formatList(
    names.map(name => `'${name}'`),
    MOST_NAMED,
  )

function once<T>(compute: () => T): () => T {
  let value: { readonly of: T } | undefined
  return () => {
    value ??= { of: compute() }
    return value.of
  }
}

function countsOf(labels: Int32Array, classes: number): number[] {
  const counts = Array.from({ length: classes }, () => 0)
  for (const label of labels) counts[label]++
  return counts
}

/** The most probable class of each row, the first of equal ones. (N) */
function mostProbable(outputs: Float32Array, classes: number): Int32Array {
  const best = new Int32Array(outputs.length / classes)
  for (let row = 0; row < best.length; row++) {
    const at = row * classes
    let label = 0
    for (let c = 1; c < classes; c++) if (outputs[at + c] > outputs[at + label]) label = c
    best[row] = label
  }
  return best
}

/** Rows of each class that are predicted as it. (C) */
function hitsOf(labels: Int32Array, predicted: Int32Array, classes: number): number[] {
  const hits = Array.from({ length: classes }, () => 0)
  for (let row = 0; row < labels.length; row++) if (predicted[row] === labels[row]) hits[labels[row]]++
  return hits
}

/** Mean recall of the classes that have rows: `balanced_accuracy_score`. */
function balancedAccuracy(labels: Int32Array, predicted: Int32Array, support: readonly number[]): number {
  const hits = hitsOf(labels, predicted, support.length)
  const recalls = support.flatMap((count, label) => (count > 0 ? [hits[label] / count] : []))
  return recalls.reduce((sum, recall) => sum + recall, 0) / recalls.length
}

/** Mean F1 of the classes that have rows or are predicted: `f1_score(average="macro")`. */
function macroF1(labels: Int32Array, predicted: Int32Array, support: readonly number[]): number {
  const hits = hitsOf(labels, predicted, support.length)
  const answers = countsOf(predicted, support.length)
  const all = support.flatMap((count, label) => {
    const either = count + answers[label]
    return either > 0 ? [(2 * hits[label]) / either] : []
  })
  return all.reduce((sum, f1) => sum + f1, 0) / all.length
}

/** Mean squared distance of the probabilities from 0 and 1: of the second of two classes, or summed over more: `brier_score_loss`. */
function brierOf({ labels, outputs, classNames }: ScoredClasses): number {
  const classes = classNames.length
  let sum = 0
  for (let row = 0; row < labels.length; row++) {
    const label = labels[row]
    if (classes === 2) sum += (outputs[row * 2 + 1] - label) ** 2
    else for (let c = 0; c < classes; c++) sum += (outputs[row * classes + c] - (c === label ? 1 : 0)) ** 2
  }
  return sum / labels.length
}

function classCalibration({ labels, outputs, classNames }: ScoredClasses, predicted: Int32Array): number {
  const classes = classNames.length
  const confidence = new Float32Array(predicted.length)
  for (let row = 0; row < predicted.length; row++) confidence[row] = outputs[row * classes + predicted[row]]
  return calibrationOf(confidence, row => predicted[row] === labels[row]).expectedError
}

export interface ScoredLabels {
  readonly names: readonly string[] // (K)
  /** 0 or 1. */
  readonly targets: Float32Array // (N, K)
  readonly probabilities: Float32Array // (N, K)
  /** Mean over rows and labels of the binary log loss. */
  readonly logLoss: number
}

/** Probability above which a label is predicted: scikit-learn's threshold, a tie being 0. */
const THRESHOLD = 0.5

/** Decision about a label. */
export const isSet = (probability: number): boolean => probability > THRESHOLD

/** Scores of independent yes/no labels: means over the labels, but for `exactMatch`, the share of rows right in all of them. */
export function multiLabelScores(
  rows: ScoredLabels,
  wanted: readonly ScoreName[] = scoreNamesOf('multi-label'),
): ScoredRows {
  const { names, targets, probabilities, logLoss } = rows
  const labels = names.length
  const count = targets.length / labels
  const answers = (at: number) => isSet(probabilities[at])
  const isRight = (at: number) => answers(at) === (targets[at] === 1)
  const ranking = once(() =>
    meanRanking(
      names.map((name, k) => {
        const at = (row: number) => row * labels + k
        const found = rankColumn(
          count,
          row => probabilities[at(row)],
          row => targets[at(row)] === 1,
        )
        return found ?? `the label '${name}' is ${targets[k] === 1 ? 'set in all rows' : 'set in no row'}`
      }),
    ),
  )
  return collected(
    new Map<ScoreName, () => Result>([
      ['exactMatch', () => exactMatch(count, labels, isRight)],
      ['macroF1', () => labelF1(rows, answers)],
      ['rocAuc', () => rankedScore(ranking(), 'rocAuc')],
      ['averagePrecision', () => rankedScore(ranking(), 'averagePrecision')],
      ['logLoss', () => logLoss],
      ['brier', () => targets.reduce((sum, target, at) => sum + (probabilities[at] - target) ** 2, 0) / targets.length],
      [
        'calibrationError',
        () =>
          calibrationOf(
            probabilities.map(p => Math.max(p, 1 - p)),
            isRight,
          ).expectedError,
      ],
    ]),
    wanted,
  )
}

function exactMatch(rows: number, labels: number, isRight: (at: number) => boolean): number {
  let right = 0
  for (let row = 0; row < rows; row++) {
    let all = true
    for (let k = 0; k < labels; k++) all &&= isRight(row * labels + k)
    if (all) right++
  }
  return right / rows
}

/** Mean over the labels of each one's F1; undefined if one is neither set nor predicted in any row. */
function labelF1({ names, targets }: ScoredLabels, answers: (at: number) => boolean): Result {
  const labels = names.length
  let sum = 0
  for (const [k, name] of names.entries()) {
    let [hits, either] = [0, 0]
    for (let at = k; at < targets.length; at += labels) {
      const [truth, answer] = [targets[at] === 1, answers(at)]
      either += Number(truth) + Number(answer)
      if (truth && answer) hits++
    }
    if (either === 0) return `the label '${name}' is neither set nor predicted in any row`
    sum += (2 * hits) / either
  }
  return sum / labels
}

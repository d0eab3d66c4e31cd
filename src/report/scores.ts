/**
 * Scores of a classifier from labels, predictions and confidences. Pure; any thread.
 *
 * Letters: `N` images, `C` classes.
 */

import { type Calibration, calibrationOf } from '../data/scores/calibration.js'

export interface Answers {
  readonly classNames: readonly string[] // (C)
  readonly labels: Int32Array // (N)
  readonly predicted: Int32Array // (N)
  /** Confidence of the predicted class, from 0 to 1. */
  readonly confidence: Float32Array // (N)
}

export interface ClassScores {
  readonly label: number
  readonly className: string
  /** Images of the class (support), predicted as the class, and both (true positives). */
  readonly support: number
  readonly predicted: number
  readonly right: number
  /** Precision, recall and their harmonic mean; null where that divides by zero. */
  readonly precision: number | null
  readonly recall: number | null
  readonly f1: number | null
}

/** Means over the classes that have images or are predicted; a null score counts as 0. `weighted`: by support. */
export interface MeanScores {
  readonly precision: number
  readonly recall: number
  readonly f1: number
}

export interface Confusion {
  readonly truth: number
  readonly predicted: number
  readonly images: number
}

export interface Scores {
  readonly images: number
  readonly right: number
  readonly accuracy: number
  /** Wilson's 95 % confidence interval of the accuracy on new images. */
  readonly interval: readonly [low: number, high: number]
  readonly confusion: readonly (readonly number[])[] // (C, C): truth, predicted
  readonly classes: readonly ClassScores[] // (C)
  readonly macro: MeanScores
  readonly weighted: MeanScores
  /** Confused pairs of classes, the most frequent first. */
  readonly confusions: readonly Confusion[]
  readonly calibration: Calibration
}

/** 97.5 % quantile of the normal distribution. */
const Z = 1.959963984540054

/** Computes all scores; needs at least one image. */
export function scoresOf(answers: Answers): Scores {
  const { labels, predicted, classNames } = answers
  const confusion = classNames.map(() => classNames.map(() => 0))
  let right = 0
  for (const [i, label] of labels.entries()) {
    confusion[label][predicted[i]]++
    if (label === predicted[i]) right++
  }
  const classes = classNames.map((className, label) => classScores(confusion, className, label))
  const images = labels.length
  return {
    ...{ images, right, accuracy: right / images, interval: wilson(right, images) },
    ...{ confusion, classes },
    macro: meanOf(classes, ({ support, predicted }) => (support + predicted > 0 ? 1 : 0)),
    weighted: meanOf(classes, ({ support }) => support),
    confusions: confusionsOf(confusion),
    calibration: calibrationOf(answers.confidence, i => labels[i] === predicted[i]),
  }
}

function classScores(confusion: readonly (readonly number[])[], className: string, label: number): ClassScores {
  const support = confusion[label].reduce((sum, count) => sum + count, 0)
  const predicted = confusion.reduce((sum, row) => sum + row[label], 0)
  const right = confusion[label][label]
  const ratio = (part: number, whole: number) => (whole > 0 ? part / whole : null)
  return {
    ...{ label, className, support, predicted, right },
    precision: ratio(right, predicted),
    recall: ratio(right, support),
    f1: ratio(2 * right, predicted + support),
  }
}

function meanOf(classes: readonly ClassScores[], weightOf: (of: ClassScores) => number): MeanScores {
  const total = classes.reduce((sum, of) => sum + weightOf(of), 0)
  const mean = (score: keyof MeanScores) =>
    classes.reduce((sum, of) => sum + weightOf(of) * (of[score] ?? 0), 0) / total
  return { precision: mean('precision'), recall: mean('recall'), f1: mean('f1') }
}

function confusionsOf(confusion: readonly (readonly number[])[]): Confusion[] {
  return confusion
    .flatMap((row, truth) => row.map((images, predicted) => ({ truth, predicted, images })))
    .filter(({ truth, predicted, images }) => truth !== predicted && images > 0)
    .sort((a, b) => b.images - a.images || a.truth - b.truth || a.predicted - b.predicted)
}

/** Interval of Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", 1927. */
function wilson(right: number, images: number): [low: number, high: number] {
  const [share, spread] = [right / images, (Z * Z) / images]
  const centre = share + spread / 2
  const half = Z * Math.sqrt((share * (1 - share)) / images + spread / (4 * images))
  return [Math.max(0, (centre - half) / (1 + spread)), Math.min(1, (centre + half) / (1 + spread))]
}

/**
 * Scores of regression: R², the root mean squared error and the mean absolute error of each target, by one definition for training, evaluation and
 * reports. R² is scikit-learn's `r2_score`: 1 - squared errors / squared deviations from the mean of the rows that are
 * scored. Pure; any thread.
 *
 * Letters: `N` rows, `K` targets.
 */
import { deviation, type Scaling } from './input.js'

/** Sums over the rows of a split that do not depend on any network. Units of the data, squared. */
export interface TargetSpread {
  /** Squared deviations from the mean of these rows; 0 if all are the same, or if there is one. */
  readonly spread: readonly number[] // (K)
  /** Squared distances from the scaling's offset, which a network predicts for a target whose factor is 0. */
  readonly fromOffset: readonly number[] // (K)
  /** Distances from the scaling's offset. */
  readonly sizesFromOffset: readonly number[] // (K)
}

export interface TargetScore {
  /** Root of the mean squared error, in the target's unit. */
  readonly rmse: number
  /** null: undefined, because all rows have the same target. */
  readonly r2: number | null
  /** Mean absolute error, in the target's unit, where the rows' outputs were kept. */
  readonly mae?: number
}

/** Squared deviations from the mean. Sums are of distances from the first value: a constant has exactly 0. */
export function spreadOf(count: number, value: (i: number) => number): number {
  if (count === 0) return 0
  const first = value(0)
  let sum = 0
  for (let i = 1; i < count; i++) sum += value(i) - first
  const mean = sum / count
  let spread = 0
  for (let i = 0; i < count; i++) spread += (value(i) - first - mean) ** 2
  return spread
}

/** Sums over the given rows of targets (N, K), which are in the units of the data: before they are scaled. */
export function targetSpread(targets: Float32Array, rows: ArrayLike<number>, { offset }: Scaling): TargetSpread {
  const width = offset.length
  const each = <T>(of: (target: number) => T): T[] => offset.map((_, target) => of(target))
  return {
    spread: each(target => spreadOf(rows.length, i => targets[rows[i] * width + target])),
    fromOffset: each(target => {
      let sum = 0
      for (let i = 0; i < rows.length; i++) sum += (targets[rows[i] * width + target] - offset[target]) ** 2
      return sum
    }),
    sizesFromOffset: each(target => {
      let sum = 0
      for (let i = 0; i < rows.length; i++) sum += Math.abs(targets[rows[i] * width + target] - offset[target])
      return sum
    }),
  }
}

/** Mean absolute error of each target, in its unit, from scaled outputs and scaled targets of the same rows. */
export function meanAbsoluteErrors(
  outputs: Float32Array, // (N, K)
  targets: Float32Array, // (N, K)
  { sizesFromOffset }: TargetSpread,
  { factor }: Scaling,
): number[] {
  const width = factor.length
  const rows = outputs.length / width
  return factor.map((of, target) => {
    // A target that was constant in training is always predicted as its offset, whatever the network's output.
    if (of === 0) return sizesFromOffset[target] / rows
    let sum = 0
    for (let at = target; at < outputs.length; at += width) sum += Math.abs(outputs[at] - targets[at])
    return (sum * deviation(of)) / rows
  })
}

/** The scores of one target, from the sum of its squared errors and its spread, over some rows. */
export function targetScore(squaredErrors: number, spread: number, rows: number): TargetScore {
  return { rmse: Math.sqrt(squaredErrors / rows), r2: spread > 0 ? 1 - squaredErrors / spread : null }
}

/** The scores of each target, from squared errors of scaled targets. */
export function targetScores(
  squaredErrors: ArrayLike<number>, // (K)
  { spread, fromOffset }: TargetSpread,
  { factor }: Scaling,
  rows: number,
): TargetScore[] {
  return factor.map((of, target) => {
    // A target that was constant in training is always predicted as its offset, whatever the network's output.
    const errors = of === 0 ? fromOffset[target] : squaredErrors[target] * deviation(of) ** 2
    return targetScore(errors, spread[target], rows)
  })
}

/** The mean over the targets; null if it is undefined for one of them. */
export function meanR2(scores: readonly Pick<TargetScore, 'r2'>[]): number | null {
  let sum = 0
  for (const { r2 } of scores) {
    if (r2 === null) return null
    sum += r2
  }
  return sum / scores.length
}

/** Relative difference up to which spreads of scaled targets count as equal. */
const SAME_SPREAD = 1e-4

/**
 * R² of rows for which only the loss is known, the squared errors' mean over targets: it is determined if the scaled targets have equal
 * spreads, which they have if they were standardised by these rows. null: not determined, or undefined.
 */
export function r2OfLoss(lossSum: number, { spread }: TargetSpread, { factor }: Scaling): number | null {
  const scaled = spread.map((of, target) => of * factor[target] ** 2)
  const [least, most] = [Math.min(...scaled), Math.max(...scaled)]
  if (least <= 0 || most > least * (1 + SAME_SPREAD)) return null
  return 1 - lossSum / (scaled.reduce((sum, of) => sum + of, 0) / scaled.length)
}

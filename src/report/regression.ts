/**
 * Predictions of a regression for the test rows, stored in the run directory as test-results.ts stores those of a
 * classification, and the scores that a report derives from them. Pure; any thread.
 *
 * Letters: `N` test rows, `K` targets.
 */
import * as z from 'zod'
import { spreadOf, targetScore } from '../data/regression-score.js'
import { type RegressionAnswers, rowsByError } from '../inference/row-errors.js'
import { packed, packedOf, unpacked } from './packed.js'

const FORMAT = 'gradloom regression results'
const VERSION = 1
/** Number of rows with the largest errors that a report lists. */
const WORST = 20

export interface RegressionResults extends RegressionAnswers {
  readonly weightsSha256: string
  /** Checkpoint's path, relative to the run directory. */
  readonly checkpoint: string
  readonly note: string | null
  readonly names: readonly string[] // (K)
}

const schema = z.strictObject({
  format: z.literal(FORMAT),
  version: z.literal(VERSION),
  weightsSha256: z.string(),
  checkpoint: z.string(),
  note: z.string().nullable(),
  names: z.array(z.string()).min(1),
  targets: packed,
  predicted: packed,
  factor: z.array(z.number()),
})

export const isRegressionFile = (content: unknown): boolean =>
  (content as { format?: unknown } | null)?.format === FORMAT

export function regressionText({ targets, predicted, factor, names, ...rest }: RegressionResults): string {
  const file: z.infer<typeof schema> = {
    ...{ format: FORMAT, version: VERSION, ...rest, names: [...names] },
    ...{ targets: packedOf(targets), predicted: packedOf(predicted), factor: [...factor] },
  }
  return `${JSON.stringify(file)}\n`
}

/** Parses what `regressionText` writes; throws on anything else. */
export function parsedRegression(content: unknown): RegressionResults {
  const { format: _, version: __, ...file } = schema.parse(content)
  const targets = new Float32Array(unpacked(file.targets, 4))
  const predicted = new Float32Array(unpacked(file.predicted, 4))
  const { length } = file.names
  if (targets.length !== predicted.length || targets.length % length !== 0 || file.factor.length !== length) {
    throw new Error('targets and predictions do not fit each other')
  }
  return { ...file, targets, predicted }
}

export interface TargetScores {
  readonly name: string
  /** Root mean squared error, mean absolute error and mean error, in the target's unit. */
  readonly rmse: number
  readonly mae: number
  readonly bias: number
  /** 1 - squared errors / squared deviations from the mean of these rows; null where they are all the same. */
  readonly r2: number | null
}

export interface TargetValue {
  readonly name: string
  readonly value: number
  readonly truth: number
}

export interface RegressionReport {
  readonly weightsSha256: string
  readonly checkpoint: string
  readonly note: string | null
  readonly rows: number
  readonly targets: readonly TargetScores[] // (K)
  /** Predicted and true value of each row. */
  readonly values: readonly { readonly predicted: Float32Array /* (N) */; readonly truth: Float32Array /* (N) */ }[] // (K)
  /** The largest errors first, each target in standard deviations of the training rows, as `predict --wrong` has it. */
  readonly worst: readonly { readonly index: number; readonly values: readonly TargetValue[] }[]
}

export function regressionReport(results: RegressionResults): RegressionReport {
  const { names, targets, predicted, factor, ...from } = results
  const count = names.length
  const rows = targets.length / count
  const column = (values: Float32Array, k: number) =>
    Float32Array.from({ length: rows }, (_, row) => values[row * count + k])
  const values = names.map((_, k) => ({ predicted: column(predicted, k), truth: column(targets, k) }))
  const scores = names.map((name, k) => ({ name, ...scoresOf(values[k].predicted, values[k].truth) }))
  const worst = rowsByError({ targets, predicted, factor })
    .slice(0, WORST)
    .map(({ index }) => ({
      index,
      values: names.map((name, k) => ({ name, value: values[k].predicted[index], truth: values[k].truth[index] })),
    }))
  return { ...from, rows, targets: scores, values, worst }
}

function scoresOf(predicted: Float32Array, truth: Float32Array): Omit<TargetScores, 'name'> {
  const rows = truth.length
  let [squares, sizes, errors] = [0, 0, 0]
  for (const [row, value] of truth.entries()) {
    const error = predicted[row] - value
    squares += error ** 2
    sizes += Math.abs(error)
    errors += error
  }
  const spread = spreadOf(rows, row => truth[row])
  return { ...targetScore(squares, spread, rows), mae: sizes / rows, bias: errors / rows }
}

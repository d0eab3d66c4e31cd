/**
 * Predictions of yes/no labels for the test rows, stored in the run directory as test-results.ts stores those of a
 * classification, and the scores that a report derives from them. Pure; any thread.
 *
 * Letters: `N` test rows, `K` labels.
 */
import * as z from 'zod'
import { type Calibration, calibrationOf } from '../data/scores/calibration.js'
import { isSet, multiLabelScores } from '../data/scores/classification.js'
import { packed, packedOf, unpacked } from './packed.js'

const FORMAT = 'gradloom label results'
const VERSION = 1

export interface LabelResults {
  readonly weightsSha256: string
  /** Checkpoint's path, relative to the run directory. */
  readonly checkpoint: string
  readonly note: string | null
  readonly labelNames: readonly string[] // (K)
  /** 0 or 1. */
  readonly targets: Float32Array // (N, K)
  readonly probabilities: Float32Array // (N, K)
}

const schema = z.strictObject({
  format: z.literal(FORMAT),
  version: z.literal(VERSION),
  weightsSha256: z.string(),
  checkpoint: z.string(),
  note: z.string().nullable(),
  labelNames: z.array(z.string()).min(1),
  targets: packed,
  probabilities: packed,
})

export const isLabelFile = (content: unknown): boolean => (content as { format?: unknown } | null)?.format === FORMAT

export function labelText({ targets, probabilities, labelNames, ...rest }: LabelResults): string {
  const file: z.infer<typeof schema> = {
    ...{ format: FORMAT, version: VERSION, ...rest, labelNames: [...labelNames] },
    ...{ targets: packedOf(targets), probabilities: packedOf(probabilities) },
  }
  return `${JSON.stringify(file)}\n`
}

/** Parses what `labelText` writes; throws on anything else. */
export function parsedLabels(content: unknown): LabelResults {
  const { format: _, version: __, ...file } = schema.parse(content)
  const targets = new Float32Array(unpacked(file.targets, 4))
  const probabilities = new Float32Array(unpacked(file.probabilities, 4))
  if (targets.length !== probabilities.length || targets.length % file.labelNames.length !== 0) {
    throw new Error('labels and probabilities do not fit each other')
  }
  return { ...file, targets, probabilities }
}

export interface LabelScores {
  readonly name: string
  /** Rows in which the label is yes, in which it is predicted, and those that are right in it. */
  readonly support: number
  readonly predicted: number
  readonly right: number
  /** Scores of the answer yes; null where they would divide by zero. */
  readonly precision: number | null
  readonly recall: number | null
  readonly f1: number | null
  /** null: the label is the same in all rows. */
  readonly rocAuc: number | null
  readonly averagePrecision: number | null
  /** Mean squared difference of probability and truth; and expected calibration error of the answers yes and no. */
  readonly brier: number
  readonly expectedError: number
  /** Probability above which the answer yes has the best F1; null: there is none that finds a row with the label. */
  readonly best: LabelThreshold | null
}

export interface LabelThreshold {
  readonly threshold: number
  readonly precision: number
  readonly recall: number
  readonly f1: number
}

export interface LabelReport {
  readonly weightsSha256: string
  readonly checkpoint: string
  readonly note: string | null
  readonly rows: number
  /** Right labels of all rows together, and their share. */
  readonly right: number
  readonly accuracy: number
  /** Rows that are right in all labels. */
  readonly exact: number
  readonly labels: readonly LabelScores[] // (K)
  /** Calibration of all labels together, each a prediction with the confidence max(p, 1 - p). */
  readonly calibration: Calibration
}

/** Needs at least one row. */
export function labelReport({ labelNames, targets, probabilities, ...from }: LabelResults): LabelReport {
  const width = labelNames.length
  const rows = targets.length / width
  const isRight = (at: number) => isSet(probabilities[at]) === (targets[at] === 1)
  let [right, exact] = [0, 0]
  for (let row = 0; row < rows; row++) {
    const rightHere = labelNames.filter((_, k) => isRight(row * width + k)).length
    right += rightHere
    if (rightHere === width) exact++
  }
  const column = (values: Float32Array, k: number) =>
    Float32Array.from({ length: rows }, (_, row) => values[row * width + k])
  return {
    ...{ ...from, rows, right, accuracy: right / targets.length, exact },
    labels: labelNames.map((name, k) => scoresOf(name, column(targets, k), column(probabilities, k))),
    calibration: calibrationOf(probabilities.map(confidenceOf), isRight),
  }
}

/** Confidence of the answer yes or no. */
const confidenceOf = (p: number): number => Math.max(p, 1 - p)

function scoresOf(
  name: string,
  targets: Float32Array, // (N)
  probabilities: Float32Array, // (N)
): LabelScores {
  let [support, predicted, hits, right] = [0, 0, 0, 0]
  for (const [row, target] of targets.entries()) {
    const [truth, answer] = [target === 1, isSet(probabilities[row])]
    support += Number(truth)
    predicted += Number(answer)
    hits += Number(truth && answer)
    right += Number(truth === answer)
  }
  const ratio = (part: number, whole: number) => (whole > 0 ? part / whole : null)
  const wanted = ['rocAuc', 'averagePrecision'] as const
  const { values } = multiLabelScores({ names: [name], targets, probabilities, logLoss: Number.NaN }, wanted)
  return {
    ...{ name, support, predicted, right },
    precision: ratio(hits, predicted),
    recall: ratio(hits, support),
    f1: ratio(2 * hits, predicted + support),
    ...{ rocAuc: values.rocAuc ?? null, averagePrecision: values.averagePrecision ?? null },
    brier: probabilities.reduce((sum, p, row) => sum + (p - targets[row]) ** 2, 0) / targets.length,
    expectedError: calibrationOf(
      probabilities.map(confidenceOf),
      row => isSet(probabilities[row]) === (targets[row] === 1),
    ).expectedError,
    best: bestThreshold(targets, probabilities, support),
  }
}

/** The largest of the thresholds with the best F1, in the middle between two probabilities. `support`: rows that have the label. */
function bestThreshold(targets: Float32Array, probabilities: Float32Array, support: number): LabelThreshold | null {
  const rows = Array.from(targets.keys()).sort((a, b) => probabilities[b] - probabilities[a])
  let best: LabelThreshold | null = null
  let hits = 0
  for (const [i, row] of rows.entries()) {
    if (probabilities[row] === 0) break // above no threshold
    hits += targets[row]
    const next = i + 1 < rows.length ? probabilities[rows[i + 1]] : 0
    if (next === probabilities[row] && i + 1 < rows.length) continue // rows of one probability have one answer
    const f1 = (2 * hits) / (i + 1 + support)
    if (hits > 0 && f1 > (best?.f1 ?? 0)) {
      const threshold = (probabilities[row] + next) / 2
      best = { threshold, precision: hits / (i + 1), recall: hits / support, f1 }
    }
  }
  return best
}

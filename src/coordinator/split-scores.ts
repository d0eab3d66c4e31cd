/**
 * Scores of a split from the outputs of its rows, in the order of the rows, so that they do not depend on the number of
 * workers. Main thread; reads labels and targets of the shared memory.
 *
 * Letters: `N` rows, `K` outputs.
 */
import { type ScoreName, scoreNamesOf } from '../config/scores.js'
import type { Task } from '../config/tasks.js'
import { takenRows } from '../data/in-memory.js'
import type { InputSpec, Scaling } from '../data/input.js'
import {
  meanAbsoluteErrors,
  meanR2,
  type TargetScore,
  type TargetSpread,
  targetScores,
} from '../data/regression-score.js'
import { classificationScores, multiLabelScores, type ScoredRows } from '../data/scores/classification.js'
import { formatList } from '../format.js'
import type { Score } from '../run/events.js'
import { viewSlot } from '../tensor/arena.js'
import type { Layout } from '../worker/plan/layout.js'
import type { RunPlan, Split } from '../worker/plan/run-plan.js'

/** Scores that follow from the sums of an evaluation. */
const OF_SUMS: readonly ScoreName[] = ['r2', 'rmse']

/** Targets named in a reason. */
const MOST_NAMED = 5

/** A split whose rows were scored. */
interface ScoredSplit {
  readonly plan: RunPlan
  readonly layout: Layout
  readonly memory: WebAssembly.Memory
  readonly input: InputSpec
  readonly split: Split
  /** Outputs of each row: probabilities, or scaled targets. */
  readonly outputs: Float32Array // (N, K)
}

/** Scores of a split, and what the workers summed; outputs only if they were asked for. */
interface SummedSplit extends Omit<ScoredSplit, 'outputs'> {
  readonly outputs: Float32Array | null
  /** Squared errors of each output, for regression. */
  readonly squares: Float64Array // (K)
  /** Spread of the split's targets; null for classes. */
  readonly spread: TargetSpread | null
}

/** Result of scoring a split. A score that is not finite is not a fault of training: no step may be skipped for it. */
export type ScoreResult =
  | {
      readonly kind: 'scored'
      readonly score: Score
      readonly rows: number
      /** Number of samples that are classified correctly, or of labels, of all samples together. */
      readonly correct: number
      /** Scores of each target; empty but for regression. */
      readonly targets: readonly TargetScore[]
    }
  | { readonly kind: 'score-fault'; readonly split: Split; readonly code: number }

/** Scores among those wanted that the task has, and that need the outputs of every row. */
export const scoresOfOutputs = (task: Task, wanted: readonly ScoreName[]): ScoreName[] =>
  wanted.filter(name => scoreNamesOf(task).includes(name) && !OF_SUMS.includes(name))

/** Memory for the outputs of a split's rows, f32, which the workers write. */
export const outputBuffer = ({ rows, widths }: RunPlan, split: Split): SharedArrayBuffer =>
  new SharedArrayBuffer(rows[split] * widths[widths.length - 1] * Float32Array.BYTES_PER_ELEMENT)

/** Result of a split from the workers' sums, and from the outputs of its rows if `names` are wanted. */
export function scoredSplit(
  { outputs, squares, spread, ...split }: SummedSplit,
  { loss, correct, rows }: { readonly loss: number; readonly correct: number; readonly rows: number },
  names: readonly ScoreName[],
): ScoreResult {
  const of = outputs && { ...split, outputs }
  const { targets, classNames } = split.input
  if (targets === null || spread === null) {
    const means = meanScore(split.input, { loss, correct, rows })
    const score = { ...means, ...(of && withReasons(outputScores(of, means.loss, names))) }
    return { kind: 'scored', score, rows, correct, targets: [] }
  }
  const mae = of && absoluteErrors(of, spread, targets)
  const scores = targetScores(squares.subarray(0, targets.factor.length), spread, targets, rows)
  const each = mae ? scores.map((score, k) => ({ ...score, mae: mae[k] })) : scores
  return {
    kind: 'scored',
    score: { loss: loss / rows, ...targetsScore(each, classNames) },
    rows,
    correct,
    targets: each,
  }
}

/** Means over rows. The accuracy is the share of right classes, or of right labels of all rows together; numbers have none. */
export function meanScore(
  { task, classNames }: InputSpec,
  { loss, correct, rows }: { readonly loss: number; readonly correct: number; readonly rows: number },
): Pick<Score, 'loss' | 'accuracy'> {
  const mean = { loss: loss / rows }
  if (task === 'regression') return mean
  return { ...mean, accuracy: correct / (task === 'multi-label' ? rows * classNames.length : rows) }
}

/** Scores of classes or labels. `loss`: mean over the rows. */
function outputScores(of: ScoredSplit, loss: number, names: readonly ScoreName[]): ScoredRows {
  const { plan, layout, memory, input, split, outputs } = of
  const { classNames } = input
  if (input.task === 'multi-label') {
    const { data } = viewSlot(memory, layout.targets[fileOf(split)])
    const targets = takenRows(data, classNames.length, indicesOf(of))
    return multiLabelScores({ names: classNames, targets, probabilities: outputs, logLoss: loss }, names)
  }
  const all = viewSlot(memory, layout.labels[fileOf(split)]).data
  const indices = indicesOf(of)
  const labels = new Int32Array(indices.length)
  for (let i = 0; i < indices.length; i++) labels[i] = all[indices[i]]
  const logLoss = plan.loss === 'cross-entropy' ? loss : null
  return classificationScores({ classNames, labels, outputs, logLoss }, names)
}

const withReasons = ({ values, reasons }: ScoredRows): Partial<Score> => ({
  ...values,
  ...(Object.keys(reasons).length > 0 && { reasons }),
})

/** Mean absolute error of each target, in its unit. (K) */
function absoluteErrors(of: ScoredSplit, spread: TargetSpread, scaling: Scaling): number[] {
  const { layout, memory, split, outputs } = of
  const { data, shape } = viewSlot(memory, layout.targets[fileOf(split)])
  return meanAbsoluteErrors(outputs, takenRows(data, shape[1], indicesOf(of)), spread, scaling)
}

/** Scores over all targets: those in a target's unit if there is one target. */
function targetsScore(each: readonly TargetScore[], names: readonly string[]): Partial<Score> {
  const [{ rmse, mae }] = each
  const ofOne = each.length === 1 && { rmse, ...(mae !== undefined && { mae }) }
  return { r2: meanR2(each), ...ofOne, ...reasonOfR2(each, names) }
}

/** Names the targets without R²: a mean over targets needs it of all of them. */
function reasonOfR2(each: readonly TargetScore[], names: readonly string[]): Pick<Score, 'reasons'> {
  const constant = names.filter((_, k) => each[k].r2 === null).map(name => `'${name}'`)
  if (constant.length === 0) return {}
  const which = each.length === 1 ? 'the target' : `the target ${formatList(constant, MOST_NAMED)}`
  return { reasons: { r2: `${which} is the same in all rows` } }
}

const fileOf = (split: Split) => (split === 'test' ? 'test' : 'train')

/** Sample indices of the split's rows. (N) */
const indicesOf = ({ plan, layout, memory, split }: ScoredSplit): Int32Array =>
  viewSlot(memory, layout.sampleIndices[split]).data.subarray(0, plan.rows[split])

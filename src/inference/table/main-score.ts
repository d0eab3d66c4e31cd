/**
 * Score by which a report judges what a table's columns are worth: the one that the run compares its epochs by, else accuracy
 * or R². Pure; any thread.
 *
 * Letters: `N` rows, `K` outputs: classes, labels or targets.
 */
import { SCORES, type ScoreFacts, type ScoreName, scoreOfMetric } from '../../config/scores.js'
import { meanR2, spreadOf, targetScore } from '../../data/regression-score.js'
import { classificationScores, isSet, multiLabelScores } from '../../data/scores/classification.js'

/** True answers of some rows: classes, or numbers in the units of the data, which are 0 and 1 of labels. */
export type Truth =
  | { readonly task: 'classification'; readonly labels: Int32Array /* (N) */ }
  | { readonly task: 'multi-label' | 'regression'; readonly targets: Float32Array /* (N, K) */ }

export interface MainScore extends Pick<ScoreFacts, 'title' | 'better' | 'form'> {
  /** Score of outputs (N, K) as `predict` returns them; null: undefined for these rows. */
  of(outputs: Float32Array): number | null
}

/** The score that a run names, or accuracy or R² if these outputs (N, K) do not define it; of a constant target RMSE. */
export function definedScore(
  metric: string,
  truth: Truth,
  outputNames: readonly string[],
  outputs: Float32Array,
): MainScore {
  const named = mainScore(metric, truth, outputNames)
  return named.of(outputs) === null ? mainScore('auto', truth, outputNames) : named
}

/** `metric`: `checkpoint.bestMetric`. `outputNames` (K). */
export function mainScore(metric: string, truth: Truth, outputNames: readonly string[]): MainScore {
  const named = metric.endsWith('-loss') ? lossName(truth) : scoreOfMetric(metric)
  const fits = named !== null && (SCORES[named].tasks as readonly string[]).includes(truth.task)
  if (truth.task === 'classification') {
    return fits ? scoreOfClasses(named, truth.labels, outputNames) : accuracy(truth.labels, outputNames.length)
  }
  if (truth.task === 'multi-label') {
    return fits ? scoreOfLabels(named, truth.targets, outputNames) : accuracyOfLabels(truth.targets)
  }
  return scoreOfTargets(fits ? named : 'r2', truth.targets, outputNames.length)
}

const lossName = ({ task }: Truth): ScoreName => (task === 'regression' ? 'rmse' : 'logLoss')

const factsOf = (name: ScoreName) => {
  const { title, better, form }: ScoreFacts = SCORES[name]
  return { title, better, form }
}

function accuracy(labels: Int32Array, classes: number): MainScore {
  return {
    ...{ title: 'accuracy', better: 'higher', form: 'percent' },
    of(outputs) {
      let right = 0
      for (const [row, label] of labels.entries()) if (mostProbable(outputs, row, classes) === label) right++
      return right / labels.length
    },
  }
}

/** The most probable class of a row, the first of equal ones. */
export function mostProbable(outputs: Float32Array, row: number, classes: number): number {
  let best = 0
  for (let c = 1; c < classes; c++) if (outputs[row * classes + c] > outputs[row * classes + best]) best = c
  return best
}

/** Least probability of which a logarithm is taken: the smallest f32, so that 0 has a large loss and not an infinite one. */
const LEAST = 2 ** -149

/** Loss of a row: -log of the probability of its class. */
export const logLossOf = (probability: number): number => -Math.log(Math.max(probability, LEAST))

function scoreOfClasses(name: ScoreName, labels: Int32Array, classNames: readonly string[]): MainScore {
  const classes = classNames.length
  return {
    ...factsOf(name),
    of(outputs) {
      let loss = 0
      for (const [row, label] of labels.entries()) loss += logLossOf(outputs[row * classes + label])
      return (
        classificationScores({ classNames, labels, outputs, logLoss: loss / labels.length }, [name]).values[name] ??
        null
      )
    },
  }
}

/** Share of labels that are right, over all rows and labels. */
function accuracyOfLabels(targets: Float32Array): MainScore {
  return {
    ...{ title: 'accuracy', better: 'higher', form: 'percent' },
    of: outputs =>
      targets.reduce((right, of, at) => right + Number(isSet(outputs[at]) === (of === 1)), 0) / targets.length,
  }
}

function scoreOfLabels(name: ScoreName, targets: Float32Array, names: readonly string[]): MainScore {
  return {
    ...factsOf(name),
    of(outputs) {
      const loss = targets.reduce((sum, of, at) => sum + logLossOf(of === 1 ? outputs[at] : 1 - outputs[at]), 0)
      return (
        multiLabelScores({ names, targets, probabilities: outputs, logLoss: loss / targets.length }, [name]).values[
          name
        ] ?? null
      )
    },
  }
}

function scoreOfTargets(name: ScoreName, targets: Float32Array, count: number): MainScore {
  const rows = targets.length / count
  const spreads = Array.from({ length: count }, (_, k) => spreadOf(rows, row => targets[row * count + k]))
  const of = (outputs: Float32Array, wanted: ScoreName) => {
    const scores = spreads.map((spread, k) => {
      let [squares, sizes] = [0, 0]
      for (let at = k; at < targets.length; at += count) {
        const error = outputs[at] - targets[at]
        squares += error * error
        sizes += Math.abs(error)
      }
      return { ...targetScore(squares, spread, rows), mae: sizes / rows }
    })
    if (wanted === 'r2') return meanR2(scores)
    return scores.reduce((sum, score) => sum + (wanted === 'mae' ? score.mae : score.rmse), 0) / count
  }
  // R² is undefined where all rows have the same target.
  const defined = name === 'r2' && spreads.some(spread => spread === 0) ? 'rmse' : name
  return { ...factsOf(defined), of: outputs => of(outputs, defined) }
}

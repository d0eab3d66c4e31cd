/**
 * Columns of a file of predictions: those that are kept from the data, then the answer, then what it is made of. Pure; any
 * thread.
 *
 * Letters: `B` rows of a chunk, `K` outputs.
 */
import type { Task } from '../../config/tasks.js'
import { isSet } from '../../data/scores/classification.js'
import type { ColumnValues } from '../../data/table/columns.js'

/** Values of one column of the predictions. */
export type OutputValues =
  | { readonly type: 'f32'; readonly values: Float32Array } // (B)
  /** Index in `names`; -1: missing. */
  | { readonly type: 'name'; readonly codes: Int32Array; readonly names: readonly string[] } // (B)
  | ColumnValues

export interface OutputColumn {
  readonly name: string
  readonly values: OutputValues
}

export interface Outputs {
  readonly task: Task
  /** Classes, labels or targets (K). */
  readonly outputNames: readonly string[]
  /** Column of the data that the classes are of; null: it has no name. */
  readonly target: string | null
}

/** Names of the columns that predictions have, in their order: what a file of them, and its reader, can rely on. */
export function predictionNames({ task, outputNames, target }: Outputs): string[] {
  const probabilities = outputNames.map(name => `probability_${name}`)
  switch (task) {
    case 'classification':
      return [`predicted_${target ?? 'class'}`, ...probabilities]
    case 'multi-label':
      return [...outputNames.map(name => `predicted_${name}`), ...probabilities]
    case 'regression':
      return outputNames.map(name => `predicted_${name}`)
  }
}

/** Columns of the outputs (B, K) of a chunk. */
export function predictionColumns(outputs: Outputs, values: Float32Array): OutputColumn[] {
  const count = outputs.outputNames.length
  const rows = values.length / count
  const names = predictionNames(outputs)
  const columns = outputs.outputNames.map((_, k) => {
    const column = new Float32Array(rows)
    for (let row = 0; row < rows; row++) column[row] = values[row * count + k]
    return { type: 'f32' as const, values: column }
  })
  return [...answerOf(outputs, values, columns), ...columns].map((values, i) => ({ name: names[i], values }))
}

/** Answer that the probabilities give; none for regression, whose outputs are the answer. */
function answerOf(
  { task, outputNames }: Outputs,
  values: Float32Array, // (B, K)
  columns: readonly { readonly values: Float32Array }[],
): OutputValues[] {
  switch (task) {
    case 'classification':
      return [{ type: 'name', codes: mostProbable(values, outputNames.length), names: outputNames }]
    case 'multi-label':
      return columns.map(({ values: probabilities }) => ({
        type: 'boolean',
        values: Float64Array.from(probabilities, probability => Number(isSet(probability))),
      }))
    case 'regression':
      return []
  }
}

/** The most probable class of each row; the first of several that are equal, as `evaluate` counts. */
function mostProbable(values: Float32Array, classes: number): Int32Array {
  const codes = new Int32Array(values.length / classes)
  for (let row = 0; row < codes.length; row++) {
    const first = row * classes
    let best = first
    for (let i = first + 1; i < first + classes; i++) if (values[i] > values[best]) best = i
    codes[row] = best - first
  }
  return codes
}

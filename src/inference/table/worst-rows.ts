/**
 * Test rows of a table with the largest losses, with their raw values. Main thread.
 *
 * Letters: `N` rows, `K` outputs.
 */
import type { DatasetSource } from '../../data/source.js'
import { kindOf } from '../../data/table/encoding.js'
import { answersOf, type TestSamples } from '../examples.js'
import type { Predictor } from '../predictor.js'
import { rowsByError } from '../row-errors.js'
import { fieldTexts } from './field-text.js'
import { logLossOf, mostProbable } from './main-score.js'

/** A class with the probabilities of the true and of the predicted one, or a number for each target, a probability for each label. */
export type RowAnswer =
  | {
      readonly truth: string
      readonly predicted: string
      readonly probabilityOfTruth: number
      readonly confidence: number
    }
  | { readonly values: readonly { readonly name: string; readonly value: number; readonly truth: number }[] }

export interface WorstRow {
  /** Index among the test rows, from 0, as `predict --index` has it. */
  readonly index: number
  /** Index in the table, from 0. */
  readonly fileRow: number
  /** -log of the probability of the true class, or the mean squared error: in standard deviations of targets, of labels' probabilities. */
  readonly loss: number
  readonly answer: RowAnswer
  /** Raw values; null where one is missing. */
  readonly fields: readonly (string | null)[]
}

const MOST_ROWS = 20

interface Judged {
  readonly index: number
  readonly loss: number
  readonly answer: RowAnswer
}

/** `columns`: names of the fields, in their order. */
export async function worstRows(
  predictor: Predictor,
  test: TestSamples,
  fieldsOf: NonNullable<DatasetSource['fields']>,
  columns: readonly string[],
): Promise<WorstRow[]> {
  const judged = predictor.task === 'classification' ? worstClasses(predictor, test) : worstNumbers(predictor, test)
  const { chunk, fileRows } = await fieldsOf(
    'test',
    judged.map(({ index }) => index),
  )
  const kinds = new Map(predictor.source.input.table!.columns.map(each => [each.column, kindOf(each)]))
  const texts = columns.map(name => fieldTexts(chunk.columns.get(name)!, kinds.get(name) ?? null))
  return judged.map((row, i) => ({ ...row, fileRow: fileRows[i], fields: texts.map(values => values[i]) }))
}

function worstClasses(predictor: Predictor, { features, labels }: TestSamples): Judged[] {
  const { classNames, source } = predictor
  const classes = classNames.length
  const { data } = predictor.predict(features) // (N, K)
  const isProbability = source.experiment.train.loss === 'cross-entropy'
  const lossOf = (row: number): number => {
    const at = row * classes
    if (isProbability) return logLossOf(data[at + labels[row]])
    let sum = 0
    for (let c = 0; c < classes; c++) sum += (data[at + c] - (c === labels[row] ? 1 : 0)) ** 2
    return sum / classes
  }
  const losses = Float64Array.from(labels, (_, row) => lossOf(row))
  return largest(losses).map(index => {
    const predicted = mostProbable(data, index, classes)
    return {
      ...{ index, loss: losses[index] },
      answer: {
        ...{ truth: classNames[labels[index]], predicted: classNames[predicted] },
        probabilityOfTruth: data[index * classes + labels[index]],
        confidence: data[index * classes + predicted],
      },
    }
  })
}

/** Numbers, or probabilities of labels. */
function worstNumbers(predictor: Predictor, test: TestSamples): Judged[] {
  const { outputNames: names } = predictor
  const answers = answersOf(predictor, test)
  const { targets, predicted } = answers // (N, K)
  return rowsByError(answers)
    .slice(0, MOST_ROWS)
    .map(({ index, squaredError }) => {
      const at = index * names.length
      const values = names.map((name, k) => ({ name, value: predicted[at + k], truth: targets[at + k] }))
      return { index, loss: squaredError, answer: { values } }
    })
}

/** Indices of the largest values, by index among equals. */
const largest = (values: Float64Array): number[] =>
  Array.from(values.keys())
    .sort((a, b) => values[b] - values[a] || a - b)
    .slice(0, MOST_ROWS)

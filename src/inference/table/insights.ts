/**
 * Insights into a run on a table, beside its scores: how important each column is, how outputs depend on the most important
 * ones, and which test rows have the largest losses. The same run and data give the same numbers. Main thread.
 *
 * Letters: `N` rows, `F` features, `K` outputs.
 */
import type { Task } from '../../config/tasks.js'
import type { MatchedSource } from '../../data/match.js'
import type { TableChunk } from '../../data/table/columns.js'
import { encodeRows } from '../../data/table/encode.js'
import { featureCount, type TableEncoding } from '../../data/table/encoding.js'
import { targetValues } from '../../data/table/targets.js'
import { Purpose, permutation } from '../../tensor/random.js'
import type { TestSamples } from '../examples.js'
import type { Predictor } from '../predictor.js'
import { type Dependence, dependenceRows, MOST_DEPENDENCES, partialDependence } from './dependence.js'
import { type Importance, importanceRows, permutationImportance, placesOf, REPEATS } from './importance.js'
import { definedScore, type Truth } from './main-score.js'
import { type WorstRow, worstRows } from './worst-rows.js'

export interface TableInsights {
  readonly task: Task
  /** Split that importance and dependence are computed from, and all of its rows; `importance.rows` of them were used. */
  readonly split: 'validation' | 'test'
  readonly available: number
  readonly importance: Importance
  /** Names of the outputs. */
  readonly outputs: readonly string[] // (K)
  /** Dependence on the most important columns, these first; means are over `dependenceRows` rows. */
  readonly dependence: readonly Dependence[]
  readonly dependenceRows: number
  /** Columns of the fields of `worst`, the most important first. */
  readonly columns: readonly string[]
  readonly worst: readonly WorstRow[]
  /** Columns of the table that the network does not take, with reasons. */
  readonly unused: TableEncoding['unused']
}

export interface TableModel {
  readonly predictor: Predictor
  readonly data: MatchedSource
  readonly test: TestSamples
}

/** True if a model and its data are a table with raw values at hand. */
export const isTable = ({ predictor, data }: TableModel): boolean =>
  predictor.source.input.table !== undefined && data.fields !== undefined

/** Needs a table with at least one validation or test row. */
export async function tableInsights({ predictor, data, test }: TableModel): Promise<TableInsights> {
  const encoding = predictor.source.input.table!
  const { seed, checkpoint } = predictor.source.experiment
  const { split, part, first, available } = scoredPart(data)
  const places = placesOf(encoding)
  const rows = importanceRows(predictor, encoding, available)
  const sampled = permutation(available, seed, Purpose.importance, places.length * REPEATS)
    .subarray(0, rows)
    .sort()
  const { chunk } = await data.fields!(
    part,
    sampled.map(row => first + row),
  )
  const features = new Float32Array(rows * featureCount(encoding)) // (N, F)
  encodeRows(encoding, chunk, features)
  const outputs = predictor.predict(features).data
  const score = definedScore(checkpoint.bestMetric, truthOf(predictor, chunk), predictor.outputNames, outputs)
  const importance = permutationImportance(predictor, encoding, features, score, seed)
  const some = evenRows(features, rows, dependenceRows(predictor, rows))
  const ranked = [...importance.columns.map(({ column }) => column), ...importance.skipped]
  return {
    ...{ task: predictor.task, split, available, importance, outputs: predictor.outputNames, unused: encoding.unused },
    dependence: ranked.slice(0, MOST_DEPENDENCES).map(column => {
      const place = places.find(each => each.encoding.column === column)!
      return partialDependence(predictor, place, chunk, some)
    }),
    dependenceRows: some.length / featureCount(encoding),
    columns: ranked,
    worst: await worstRows(predictor, test, data.fields!, ranked),
  }
}

/** The validation rows, which lie behind the training rows, or the test rows if there are none. */
function scoredPart({ train, test, validationFrom = train.rows }: MatchedSource) {
  if (validationFrom < train.rows) {
    return {
      split: 'validation',
      part: 'train',
      first: validationFrom,
      available: train.rows - validationFrom,
    } as const
  }
  return { split: 'test', part: 'test', first: 0, available: test.rows } as const
}

function truthOf({ task, outputNames, source }: Predictor, chunk: TableChunk): Truth {
  const found = targetValues(source.checkpoint, chunk, source.input.table!.targets, task)
  if (found.task !== 'classification') return { task: found.task, targets: Float32Array.from(found.values) }
  const place = found.names.map(name => outputNames.indexOf(name))
  return { task: found.task, labels: found.labels.map(label => place[label]) }
}

/** `count` of the rows (N, F), at equal distances. */
function evenRows(features: Float32Array, rows: number, count: number): Float32Array {
  const width = features.length / rows
  const taken = new Float32Array(count * width)
  for (let i = 0; i < count; i++) {
    const from = Math.floor((i * rows) / count) * width
    taken.set(features.subarray(from, from + width), i * width)
  }
  return taken
}

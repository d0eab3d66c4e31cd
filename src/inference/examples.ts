/**
 * Samples of the test split to look at: all of them, some at random, or those that a network gets wrong. Main thread.
 *
 * Letters: `N` samples, `F` features of one, `K` targets or labels.
 */

import { type LoadedFile, openDataset } from '../data/dataset.js'
import { type MatchedSource, matchModel } from '../data/match.js'
import { isSet } from '../data/scores/classification.js'
import type { Features } from '../data/source.js'
import { ConfigError } from '../errors.js'
import { locateDataOf, type MovedData } from '../run/locate-data.js'
import { inputSize } from '../tensor/input-shape.js'
import { Purpose, permutation } from '../tensor/random.js'
import type { ClassPrediction, Predictor } from './predictor.js'
import { type RegressionAnswers, type RowError, rowsByError } from './row-errors.js'

export interface TestSamples {
  readonly rows: number
  readonly features: Features // (N, F): bytes of images, or numbers in the units of the data
  readonly labels: Int32Array // (N), the classes; else zeros
  readonly targets: Float32Array // (N, K), in the units of the data, or 0 and 1; empty for classification
  /** Files that they were read from. */
  readonly files: readonly LoadedFile[]
}

export interface Mistake extends ClassPrediction {
  readonly index: number
  readonly truth: number
}

/**
 * The data set that a run was trained on, images or a table, as its model takes it. Throws DataError where the data are
 * missing or are not those that the model takes.
 */
export async function openDataOf({ source }: Predictor, moved: MovedData = {}): Promise<MatchedSource> {
  const { data: located } = await locateDataOf(source.experiment, source, moved)
  return matchModel(await openDataset(located, { baseDir: source.baseDir, model: source.input }), source.input)
}

/** The test split of the data set that a run was trained on. Throws as `openDataOf`. */
export async function loadTestSamples(predictor: Predictor, moved: MovedData = {}): Promise<TestSamples> {
  return testSamplesOf(predictor, await openDataOf(predictor, moved))
}

/** The test split of an open data set. Throws DataError for a sample that cannot be read. */
export async function testSamplesOf(predictor: Predictor, data: MatchedSource): Promise<TestSamples> {
  const { rows } = data.test
  const features = new (data.dtype === 'uint8' ? Uint8Array : Float32Array)(rows * inputSize(predictor))
  const labels = new Int32Array(rows)
  const targets = new Float32Array(data.task === 'classification' ? 0 : rows * data.classes)
  const { files } = await data.load('test', features, labels, targets)
  return { rows, features, labels, targets, files }
}

/** Features (F) of one of them, by its index from 0. A view. Throws ConfigError. */
export function testSample(test: TestSamples, index: number): Features {
  if (!Number.isInteger(index) || index < 0 || index >= test.rows) {
    throw new ConfigError(`index is ${index}, expected an integer from 0 to ${test.rows - 1}`)
  }
  const size = test.features.length / test.rows
  return test.features.subarray(index * size, (index + 1) * size)
}

/** Different indices, `count` of them or all where there are fewer; a pure function of the seed. */
export function randomIndices(test: TestSamples, count: number, seed: number): number[] {
  return [...permutation(test.rows, seed, Purpose.examples, 0).subarray(0, count)]
}

/** Predictions of a network of regression, or of labels, for every sample. */
export function answersOf(predictor: Predictor, { features, targets }: TestSamples): RegressionAnswers {
  const { input } = predictor.source
  const factor = input.targets?.factor ?? predictor.outputNames.map(() => 1)
  return { targets, predicted: predictor.predict(features).data, factor }
}

/** Samples with a label that the network misses, those with the largest squared errors of the probabilities first. */
export function labelMistakes(predictor: Predictor, test: TestSamples): RowError[] {
  const answers = answersOf(predictor, test)
  const width = predictor.outputNames.length
  const isWrong = (at: number) => isSet(answers.predicted[at]) !== (answers.targets[at] === 1)
  const hasMistake = ({ index }: RowError) => predictor.outputNames.some((_, k) => isWrong(index * width + k))
  return rowsByError(answers).filter(hasMistake)
}

/** Samples whose class the network misses, the surest first, by index among equals. */
export function findMistakes(predictor: Predictor, { features, labels }: TestSamples): Mistake[] {
  return predictor
    .predictClasses(features)
    .map((prediction, index) => ({ ...prediction, index, truth: labels[index] }))
    .filter(({ label, truth }) => label !== truth)
    .sort((a, b) => b.confidence - a.confidence || a.index - b.index)
}

/**
 * Test images to look at: all of them, some at random, or those that a network gets wrong. Main thread.
 *
 * Letters: `N` test images, or rows of numbers, `F` features of one, `K` targets of regression.
 */
import { type LoadedFile, openDataset } from '../data/dataset.js'
import { matchModel } from '../data/match.js'
import type { Features } from '../data/source.js'
import { ConfigError } from '../errors.js'
import { locateDataOf, type MovedData } from '../run/locate-data.js'
import { Purpose, permutation } from '../tensor/random.js'
import type { Prediction, Predictor } from './predictor.js'
import type { RegressionAnswers } from './row-errors.js'

export interface TestImages {
  readonly rows: number
  readonly images: Features // (N, F)
  readonly labels: Int32Array // (N); of regression zeros
  readonly targets: Float32Array // (N, K), in the units of the data; of classification none
  /** Files that the images were read from. */
  readonly files: readonly LoadedFile[]
}

export interface Mistake extends Prediction {
  readonly index: number
  readonly truth: number
}

/** The test split of the data set that a run was trained on. */
export async function loadTestImages({ source, widths }: Predictor, moved: MovedData = {}): Promise<TestImages> {
  const { data: located } = await locateDataOf(source.experiment, source, moved)
  const data = matchModel(await openDataset(located, { baseDir: source.baseDir }), source.input)
  const { rows } = data.test
  const images = new (data.dtype === 'uint8' ? Uint8Array : Float32Array)(rows * widths[0])
  const labels = new Int32Array(rows)
  const targets = new Float32Array(data.task === 'regression' ? rows * data.classes : 0)
  const { files } = await data.load('test', images, labels, targets)
  return { rows, images, labels, targets, files }
}

/** One image of them, by its index from 0. A view. */
export function testImage(test: TestImages, index: number): Features {
  if (!Number.isInteger(index) || index < 0 || index >= test.rows) {
    throw new ConfigError(`index is ${index}, expected an integer from 0 to ${test.rows - 1}`)
  }
  const features = test.images.length / test.rows
  return test.images.subarray(index * features, (index + 1) * features)
}

/** `count` different indices (all, where there are fewer), a pure function of the seed. */
export function randomIndices(test: TestImages, count: number, seed: number): number[] {
  return [...permutation(test.rows, seed, Purpose.examples, 0).subarray(0, count)]
}

/** Regression predictions for every test row. */
export function answersOf(predictor: Predictor, { images, targets }: TestImages): RegressionAnswers {
  return { targets, predicted: predictor.probabilities(images).data, factor: predictor.source.input.targets!.factor }
}

/** Every test image whose class the network misses: those it was surest of first, by index among equals. */
export function findMistakes(predictor: Predictor, { images, labels }: TestImages): Mistake[] {
  return predictor
    .predict(images)
    .map((prediction, index) => ({ ...prediction, index, truth: labels[index] }))
    .filter(({ label, truth }) => label !== truth)
    .sort((a, b) => b.confidence - a.confidence || a.index - b.index)
}

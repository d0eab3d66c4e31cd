/** Predictions for test samples and picture files, with everything that is shown beside them. Main thread. */
import type { Features } from '../data/source.js'
import { ConfigError } from '../errors.js'
import { readBytes } from '../picture/picture.js'
import { preparePicture } from '../picture/prepare.js'
import { type TestSamples, testSample } from './examples.js'
import type { Predictor } from './predictor.js'

export interface ClassProbability {
  readonly label: number
  readonly className: string
  readonly probability: number
}

export interface PredictedValue {
  readonly name: string
  readonly value: number
  /** null for a picture file. */
  readonly truth: number | null
}

export interface Answer {
  /** Index in the test split; null for a picture file. */
  readonly index: number | null
  /** Picture file as it was named; null for a test sample. */
  readonly file: string | null
  /** Steps of the picture's preparation. */
  readonly steps: readonly string[]
  /** Features that the network was given. */
  readonly features: Features // (F)
  /** Features as an image. */
  readonly pixels: Uint8Array // (height, width)
  /** The most probable classes, the predicted one first; empty for regression. */
  readonly top: readonly ClassProbability[]
  /** Predicted targets in the units of the data; empty for classification. */
  readonly values: readonly PredictedValue[]
  readonly truth: { readonly label: number; readonly className: string } | null
}

const TOP = 3

export function askAboutTest(predictor: Predictor, test: TestSamples, indices: readonly number[]): Answer[] {
  return indices.map(index => {
    const features = testSample(test, index)
    const pixels = visible(predictor, features)
    const about = { index, file: null, steps: [], features, pixels }
    if (predictor.task === 'regression') {
      return { ...about, top: [], truth: null, values: valuesOf(predictor, features, test, index) }
    }
    const label = test.labels[index]
    const truth = { label, className: predictor.classNames[label] }
    return { ...about, top: topOf(predictor, features), values: [], truth }
  })
}

/** Throws PictureError with the name of a file that cannot be read, ConfigError where the network takes no images. */
export async function askAboutFiles(predictor: Predictor, files: readonly string[]): Promise<Answer[]> {
  const { height, width, source } = predictor
  if (files.length > 0 && source.input.dtype !== 'uint8') {
    throw new ConfigError(
      `${source.checkpoint}: takes rows of numbers, expected a network of images to predict the class of a picture`,
    )
  }
  const answers: Answer[] = []
  for (const file of files) {
    const { preparation } = source.input
    const { pixels, steps } = await preparePicture(file, await readBytes(file), preparation, { height, width })
    const about = { index: null, file, steps, features: pixels, pixels, truth: null }
    answers.push(
      source.input.targets
        ? { ...about, top: [], values: valuesOf(predictor, pixels, null, 0) }
        : { ...about, top: topOf(predictor, pixels), values: [] },
    )
  }
  return answers
}

/** Bytes as they are; numbers as grey for the mean, white and black for three standard deviations from it. */
function visible({ source: { input } }: Predictor, features: Features): Uint8Array {
  if (features instanceof Uint8Array) return features
  if (!input.scaling) return new Uint8Array(features.length)
  const { offset, factor } = input.scaling
  return Uint8Array.from(features, (x, f) => Math.min(Math.max(128 + ((x - offset[f]) * factor[f] * 127) / 3, 0), 255))
}

function valuesOf(predictor: Predictor, features: Features, test: TestSamples | null, index: number): PredictedValue[] {
  const { data } = predictor.predict(features)
  const first = index * data.length
  return predictor.targetNames.map((name, k) => ({
    ...{ name, value: data[k], truth: test ? test.targets[first + k] : null },
  }))
}

const topOf = (predictor: Predictor, features: Features): ClassProbability[] =>
  topClasses([...predictor.predict(features).data], predictor.classNames)

/** The most probable classes, the first of equal ones first. */
export function topClasses(probabilities: readonly number[], classNames: readonly string[]): ClassProbability[] {
  return probabilities
    .map((probability, label) => ({ label, className: classNames[label], probability }))
    .sort((a, b) => b.probability - a.probability || a.label - b.label)
    .slice(0, TOP)
}

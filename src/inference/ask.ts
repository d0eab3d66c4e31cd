/** Predictions for test samples and picture files, with everything that is shown beside them. Main thread. */
import { isSet } from '../data/scores/classification.js'
import type { Features } from '../data/source.js'
import { ConfigError } from '../errors.js'
import { readBytes } from '../picture/picture.js'
import { preparePicture } from '../picture/prepare.js'
import { type TestSamples, testSample } from './examples.js'
import { aroundMean } from './layers.js'
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

/** Answer about one yes/no label. */
export interface PredictedLabel {
  readonly name: string
  readonly isSet: boolean
  readonly probability: number
  /** null for a picture file. */
  readonly truth: boolean | null
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
  readonly pixels: Uint8Array // (height, width, channels)
  /** The most probable classes, the predicted one first; empty for another task. */
  readonly top: readonly ClassProbability[]
  /** Labels of multi-label; empty for another task. */
  readonly labels: readonly PredictedLabel[]
  /** Predicted targets in the units of the data; empty but for regression. */
  readonly values: readonly PredictedValue[]
  readonly truth: { readonly label: number; readonly className: string } | null
}

const TOP = 3

export function askAboutTest(predictor: Predictor, test: TestSamples, indices: readonly number[]): Answer[] {
  return indices.map(index => {
    const features = testSample(test, index)
    const pixels = visible(predictor, features)
    const about = { index, file: null, steps: [], features, pixels }
    const label = test.labels[index]
    const truth = predictor.task === 'classification' ? { label, className: predictor.classNames[label] } : null
    return { ...about, ...answerTo(predictor, features, test, index), truth }
  })
}

/** Throws PictureError with the name of a file that cannot be read, ConfigError where the network takes no images. */
export async function askAboutFiles(predictor: Predictor, files: readonly string[]): Promise<Answer[]> {
  const { source } = predictor
  if (files.length > 0 && source.input.dtype !== 'uint8') {
    throw new ConfigError(
      `${source.checkpoint}: takes rows of numbers, expected a network of images to predict the class of a picture`,
    )
  }
  const answers: Answer[] = []
  for (const file of files) {
    const { pixels, steps } = await preparePicture(file, await readBytes(file), source.input)
    const about = { index: null, file, steps, features: pixels, pixels, truth: null }
    answers.push({ ...about, ...answerTo(predictor, pixels, null, 0) })
  }
  return answers
}

/** Bytes as they are; numbers as grey for the mean, white and black for three standard deviations from it. */
function visible({ source: { input } }: Predictor, features: Features): Uint8Array {
  if (features instanceof Uint8Array) return features
  if (!input.scaling) return new Uint8Array(features.length)
  const { offset, factor } = input.scaling
  return aroundMean(Array.from(features, (x, f) => (x - offset[f]) * factor[f]))
}

/** Answer about one sample in the form of the task; `test` is null for a picture file. */
function answerTo(
  predictor: Predictor,
  features: Features,
  test: TestSamples | null,
  index: number,
): Pick<Answer, 'top' | 'labels' | 'values'> {
  const none = { top: [], labels: [], values: [] }
  const { data } = predictor.predict(features)
  const truthOf = (k: number) => (test === null ? null : test.targets[index * data.length + k])
  switch (predictor.task) {
    case 'classification':
      return { ...none, top: topClasses(data, predictor.classNames) }
    case 'multi-label': {
      const labels = predictor.labelNames.map((name, k) => {
        const truth = truthOf(k)
        return { name, isSet: isSet(data[k]), probability: data[k], truth: truth === null ? null : truth === 1 }
      })
      return { ...none, labels }
    }
    case 'regression':
      return { ...none, values: predictor.targetNames.map((name, k) => ({ name, value: data[k], truth: truthOf(k) })) }
  }
}

/** The most probable classes, the first of equal ones first. */
export function topClasses(probabilities: ArrayLike<number>, classNames: readonly string[]): ClassProbability[] {
  const top: number[] = []
  for (let label = 0; label < probabilities.length; label++) {
    let place = top.length
    while (place > 0 && probabilities[label] > probabilities[top[place - 1]]) place--
    if (place < TOP) top.splice(place, 0, label)
    if (top.length > TOP) top.pop()
  }
  return top.map(label => ({ label, className: classNames[label], probability: probabilities[label] }))
}

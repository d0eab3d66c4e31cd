/** Questions to a network, about test images and pictures of one's own, with all that one may want to see. Main thread. */
import type { Features } from '../data/source.js'
import { ConfigError } from '../errors.js'
import { readPicture } from '../picture/picture.js'
import { preparationFor, prepare } from '../picture/prepare.js'
import { type TestImages, testImage } from './examples.js'
import type { Predictor } from './predictor.js'

export interface ClassProbability {
  readonly label: number
  readonly className: string
  readonly probability: number
}

export interface Answer {
  /** Of the test split; null for a picture of one's own. */
  readonly index: number | null
  /** The picture as it was named; null for a test image. */
  readonly file: string | null
  /** What was done to the picture. */
  readonly steps: readonly string[]
  /** What the network saw, for the eye. */
  readonly pixels: Uint8Array // (height, width)
  /** The most probable classes, the first being what is predicted. */
  readonly top: readonly ClassProbability[]
  readonly truth: { readonly label: number; readonly className: string } | null
}

const TOP = 3

export function askAboutTest(predictor: Predictor, test: TestImages, indices: readonly number[]): Answer[] {
  return indices.map(index => {
    const features = testImage(test, index)
    const pixels = visible(predictor, features)
    const label = test.labels[index]
    const truth = { label, className: predictor.classNames[label] }
    return { index, file: null, steps: [], pixels, top: topOf(predictor, features), truth }
  })
}

/** Rejects with a PictureError that names the file, whichever of them cannot be read. */
export async function askAboutFiles(predictor: Predictor, files: readonly string[]): Promise<Answer[]> {
  const { height, width, source } = predictor
  if (files.length > 0 && source.input.dtype !== 'uint8') {
    throw new ConfigError(
      `${source.checkpoint}: learned from numbers, expected a network of images to ask about pictures`,
    )
  }
  const preparation = preparationFor(source.experiment.data.dataset, height, width)
  const answers: Answer[] = []
  for (const file of files) {
    const { pixels, steps } = prepare(file, await readPicture(file), preparation, { height, width })
    answers.push({ index: null, file, steps, pixels, top: topOf(predictor, pixels), truth: null })
  }
  return answers
}

/** Bytes as they are; of numbers, grey for the mean, and white and black three standard deviations from it. */
function visible({ source: { input } }: Predictor, features: Features): Uint8Array {
  if (features instanceof Uint8Array) return features
  const { offset, factor } = input.scaling!
  return Uint8Array.from(features, (x, f) => Math.min(Math.max(128 + ((x - offset[f]) * factor[f] * 127) / 3, 0), 255))
}

const topOf = (predictor: Predictor, features: Features): ClassProbability[] =>
  topClasses([...predictor.probabilities(features).data], predictor.classNames)

/** The most probable classes, the first of equal ones first. */
export function topClasses(probabilities: readonly number[], classNames: readonly string[]): ClassProbability[] {
  return probabilities
    .map((probability, label) => ({ label, className: classNames[label], probability }))
    .sort((a, b) => b.probability - a.probability || a.label - b.label)
    .slice(0, TOP)
}

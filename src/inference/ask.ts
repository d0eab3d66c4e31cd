/** Questions to a network, about test images and pictures of one's own, with all that one may want to see. Main thread. */
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
  /** What the network saw. */
  readonly pixels: Uint8Array // (height, width)
  /** The most probable classes, the first being what is predicted. */
  readonly top: readonly ClassProbability[]
  readonly truth: { readonly label: number; readonly className: string } | null
}

const TOP = 3

export function askAboutTest(predictor: Predictor, test: TestImages, indices: readonly number[]): Answer[] {
  return indices.map(index => {
    const pixels = testImage(test, index)
    const label = test.labels[index]
    const truth = { label, className: predictor.classNames[label] }
    return { index, file: null, steps: [], pixels, top: topOf(predictor, pixels), truth }
  })
}

/** Rejects with a PictureError that names the file, whichever of them cannot be read. */
export async function askAboutFiles(predictor: Predictor, files: readonly string[]): Promise<Answer[]> {
  const { height, width, source } = predictor
  const preparation = preparationFor(source.experiment.data.dataset, height, width)
  const answers: Answer[] = []
  for (const file of files) {
    const { pixels, steps } = prepare(file, await readPicture(file), preparation, { height, width })
    answers.push({ index: null, file, steps, pixels, top: topOf(predictor, pixels), truth: null })
  }
  return answers
}

const topOf = (predictor: Predictor, pixels: Uint8Array): ClassProbability[] =>
  topClasses([...predictor.probabilities(pixels).data], predictor.classNames)

/** The most probable classes, the first of equal ones first. */
export function topClasses(probabilities: readonly number[], classNames: readonly string[]): ClassProbability[] {
  return probabilities
    .map((probability, label) => ({ label, className: classNames[label], probability }))
    .sort((a, b) => b.probability - a.probability || a.label - b.label)
    .slice(0, TOP)
}

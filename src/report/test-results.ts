/**
 * Results of a run's weights on the test images, as far as a report shows them. The first report computes them, not `train`, because most
 * runs are never reported; they are stored in the run directory (stored-results.ts), so that later reports need neither the weights nor
 * the data set, and are identical to the byte. Main thread.
 *
 * Letters: `N` test images, `F` features of one, `U` units of a layer.
 */
import { relative } from 'node:path'
import * as z from 'zod'
import { askAboutTest } from '../inference/ask.js'
import { answersOf, findMistakes, type TestSamples, testSample } from '../inference/examples.js'
import { type LayerSummary, summarizeLayers } from '../inference/layers.js'
import type { Predictor } from '../inference/predictor.js'
import { inputSize } from '../tensor/input-shape.js'
import { isLabelFile, type LabelResults, labelText, parsedLabels } from './labels.js'
import { packed, packedOf, unpacked } from './packed.js'
import { isRegressionFile, parsedRegression, type RegressionResults, regressionText } from './regression.js'
import type { RunFiles } from './run-files.js'
import type { RunModel } from './run-model.js'
import { type Missing, type StoredResults, storedOrComputed } from './stored-results.js'

export const TEST_RESULTS = 'test-results.json'

/** Number of most confident mistakes that are stored, with their images. */
const MISTAKES = 24

const FORMAT = 'gradloom test results'
const VERSION = 1

export interface KeptAnswer {
  /** Index among the test images, from 0. */
  readonly index: number
  readonly truth: number
  readonly pixels: Uint8Array // (F)
  /** Most probable classes; the first is the prediction. */
  readonly top: readonly { readonly label: number; readonly probability: number }[]
}

export interface KeptExample {
  readonly index: number
  readonly truth: number
  readonly layers: readonly Omit<LayerSummary, 'active' | 'least' | 'most'>[]
  /** Bytes of an image whose features are scaled otherwise than by 255. */
  readonly pixels?: Uint8Array // (F)
}

export interface TestResults {
  readonly weightsSha256: string
  /** Checkpoint's path, relative to the run directory. */
  readonly checkpoint: string
  /** Note on how the results were computed, shown to the reader. */
  readonly note: string | null
  readonly height: number
  readonly width: number
  readonly channels: number
  readonly classNames: readonly string[]
  readonly labels: Int32Array // (N)
  readonly predicted: Int32Array // (N)
  readonly confidence: Float32Array // (N)
  /** Mistakes, the most confident first. */
  readonly mistakes: readonly KeptAnswer[]
  /** Activations for the first correct image and for the most confident mistake. */
  readonly examples: readonly KeptExample[]
}

type AnyResults = TestResults | LabelResults | RegressionResults
/** Results, or the reason why there are none. */
export type TestResultsOrReason = AnyResults | Missing

/** Reads or computes the results of a run; see storedOrComputed. `open` opens what computing them needs. */
export function testResultsOf(
  run: RunFiles,
  onWarning: (text: string) => void,
  open: () => Promise<RunModel>,
  isAnew = false,
): Promise<TestResultsOrReason> {
  return storedOrComputed(run, STORED, async digest => computed(run.path, digest, await open()), { onWarning, isAnew })
}

function computed(path: string, weightsSha256: string, { predictor, test }: RunModel): AnyResults {
  const { source, note, outputNames: names } = predictor
  const checkpoint = relative(path, source.checkpoint).replaceAll('\\', '/')
  const about = { weightsSha256, checkpoint, note }
  const resultsOfTask = {
    classification: () => ({ ...about, ...resultsOf(predictor, test) }),
    'multi-label': () => {
      const { targets, predicted: probabilities } = answersOf(predictor, test)
      return { ...about, labelNames: names, targets, probabilities }
    },
    regression: () => ({ ...about, names, ...answersOf(predictor, test) }),
  } as const
  return resultsOfTask[predictor.task]()
}

function fileText(results: AnyResults): string {
  if ('labelNames' in results) return labelText(results)
  return 'names' in results ? regressionText(results) : textOf(results)
}

function resultsOf(
  predictor: Predictor,
  test: TestSamples,
): Omit<TestResults, 'weightsSha256' | 'checkpoint' | 'note'> {
  const { height, width, channels, classNames, source } = predictor
  const predictions = predictor.predictClasses(test.features)
  const worst = findMistakes(predictor, test).slice(0, MISTAKES)
  const answers = askAboutTest(
    predictor,
    test,
    worst.map(({ index }) => index),
  )
  const firstRight = predictions.findIndex(({ label }, i) => label === test.labels[i])
  const shown = [...(firstRight < 0 ? [] : [firstRight]), ...worst.slice(0, 1).map(({ index }) => index)]
  return {
    ...{ height, width, channels, classNames },
    labels: test.labels,
    predicted: Int32Array.from(predictions, ({ label }) => label),
    confidence: Float32Array.from(predictions, ({ confidence }) => confidence),
    mistakes: answers.map(({ index, pixels, top, truth }) => ({
      index: index!,
      truth: truth!.label,
      pixels: pixels.slice(),
      top: top.map(({ label, probability }) => ({ label, probability })),
    })),
    examples: shown.map(index => {
      const sample = testSample(test, index)
      const isScaled = sample instanceof Uint8Array && source.input.scaling !== null
      return {
        index,
        truth: test.labels[index],
        layers: summarizeLayers(predictor, sample).map(({ layer, kind, units, values, maps }) => ({
          ...{ layer, kind, units, values },
          ...(maps && { maps }),
        })),
        ...(isScaled && { pixels: sample.slice() }),
      }
    }),
  }
}

const STORED: StoredResults<AnyResults> = {
  name: TEST_RESULTS,
  parse(content) {
    if (isLabelFile(content)) return parsedLabels(content)
    return isRegressionFile(content) ? parsedRegression(content) : parsed(content)
  },
  text: fileText,
}

const count = z.int().min(0)
const schema = z
  .strictObject({
    format: z.literal(FORMAT),
    version: z.literal(VERSION),
    weightsSha256: z.string(),
    checkpoint: z.string(),
    note: z.string().nullable(),
    height: z.int().min(1),
    width: z.int().min(1),
    channels: z.union([z.literal(1), z.literal(3)]).default(1),
    classNames: z.array(z.string()).min(1),
    labels: packed,
    predicted: packed,
    confidence: packed,
    mistakes: z.array(
      z.strictObject({
        index: count,
        truth: count,
        pixels: packed,
        top: z.array(z.strictObject({ label: count, probability: z.number() })).min(1),
      }),
    ),
    examples: z.array(
      z.strictObject({
        index: count,
        truth: count,
        pixels: packed.optional(),
        layers: z.array(
          z
            .strictObject({
              ...{ layer: count, kind: z.enum(['input', 'hidden', 'output']), units: count, values: packed },
              maps: z.strictObject({ height: count, width: count, channels: count }).optional(),
            })
            .refine(({ units, maps }) => maps === undefined || inputSize(maps) === units),
        ),
      }),
    ),
  })
  .readonly()

/** Content of `test-results.json`: arrays packed little-endian, in base64. */
export function textOf(results: TestResults): string {
  const { labels, predicted, confidence, mistakes, examples, channels, ...rest } = results
  const file: z.input<typeof schema> = {
    ...{ format: FORMAT, version: VERSION },
    ...{ ...rest, classNames: [...rest.classNames] },
    ...(channels === 3 && { channels }),
    ...{ labels: packedOf(labels), predicted: packedOf(predicted), confidence: packedOf(confidence) },
    mistakes: mistakes.map(({ pixels, top, ...answer }) => ({ ...answer, top: [...top], pixels: packedOf(pixels) })),
    examples: examples.map(({ layers, pixels, ...example }) => ({
      ...example,
      ...(pixels && { pixels: packedOf(pixels) }),
      layers: layers.map(({ values, ...layer }) => ({ ...layer, values: packedOf(values) })),
    })),
  }
  return `${JSON.stringify(file)}\n`
}

/** Parses what `textOf` writes; throws on anything else. */
function parsed(content: unknown): TestResults {
  const { format: _, version: __, ...file } = schema.parse(content)
  const classes = file.classNames.length
  const labels = new Int32Array(unpacked(file.labels, 4))
  const predicted = new Int32Array(unpacked(file.predicted, 4))
  const confidence = new Float32Array(unpacked(file.confidence, 4))
  const sameRows = labels.length === predicted.length && labels.length === confidence.length
  const known = (label: number) => label >= 0 && label < classes
  const shown = [...file.mistakes, ...file.examples]
  const right =
    [...labels, ...predicted, ...shown.map(({ truth }) => truth)].every(known) &&
    file.mistakes.every(({ top }) => top.every(({ label }) => known(label))) &&
    confidence.every(sure => sure >= 0 && sure <= 1)
  if (!sameRows || !right) throw new Error('labels, predictions and confidences do not fit each other')
  return {
    ...file,
    ...{ labels, predicted, confidence },
    mistakes: file.mistakes.map(({ pixels, ...answer }) => ({
      ...answer,
      pixels: ofSize(new Uint8Array(unpacked(pixels, 1)), inputSize(file)),
    })),
    examples: file.examples.map(({ layers, pixels, ...example }) => ({
      ...example,
      ...(pixels && { pixels: ofSize(new Uint8Array(unpacked(pixels, 1)), inputSize(file)) }),
      layers: layers.map(({ values, ...layer }) => ({
        ...layer,
        values: ofSize(new Float32Array(unpacked(values, 4)), layer.units),
      })),
    })),
  }
}

function ofSize<T extends { readonly length: number }>(values: T, size: number): T {
  if (values.length !== size) throw new Error(`${values.length} values, expected ${size}`)
  return values
}

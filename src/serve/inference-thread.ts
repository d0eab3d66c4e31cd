/**
 * Thread that evaluates a server's networks: piscina calls the default export with one task after the other. It keeps the
 * newest requested network of each run, and its test images once they are requested.
 *
 * Letters: `B` images or rows, `F` features of one, `C` classes or targets.
 */
import { basename } from 'node:path'
import type { Features } from '../data/source.js'
import { ConfigError } from '../errors.js'
import { loadTestSamples, type TestSamples, testSample } from '../inference/examples.js'
import { type LayerSummary, summarizeLayers } from '../inference/layers.js'
import type { BackendName } from '../inference/model.js'
import { type Outcome, outcomeOf } from '../inference/outcome.js'
import { Predictor } from '../inference/predictor.js'
import type { ModelFacts, TestImageJson } from './protocol.js'

/** Identifies a network: its run, and the checkpoint. */
export interface ModelKey {
  readonly run: string
  readonly target: string
  /** Version of the weights; a different one means newer weights. */
  readonly version: string
  readonly backend: BackendName | undefined
}

export type Question =
  | { readonly ask: 'facts' }
  | { readonly ask: 'probabilities'; readonly images: Features /* (B, F) */ }
  | { readonly ask: 'layers'; readonly image: Features /* (F) */ }
  | { readonly ask: 'images'; readonly indices: readonly number[] }
  | { readonly ask: 'spread'; readonly count: number; readonly turn: number }
  | { readonly ask: 'mistakes'; readonly count: number; readonly look: number }

export interface Answers {
  readonly facts: ModelFacts
  readonly probabilities: Float32Array // (B, C)
  readonly layers: LayerSummary[]
  readonly images: { readonly rows: number; readonly images: readonly TestImageJson[] }
  readonly spread: Answers['images']
  readonly mistakes: {
    readonly rows: number
    readonly looked: number
    readonly wrong: number
    readonly mistakes: readonly { image: TestImageJson; predicted: number; confidence: number }[]
  }
}

export interface InferenceTask {
  readonly model: ModelKey
  readonly question: Question
}

interface Loaded {
  readonly version: string
  readonly predictor: Predictor
  test?: Promise<TestSamples>
}

const loaded = new Map<string, Loaded>()

export default async function answer({ model, question }: InferenceTask): Promise<Outcome<unknown>> {
  return outcomeOf(async () => reply(await load(model), question))
}

async function load({ run, target, version, backend }: ModelKey): Promise<Loaded> {
  const known = loaded.get(run)
  if (known?.version === version) return known
  const predictor = await Predictor.open(target, { backend })
  const now: Loaded = { version, predictor, ...(known?.test && { test: known.test }) }
  loaded.set(run, now)
  return now
}

async function reply(model: Loaded, question: Question): Promise<Answers[Question['ask']]> {
  const { predictor } = model
  switch (question.ask) {
    case 'facts':
      return factsOf(predictor)
    case 'probabilities':
      return predictor.predict(question.images).data
    case 'layers':
      return summarizeLayers(predictor, question.image)
    case 'images':
      return pick(predictor, await testOf(model), question.indices)
    case 'spread': {
      const test = await testOf(model)
      return pick(predictor, test, spreadOver(test, predictor.classNames.length, question.count, question.turn))
    }
    case 'mistakes':
      return mistakesOf(predictor, await testOf(model), question)
    default:
      return question satisfies never
  }
}

function factsOf({
  height,
  width,
  channels,
  outputNames,
  featureNames,
  widths,
  note,
  source,
  task,
  backend,
}: Predictor): ModelFacts {
  const { checkpoint, experiment, input } = source
  return {
    ...{
      checkpoint,
      height,
      width,
      channels,
      classNames: outputNames,
      widths,
      note,
      backend: `${backend.name}: ${backend.reason}`,
      dataset: experiment.data.dataset,
      preparation: input.preparation,
      background: input.background,
    },
    input: input.dtype === 'uint8' ? 'image' : 'row',
    features: featureNames,
    table: source.input.table ?? null,
    task,
  }
}

/** Loads the test images; a failure is not remembered, because the data set may be there the next time. */
async function testOf(model: Loaded): Promise<TestSamples> {
  const { input, task, checkpoint } = factsOf(model.predictor)
  if (input !== 'image' || task !== 'classification') {
    throw new ConfigError(`${basename(checkpoint)}: has no images of classes to show, expected a network of such`, {
      hint: 'predict --wrong and report show the rows with the largest errors',
    })
  }
  model.test ??= loadTestSamples(model.predictor)
  try {
    return await model.test
  } catch (error) {
    delete model.test
    throw error
  }
}

function pick({ classNames }: Predictor, test: TestSamples, indices: readonly number[]): Answers['images'] {
  return { rows: test.rows, images: indices.map(index => imageJson(classNames, test, index)) }
}

function imageJson(classNames: readonly string[], test: TestSamples, index: number): TestImageJson {
  const pixels = Buffer.from(testSample(test, index)).toString('base64')
  const label = test.labels[index]
  return { index, label, className: classNames[label], pixels }
}

/** Chooses images of all classes in rotation; another `turn` gives other images. */
function spreadOver({ labels }: TestSamples, classes: number, count: number, turn: number): number[] {
  const ofClass: number[][] = Array.from({ length: classes }, () => [])
  for (const [index, label] of labels.entries()) ofClass[label]?.push(index)
  const each = Math.ceil(count / classes)
  const filled = ofClass.filter(indices => indices.length > 0)
  const picked = Array.from({ length: each }, (_, i) =>
    filled.map(indices => indices[(turn * each + i) % indices.length]),
  )
  return [...new Set(picked.flat())].slice(0, count)
}

function mistakesOf(
  predictor: Predictor,
  test: TestSamples,
  { count, look }: Extract<Question, { ask: 'mistakes' }>,
): Answers['mistakes'] {
  const looked = Math.min(look, test.rows)
  const size = test.features.length / test.rows
  const wrong = predictor
    .predictClasses(test.features.subarray(0, looked * size))
    .map((prediction, index) => ({ ...prediction, index }))
    .filter(({ label, index }) => label !== test.labels[index])
    .sort((a, b) => b.confidence - a.confidence || a.index - b.index)
  const mistakes = wrong.slice(0, count).map(({ label, confidence, index }) => ({
    image: imageJson(predictor.classNames, test, index),
    predicted: label,
    confidence,
  }))
  return { rows: test.rows, looked, wrong: wrong.length, mistakes }
}

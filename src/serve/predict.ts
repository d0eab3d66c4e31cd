/** `POST /predict`: images of a request to what a network says of them. Server's thread. */
import { basename } from 'node:path'
import type { FastifyRequest } from 'fastify'
import { topClasses } from '../inference/ask.js'
import type { Prepared } from '../picture/prepare.js'
import { NotFoundError, RequestError } from './errors.js'
import type { Inference } from './inference.js'
import { LIMITS } from './limits.js'
import type { LayerJson, ModelFacts, PredictionJson, PredictResponse } from './protocol.js'
import type { Registry, ServedRun } from './registry.js'

type ImageJson = readonly number[] | string

interface Body {
  readonly run?: string
  readonly image?: ImageJson
  readonly images?: readonly ImageJson[]
  readonly layers?: boolean
}

interface Ready extends Prepared {
  readonly isPicture: boolean
}

export function predictHandler(registry: Registry, inference: Inference) {
  return async ({ body }: FastifyRequest): Promise<PredictResponse> => {
    const { run: id, image, layers = false, ...given } = body as Body
    if ((image === undefined) === (given.images === undefined)) {
      throw new RequestError(
        `body: has ${image === undefined ? 'neither image nor images' : 'image and images'}, expected one of them`,
      )
    }
    const images = given.images ?? [image!]
    if (layers && images.length > 1) {
      throw new RequestError(`layers: there are ${images.length} images, expected one where layers are asked for`)
    }
    const pictures = images.filter(given => typeof given === 'string').length
    if (pictures > LIMITS.pictures) {
      throw new RequestError(`images: ${pictures} are pictures, expected at most ${LIMITS.pictures}`)
    }
    const run = id === undefined ? await firstWithWeights(registry, inference) : findRun(registry, id)
    const facts = await inference.facts(run)
    const ready = await Promise.all(
      images.map((given, i) => imageOf(image === undefined ? `images[${i}]` : 'image', given, facts, inference)),
    )
    const answer = { run: run.id, checkpoint: basename(facts.checkpoint) }
    if (layers) return { ...answer, predictions: [await withLayers(run, facts, ready[0], inference)] }
    const pixels = ready.map(({ pixels }) => pixels)
    const all = await inference.probabilities(run, pixels)
    return { ...answer, predictions: ready.map((one, i) => predictionOf(facts, one, all[i], one.isPicture)) }
  }
}

export function findRun(registry: Registry, id: string): ServedRun {
  const run = registry.get(id)
  if (run) return run
  const ids = registry.list().map(({ id }) => id)
  throw new NotFoundError(`run is '${id}', expected ${ids.length > 0 ? ids.join(', ') : 'one that has begun'}`)
}

async function firstWithWeights(registry: Registry, inference: Inference): Promise<ServedRun> {
  let failure: unknown
  for (const run of registry.list()) {
    try {
      await inference.facts(run)
      return run
    } catch (error) {
      failure = error
    }
  }
  throw failure ?? new NotFoundError('there is no run yet')
}

async function imageOf(where: string, given: ImageJson, facts: ModelFacts, inference: Inference): Promise<Ready> {
  if (typeof given === 'string') {
    return { ...(await inference.prepare(where, bytesOf(where, given), facts)), isPicture: true }
  }
  const { height, width } = facts
  if (given.length !== height * width) {
    throw new RequestError(
      `${where}: has ${given.length} numbers, expected ${height * width}; an image is ${height} x ${width}`,
    )
  }
  const pixels = new Uint8Array(given.length)
  // The schema has seen to their range. A loop: `Uint8Array.from` took a sixth of the thread's time.
  for (let i = 0; i < pixels.length; i++) pixels[i] = Math.round(given[i])
  return { pixels, steps: [`taken as given: ${width} x ${height} numbers from 0 to 255`], isPicture: false }
}

function bytesOf(where: string, text: string): Uint8Array {
  const base64 = text.startsWith('data:') ? text.slice(text.indexOf(',') + 1) : text
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) {
    throw new RequestError(`${where}: is a text that is not base64, expected a PNG or JPEG file in base64`)
  }
  return Buffer.from(base64, 'base64')
}

function predictionOf(
  { classNames }: ModelFacts,
  { pixels, steps }: Prepared,
  probabilities: ArrayLike<number>,
  withPixels: boolean,
): PredictionJson {
  const all = Array.from(probabilities)
  const top = topClasses(all, classNames)
  const { label, className, probability: confidence } = top[0]
  return {
    ...{ label, className, confidence, top, probabilities: all, preprocessing: steps },
    ...(withPixels && { pixels: [...pixels] }),
  }
}

async function withLayers(
  run: ServedRun,
  facts: ModelFacts,
  ready: Ready,
  inference: Inference,
): Promise<PredictionJson> {
  const layers = await inference.ask(run, { ask: 'layers', image: ready.pixels })
  const json = layers.map(({ values, ...layer }): LayerJson => ({ ...layer, values: Array.from(values) }))
  return { ...predictionOf(facts, ready, layers[layers.length - 1].values, true), layers: json }
}

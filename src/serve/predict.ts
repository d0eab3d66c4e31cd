/** `POST /predict`: predictions for the images or rows of a request. Server's thread. */
import { basename } from 'node:path'
import type { FastifyRequest } from 'fastify'
import { isSet } from '../data/scores/classification.js'
import type { Features } from '../data/source.js'
import type { TableEncoding } from '../data/table/encoding.js'
import { featuresOfRows } from '../data/table/rows.js'
import { DataError } from '../errors.js'
import { topClasses } from '../inference/ask.js'
import { type InputShape, inputSize, shapeText } from '../tensor/input-shape.js'
import { NotFoundError, RequestError } from './errors.js'
import type { Inference } from './inference.js'
import { LIMITS } from './limits.js'
import { PixelBody } from './pixel-body.js'
import type { LayerJson, ModelFacts, PredictionJson, PredictResponse } from './protocol.js'
import type { Registry, ServedRun } from './registry.js'

/** Pixels, as bytes where they were read so, or a picture file in base64. */
type ImageJson = readonly number[] | Uint8Array | string

type FieldJson = string | number | boolean | null

/** Features, or a table's columns, in the order of the model, or by name. */
type RowJson = readonly FieldJson[] | Readonly<Record<string, FieldJson>>

interface Body {
  readonly run?: string
  readonly image?: ImageJson
  readonly images?: readonly ImageJson[]
  readonly row?: RowJson
  readonly rows?: readonly RowJson[]
  readonly layers?: boolean
}

/** Inputs of a request, with their names there. */
type Asked =
  | { readonly input: 'image'; readonly where: string; readonly given: ImageJson }
  | { readonly input: 'row'; readonly where: string; readonly given: RowJson }

interface Ready {
  readonly features: Features
  readonly steps: readonly string[]
  readonly isPicture: boolean
}

export function predictHandler(registry: Registry, inference: Inference) {
  return async ({ body: given }: FastifyRequest): Promise<PredictResponse> => {
    const body: Body = given instanceof PixelBody ? given.content : (given as Body)
    const { run: id, layers = false } = body
    const asked = askedOf(body)
    const [{ input }] = asked
    if (layers && asked.length > 1) {
      throw new RequestError(`layers: there are ${asked.length} ${input}s, expected one where layers are asked for`)
    }
    const pictures = asked.filter(({ given }) => typeof given === 'string').length
    if (pictures > LIMITS.pictures) {
      throw new RequestError(`images: ${pictures} are pictures, expected at most ${LIMITS.pictures}`)
    }
    const run = id === undefined ? await firstFor(input, registry, inference) : findRun(registry, id)
    const facts = await inference.facts(run)
    if (facts.input !== input) {
      const wanted =
        facts.input === 'row'
          ? `row or rows, of ${facts.table ? `${facts.table.columns.length} fields` : `${facts.width} numbers`}`
          : 'image or images'
      throw new RequestError(`${asked[0].where}: ${run.id} does not take it, expected ${wanted}`)
    }
    const waiting = asked.map(one => readyOf(one, facts, inference))
    // Most requests have no picture file to wait for, and a promise costs as much as what is done here.
    const ready = pictures === 0 ? (waiting as Ready[]) : await Promise.all(waiting)
    const answer = { run: run.id, checkpoint: basename(facts.checkpoint) }
    if (layers) return { ...answer, predictions: [await withLayers(run, facts, ready[0], inference)] }
    const all = await inference.probabilities(
      run,
      ready.map(({ features }) => features),
    )
    return { ...answer, predictions: ready.map((one, i) => predictionOf(facts, one, all[i], one.isPicture)) }
  }
}

function askedOf({ image, images, row, rows }: Body): readonly Asked[] {
  const given = Object.entries({ image, images, row, rows }).filter(([, value]) => value !== undefined)
  if (given.length !== 1) {
    const has = given.length === 0 ? 'none of image, images, row and rows' : given.map(([key]) => key).join(' and ')
    throw new RequestError(`body: has ${has}, expected one of them`)
  }
  if (image !== undefined) return [{ input: 'image', where: 'image', given: image }]
  if (row !== undefined) return [{ input: 'row', where: 'row', given: row }]
  return [
    ...(images ?? []).map((given, i): Asked => ({ input: 'image', where: `images[${i}]`, given })),
    ...(rows ?? []).map((given, i): Asked => ({ input: 'row', where: `rows[${i}]`, given })),
  ]
}

export function findRun(registry: Registry, id: string): ServedRun {
  const run = registry.get(id)
  if (run) return run
  const ids = registry.list().map(({ id }) => id)
  throw new NotFoundError(`run is '${id}', expected ${ids.length > 0 ? ids.join(', ') : 'one that has begun'}`)
}

/** Chooses the first run with weights that accepts the inputs; where none does, the first with weights, whose error explains. */
async function firstFor(input: Asked['input'], registry: Registry, inference: Inference): Promise<ServedRun> {
  let other: ServedRun | undefined
  let failure: unknown
  for (const run of registry.list()) {
    try {
      if ((await inference.facts(run)).input === input) return run
      other ??= run
    } catch (error) {
      failure = error
    }
  }
  if (other) return other
  throw failure ?? new NotFoundError('there is no run yet')
}

/** Features of an input; those of a picture file come later. */
function readyOf(asked: Asked, facts: ModelFacts, inference: Inference): Ready | Promise<Ready> {
  const { where } = asked
  if (asked.input === 'row' && facts.table !== null) {
    return { features: encodedRow(where, asked.given, facts.table), steps: [], isPicture: false }
  }
  const given = asked.input === 'row' ? inOrder(where, asked.given, facts) : asked.given
  if (typeof given === 'string') return pictureOf(where, given, facts, inference)
  const size = inputSize(facts)
  const isImage = asked.input === 'image'
  if (given.length !== size) {
    const what = isImage ? `an image is ${shapeText(facts)}` : 'a row has the features of the data'
    throw new RequestError(`${where}: has ${given.length} numbers, expected ${size}; ${what}`)
  }
  if (!isImage) return { features: rowOf(where, given), steps: [], isPicture: false }
  const features = given instanceof Uint8Array ? given : roundedPixels(given)
  return { features, steps: [`taken as given: ${givenText(facts)} numbers from 0 to 255`], isPicture: false }
}

const givenText = ({ height, width, channels }: InputShape): string =>
  channels === 1 ? `${width} x ${height}` : `${width} x ${height} x ${channels}`

async function pictureOf(where: string, given: string, facts: ModelFacts, inference: Inference): Promise<Ready> {
  const { pixels, steps } = await inference.prepare(where, bytesOf(where, given), facts)
  return { features: pixels, steps, isPicture: true }
}

/** Pixels as bytes; the schema has checked their range. A loop, because `Uint8Array.from` took a sixth of the thread's time. */
function roundedPixels(given: readonly number[]): Uint8Array {
  const pixels = new Uint8Array(given.length)
  for (let i = 0; i < pixels.length; i++) pixels[i] = Math.round(given[i])
  return pixels
}

/** The features of a table's row. Columns that the model does not take are ignored, null is a missing value. */
function encodedRow(where: string, given: RowJson, table: TableEncoding): Float32Array {
  try {
    return featuresOfRows(table, [given], where, () => where)
  } catch (error) {
    if (error instanceof DataError) throw new RequestError(error.message)
    throw error
  }
}

/** The features of a row as numbers in the order of the model; names that it does not have are a mistake of the sender. */
function inOrder(where: string, given: RowJson, { features }: ModelFacts): readonly number[] {
  if (isArray(given)) return given.map((value, i) => numberOf(`${where}[${i}]`, value))
  if (features === null) throw new RequestError(`${where}: has names, expected an array: the features have no names`)
  const missing = features.filter(name => !Object.hasOwn(given, name))
  const unknown = Object.keys(given).filter(name => !features.includes(name))
  if (missing.length === 0 && unknown.length === 0)
    return features.map(name => numberOf(`${where}.${name}`, given[name]))
  const found = [
    ...(missing.length > 0 ? [`has no ${missing.join(', ')}`] : []),
    ...(unknown.length > 0 ? [`has ${unknown.join(', ')}, which the model does not take`] : []),
  ]
  throw new RequestError(`${where}: ${found.join(' and ')}; expected ${features.join(', ')}`)
}

const isArray = (given: RowJson): given is readonly FieldJson[] => Array.isArray(given)

function numberOf(where: string, value: FieldJson): number {
  if (typeof value === 'number') return value
  throw new RequestError(`${where}: is ${JSON.stringify(value)}, must be number`)
}

function rowOf(where: string, given: ArrayLike<number>): Float32Array {
  const features = Float32Array.from(given)
  const wrong = features.findIndex(value => !Number.isFinite(value))
  if (wrong < 0) return features
  throw new RequestError(`${where}[${wrong}]: is ${given[wrong]}, expected a number that is finite in f32`)
}

function bytesOf(where: string, text: string): Uint8Array {
  const base64 = text.startsWith('data:') ? text.slice(text.indexOf(',') + 1) : text
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) {
    throw new RequestError(`${where}: is a text that is not base64, expected a picture file in base64`)
  }
  return Buffer.from(base64, 'base64')
}

function predictionOf(
  { classNames, task, input }: ModelFacts,
  { features, steps }: Ready,
  outputs: ArrayLike<number>,
  withPixels: boolean,
): PredictionJson {
  const all = numbersOf(outputs)
  const about = { preprocessing: steps, ...(withPixels && input === 'image' && { pixels: [...features] }) }
  switch (task) {
    case 'regression':
      return { values: classNames.map((name, k) => ({ name, value: all[k] })), ...about }
    case 'multi-label':
      return {
        labels: classNames.map((name, k) => ({ name, isSet: isSet(all[k]), probability: all[k] })),
        ...about,
      }
    case 'classification': {
      const top = topClasses(all, classNames)
      const { label, className, probability: confidence } = top[0]
      return { label, className, confidence, top, probabilities: all, ...about }
    }
  }
}

/** Copy as plain numbers. A loop, because `Array.from` of a typed array takes ten times as long. */
function numbersOf(values: ArrayLike<number>): number[] {
  const numbers = new Array<number>(values.length)
  for (let i = 0; i < values.length; i++) numbers[i] = values[i]
  return numbers
}

async function withLayers(
  run: ServedRun,
  facts: ModelFacts,
  ready: Ready,
  inference: Inference,
): Promise<PredictionJson> {
  const layers = await inference.ask(run, { ask: 'layers', image: ready.features })
  const json = layers.map(({ values, ...layer }): LayerJson => ({ ...layer, values: numbersOf(values) }))
  return { ...predictionOf(facts, ready, layers[layers.length - 1].values, true), layers: json }
}

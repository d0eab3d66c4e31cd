/**
 * The JSON API as data: routes, request and response bodies, as JSON Schema. The server validates requests and serialises
 * responses with it; `GET /openapi.json` is generated from it, so the two cannot differ. Any thread.
 */
import { TASKS } from '../config/tasks.js'
import { LIMITS } from './limits.js'

type Schema = Readonly<Record<string, unknown>>

export interface Operation {
  readonly method: 'GET' | 'POST'
  readonly url: string
  readonly schema: {
    readonly summary: string
    readonly description?: string
    readonly params?: Schema
    readonly querystring?: Schema
    readonly body?: Schema
    readonly response: Readonly<Record<string, Schema>>
  }
}

const text = { type: 'string' } as const
const number = { type: 'number' } as const
const count = { type: 'integer', minimum: 0 } as const
const list = (items: Schema): Schema => ({ type: 'array', items })
const nullable = (schema: Schema): Schema => ({ ...schema, nullable: true })

/** Schema of an object with exactly these properties, all required but the ones named. */
function object(properties: Readonly<Record<string, Schema>>, ...optional: string[]): Schema {
  const required = Object.keys(properties).filter(name => !optional.includes(name))
  return { type: 'object', additionalProperties: false, required, properties }
}
const anything: Schema = { type: 'object', additionalProperties: true }

const IMAGE: Schema = {
  description:
    'Either all pixels of one image, row by row, 0 for background to 255, as in the data set: they are used as they are. Or a picture file (PNG, JPEG, WebP, AVIF, TIFF, GIF) in base64, with or without a "data:" prefix, of any size: it is prepared as `predict --image` does.',
  anyOf: [
    { type: 'array', minItems: 1, maxItems: LIMITS.features, items: { type: 'number', minimum: 0, maximum: 255 } },
    { type: 'string', minLength: 16 },
  ],
}

const FIELD: Schema = { type: ['number', 'string', 'boolean', 'null'] }

const ROW: Schema = {
  description:
    'The features of one row as they are in the data, neither shifted nor scaled: an array in the order of `features` of the model, or an object by their names; of a table the columns of `table`, with null for a missing value.',
  anyOf: [
    { type: 'array', minItems: 1, maxItems: LIMITS.features, items: FIELD },
    { type: 'object', additionalProperties: FIELD },
  ],
}

const share = object({ label: count, className: text, probability: number })
const layer = object(
  {
    layer: count,
    kind: { type: 'string', enum: ['input', 'hidden', 'output'] },
    units: count,
    active: { ...number, description: 'Share of units above 0.' },
    least: number,
    most: number,
    values: list(number),
    maps: {
      ...object({ height: count, width: count, channels: count }),
      description:
        'Of a convolution: the shape of its feature maps, whose values are in the order (height, width, channels).',
    },
  },
  'maps',
)
const prediction = object(
  {
    label: count,
    className: text,
    confidence: { ...number, description: 'Probability of the class, 0 to 1.' },
    top: { ...list(share), description: 'The three most probable classes.' },
    probabilities: { ...list(number), description: 'Of every class, in order.' },
    values: {
      ...list(object({ name: text, value: number })),
      description: 'Of regression, which has no classes: every target by name, in the units of the data.',
    },
    labels: {
      ...list(object({ name: text, isSet: { type: 'boolean' }, probability: number })),
      description: 'Of multi-label, which has no classes: every label by name, set if its probability is above 0.5.',
    },
    preprocessing: { ...list(text), description: 'Steps applied to the image before the network.' },
    pixels: { ...list(count), description: 'What the network saw; for pictures, and for images with `layers`.' },
    layers: { ...list(layer), description: 'Outputs of every layer, with `layers: true`.' },
  },
  ...['label', 'className', 'confidence', 'top', 'probabilities', 'labels', 'values', 'pixels', 'layers'],
)

const runEntry = {
  id: text,
  name: text,
  status: { type: 'string', enum: ['running', 'completed', 'interrupted', 'failed', 'stopped', 'weights'] },
  dataset: text,
  hidden: { ...list(count), description: 'Units of the hidden layers.' },
  checkpoint: nullable({ ...text, description: 'The newest; null before the first.' }),
}
const model = object({
  checkpoint: text,
  height: count,
  width: count,
  channels: { ...count, description: '3 for pictures in colour: numbers are (height, width, channels).' },
  input: { type: 'string', enum: ['image', 'row'], description: 'Kind of input that `POST /predict` takes.' },
  features: nullable({ ...list(text), description: 'Names of the features of a row, in its order.' }),
  table: nullable({
    type: 'object',
    additionalProperties: true,
    description: 'Columns of a table, and how they become features.',
  }),
  task: { type: 'string', enum: TASKS },
  classNames: {
    ...list(text),
    description: 'Of multi-label the names of the labels, of regression those of the targets.',
  },
  widths: list(count),
  backend: { ...text, description: 'Kernels of predictions, and why these.' },
  dataset: text,
  preparation: {
    type: 'string',
    enum: ['mnist', 'fashion-mnist', 'plain'],
    description: 'Of pictures, see docs/data.md.',
  },
  background: nullable({ ...list(count), description: 'Red, green and blue behind transparent pixels.' }),
  note: nullable(text),
})
const testImage = { index: count, label: count, className: text, pixels: { ...text, description: 'Bytes in base64.' } }

const failure = object(
  { statusCode: count, error: text, message: text, hint: { ...text, description: 'Advice.' } },
  'hint',
)
const responses = (good: Schema, ...also: number[]): Operation['schema']['response'] => ({
  200: good,
  ...Object.fromEntries([400, 403, 429, 500, ...also].map(status => [status, failure])),
})
const ofRun: Schema = object({ id: { ...text, maxLength: LIMITS.runId, description: 'As `GET /runs` has it.' } })
const within = (least: number, most: number, standard: number): Schema => ({
  ...{ type: 'integer', minimum: least, maximum: most, default: standard },
})

export const OPERATIONS = {
  predict: {
    method: 'POST',
    url: '/predict',
    schema: {
      summary: 'Predictions for one or more images, or rows of numbers',
      description: `At most ${LIMITS.images} images, ${LIMITS.pictures} of them picture files, in ${LIMITS.bodyBytes} bytes. Give one of \`image\`, \`images\`, \`row\` and \`rows\`; of rows there may be as many as of images. Requests that arrive together are computed together.`,
      body: object(
        {
          run: {
            ...text,
            maxLength: LIMITS.runId,
            description: 'Default: the first run that has weights and accepts the input.',
          },
          image: IMAGE,
          images: { type: 'array', minItems: 1, maxItems: LIMITS.images, items: IMAGE },
          row: ROW,
          rows: { type: 'array', minItems: 1, maxItems: LIMITS.images, items: ROW },
          layers: {
            type: 'boolean',
            description: 'Also return the outputs of every layer; for a single image or row.',
          },
        },
        ...['run', 'image', 'images', 'row', 'rows', 'layers'],
      ),
      response: responses(
        object({ run: text, checkpoint: text, predictions: list(prediction) }),
        ...[404, 408, 409, 411, 413, 415],
      ),
    },
  },
  runs: {
    method: 'GET',
    url: '/runs',
    schema: { summary: 'The runs that this server shows', response: responses(list(object(runEntry))) },
  },
  run: {
    method: 'GET',
    url: '/runs/:id',
    schema: {
      summary: 'One run: experiment, summary, metrics, and the facts about its network',
      description:
        '`metrics` are the events of `metrics.jsonl`, at most 16 MiB of them, the first ones; numbers that are not finite are words. `model` is null before the first checkpoint.',
      params: ofRun,
      response: responses(
        object({
          ...runEntry,
          experiment: anything,
          summary: nullable(anything),
          model: nullable(model),
          metrics: list(anything),
          metricsAreWhole: { type: 'boolean' },
        }),
        404,
      ),
    },
  },
  images: {
    method: 'GET',
    url: '/runs/:id/images',
    schema: {
      summary: 'Test images of the data set that a run was trained on, of all classes in turns',
      params: ofRun,
      querystring: object(
        { count: within(1, 100, 30), turn: { ...within(0, 1e6, 0), description: 'Another number, other images.' } },
        'count',
        'turn',
      ),
      response: responses(
        object({ height: count, width: count, channels: count, rows: count, images: list(object(testImage)) }),
        ...[404, 409],
      ),
    },
  },
  mistakes: {
    method: 'GET',
    url: '/runs/:id/mistakes',
    schema: {
      summary: 'Test images that the newest weights get wrong, those they are surest of first',
      params: ofRun,
      querystring: object(
        {
          count: within(1, 100, 12),
          look: { ...within(1, 100_000, 1000), description: 'Number of images that are checked, from the first on.' },
        },
        'count',
        'look',
      ),
      response: responses(
        object({
          ...{
            height: count,
            width: count,
            channels: count,
            rows: count,
            looked: count,
            wrong: count,
            checkpoint: text,
          },
          mistakes: list(
            object({ ...testImage, predicted: object({ label: count, className: text, confidence: number }) }),
          ),
        }),
        ...[404, 409],
      ),
    },
  },
} as const satisfies Record<string, Operation>

/** Route of the event stream; not a JSON operation, but documented with them. */
export const EVENTS = {
  url: '/events',
  summary: 'Live: metrics of all runs as they are written, as server-sent events',
  description:
    'Events: `metrics` {run, events}, `reset` {run} where a run was resumed from an earlier step, `status` (as in `GET /runs`), `progress` {run, event}. From the beginning, or from `Last-Event-ID` on, which browsers send when they reconnect.',
} as const

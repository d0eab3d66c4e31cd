/** Messages between the server, its threads and its pages. Types only; any thread, and the browser. */
import type { Task } from '../config/tasks.js'
import type { TableEncoding } from '../data/table/encoding.js'
import type { PictureInput, Preparation } from '../picture/preparation.js'
import type { ProgressEvent, RunSummary, StartEvent, TrainEvent } from '../run/events.js'
import type { InputShape } from '../tensor/input-shape.js'

/** State of a run; `stopped`: it did not end and nobody trains it any more, as after a kill. `weights`: a checkpoint by itself. */
export type RunStatus = RunSummary['status'] | 'running' | 'stopped' | 'weights'

/** Entry of `GET /runs`. */
export interface RunEntry {
  /** Identifier in URLs: letters, digits, `.`, `_` and `-`. */
  readonly id: string
  readonly name: string
  readonly status: RunStatus
  readonly dataset: string
  /** Units of the hidden layers. */
  readonly hidden: readonly number[]
  /** Step of the newest whole checkpoint; null where there is none yet. */
  readonly checkpoint: string | null
}

/** Inputs and outputs of a model; `model` of `GET /runs/:id`. */
export interface ModelFacts {
  readonly checkpoint: string
  /** Size of an image in pixels; a row of features has height 1. */
  readonly height: number
  readonly width: number
  /** 3 for pictures in colour, whose numbers are (height, width, 3); else 1. */
  readonly channels: number
  /** Kind of input: images of bytes, or rows of features as in the data. */
  readonly input: 'image' | 'row'
  /** Names of the features of a table, in the order of a row; null: they have none. */
  readonly features: readonly string[] | null
  /** Encoding of a table's columns as those features; null: rows are features. */
  readonly table: TableEncoding | null
  readonly task: Task
  /** Names of the outputs: classes, labels or targets. */
  readonly classNames: readonly string[]
  readonly widths: readonly number[]
  /** Kernels of predictions, and why these. */
  readonly backend: string
  readonly dataset: string
  /** Preprocessing of pictures. */
  readonly preparation: Preparation
  /** Colour behind transparent pixels; null: chosen by the picture. */
  readonly background: PictureInput['background']
  readonly note: string | null
}

export interface ClassShare {
  readonly label: number
  readonly className: string
  readonly probability: number
}

export interface LayerJson {
  readonly layer: number
  readonly kind: 'input' | 'hidden' | 'output'
  readonly units: number
  /** Share of units above 0. */
  readonly active: number
  readonly least: number
  readonly most: number
  readonly values: readonly number[]
  /** Shape of feature maps, whose values are (height, width, channels); else absent. */
  readonly maps?: InputShape | undefined
}

interface AnyPrediction {
  /** Preparation of the image before the network saw it. */
  readonly preprocessing: readonly string[]
  /** Input that the network saw, row by row; for images, where a picture was sent or layers were asked for. */
  readonly pixels?: readonly number[]
  readonly layers?: readonly LayerJson[]
}

export interface ClassPredictionJson extends AnyPrediction {
  readonly label: number
  readonly className: string
  readonly confidence: number
  readonly top: readonly ClassShare[]
  readonly probabilities: readonly number[]
}

/** Prediction of a regression. */
export interface ValuesPredictionJson extends AnyPrediction {
  /** Predicted values, in the units of the data. */
  readonly values: readonly { readonly name: string; readonly value: number }[]
}

/** Prediction of yes/no labels. */
export interface LabelsPredictionJson extends AnyPrediction {
  /** A label is set if its probability is above 0.5. */
  readonly labels: readonly { readonly name: string; readonly isSet: boolean; readonly probability: number }[]
}

export type PredictionJson = ClassPredictionJson | LabelsPredictionJson | ValuesPredictionJson

export interface PredictResponse {
  readonly run: string
  readonly checkpoint: string
  readonly predictions: readonly PredictionJson[]
}

export interface TestImageJson {
  readonly index: number
  readonly label: number
  readonly className: string
  /** Bytes of the image, row by row, in base64. */
  readonly pixels: string
}

export interface MistakeJson extends TestImageJson {
  readonly predicted: { readonly label: number; readonly className: string; readonly confidence: number }
}

export interface ImagesResponse {
  readonly height: number
  readonly width: number
  readonly channels: number
  /** Number of test images. */
  readonly rows: number
  readonly images: readonly TestImageJson[]
}

export interface MistakesResponse extends Omit<ImagesResponse, 'images'> {
  /** Number of images evaluated, from the first on, and how many of them are wrong. */
  readonly looked: number
  readonly wrong: number
  readonly checkpoint: string
  readonly mistakes: readonly MistakeJson[]
}

/** Line of `metrics.jsonl`; values that are not finite are the words NaN, Infinity, -Infinity. */
export type StoredEvent = Exclude<TrainEvent, ProgressEvent> & { readonly time: string }
export type StoredStart = StartEvent & { readonly time: string }

/** Messages of `GET /events`, by the name of the event. */
export interface LiveMessages {
  /** Next lines of a run's metrics. */
  readonly metrics: { readonly run: string; readonly events: readonly StoredEvent[] }
  /** Metrics restart, because the run was resumed from an earlier step. */
  readonly reset: { readonly run: string }
  readonly status: RunEntry
  /** Progress; only for a run in the same process, `train --live`. */
  readonly progress: { readonly run: string; readonly event: ProgressEvent }
}

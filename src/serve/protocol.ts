/** What server, its threads and its pages tell each other. Types only; any thread, and the browser. */
import type { ProgressEvent, RunSummary, StartEvent, TrainEvent } from '../run/events.js'

/** `stopped`: it has no end and nobody trains in it any more, as after a kill. `weights`: a checkpoint by itself. */
export type RunStatus = RunSummary['status'] | 'running' | 'stopped' | 'weights'

/** A run among others, as `GET /runs` has it. */
export interface RunEntry {
  /** Part of addresses: letters, digits, `.`, `_` and `-`. */
  readonly id: string
  readonly name: string
  readonly status: RunStatus
  readonly dataset: string
  /** Units of the hidden layers. */
  readonly hidden: readonly number[]
  /** Of the newest whole checkpoint; null where there is none yet. */
  readonly checkpoint: string | null
}

/** What can be asked of a model: `GET /runs/:id` has it as `model`. */
export interface ModelFacts {
  readonly checkpoint: string
  /** Pixels of an image; a row of numbers has height 1. */
  readonly height: number
  readonly width: number
  /** What it is asked about: images of bytes, or rows of numbers as in the data. */
  readonly input: 'image' | 'row'
  readonly task: 'classification' | 'regression'
  /** Of regression the names of the targets. */
  readonly classNames: readonly string[]
  readonly widths: readonly number[]
  readonly dataset: string
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
}

interface AnyPrediction {
  /** What was done to the image before the network saw it. */
  readonly preprocessing: readonly string[]
  /** Of images: what the network saw, row by row; where a picture was sent, or layers were asked for. */
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

/** Of regression. */
export interface ValuesPredictionJson extends AnyPrediction {
  /** In the units of the data. */
  readonly values: readonly { readonly name: string; readonly value: number }[]
}

export type PredictionJson = ClassPredictionJson | ValuesPredictionJson

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
  /** Test images there are. */
  readonly rows: number
  readonly images: readonly TestImageJson[]
}

export interface MistakesResponse extends Omit<ImagesResponse, 'images'> {
  /** Images looked at, from the first on, and how many of them are wrong. */
  readonly looked: number
  readonly wrong: number
  readonly checkpoint: string
  readonly mistakes: readonly MistakeJson[]
}

/** A line of `metrics.jsonl`; numbers that are not finite are the words NaN, Infinity, -Infinity. */
export type StoredEvent = Exclude<TrainEvent, ProgressEvent> & { readonly time: string }
export type StoredStart = StartEvent & { readonly time: string }

/** Messages of `GET /events`, by the name of the event. */
export interface LiveMessages {
  /** The next lines of a run's metrics. */
  readonly metrics: { readonly run: string; readonly events: readonly StoredEvent[] }
  /** The metrics begin anew: the run was resumed from an earlier step. */
  readonly reset: { readonly run: string }
  readonly status: RunEntry
  /** Only of a run in the same process: `train --live`. */
  readonly progress: { readonly run: string; readonly event: ProgressEvent }
}

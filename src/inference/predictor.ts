/**
 * A saved network, ready to predict: loads weights once, then gives outputs and every layer's activations for samples. It
 * runs in the calling thread, or for `predictAsync` in threads that share its weights, through the same forward pass as
 * training; so predictions are those that `evaluate` scores in the same backend.
 *
 * Letters: `B` samples, `F` features of one (height x width x channels of an image), `K` outputs: classes, labels or targets, `U` units of a layer.
 */

import { availableParallelism } from 'node:os'
import { inspect } from 'node:util'
import type { NdArray } from 'ndarray'
import ndarray from 'ndarray'
import { TASK_FACTS, type Task } from '../config/tasks.js'
import { isSet } from '../data/scores/classification.js'
import type { Features } from '../data/source.js'
import { type Field, type FieldRow, featuresOfRows } from '../data/table/rows.js'
import { ConfigError, ShapeError } from '../errors.js'
import { adviseHugePages } from '../ffi/memory.js'
import { loadBackend } from '../kernels/backends.js'
import type { Convolution } from '../model/convolution.js'
import { loadScored, type NamedWeights } from '../run/checkpoint-file.js'
import { againIfPruned } from '../run/open.js'
import { createArena, viewSlot } from '../tensor/arena.js'
import { inputSize, shapeText } from '../tensor/input-shape.js'
import { viewWeight } from '../worker/network/views.js'
import { Forward, type SharedModel } from './forward.js'
import { type BackendName, type ModelSource, openModel } from './model.js'
import type { PredictPool } from './predict-pool.js'
import { createPassWords } from './shared-pass.js'
import { sharedLayout, threadLayouts } from './thread-layouts.js'

/**
 * Samples (B, F): flat typed arrays, row-major, bytes for a network of images and f32 for one of tables, or one array of
 * numbers for each sample. An image is given row by row, as bytes with 0 for the background; numbers in the units of the data.
 * Rows of a table are objects by column name, `[{ sex: 'male', mass: 3750 }]`, or arrays of values in the order of
 * `columnNames`; typed arrays have its features as they were encoded before.
 */
export type Samples = Features | readonly ArrayLike<number>[] | readonly FieldRow[] | readonly (readonly Field[])[]

export interface PredictorOptions {
  /**
   * Kernels: "auto" for the fastest that work here, "wasm" for the same bits on every machine. Default: those that the
   * experiment asks for, as `evaluate` takes them; where they do not work here, "auto".
   */
  readonly backend?: BackendName | undefined
  /** Threads of `predictAsync`; default: as many as there are cores, up to 16. */
  readonly threads?: number | undefined
}

const MOST_THREADS = 16

/** Activations of one layer for some samples. */
export interface LayerActivations {
  /** 0 is the input, the last one the output. */
  readonly layer: number
  readonly kind: 'input' | 'hidden' | 'output'
  /** (B, U). Input: pixels / 255, or scaled features; hidden: output of the activation function; output: as `predict` returns it. */
  readonly values: NdArray<Float32Array>
}

export interface ClassPrediction {
  /** The most probable class; the first of several that are equal, as `evaluate` counts. */
  readonly label: number
  readonly className: string
  /** Probability of the class; with `train.loss` "mean-squared-error" the output itself, limited to 0 to 1. */
  readonly confidence: number
}

export interface LabelPrediction {
  /** True if the probability is above 0.5. */
  readonly isSet: boolean
  readonly probability: number
}

interface OpenedPredictor {
  readonly predictor: Predictor
  readonly forward: Forward
  readonly shared: SharedModel
}

/** Method that has the predictions of a task by name. */
const METHODS: Readonly<Record<Task, keyof Predictor>> = {
  classification: 'predictClasses',
  'multi-label': 'predictLabels',
  regression: 'predictTargets',
}

export class Predictor {
  readonly task: Task
  /** Pixels of an image; a row of a table has height 1 and its features as width. */
  readonly height: number
  readonly width: number
  /** 3 for pictures in colour, whose features are (height, width, 3); else 1. */
  readonly channels: number
  /** Names of a table's feature columns, in the order of a sample; null: features have no names. */
  readonly featureNames: readonly string[] | null
  /** Columns of a table that a row has values of, in the order of the model; null: rows are features. */
  readonly columnNames: readonly string[] | null
  /** Names of the outputs (K): the classes, the labels or the targets. */
  readonly outputNames: readonly string[]
  /** Names of the classes (K) by number; empty for another task. */
  readonly classNames: readonly string[]
  /** Names of the yes/no labels (K) of multi-label; empty for another task. */
  readonly labelNames: readonly string[]
  /** Names of the targets (K) of regression; empty for another task. */
  readonly targetNames: readonly string[]
  /** Names of the parameters, for `parameter`. */
  readonly parameterNames: readonly string[]
  /** Units at every layer boundary: inputs, which are the features, embedded ones as vectors; hidden layers, outputs. */
  readonly widths: readonly number[]
  /** Convolutions in front of the hidden layers, with their sizes; empty: there are none. */
  readonly convolutions: readonly Convolution[]
  /** Files and experiment that model and weights came from. */
  readonly source: ModelSource
  /** Kernels that it computes with, and why. */
  readonly backend: { readonly name: Exclude<BackendName, 'auto'>; readonly reason: string }
  /** Remark for the user, where the run computed in another backend than this; else null. */
  readonly note: string | null
  readonly #model: SharedModel
  readonly #forward: Forward
  readonly #weights: readonly NamedWeights[]
  #pool: Promise<PredictPool> | null = null

  private constructor(model: SharedModel, forward: Forward, weights: readonly NamedWeights[]) {
    const { source } = model
    this.task = source.input.task
    this.height = source.height
    this.width = source.width
    this.channels = source.channels
    this.convolutions = model.plan.convolutions
    this.featureNames = source.input.columns?.features ?? null
    this.columnNames = source.input.table?.columns.map(({ column }) => column) ?? null
    this.outputNames = source.outputNames
    this.classNames = this.task === 'classification' ? source.outputNames : []
    this.labelNames = this.task === 'multi-label' ? source.outputNames : []
    this.targetNames = this.task === 'regression' ? source.outputNames : []
    this.parameterNames = weights.map(({ name }) => name)
    this.widths = forward.widths
    this.source = source
    this.backend = { name: model.plan.backend, reason: model.reason }
    this.note = source.note
    this.#model = model
    this.#forward = forward
    this.#weights = weights
  }

  /**
   * `target` is a run directory or a checkpoint file. Rejects with a GradloomError that says what is wrong with it, or that the
   * backend does not work here.
   */
  static async open(target: string, options: PredictorOptions = {}): Promise<Predictor> {
    return (await Predictor.openShared(target, options)).predictor
  }

  /** Opens a model for a command of gradloom's own, whose threads run its network too: each a `Forward` from 1 to `threads`. */
  static async openShared(target: string, options: PredictorOptions = {}): Promise<OpenedPredictor> {
    return againIfPruned(() => Predictor.#openOnce(target, options))
  }

  static async #openOnce(
    target: string,
    { backend: wanted, threads = Math.min(availableParallelism(), MOST_THREADS) }: PredictorOptions,
  ): Promise<OpenedPredictor> {
    if (!Number.isInteger(threads) || threads < 1) {
      throw new ConfigError(`threads is ${inspect(threads)}, expected an integer from 1`)
    }
    const { source, planned } = await openModel(target, { threads: 1 + threads, backend: wanted })
    const { plan, layout, backendReason: reason } = planned
    const backend = await loadBackend(plan.backend, plan.precision)
    const { bytes } = threadLayouts(plan, backend)
    const shared = {
      ...{ source, plan, reason, memory: createArena(bytes), module: await backend.compile() },
      together: createPassWords(),
    }
    if (plan.library) await adviseHugePages(shared.memory.buffer)
    const forward = await Forward.open(shared, 0)
    const weights = layout.parameters.map(({ parameter: { name, dims } }) => ({
      name,
      shape: dims,
      data: new Float32Array(dims.reduce((size, dim) => size * dim, 1)),
    }))
    await loadScored(source.checkpoint, weights, source.experiment.train.ema.decay)
    storeWeights(shared, forward, weights)
    storeScaling(shared, forward)
    return { predictor: new Predictor(shared, forward, weights), forward, shared }
  }

  /**
   * Features (B, F) of samples, as this network and its exports to TensorFlow.js and npz take them: rows of a table are encoded.
   * Throws as `predict` does.
   */
  features(samples: Samples): Features {
    return this.#featuresOf(samples)
  }

  /**
   * Outputs (B, K) for samples (B, F): probabilities of the classes, which add up to 1, of yes for each label, or the targets in the units of the data.
   * A classifier with `train.loss` "mean-squared-error" has its outputs as they are. Throws ShapeError for samples of
   * another size or type, RunError where outputs are not finite.
   */
  predict(samples: Samples): NdArray<Float32Array> {
    const data = this.#forward.outputs(this.#featuresOf(samples))
    const outputs = this.outputNames.length
    return ndarray(data, [data.length / outputs, outputs])
  }

  /**
   * Outputs as `predict` returns them, to the bit, from threads of their own: the caller's event loop stays free, and many samples use
   * several cores. The samples may be changed as soon as the call returns. Threads start at the first call; `close` ends them, and so
   * does the end of the program. Rejects with what `predict` throws.
   */
  async predictAsync(samples: Samples): Promise<NdArray<Float32Array>> {
    const taken = this.#featuresOf(samples)
    const features = taken === samples ? taken.slice() : taken
    const outputs = this.outputNames.length
    this.#pool ??= loadPool(this.#model)
    const out = (await this.#pool).outputs(features, inputSize(this), outputs)
    return ndarray(await out, [features.length / inputSize(this), outputs])
  }

  /** Ends the threads of `predictAsync`, after the calls that are not answered. Later calls start new ones. */
  async close(): Promise<void> {
    const pool = this.#pool
    this.#pool = null
    await (await pool)?.close()
  }

  /**
   * The most probable class of each of the samples (B, F), in their order. Throws as `predict` does, and ConfigError for
   * a network of another task.
   */
  predictClasses(samples: Samples): ClassPrediction[] {
    this.#expectTask('classification')
    const { data, shape } = this.predict(samples)
    const [rows, classes] = shape
    return Array.from({ length: rows }, (_, row) => this.#best(data.subarray(row * classes, (row + 1) * classes)))
  }

  /**
   * Targets of each of the samples (B, F) by name, in the units of the data: `[{ price: 250000, rent: 900 }]`. Throws as
   * `predict` does, and ConfigError for a network of another task.
   */
  predictTargets(samples: Samples): Readonly<Record<string, number>>[] {
    this.#expectTask('regression')
    return this.#byName(samples, value => value)
  }

  /**
   * Labels of each of the samples (B, F) by name: `[{ rain: { isSet: true, probability: 0.83 } }]`; a label is set if its
   * probability is above 0.5. Throws as `predict` does, and ConfigError for a network of another task.
   */
  predictLabels(samples: Samples): Readonly<Record<string, LabelPrediction>>[] {
    this.#expectTask('multi-label')
    return this.#byName(samples, probability => ({ isSet: isSet(probability), probability }))
  }

  #byName<T>(samples: Samples, of: (value: number) => T): Readonly<Record<string, T>>[] {
    const { data, shape } = this.predict(samples)
    const [rows, outputs] = shape
    return Array.from({ length: rows }, (_, row) =>
      Object.fromEntries(this.outputNames.map((name, k) => [name, of(data[row * outputs + k])])),
    )
  }

  #expectTask(task: Task): void {
    if (this.task === task) return
    const [, found] = TASK_FACTS[this.task].outputs
    const [, wanted] = TASK_FACTS[task].outputs
    throw new ConfigError(`${this.source.checkpoint}: predicts ${found}, expected a network that predicts ${wanted}`, {
      hint: `${METHODS[this.task]}() has the ${found} by name, predict() all outputs as an array`,
    })
  }

  /** Activations of every layer for samples (B, F): the input first, the outputs last. Throws as `predict` does. */
  activations(samples: Samples): LayerActivations[] {
    const features = this.#featuresOf(samples)
    const rows = features.length / inputSize(this)
    const outs = this.widths.map(width => new Float32Array(rows * width))
    this.#forward.eachPass(features, rows, (first, count) => {
      for (const [layer, out] of outs.entries()) this.#forward.copy(out, layer, first, count)
    })
    const last = outs.length - 1
    return outs.map((out, layer) => ({
      layer,
      kind: layer === 0 ? 'input' : layer === last ? 'output' : 'hidden',
      values: ndarray(out, [rows, this.widths[layer]]),
    }))
  }

  /** A parameter by its name, such as `layers.0.weight` (F, U), row-major. A view: do not write to it. Throws ShapeError. */
  parameter(name: string): NdArray<Float32Array> {
    const found = this.#weights.find(weights => weights.name === name)
    if (!found) {
      const names = this.#weights.map(weights => weights.name).join(', ')
      throw new ShapeError(`parameter: name is '${name}', expected one of ${names}`)
    }
    return ndarray(found.data, [...found.shape])
  }

  #best(probabilities: Float32Array): ClassPrediction {
    let label = 0
    for (let i = 1; i < probabilities.length; i++) if (probabilities[i] > probabilities[label]) label = i
    return { label, className: this.classNames[label], confidence: Math.min(Math.max(probabilities[label], 0), 1) }
  }

  /** Samples as the network takes them: flat, row-major, of its type. */
  #featuresOf(samples: Samples): Features {
    const { dtype } = this.source.input
    const size = inputSize(this)
    const what = dtype === 'uint8' ? `an image is ${shapeText(this)}` : 'a sample has the features of the data'
    if (samples instanceof Uint8Array || samples instanceof Float32Array) {
      if (samples instanceof Uint8Array !== (dtype === 'uint8')) {
        throw new ShapeError(
          `samples: are ${samples.constructor.name}, expected ${dtype}, as the data of the model were`,
        )
      }
      if (samples.length % size === 0) {
        this.#expectIndices(samples, size)
        return samples
      }
      throw new ShapeError(`samples: length is ${samples.length}, expected a multiple of ${size}; ${what}`)
    }
    if (!Array.isArray(samples)) {
      throw new ShapeError(
        `samples: is ${ArrayBuffer.isView(samples) ? samples.constructor.name : inspect(samples, { depth: 0 })}, expected Uint8Array, Float32Array or an array of samples`,
      )
    }
    const { table } = this.source.input
    if (table && samples.length > 0 && !ArrayBuffer.isView(samples[0])) {
      return featuresOfRows(table, samples, 'samples')
    }
    const features = new (dtype === 'uint8' ? Uint8Array : Float32Array)(samples.length * size)
    for (const [row, sample] of (samples as readonly ArrayLike<number>[]).entries()) {
      if (typeof sample?.length !== 'number') {
        throw new ShapeError(
          `samples: sample ${row} is ${inspect(sample, { depth: 0 })}, expected an array of numbers; ${what}`,
        )
      }
      if (sample.length !== size) {
        throw new ShapeError(`samples: sample ${row} has ${sample.length} numbers, expected ${size}; ${what}`)
      }
      for (let i = 0; i < size; i++) {
        const value = sample[i]
        const isGood =
          dtype === 'uint8'
            ? Number.isInteger(value) && value >= 0 && value <= 255
            : Number.isFinite(Math.fround(value))
        if (!isGood) {
          const wanted = dtype === 'uint8' ? 'an integer from 0 to 255' : 'a finite number in f32'
          throw new ShapeError(`samples: feature ${i} of sample ${row} is ${inspect(value)}, expected ${wanted}`)
        }
        features[row * size + i] = value
      }
    }
    this.#expectIndices(features, size)
    return features
  }

  /** Throws ShapeError for an embedded feature that is no row of its table. */
  #expectIndices(features: Features, size: number): void {
    const { embeddings } = this.#model.plan
    for (const [e, { rows }] of embeddings.entries()) {
      const feature = size - embeddings.length + e
      for (let at = feature; at < features.length; at += size) {
        const index = features[at]
        if (Number.isInteger(index) && index >= 0 && index < rows) continue
        throw new ShapeError(
          `samples: feature ${feature} of sample ${(at - feature) / size} is ${index}, expected a row of its embedding, from 0 to ${rows - 1}`,
        )
      }
    }
  }
}

/** Loaded where it is used: most programs predict in their own thread. */
async function loadPool(model: SharedModel): Promise<PredictPool> {
  const { PredictPool } = await import('./predict-pool.js')
  const { plan } = model
  const layout = sharedLayout(plan, await loadBackend(plan.backend, plan.precision))
  return new PredictPool(model, layout, plan.workers - 1)
}

function storeScaling({ source: { input }, memory }: SharedModel, { layout }: Forward): void {
  if (!layout.scaling || !input.scaling) return
  viewSlot(memory, layout.scaling.offset).data.set(input.scaling.offset)
  viewSlot(memory, layout.scaling.factor).data.set(input.scaling.factor)
}

function storeWeights({ memory }: SharedModel, { layout, kernels }: Forward, weights: readonly NamedWeights[]): void {
  for (const [p, slots] of layout.parameters.entries()) {
    const { data } = weights[p]
    const { dims, kind } = slots.parameter
    if (kind !== 'weight') viewSlot(memory, slots.master).data.set(data)
    else {
      const weight = viewWeight(memory, slots)
      for (let i = 0; i < dims[0]; i++) kernels.storeRow(weight, i, data.subarray(i * dims[1], (i + 1) * dims[1]))
    }
  }
}

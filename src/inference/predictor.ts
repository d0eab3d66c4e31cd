/**
 * A saved network, ready to be asked: loads weights once, then gives probabilities and every layer's activations for
 * images. All of it runs in the calling thread, in WASM kernels over a small memory of its own, through the same
 * forward pass as training; so what it says is what `evaluate` scores, to the bit where that ran in `wasm`.
 *
 * Letters: `B` images asked about, `F` features of one (height x width), `C` classes, `U` units of a layer.
 */
import type { NdArray } from 'ndarray'
import ndarray from 'ndarray'
import { unscaleRows } from '../data/input.js'
import type { Features } from '../data/source.js'
import { ConfigError, RunError, ShapeError } from '../errors.js'
import type { Kernels } from '../kernels/backend.js'
import { loadBackend } from '../kernels/backends.js'
import { loadScored, type NamedWeights } from '../run/save.js'
import { createArena, viewSlot } from '../tensor/arena.js'
import { bindNetwork } from '../worker/network/bind.js'
import { type Network, rowsPass } from '../worker/network/network.js'
import { copyRow } from '../worker/network/rows.js'
import { viewWeight } from '../worker/network/views.js'
import { faultText } from '../worker/plan/faults.js'
import { type ModelSource, openModel } from './model.js'

/** Images that are passed through the network at a time. More would be no faster: the weights stay in the caches. */
const BATCH_ROWS = 64

/** Outputs of a layer for some images. */
export interface LayerActivations {
  /** 0 is the input, the last one the output. */
  readonly layer: number
  readonly kind: 'input' | 'hidden' | 'output'
  /** (B, U). Of the input: pixels / 255; of the output: as `probabilities` has it; between: what the activation function gave. */
  readonly values: NdArray<Float32Array>
}

export interface Prediction {
  /** The most probable class; the first of several that are equal, as `evaluate` counts. */
  readonly label: number
  readonly className: string
  /** Probability of the class; for a squared error, the output clamped to [0, 1]. */
  readonly confidence: number
}

export class Predictor {
  /** Pixels of one image. */
  readonly height: number
  readonly width: number
  /** One name for each class: digits, the ten names of Fashion-MNIST, else numbers. Of regression: the targets' names. */
  readonly classNames: readonly string[]
  /** Units at every layer boundary: features, hidden layers, classes. */
  readonly widths: readonly number[]
  /** Source of model and weights. */
  readonly source: ModelSource
  /** Note for the user: that the run computed in another backend than this one. Else null. */
  readonly note: string | null
  readonly #memory: WebAssembly.Memory
  readonly #planned: ModelSource['planned']
  readonly #network: Network
  readonly #weights: readonly NamedWeights[]

  private constructor(
    source: ModelSource,
    memory: WebAssembly.Memory,
    network: Network,
    weights: readonly NamedWeights[],
  ) {
    this.height = source.height
    this.width = source.width
    this.classNames = source.classNames
    this.widths = source.planned.plan.widths
    this.source = source
    this.note = source.note
    this.#memory = memory
    this.#planned = source.planned
    this.#network = network
    this.#weights = weights
  }

  /** `target` is a run directory or a checkpoint file. Rejects with a GradloomError that says what is wrong with it. */
  static async open(target: string): Promise<Predictor> {
    const source = await openModel(target, BATCH_ROWS)
    const { plan, layout } = source.planned
    const backend = await loadBackend(plan.backend, plan.precision)
    const memory = createArena(layout.bytes)
    const module = await backend.compile()
    const scratchByteOffset = layout.scratch[0].byteOffset
    const kernels = backend.instantiate({ memory, module, scratchByteOffset, native: null })
    const weights = layout.parameters.map(({ parameter: { name, dims } }) => ({
      name,
      shape: dims,
      data: new Float32Array(dims.reduce((size, dim) => size * dim, 1)),
    }))
    await loadScored(source.checkpoint, weights, source.experiment.train.ema.decay)
    storeWeights(source, memory, kernels, weights)
    storeScaling(source, memory)
    return new Predictor(source, memory, bindNetwork(plan, layout, memory, kernels), weights)
  }

  /**
   * Probabilities (B, C) of images (B, F), whose pixels are bytes with 0 for background, as in the data set. Of a network
   * that learned by squared error: its outputs as they are; of regression: the numbers it says, in the units of the data.
   */
  probabilities(images: Features): NdArray<Float32Array> {
    const rows = this.#rowsOf(images)
    const classes = this.classNames.length
    const out = new Float32Array(rows * classes) // (B, C)
    const last = this.widths.length - 1
    this.#eachBatch(images, rows, (first, count) => this.#copy(out, last, first, count))
    return ndarray(out, [rows, classes])
  }

  /** The most probable class of each of the images (B, F). Of regression there is none: throws ConfigError. */
  predict(images: Features): Prediction[] {
    if (this.source.input.targets) {
      throw new ConfigError(`${this.source.checkpoint}: learned numbers, expected a network of classes`, {
        hint: 'probabilities() has the numbers',
      })
    }
    const { data, shape } = this.probabilities(images)
    const [rows, classes] = shape
    return Array.from({ length: rows }, (_, row) => this.#best(data.subarray(row * classes, (row + 1) * classes)))
  }

  /** Outputs of every layer for images (B, F): the input first, the probabilities last. */
  activations(images: Features): LayerActivations[] {
    const rows = this.#rowsOf(images)
    const outs = this.widths.map(width => new Float32Array(rows * width))
    this.#eachBatch(images, rows, (first, count) => {
      for (const [layer, out] of outs.entries()) this.#copy(out, layer, first, count)
    })
    const last = outs.length - 1
    return outs.map((out, layer) => ({
      layer,
      kind: layer === 0 ? 'input' : layer === last ? 'output' : 'hidden',
      values: ndarray(out, [rows, this.widths[layer]]),
    }))
  }

  /** A parameter by its name, such as `layers.0.weight` (F, U), row-major. A view: do not write to it. */
  parameter(name: string): NdArray<Float32Array> {
    const found = this.#weights.find(weights => weights.name === name)
    if (!found) {
      const names = this.#weights.map(weights => weights.name).join(', ')
      throw new ShapeError(`parameter: name is '${name}', expected one of ${names}`)
    }
    return ndarray(found.data, [...found.shape])
  }

  #best(probabilities: Float32Array): Prediction {
    let label = 0
    for (let i = 1; i < probabilities.length; i++) if (probabilities[i] > probabilities[label]) label = i
    return { label, className: this.classNames[label], confidence: Math.min(Math.max(probabilities[label], 0), 1) }
  }

  #rowsOf(images: Features): number {
    const { dtype } = this.source.input
    if (images instanceof Uint8Array !== (dtype === 'uint8')) {
      throw new ShapeError(`images: are ${images.constructor.name}, expected ${dtype}, as the data of the model were`)
    }
    const features = this.widths[0]
    if (images.length % features === 0) return images.length / features
    throw new ShapeError(
      `images: length is ${images.length}, expected a multiple of ${features}; an image is ${this.height} x ${this.width}`,
    )
  }

  /** Passes all images through the network; `taken` copies what it wants of a batch, which the next one overwrites. */
  #eachBatch(images: Features, rows: number, taken: (first: number, count: number) => void): void {
    const { layout } = this.#planned
    const features = this.widths[0]
    const into = viewSlot<'uint8' | 'float32'>(this.#memory, layout.images.test).data // (BATCH_ROWS, F)
    const { samples } = this.#network.batch
    const run = rowsPass(this.#network)
    for (let row = 0; row < BATCH_ROWS; row++) samples.data[row] = row
    for (let first = 0; first < rows; first += BATCH_ROWS) {
      const count = Math.min(BATCH_ROWS, rows - first)
      into.set(images.subarray(first * features, (first + count) * features))
      // The labels are zeros: losses mean nothing here, and probabilities do not depend on them.
      const code = run({ images: 'test', epoch: 0, deltaScale: 0 }, { row: 0, rows: count })
      if (code !== 0) {
        throw new RunError(`${this.source.checkpoint}: ${faultText(code)} for an image, expected finite numbers`, {
          hint: 'training went wrong before this checkpoint: try an earlier one',
        })
      }
      taken(first, count)
    }
  }

  /** Rows [0, count) of a batch's activations to rows [first, first + count) of `out` (B, U). */
  #copy(out: Float32Array, layer: number, first: number, count: number): void {
    const { rows, cols, slot } = this.#planned.layout.activations[layer]
    const matrix = { rows, cols, tensor: viewSlot(this.#memory, slot) }
    for (let row = 0; row < count; row++) copyRow(out, (first + row) * cols, matrix, row)
    const { targets } = this.source.input
    const isLast = layer === this.widths.length - 1
    if (isLast && targets) unscaleRows(out.subarray(first * cols, (first + count) * cols), targets)
  }
}

function storeScaling({ planned: { layout }, input }: ModelSource, memory: WebAssembly.Memory): void {
  if (!layout.scaling || !input.scaling) return
  viewSlot(memory, layout.scaling.offset).data.set(input.scaling.offset)
  viewSlot(memory, layout.scaling.factor).data.set(input.scaling.factor)
}

function storeWeights(
  { planned: { layout } }: ModelSource,
  memory: WebAssembly.Memory,
  kernels: Kernels,
  weights: readonly NamedWeights[],
): void {
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

/**
 * Forward pass of a saved network in one thread. Several threads may share the memory of a model: all read the same weights, and
 * each has rows of the batch buffers and scratch memory of its own, so that none waits for another. Any thread.
 *
 * Letters: `B` samples, `F` features of one, `K` outputs, `U` units of a layer.
 */
import { unscaleRows } from '../data/input.js'
import type { Features } from '../data/source.js'
import { RunError } from '../errors.js'
import type { Kernels } from '../kernels/backend.js'
import { loadBackend } from '../kernels/backends.js'
import { viewSlot } from '../tensor/arena.js'
import { bindNetwork } from '../worker/network/bind.js'
import { type Network, type RowsPass, rowsPass } from '../worker/network/network.js'
import { copyRows } from '../worker/network/rows.js'
import { faultText } from '../worker/plan/faults.js'
import { type Layout, planLayout } from '../worker/plan/layout.js'
import type { RunPlan } from '../worker/plan/run-plan.js'
import type { ModelSource } from './model.js'

/** What threads need to run the same network: plain data and shared memory, which can be sent to them. */
export interface SharedModel {
  readonly source: ModelSource
  /** Plan with a worker for each thread. */
  readonly plan: RunPlan
  readonly memory: WebAssembly.Memory
  readonly module: WebAssembly.Module | null
}

export class Forward {
  /** Units at every layer boundary. */
  readonly widths: readonly number[]
  readonly layout: Layout
  readonly kernels: Kernels
  readonly #model: SharedModel
  readonly #network: Network
  readonly #run: RowsPass
  /** First row of the batch buffers that is this thread's, and how many are. */
  readonly #row: number
  readonly #rows: number

  private constructor(model: SharedModel, layout: Layout, kernels: Kernels, thread: number) {
    const { plan, memory } = model
    this.widths = plan.widths
    this.layout = layout
    this.kernels = kernels
    this.#model = model
    this.#network = bindNetwork(plan, layout, memory, kernels)
    this.#run = rowsPass(this.#network)
    this.#rows = Math.floor(layout.bufferRows / plan.workers)
    this.#row = thread * this.#rows
    const { data: indices } = this.#network.batch.samples
    for (let row = this.#row; row < this.#row + this.#rows; row++) indices[row] = row
  }

  /** Binds the network's kernels. `thread`: from 0 to one less than the plan has workers. */
  static async open(model: SharedModel, thread: number): Promise<Forward> {
    const { plan, memory, module } = model
    const backend = await loadBackend(plan.backend, plan.precision)
    const layout = planLayout(plan, backend)
    const scratchByteOffset = layout.scratch[thread].byteOffset
    const kernels = backend.instantiate({ memory, module, scratchByteOffset, native: null })
    return new Forward(model, layout, kernels, thread)
  }

  /** Outputs (B, K) of samples (B, F), in the units of the data. Throws RunError where they are not finite. */
  outputs(samples: Features): Float32Array {
    const { height, width } = this.#model.source
    const last = this.widths.length - 1
    const rows = samples.length / (height * width)
    const out = new Float32Array(rows * this.widths[last])
    this.eachBatch(samples, rows, (first, count) => this.copy(out, last, first, count))
    return out
  }

  /**
   * Passes all samples through the network; `taken` copies what it needs of a mini-batch, which the next one overwrites. Throws
   * RunError where outputs are not finite.
   */
  eachBatch(samples: Features, rows: number, taken: (first: number, count: number) => void): void {
    const { source, memory } = this.#model
    const features = source.height * source.width
    const into = viewSlot<'uint8' | 'float32'>(memory, this.layout.features.test).data // (batch rows, F)
    for (let first = 0; first < rows; first += this.#rows) {
      const count = Math.min(this.#rows, rows - first)
      into.set(samples.subarray(first * features, (first + count) * features), this.#row * features)
      // Labels and targets are zeros: losses mean nothing here, and outputs do not depend on them.
      const code = this.#run({ images: 'test', epoch: 0, deltaScale: 0 }, { row: this.#row, rows: count })
      if (code !== 0) {
        throw new RunError(`${source.checkpoint}: ${faultText(code)} for a sample, expected finite numbers`, {
          hint: 'training went wrong before this checkpoint: try an earlier one',
        })
      }
      taken(first, count)
    }
  }

  /** Copies `count` rows of the last mini-batch's activations to rows from `first` of `out` (B, U). */
  copy(out: Float32Array, layer: number, first: number, count: number): void {
    const { rows, cols, slot } = this.layout.activations[layer]
    const matrix = { rows, cols, tensor: viewSlot(this.#model.memory, slot) }
    copyRows(out, first * cols, matrix, count, this.#row)
    const { targets } = this.#model.source.input
    const isLast = layer === this.widths.length - 1
    if (isLast && targets) unscaleRows(out.subarray(first * cols, (first + count) * cols), targets)
  }
}

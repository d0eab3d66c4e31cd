/**
 * Forward pass of a saved network in one thread. Several threads may share the memory of a model: all read the same weights, and
 * each has batch buffers of its own, so that none waits for another. Any thread.
 *
 * Letters: `B` samples, `F` features of one, `K` outputs, `U` units of a layer.
 */

import { availableParallelism } from 'node:os'
import { unscaleRows } from '../data/input.js'
import type { Features } from '../data/source.js'
import { RunError } from '../errors.js'
import type { Backend, Kernels } from '../kernels/backend.js'
import { loadBackend } from '../kernels/backends.js'
import type { openProducts } from '../kernels/native/open-products.js'
import { viewSlot } from '../tensor/arena.js'
import { inputSize } from '../tensor/input-shape.js'
import { bindNetwork } from '../worker/network/bind.js'
import { copyRows } from '../worker/network/copy-rows.js'
import { type Network, type Pass, rowsPass } from '../worker/network/network.js'
import { faultText } from '../worker/plan/faults.js'
import type { Layout } from '../worker/plan/layout.js'
import type { RunPlan } from '../worker/plan/run-plan.js'
import { passStages } from '../worker/program/passes.js'
import type { Stage } from '../worker/program/stage.js'
import type { ModelSource } from './model.js'
import { joinPass } from './shared-pass.js'
import { PASS_ROWS, sharedLayout, threadLayouts } from './thread-layouts.js'

/** Network that several threads run: plain data and shared memory, which can be sent to them. */
export interface SharedModel {
  readonly source: ModelSource
  /** Plan with a worker for each thread. */
  readonly plan: RunPlan
  /** Reason for the plan's backend. */
  readonly reason: string
  readonly memory: WebAssembly.Memory
  readonly module: WebAssembly.Module | null
  /** Words of the pass that threads run together. */
  readonly together: Int32Array
}

export class Forward {
  /** Units at every layer boundary. */
  readonly widths: readonly number[]
  readonly layout: Layout
  readonly kernels: Kernels
  readonly #model: SharedModel
  readonly #backend: Backend
  /** Runs rows [0, count) of the batch buffers; returns 0 or the code of a fault. */
  readonly #run: (count: number) => number
  /** Stages over the batch buffers that all threads share; bound at the first pass that they run together. */
  #shared: readonly Stage<number>[] | undefined

  private constructor(model: SharedModel, backend: Backend, layout: Layout, kernels: Kernels) {
    const { plan, memory } = model
    this.widths = plan.widths
    this.layout = layout
    this.kernels = kernels
    this.#model = model
    this.#backend = backend
    const network = bindNetwork(plan, layout, memory, kernels)
    const { data: indices } = network.batch.samples
    for (let row = 0; row < PASS_ROWS; row++) indices[row] = row
    this.#run = passOf(plan, backend, network)
  }

  /** Binds the network's kernels. `thread`: from 0 to one less than the plan has workers. */
  static async open(model: SharedModel, thread: number): Promise<Forward> {
    const { plan, memory, module } = model
    const backend = await loadBackend(plan.backend, plan.precision)
    const layout = threadLayouts(plan, backend).layouts[thread]
    const scratchByteOffset = layout.scratch[thread].byteOffset
    const native = plan.library && (await openLibrary(plan.library, plan.precision, memory))
    return new Forward(model, backend, layout, backend.instantiate({ memory, module, scratchByteOffset, native }))
  }

  /** Outputs (B, K) of samples (B, F), in the units of the data. Throws RunError where they are not finite. */
  outputs(samples: Features): Float32Array {
    const last = this.widths.length - 1
    const rows = samples.length / inputSize(this.#model.source)
    const out = new Float32Array(rows * this.widths[last])
    this.eachPass(samples, rows, (first, count) => this.copy(out, last, first, count))
    return out
  }

  /**
   * Passes all samples through the network; `taken` copies what it needs of a pass, which the next one overwrites. Throws RunError
   * where outputs are not finite.
   */
  eachPass(samples: Features, rows: number, taken: (first: number, count: number) => void): void {
    const { source, memory } = this.#model
    const features = inputSize(source)
    const into = viewSlot<'uint8' | 'float32'>(memory, this.layout.features.test).data // (PASS_ROWS, F)
    for (let first = 0; first < rows; first += PASS_ROWS) {
      const count = Math.min(PASS_ROWS, rows - first)
      into.set(samples.subarray(first * features, (first + count) * features))
      refuseFault(this.#model, this.#run(count))
      taken(first, count)
    }
  }

  /** Copies `count` rows of the last pass's activations to rows from `first` of `out` (B, U). */
  copy(out: Float32Array, layer: number, first: number, count: number): void {
    copyActivations(this.#model, this.layout, out, layer, first, count)
  }

  /** Works on the pass that all threads of the pool run together, until it has ended; see shared-pass.ts. */
  join(): void {
    const { plan, memory, together } = this.#model
    const threads = plan.workers - 1 // without the one that opened the model
    this.#shared ??= stagesOf(
      plan,
      this.#backend,
      bindNetwork(plan, sharedLayout(plan, this.#backend), memory, this.kernels),
      threads,
    )
    joinPass(together, this.#shared, threads <= availableParallelism() ? SPIN_TURNS : 0)
  }
}

/**
 * Looks for the next stage before a thread sleeps, for about a third of a millisecond: waking it takes as long, and most waits for the
 * last task of a layer are shorter. A pass of 256 samples in two threads took 5 % longer with 5,000 looks.
 */
const SPIN_TURNS = 100_000

/** Copies `count` rows of the activations of batch buffers to rows from `first` of `out` (B, U). */
export function copyActivations(
  { source, memory, plan }: SharedModel,
  { activations }: Pick<Layout, 'activations'>,
  out: Float32Array,
  layer: number,
  first: number,
  count: number,
): void {
  const { rows, cols, slot } = activations[layer]
  const width = plan.widths[layer]
  // Feature maps have a row for each position.
  copyRows(out, first * width, { rows, cols, tensor: viewSlot(memory, slot) }, count * (width / cols))
  const { targets } = source.input
  const isLast = layer === plan.widths.length - 1
  if (isLast && targets) unscaleRows(out.subarray(first * width, (first + count) * width), targets)
}

/** Throws RunError for the code of a fault; 0: there is none. */
export function refuseFault({ source }: SharedModel, code: number): void {
  if (code === 0) return
  throw new RunError(`${source.checkpoint}: ${faultText(code)} for a sample, expected finite numbers`, {
    hint: 'training went wrong before this checkpoint: try an earlier one',
  })
}

/** Labels and targets are zeros: losses mean nothing here, and outputs do not depend on them. */
const PASS: Pass = { images: 'test', epoch: 0, rows: 0, deltaScale: 0 }
/** Rows that go through all layers at a time in the portable backend: their activations stay in the caches. */
const NEAR_ROWS = 64

/** A pass in this thread alone. */
function passOf(plan: RunPlan, backend: Backend, network: Network): (count: number) => number {
  if (!backend.bitsDependOnPartition) {
    const run = rowsPass(network)
    return count => {
      for (let row = 0; row < count; row += NEAR_ROWS) {
        const code = run(PASS, { row, rows: Math.min(NEAR_ROWS, count - row) })
        if (code !== 0) return code
      }
      return 0
    }
  }
  const stages = stagesOf(plan, backend, network, 1)
  return count => {
    for (const stage of stages) {
      const tasks = stage.tasks(count)
      for (let task = 0; task < tasks; task++) {
        const code = stage.run(task, count, 0)
        if (code !== 0) return code
      }
    }
    return 0
  }
}

/**
 * The stages that `evaluate` runs, for some threads, over the number of rows that is their context. Blocks are joined, which takes a
 * fifth less time where zeros are skipped; whether they are, and what a library multiplies, is decided for each block as there, so
 * that bits are the same.
 */
const stagesOf = (plan: RunPlan, backend: Backend, network: Network, threads: number): Stage<number>[] =>
  passStages<number>(
    { plan, backend, network, trains: false, groups: threads === 1 ? 1 : threads * GROUPS_OF_THREAD },
    { rows: count => count, pass: () => PASS, sampleIndex: (_, row) => row, place: () => 0 },
  )

/** Groups of blocks for each of several threads: one that is late takes fewer. */
const GROUPS_OF_THREAD = 2

/** Loaded where it is used: most programs call no library. */
const openLibrary: typeof openProducts = async (...of) =>
  (await import('../kernels/native/open-products.js')).openProducts(...of)

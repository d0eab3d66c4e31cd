/**
 * Loads windows of training rows from the spool into the arena: the one that a step needs, and the next one while workers train.
 * Main thread; workers read a window only after `ensure` has resolved, and the other half of the memory is written meanwhile.
 *
 * Letters: `F` features, `W` rows of a window.
 */

import { setImmediate } from 'node:timers/promises'
import { rowsPerStep, stepsPerEpoch } from '../worker/plan/clock.js'
import type { RunPlan } from '../worker/plan/run-plan.js'
import { placeOfWindow, type Run, type Windows, windowOrder, windowsPerEpoch } from '../worker/plan/windows.js'
import type { Spool } from './spool.js'

/** Rows between two turns of the event loop. */
const ROWS_AT_ONCE = 8192

/** Window that is being loaded or was, in one half of the memory. */
interface Loading {
  readonly window: number
  readonly done: Promise<void>
}

export class WindowLoader {
  readonly #windows: Windows
  readonly #halves: (Loading | null)[] = [null, null]
  /** Windows are loaded one after the other. */
  #queue: Promise<unknown> = Promise.resolve()
  readonly #block: Float32Array

  /** `features`: (2W + validation rows, F). */
  constructor(
    readonly spool: Spool,
    readonly plan: RunPlan,
    readonly features: Float32Array,
  ) {
    this.#windows = plan.windows!
    this.#block = new Float32Array(this.#windows.blockRows * spool.features)
  }

  /** Steps from `step` to the end of its window. */
  stepsLeft(step: number): number {
    const perWindow = this.#windows.rows / rowsPerStep(this.plan)
    const inEpoch = step % stepsPerEpoch(this.plan)
    return perWindow - (inEpoch % perWindow)
  }

  /** Resolves when the rows of a step are in memory, and begins to load those of the next window. */
  async ensure(step: number): Promise<void> {
    const perEpoch = stepsPerEpoch(this.plan)
    const epoch = Math.floor(step / perEpoch)
    const index = Math.floor(((step % perEpoch) * rowsPerStep(this.plan)) / this.#windows.rows)
    const window = epoch * this.#perEpoch + index
    await this.#load(window)
    if (window + 1 < this.plan.epochs * this.#perEpoch) void this.#load(window + 1).catch(() => {}) // reported when it is needed
  }

  /** Loads rows [index W, (index + 1) W) in the order of the data, to be scored. Returns the range of rows. */
  async loadInOrder(index: number): Promise<{ readonly from: number; readonly to: number }> {
    this.#halves.fill(null)
    const from = index * this.#windows.rows
    const to = Math.min(from + this.#windows.rows, this.plan.rows.train)
    await this.#enqueue(async () => {
      const { features } = this.spool
      for (let row = from; row < to; row += ROWS_AT_ONCE) {
        const end = Math.min(row + ROWS_AT_ONCE, to)
        this.spool.read(row, this.features.subarray((row - from) * features, (end - from) * features))
        await setImmediate()
      }
    })
    return { from, to }
  }

  get count(): number {
    return this.#perEpoch
  }

  async close(): Promise<void> {
    await this.#queue.catch(() => {})
    await this.spool.close()
  }

  get #perEpoch(): number {
    return windowsPerEpoch(this.#windows, this.plan.rows.train)
  }

  #load(window: number): Promise<void> {
    const half = window % 2
    const loading = this.#halves[half]
    if (loading?.window === window) return loading.done
    const done = this.#enqueue(() => this.#read(window))
    this.#halves[half] = { window, done }
    done.catch(() => {
      if (this.#halves[half]?.done === done) this.#halves[half] = null
    })
    return done
  }

  #enqueue(work: () => Promise<void>): Promise<void> {
    const done = this.#queue.then(work, work)
    this.#queue = done.catch(() => {})
    return done
  }

  async #read(window: number): Promise<void> {
    const { train } = this.plan.rows
    const [epoch, index] = [Math.floor(window / this.#perEpoch), window % this.#perEpoch]
    const { runs, positions } = windowOrder(this.plan, this.#windows, train, epoch, index)
    const placeOf = new Uint32Array(positions.length)
    for (let i = 0; i < positions.length; i++) placeOf[positions[i]] = i
    const first = placeOfWindow(this.#windows, window)
    let rows = 0
    for (const run of runs) {
      this.#readRun(run, placeOf, first)
      rows += run.rows
      if (rows < ROWS_AT_ONCE) continue
      rows = 0
      await setImmediate()
    }
  }

  #readRun({ row, rows, at }: Run, placeOf: Uint32Array, first: number): void {
    const width = this.spool.features
    const block = this.#block
    this.spool.read(row, block.subarray(0, rows * width))
    const { features } = this
    for (let i = 0; i < rows; i++) {
      const to = (first + placeOf[at + i]) * width
      for (let f = 0; f < width; f++) features[to + f] = block[i * width + f]
    }
  }
}

/**
 * State shared by training and evaluation: the data in shared memory, the workers over it, and the parameters in
 * row-major form. Main thread: it plans, loads, calls the workers and reads; `score` makes loss, accuracy and R² of their sums. It writes parameters only in
 * `storeParameters`, for scoring, while the workers are idle. `restart` replaces workers, and returns whether the state is whole.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Experiment } from '../config/schema.js'
import type { ScoreName } from '../config/scores.js'
import type { Task } from '../config/tasks.js'
import type { LoadedFile } from '../data/dataset.js'
import type { InputSpec, KnownInput } from '../data/input.js'
import { r2OfLoss, type TargetSpread } from '../data/regression-score.js'
import { RunError } from '../errors.js'
import type { Kernels } from '../kernels/backend.js'
import { parametersOf } from '../model/parameters.js'
import { type StateTensor, stateSize, stateTable } from '../model/state.js'
import type { NamedWeights } from '../run/checkpoint-file.js'
import type { Score } from '../run/events.js'
import { viewSlot } from '../tensor/arena.js'
import { sizeOf } from '../tensor/tensor.js'
import { viewWeight } from '../worker/network/views.js'
import { checkTrainingRows } from '../worker/plan/check-rows.js'
import type { Layout, ParameterSlots } from '../worker/plan/layout.js'
import type { RunPlan, Split } from '../worker/plan/run-plan.js'
import { Control, Stat } from '../worker/plan/words.js'
import type { Gathered } from '../worker/program/shared-state.js'
import type { LoadedData, PreparedSession } from './load.js'
import { workerTimes } from './phases.js'
import { WorkerPool } from './pool.js'
import { attachTo, type RankCall, readTraffic, type SharedRun, trafficSince } from './ranks.js'
import { moveData, openMemory } from './run-memory.js'
import { type Decide, NonFiniteError, type StateSnapshot, type StepsRun, type Sums } from './session-types.js'
import { loadShared } from './shared-data.js'
import { createSnapshot } from './snapshot-memory.js'
import { meanScore, outputBuffer, type ScoreResult, scoredSplit, scoresOfOutputs } from './split-scores.js'
import type { Spool } from './spool.js'
import { WindowLoader } from './window-loader.js'

/** Time for a thread to end: one that computes in a native library is not interrupted. */
const END_MS = 10_000

export { type Decide, NonFiniteError, type StateSnapshot, type StepsRun, type Sums } from './session-types.js'

interface SessionParts extends Omit<LoadedData, 'rows' | 'spool'> {
  readonly windows: WindowLoader | null
  readonly plan: RunPlan
  readonly layout: Layout
  readonly pool: WorkerPool
  readonly memory: WebAssembly.Memory
  readonly module: WebAssembly.Module | null
  readonly kernels: Kernels
  readonly ranks: SharedRun | null
}

export class Session {
  readonly plan: RunPlan
  readonly layout: Layout
  readonly files: readonly LoadedFile[]
  /** Input of the network, as every checkpoint stores it. */
  readonly input: InputSpec
  readonly warnings: readonly string[]
  /** Loads training rows that are not all in memory; null: they are. */
  readonly windows: WindowLoader | null
  /** The other ranks of the run; null: there are none. */
  readonly ranks: SharedRun | null
  #pool: WorkerPool
  readonly #spreads: Readonly<Record<Split, TargetSpread>> | null
  readonly #memory: WebAssembly.Memory
  readonly #module: WebAssembly.Module | null
  readonly #kernels: Kernels
  readonly #control: Int32Array
  readonly #stats: Float64Array
  /** One buffer for all snapshots, as large as weights and moments; allocated when the first is taken. */
  #snapshot: SharedArrayBuffer | undefined

  private constructor(parts: SessionParts) {
    this.plan = parts.plan
    this.layout = parts.layout
    this.files = parts.files
    this.input = parts.input
    this.warnings = parts.warnings
    this.#pool = parts.pool
    this.windows = parts.windows
    this.ranks = parts.ranks
    this.#spreads = parts.spreads
    this.#memory = parts.memory
    this.#module = parts.module
    this.#kernels = parts.kernels
    this.#control = viewSlot(parts.memory, parts.layout.control).data
    this.#stats = viewSlot(parts.memory, parts.layout.stats).data
  }

  /** Starts the threads, loads the data. `known`: scaling of the data if it exists already; null: from the training split. */
  static async start(
    prepared: PreparedSession,
    experiment: Experiment,
    known: KnownInput | null = null,
    folder?: string,
    decide?: Decide,
  ): Promise<Session> {
    const { data, ranks = null } = prepared
    let { plan, layout, backend, memory, module } = await openMemory(prepared.plan, prepared.layout)
    const spools: Spool[] = []
    let pool = WorkerPool.boot(prepared.plan.workers, viewSlot(memory, layout.control).data)
    try {
      const { rows, spool, ...loaded } = await loadShared(prepared, memory, experiment, known, folder)
      if (spool) spools.push(spool)
      if (prepared.plan.purpose === 'train') await data.close?.()
      plan = { ...plan, rows }
      if (plan.purpose === 'train' && plan.rows.train === 0) {
        throw new RunError(
          `data.validation is ${experiment.data.validation}, which leaves no training samples of ${data.name}`,
        )
      }
      checkTrainingRows(plan)
      const decided = await decide?.({ plan, layout, memory }, pool)
      if (decided && decided.layout !== layout) {
        const from = { layout, memory }
        layout = decided.layout
        plan = { ...decided.plan, rows }
        ;({ backend, memory, module } = await openMemory(plan, layout))
        await moveData(from, { layout, memory })
      }
      const control = viewSlot(memory, layout.control).data
      if (decided && !pool.servesAgain(plan.workers)) {
        await pool.close()
        pool = WorkerPool.boot(plan.workers, control)
      }
      if (ranks) await attachTo(ranks, layout, memory)
      await pool.open(plan, memory, module, { control })
      // Used only to store and load weights: that multiplies nothing, and never touches the scratch of worker 0.
      const kernels = backend.instantiate({
        memory,
        module,
        scratchByteOffset: layout.scratch[0].byteOffset,
        native: null,
      })
      const features = viewSlot<'uint8' | 'float32'>(memory, layout.features.train).data
      const windows = spool && new WindowLoader(spool, plan, features as Float32Array)
      return new Session({ ...loaded, plan, layout, pool, memory, module, kernels, windows, ranks })
    } catch (error) {
      await pool.close()
      for (const spool of spools) await spool.close()
      throw error
    }
  }

  get task(): Task {
    return this.input.task
  }

  get pool(): WorkerPool {
    return this.#pool
  }

  /**
   * Replaces failed workers by new ones over the same memory. Returns whether the state in it is that of a step's
   * end: not if one of them was changing it. The sums then belong to the same step.
   */
  async restart(): Promise<{ readonly stateIsWhole: boolean }> {
    await this.#closePool()
    const control = this.#control
    const stateIsWhole = Atomics.load(control, Control.updating) === 0
    const stop = Atomics.load(control, Control.stop)
    control.fill(0)
    control[Control.stop] = stop
    control[Control.updating] = stateIsWhole ? 0 : 1 // until it has been replaced
    this.#pool = WorkerPool.boot(this.plan.workers, control)
    await this.#pool.open(this.plan, this.#memory, this.#module)
    return { stateIsWhole }
  }

  /** Waits until no thread is left that could write. */
  async #closePool(): Promise<void> {
    const ended = this.#pool.close().then(() => true)
    if (!(await Promise.race([ended, delay(END_MS, false, { ref: false })]))) {
      throw new RunError(`workers: a thread is still running after ${END_MS / 1000} s, expected it to end`)
    }
  }

  /** Clears the fault that ended a span, so that another can run. */
  clearFault(): void {
    Atomics.store(this.#control, Control.fault, 0)
    Atomics.store(this.#control, Control.latchedFault, 0)
  }

  /** Draws the initial weights. */
  async initialise(): Promise<void> {
    this.#lead({ call: 'initialise' })
    await this.#all('initialise', worker => worker.initialise())
    this.#stateIsWhole()
  }

  /**
   * A copy of the current state, made by the workers. The next snapshot or restore overwrites it. Throws
   * NonFiniteError if a value in it is not finite: a state that training could not continue from is not saved.
   */
  async snapshot(): Promise<StateSnapshot> {
    const { buffer, snapshot } = await this.#snapshotViews()
    await this.gather('moments', buffer)
    const [fault] = await this.#all('snapshot', worker => worker.snapshot(buffer))
    if (fault !== 0) {
      this.clearFault()
      throw new NonFiniteError('snapshot', fault)
    }
    return snapshot
  }

  /** Replaces the state by what `fill` writes into the snapshot it is given. */
  async restore(fill: (into: StateSnapshot) => Promise<void>): Promise<void> {
    const { buffer, snapshot } = await this.#snapshotViews()
    await fill(snapshot)
    await this.#all('restore', worker => worker.restore(buffer))
    await this.share(buffer)
    this.#stateIsWhole()
  }

  /** Over ranks of which each has memory of its own: brings what only its owner has to rank 0, into its snapshot. All call it, and `share`, which sends rank 0's state to them. */
  async gather(what: Gathered, into: SharedArrayBuffer | null = null): Promise<void> {
    if (this.plan.ranks === null) return
    this.#lead({ call: 'gather', what })
    await this.#all('gather', worker => worker.gather(what, into))
  }

  async share(from: SharedArrayBuffer | null = null): Promise<void> {
    if (this.plan.ranks === null) return
    this.#lead({ call: 'share' })
    await this.#all('share', worker => worker.share(from))
  }

  /** Rank 0 has the others make the same call. */
  #lead(call: RankCall): void {
    if (this.ranks?.rank === 0) this.ranks.tell(call)
  }

  /** Calls every worker; over ranks, a failure of another rank is the error. */
  #all: WorkerPool['all'] = (...of) =>
    this.ranks ? this.ranks.guard(() => this.#pool.all(...of)) : this.#pool.all(...of)

  #stateIsWhole(): void {
    Atomics.store(this.#control, Control.updating, 0)
  }

  async #snapshotViews(): Promise<{ buffer: SharedArrayBuffer; snapshot: StateSnapshot }> {
    const table = stateTable(parametersOf(this.plan), this.plan)
    this.#snapshot ??= await createSnapshot(stateSize(table) * Float32Array.BYTES_PER_ELEMENT)
    const buffer = this.#snapshot
    const all = new Float32Array(buffer, 0, stateSize(table))
    const view = ({ name, shape, start, end }: StateTensor) => ({ name, shape, data: all.subarray(start, end) })
    const parameters = table.filter(({ moment }) => moment === null).map(view)
    const moments = table.filter(({ moment }) => moment !== null).map(view)
    return { buffer, snapshot: { parameters, moments } }
  }

  /** Sets the sums of the epoch so far, for a run that continues in the middle of one. Workers must be idle. */
  setSums({ step, loss, correct, rows }: Sums): void {
    const stats = this.#stats
    stats[Stat.step] = step
    stats[Stat.loss] = loss
    stats[Stat.correct] = correct
    stats[Stat.rows] = rows
  }

  /** Parameters in table order, row-major, as files have them. `data` gathers a copy each time it is read. */
  parameters(): NamedWeights[] {
    return this.layout.parameters.map(slots => {
      const load = () => this.#loadParameter(slots)
      return {
        name: slots.parameter.name,
        shape: slots.parameter.dims,
        get data() {
          return load()
        },
      }
    })
  }

  /** Overwrites the parameters, in table order, with row-major data. */
  async storeParameters(weights: readonly NamedWeights[]): Promise<void> {
    this.layout.parameters.forEach((slots, p) => {
      const { data } = weights[p]
      const { dims, kind } = slots.parameter
      if (kind !== 'weight') viewSlot(this.#memory, slots.master).data.set(data)
      else {
        const weight = viewWeight(this.#memory, slots)
        for (let i = 0; i < dims[0]; i++)
          this.#kernels.storeRow(weight, i, data.subarray(i * dims[1], (i + 1) * dims[1]))
      }
    })
    await this.#all('derive', worker => worker.derive())
  }

  #loadParameter({ parameter, ...slots }: ParameterSlots): Float32Array {
    const { dims, kind } = parameter
    if (kind !== 'weight') return Float32Array.from(viewSlot(this.#memory, slots.master).data.subarray(0, sizeOf(dims)))
    const weight = viewWeight(this.#memory, { parameter, ...slots })
    const values = new Float32Array(dims[0] * dims[1])
    for (let i = 0; i < dims[0]; i++) {
      this.#kernels.loadRow(weight, i, values.subarray(i * dims[1], (i + 1) * dims[1]))
    }
    return values
  }

  /** Sums of the workers so far. Consistent only between calls; during a call they are good enough for a progress display. */
  sums(): Sums {
    const stats = this.#stats
    return { step: stats[Stat.step], loss: stats[Stat.loss], correct: stats[Stat.correct], rows: stats[Stat.rows] }
  }

  /** Sample indices of the first `rows` rows of the batch buffers. */
  batchSamples(rows: number): number[] {
    return [...viewSlot(this.#memory, this.layout.batch.samples).data.subarray(0, rows)]
  }

  rowsOf(split: Split): number[] {
    return [...viewSlot(this.#memory, this.layout.sampleIndices[split]).data.subarray(0, this.plan.rows[split])]
  }

  /** Means of sums over training rows; null if there are none. R² is defined for whole splits only. */
  meanOf(sums: Pick<Sums, 'loss' | 'correct' | 'rows'>): Score | null {
    return sums.rows === 0 ? null : meanScore(this.input, sums)
  }

  /** Means over a whole epoch: with R² if all training rows were counted and the loss determines it. */
  epochMeanOf(sums: Pick<Sums, 'loss' | 'correct' | 'rows'>): Score | null {
    const mean = this.meanOf(sums)
    const { targets } = this.input
    if (mean === null || targets === null || this.#spreads === null) return mean
    const isWhole = sums.rows === this.plan.rows.train && !this.plan.weighted
    return { ...mean, r2: isWhole ? r2OfLoss(sums.loss, this.#spreads.train, targets) : null }
  }

  /**
   * Scores a split, without dropout. Overwrites the sums. A score that is not finite is a result, not an error. `wanted`:
   * scores beside those that the sums give, which need the outputs of every row.
   */
  async score(split: Split, wanted: readonly ScoreName[] = []): Promise<ScoreResult> {
    if (this.plan.rows[split] === 0) throw new RunError(`the ${split} split is empty, so there is nothing to score`)
    await this.gather(this.plan.ema !== null ? 'averages' : 'weights')
    const names = scoresOfOutputs(this.task, wanted)
    const buffer = names.length > 0 ? outputBuffer(this.plan, split) : undefined
    const fault = await this.#evaluate(split, buffer)
    if (fault !== 0) {
      this.clearFault()
      return { kind: 'score-fault', split, code: fault }
    }
    const { plan, layout, input } = this
    const squares = this.#stats.subarray(Stat.squares)
    const outputs = buffer ? new Float32Array(buffer) : null
    const of = {
      ...{ plan, layout, memory: this.#memory, input, split, outputs, squares },
      spread: this.#spreads?.[split] ?? null,
    }
    return scoredSplit(of, this.sums(), names)
  }

  /** Returns 0 or the code of a fault. */
  async #evaluate(split: Split, buffer?: SharedArrayBuffer): Promise<number> {
    const { windows } = this
    if (windows === null || split !== 'train') {
      const [{ fault }] = await this.#all(`evaluate ${split}`, worker => worker.evaluate(split, buffer))
      return fault
    }
    for (let index = 0; index < windows.count; index++) {
      const range = await windows.loadInOrder(index)
      const [{ fault }] = await this.#all(`evaluate ${split}`, worker => worker.evaluate(split, buffer, range))
      if (fault !== 0) return fault
    }
    return 0
  }

  /**
   * Trains steps [from, to), with `rateFactor` times the learning rate of the schedule; ends early if a stop was
   * requested. `step` is one past the last completed step; `fault` is nonzero if that step found a fault, and changed
   * nothing. Rejects with WorkerError.
   */
  async runSteps(from: number, to: number, rateFactor: number): Promise<StepsRun> {
    await this.windows?.ensure(from)
    this.#lead({ call: 'run', from, to, rateFactor })
    const before = this.ranks && readTraffic(this.ranks)
    const reports = await this.#all(`run steps ${from}-${to}`, worker => worker.run(from, to, { rateFactor }))
    const [{ step, fault }] = reports
    const traffic = before && trafficSince(before, readTraffic(this.ranks!))
    return { step, fault, workers: workerTimes(reports), ...(traffic && { ranks: traffic }) }
  }

  /** Requests that workers stop after their current step. */
  requestStop(): void {
    Atomics.store(this.#control, Control.stop, 1)
  }

  async close(): Promise<void> {
    try {
      await this.#pool.close()
    } finally {
      await this.windows?.close()
    }
  }
}

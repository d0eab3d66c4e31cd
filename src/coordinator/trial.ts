/**
 * The trial: times training steps of a run with each backend and precision that it may take, in memory of their own, on the threads
 * and some samples of the run. Main thread, after the data are loaded and before anything of the run is in the threads.
 *
 * Contenders take turns, so that a change of the machine's speed meets all of them; those that are far behind after their first turn
 * take no other. The learning rate is 0: weights stay as they were drawn, and nothing that is measured reaches the run but the choice.
 */
import { freemem } from 'node:os'
import { performance } from 'node:perf_hooks'
import { RunError } from '../errors.js'
import { loadBackend } from '../kernels/backends.js'
import { pairName } from '../kernels/choose-compute.js'
import { viewSlot } from '../tensor/arena.js'
import { faultText } from '../worker/plan/faults.js'
import { type Layout, planLayout } from '../worker/plan/layout.js'
import type { PlannedRun } from '../worker/plan/plan.js'
import type { RunPlan } from '../worker/plan/run-plan.js'
import type { WorkerPool } from './pool.js'
import { openMemory, type RunMemory } from './run-memory.js'
import type { StepTime } from './trial-choice.js'
import { copySamples, type Loaded, trialPlan } from './trial-rows.js'

/** Time that a trial of a small network takes, in milliseconds. */
const USUAL_MS = 250
/** Time after which no other turn begins, whatever has been measured. */
const MOST_MS = 10_000
/** Measured turns of those that are not far behind, where steps are long. */
const LEAST_TURNS = 3
const MOST_TURNS = 8
/** Steps until compilers are done, and a turn of measured ones. */
const WARMUP_MS = 15
const TURN_MS = 8
/** Times of the fastest from which a contender takes no other turn. */
const HOPELESS = 1.5

interface Contestant {
  readonly plan: RunPlan
  readonly layout: Layout
  /** null: far behind, and out of the trial. */
  opened: RunMemory | null
  /** Milliseconds of each measured step. */
  readonly samples: number[]
  /** Steps of a turn. */
  steps: number
}

/**
 * Times of a step of each planned run, the preferred one first; runs that are not worth a turn are left out. `from`: the run's data.
 * Throws RunError or WorkerError where a step fails; the pool has then to be replaced.
 */
export async function measureSteps(runs: readonly PlannedRun[], from: Loaded, pool: WorkerPool): Promise<StepTime[]> {
  const started = performance.now()
  const elapsed = () => performance.now() - started
  const measured: Contestant[] = []
  for (const planned of runs) {
    // The first is the one that would be taken without a trial, and needs the memory in any case.
    if (measured.length > 0 && (elapsed() > MOST_MS || 2 * planned.layout.bytes > freemem())) continue
    const contestant = await open(planned, from)
    await firstTurn(contestant, pool)
    measured.push(contestant)
    drop(measured)
  }
  let turnMs = 0
  for (let turn = 1; turn < MOST_TURNS; turn++) {
    const alive = measured.filter(({ opened }) => opened !== null)
    const late = elapsed() + turnMs > (turn < LEAST_TURNS ? MOST_MS : USUAL_MS)
    if (alive.length < 2 || late) break
    const before = elapsed()
    // Each turn begins with another, since what follows another may be slower.
    for (const i of alive.keys()) await nextTurn(alive[(i + turn) % alive.length], pool)
    drop(measured)
    turnMs = elapsed() - before
  }
  return measured.map(({ plan: { backend, precision, workers }, samples }) => ({
    ...{ backend, precision, workers },
    ms: median(samples),
  }))
}

async function open(planned: PlannedRun, from: Loaded): Promise<Contestant> {
  const plan = trialPlan(planned.plan, from.plan.rows.train)
  const layout = planLayout(plan, await loadBackend(plan.backend, plan.precision))
  const opened = await openMemory(plan, layout)
  copySamples(from, { plan, layout, memory: opened.memory })
  return { plan, layout, opened, samples: [], steps: 1 }
}

async function enter({ plan, layout, opened }: Contestant, pool: WorkerPool): Promise<void> {
  const { memory, module } = opened!
  await pool.open(plan, memory, module, viewSlot(memory, layout.control).data)
}

/** Draws the weights, and runs until compilers are done and it is known how long a step takes. */
async function firstTurn(contestant: Contestant, pool: WorkerPool): Promise<void> {
  await enter(contestant, pool)
  await pool.all('trial', worker => worker.initialise())
  const started = performance.now()
  let ms: number
  do {
    ms = median(await run(contestant, contestant.steps, pool))
    contestant.steps = Math.max(1, Math.min(2 * contestant.steps, Math.round(TURN_MS / ms)))
  } while (performance.now() - started < WARMUP_MS)
  contestant.samples.push(...(await run(contestant, contestant.steps, pool)))
}

async function nextTurn(contestant: Contestant, pool: WorkerPool): Promise<void> {
  await enter(contestant, pool)
  await run(contestant, 1, pool) // fills caches
  contestant.samples.push(...(await run(contestant, contestant.steps, pool)))
}

/** Milliseconds of each of some steps, of the slowest worker. */
async function run({ plan }: Contestant, steps: number, pool: WorkerPool): Promise<number[]> {
  const reports = await pool.all('trial', worker => worker.run(0, steps, { trace: true, rateFactor: 0 }))
  const stopped = reports.find(({ fault }) => fault !== 0)
  if (stopped) throw new RunError(`step with ${pairName(plan)}: ${faultText(stopped.fault)}`)
  return Array.from({ length: steps }, (_, i) => Math.max(...reports.map(report => report.steps!.totalMs[i])))
}

/** Lets go of the memory of those that are far behind. */
function drop(measured: readonly Contestant[]): void {
  const least = Math.min(...measured.map(({ samples }) => median(samples)))
  for (const contestant of measured) {
    if (median(contestant.samples) > HOPELESS * least) contestant.opened = null
  }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2
}

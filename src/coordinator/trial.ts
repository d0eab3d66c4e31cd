/**
 * The trial: times training steps of a run with each backend and precision that it may take, in memory of their own, on the threads
 * and some samples of the run. Main thread, after the data are loaded and before anything of the run is in the threads.
 *
 * Contenders take turns, so that a change of the machine's speed meets all of them; those that are far behind after their first turn
 * take no other. The learning rate is 0: weights stay as they were drawn, and nothing that is measured reaches the run but the choice.
 */
import { freemem } from 'node:os'
import { performance } from 'node:perf_hooks'
import { isDeepStrictEqual } from 'node:util'
import { RunError } from '../errors.js'
import { releasePages } from '../ffi/memory.js'
import { formatCounted } from '../format.js'
import { loadBackend } from '../kernels/backends.js'
import { pairName } from '../kernels/choose-compute.js'
import { viewSlot } from '../tensor/arena.js'
import { faultText } from '../worker/plan/faults.js'
import { type Layout, planLayout } from '../worker/plan/layout.js'
import type { PlannedRun } from '../worker/plan/plan.js'
import type { RunPlan } from '../worker/plan/run-plan.js'
import type { WorkerPool } from './pool.js'
import { openMemory, type RunMemory } from './run-memory.js'
import { chooseByTimes, isPair, type StepTime } from './trial-choice.js'
import { copySamples, type Loaded, trialPlan } from './trial-rows.js'

/** Time after which no other turn begins in any case, in milliseconds. */
const MOST_MS = 10_000
/** Turns of those that are not far behind: at least where steps are long, and at most. */
const LEAST_TURNS = 4
const MOST_TURNS = 9
/** How a comparison is made. */
interface Comparison {
  /** Time of a turn's measured steps, in milliseconds. */
  readonly turnMs: number
  /** Time for first and other turns, after which none begins where every contender has had enough of them. */
  readonly usualMs: number
  /** Turns of each before the slow ones take no other. */
  readonly fairTurns: number
}
const PAIRS: Comparison = { turnMs: 4, usualMs: 350, fairTurns: 1 }
/**
 * Workers wait for each other in every step, so that whatever else the cores do in a few milliseconds, such as compiling what ran
 * before, decides how long steps take: numbers of workers have longer turns, and none is out after one that was slow.
 */
const WORKERS: Comparison = { turnMs: 25, usualMs: 500, fairTurns: LEAST_TURNS }
/**
 * Time of the steps until compilers are done. After 10 ms, steps of 784-128-10 still took 1.5 to 2
 * times as long as in a run, and not as much longer for each backend.
 */
const WARMUP_MS = 30
const LONG_STEP_MS = 20
/** Steps of a turn. */
const LEAST_STEPS = 2
const MOST_STEPS = 1000
/**
 * Times of the fastest from which a contender takes no other turn: after its first turn, if its steps are long, and later. The first
 * steps are slow, and a turn of short ones costs little.
 */
const HOPELESS = { first: 2.5, later: 1.5 }

/** Calls of a pool that a trial makes. */
export type TrialPool = Pick<WorkerPool, 'open' | 'use' | 'all'>

interface Contestant {
  /** Name of its plan in the threads. */
  readonly name: string
  readonly plan: RunPlan
  readonly control: Int32Array
  readonly layout: Layout
  /** null: far behind, and out of the trial. */
  opened: RunMemory | null
  /** True if another contestant has put samples and weights into its memory. */
  readonly isFilled: boolean
  /** Milliseconds of each measured step. */
  readonly samples: number[]
  /** True after a turn besides the first. */
  hasTurns: boolean
}

/**
 * Times of a step of planned runs, of which the first is the preferred one; those that are not worth a turn are left out. Pairs of
 * backend and precision are compared with the fewest workers that they come with, where threads do not wait for each other; then the
 * fastest with more. `from`: the run's data. Throws RunError or WorkerError where a step fails; the pool has then to be replaced.
 */
export async function measureSteps(runs: readonly PlannedRun[], from: Loaded, pool: TrialPool): Promise<StepTime[]> {
  const started = performance.now()
  const elapsed = () => performance.now() - started
  const measured: Contestant[] = []
  const admit = async (planned: PlannedRun) => {
    if (measured.length > 0 && (elapsed() > MOST_MS || 2 * planned.layout.bytes > availableBytes())) return
    const contestant = await open(planned, from, measured)
    measured.push(contestant)
    await firstTurn(contestant, pool)
    await drop(measured, HOPELESS.first)
  }
  const takeTurns = async (contenders: () => readonly Contestant[], as: Comparison, from: number) => {
    let lastMs = 0
    for (let turn = 1; turn < MOST_TURNS; turn++) {
      const alive = contenders().filter(({ opened }) => opened !== null)
      const isLate = elapsed() + lastMs > (turn < LEAST_TURNS ? MOST_MS : from + as.usualMs)
      if (alive.length < 2 || isLate) break
      const before = elapsed()
      // Each turn begins with another, since what follows another may be slower.
      for (const i of alive.keys()) await nextTurn(alive[(i + turn) % alive.length], as.turnMs, pool)
      if (turn >= as.fairTurns) await drop(measured, HOPELESS.later)
      lastMs = elapsed() - before
    }
  }
  try {
    const fewest = Math.min(...runs.map(({ plan }) => plan.workers))
    for (const planned of runs) if (planned.plan.workers === fewest) await admit(planned)
    await takeTurns(() => measured, PAIRS, 0)
    const chosen = chooseByTimes(timesOf(measured), runs[0].plan)
    const isChosen = ({ plan }: { readonly plan: RunPlan }) => isPair(plan, chosen)
    const more = runs.filter(run => isChosen(run) && run.plan.workers > fewest)
    const from = elapsed()
    for (const planned of more) await admit(planned)
    if (more.length > 0) await takeTurns(() => measured.filter(isChosen), WORKERS, from)
    return timesOf(measured)
  } finally {
    for (const contestant of measured) await release(contestant, measured)
  }
}

const timesOf = (measured: readonly Contestant[]): StepTime[] =>
  measured.map(({ plan: { backend, precision, workers }, samples }) => ({
    ...{ backend, precision, workers },
    ms: median(samples),
  }))

/** Memory that this process may still take. */
function availableBytes(): number {
  const { availableMemory } = process as { availableMemory?: () => number } // Node.js 20.13, 22
  return availableMemory?.() ?? freemem()
}

/**
 * Contestants whose memory is laid out alike, as with the backends over a library, share it: to draw weights and touch the pages takes
 * longer than the steps of a trial, and no step changes a weight.
 */
async function open(planned: PlannedRun, from: Loaded, measured: readonly Contestant[]): Promise<Contestant> {
  const plan = trialPlan(planned.plan, from.plan.rows.train)
  const layout = planLayout(plan, await loadBackend(plan.backend, plan.precision))
  const alike = measured.find(other => other.opened !== null && isDeepStrictEqual(other.layout, layout))
  const opened = await openMemory(plan, layout, alike?.opened?.memory)
  if (!alike) copySamples(from, { plan, layout, memory: opened.memory })
  return {
    ...{ name: `${pairName(plan)}, ${formatCounted(plan.workers, 'worker')}`, plan, layout, opened },
    ...{
      isFilled: alike !== undefined,
      control: viewSlot(opened.memory, layout.control).data,
      samples: [],
      hasTurns: false,
    },
  }
}

/** Draws the weights, and runs until compilers are done and it is known how long a step takes. */
async function firstTurn(contestant: Contestant, pool: TrialPool): Promise<void> {
  const { plan, opened, isFilled } = contestant
  const { memory, module } = opened!
  await pool.open(plan, memory, module, contestant)
  if (!isFilled) await pool.all('trial', worker => worker.initialise())
  const until = performance.now() + WARMUP_MS
  let ms = median(await run(contestant, 1, pool))
  while (performance.now() < until) ms = median(await run(contestant, stepsIn(until - performance.now(), ms), pool))
  contestant.samples.push(...(await run(contestant, stepsIn(PAIRS.turnMs, ms), pool)))
}

async function nextTurn(contestant: Contestant, turnMs: number, pool: TrialPool): Promise<void> {
  await pool.use(contestant.name, contestant.plan, contestant.control)
  const ms = median(contestant.samples)
  await run(contestant, 1, pool) // fills caches
  // Code was still being compiled in the first turn, whose times tell only who is far behind.
  if (!contestant.hasTurns) contestant.samples.length = 0
  contestant.hasTurns = true
  contestant.samples.push(...(await run(contestant, stepsIn(turnMs, ms), pool)))
}

const stepsIn = (timeMs: number, stepMs: number): number =>
  Math.max(LEAST_STEPS, Math.min(MOST_STEPS, Math.round(timeMs / stepMs)))

/** Milliseconds of each of some steps, of the slowest worker. */
async function run({ name }: Contestant, steps: number, pool: TrialPool): Promise<number[]> {
  const reports = await pool.all('trial', worker => worker.run(0, steps, { trace: true, rateFactor: 0 }))
  const stopped = reports.find(({ fault }) => fault !== 0)
  if (stopped) throw new RunError(`step with ${name}: ${faultText(stopped.fault)}`)
  return Array.from({ length: steps }, (_, i) => Math.max(...reports.map(report => report.steps!.totalMs[i])))
}

/** Ends the trial of those that are far behind. */
async function drop(measured: readonly Contestant[], factor: number): Promise<void> {
  const least = Math.min(...measured.map(({ samples }) => median(samples)))
  for (const contestant of measured) {
    const ms = median(contestant.samples)
    const isCheap = factor === HOPELESS.first && ms < LONG_STEP_MS
    if (ms > factor * least && !isCheap) await release(contestant, measured)
  }
}

async function release(contestant: Contestant, measured: readonly Contestant[]): Promise<void> {
  const { opened } = contestant
  contestant.opened = null
  if (opened === null || measured.some(other => other.opened?.memory === opened.memory)) return
  await releasePages(opened.memory.buffer)
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2
}

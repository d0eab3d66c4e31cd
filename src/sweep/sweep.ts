/**
 * Runs a sweep: each variant in a run directory of its own, so many at a time. A sweep that was stopped or killed goes on
 * where it was: finished runs stay, the others are resumed. Main thread.
 */
import { mkdir, rm, stat, writeFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join, resolve } from 'node:path'
import { type LoadedExperiment, loadExperiment } from '../config/load.js'
import { type EpochScore, scoreOf } from '../coordinator/early-stopping.js'
import { resume } from '../coordinator/resume.js'
import { train } from '../coordinator/train.js'
import { ConfigError, GradloomError } from '../errors.js'
import { dependsOnEpochs } from '../model/schedule.js'
import { FILES } from '../run/directory.js'
import type { RunSummary, TrainEvent } from '../run/events.js'
import { readRunJson } from '../run/open.js'
import type { LoadedSweep, SweepFile } from './file.js'
import { overridesOf, type SweepPoint, sweepPoints } from './plan.js'

export interface SweepOptions {
  /** Default: `runs/<the file's name>`. The same directory again goes on with the sweep. */
  readonly dir?: string | undefined
  /** Default: the file's. */
  readonly parallel?: number | undefined
  /** Runs end after their current step, saved; the sweep resolves with what there is. */
  readonly signal?: AbortSignal | undefined
  readonly onRun?: ((run: SweepRun) => void) | undefined
  /** Events of the runs, with the index of the run. */
  readonly onEvent?: ((index: number, event: TrainEvent) => void) | undefined
  readonly onWarning?: ((message: string) => void) | undefined
}

export interface SweepRun {
  readonly point: SweepPoint
  /** Absolute. */
  readonly dir: string
  /** `waiting`: not to its end; `dropped`: by successive halving. */
  readonly status: 'waiting' | 'completed' | 'failed' | 'dropped'
  readonly epochs: number
  /** Larger is better; never of the held-out rows. Null until there is one. */
  readonly score: { readonly metric: string; readonly value: number } | null
  readonly error?: string
}

export interface SweepResult {
  /** Absolute. */
  readonly dir: string
  readonly runs: readonly SweepRun[]
  /** The completed run with the best score. */
  readonly best: SweepRun | null
}

interface Variant {
  readonly point: SweepPoint
  readonly loaded: LoadedExperiment
  readonly dir: string
}

/** Rejects with ConfigError, before anything runs, where any of the variants is no experiment. */
export async function runSweep(
  { sweep, name, experimentPath }: LoadedSweep,
  options: SweepOptions = {},
): Promise<SweepResult> {
  const { onRun, signal } = options
  const dir = resolve(options.dir ?? join('runs', name))
  const variants = await variantsOf(sweep, experimentPath, dir)
  await claimDirectory(dir, variants)
  const parallel = Math.min(options.parallel ?? sweep.parallel, variants.length)
  const workers = Math.max(1, Math.floor(availableParallelism() / parallel))
  const states = new Map<Variant, SweepRun>()
  const note = (variant: Variant, state: SweepRun) => {
    states.set(variant, state)
    onRun?.(state)
  }

  let going = variants
  const rungs = rungsOf(sweep.halving)
  for (const [r, share] of rungs.entries()) {
    await inParallel(going, parallel, async variant => {
      if (signal?.aborted) return
      const { epochs } = variant.loaded.experiment.train
      note(variant, await runTo(variant, Math.max(1, Math.ceil(epochs * share)), workers, options))
    })
    if (signal?.aborted) break
    if (sweep.halving && r < rungs.length - 1) {
      const kept = bestOf(going, states, Math.ceil(going.length / sweep.halving.factor))
      for (const variant of going) {
        const state = states.get(variant)!
        if (!kept.includes(variant) && state.status !== 'failed') note(variant, { ...state, status: 'dropped' })
      }
      going = kept
    }
  }
  const runs = variants.map(variant => states.get(variant) ?? waiting(variant))
  const completed = runs.filter(({ status, score }) => status === 'completed' && score !== null)
  return { dir, runs, best: completed.sort((a, b) => b.score!.value - a.score!.value)[0] ?? null }
}

const waiting = ({ point, dir }: Variant): SweepRun => ({ point, dir, status: 'waiting', epochs: 0, score: null })

/** Shares of the epochs to which each rung trains: ..., 1/9, 1/3, 1 for a factor of 3. */
function rungsOf(halving: SweepFile['halving']): number[] {
  if (!halving) return [1]
  return Array.from({ length: halving.rungs }, (_, r) => halving.factor ** (r + 1 - halving.rungs))
}

function bestOf(variants: readonly Variant[], states: ReadonlyMap<Variant, SweepRun>, count: number): Variant[] {
  const value = (variant: Variant) => states.get(variant)?.score?.value ?? Number.NEGATIVE_INFINITY
  const whole = variants.filter(variant => states.get(variant)?.status === 'completed')
  // The sort is stable: of equal ones the earlier stays.
  return whole.sort((a, b) => value(b) - value(a)).slice(0, count)
}

async function variantsOf(sweep: SweepFile, experimentPath: string, dir: string): Promise<Variant[]> {
  const points = sweepPoints(sweep)
  const digits = Math.max(3, String(points.length).length)
  const variants: Variant[] = []
  for (const point of points) {
    const loaded = await loadExperiment(experimentPath, overridesOf(point))
    const { schedule } = loaded.experiment
    if (sweep.halving && dependsOnEpochs(schedule)) {
      throw new ConfigError(
        `sweep: schedule.type is "${schedule.type}", expected one that does not end with the run; halving makes runs longer`,
      )
    }
    variants.push({ point, loaded, dir: join(dir, `run-${String(point.index).padStart(digits, '0')}`) })
  }
  return variants
}

const PLAN = 'sweep.json'

/** Notes the runs in the directory, or refuses one that has other runs. */
async function claimDirectory(dir: string, variants: readonly Variant[]): Promise<void> {
  const plan = JSON.stringify(
    variants.map(({ point, loaded }) => ({ ...point, experiment: loaded.experiment })),
    null,
    2,
  )
  const file = join(dir, PLAN)
  const before = await readRunJson(file)
  if (before === undefined) {
    await mkdir(dir, { recursive: true })
    await writeFile(file, `${plan}\n`)
  } else if (JSON.stringify(before, null, 2) !== plan) {
    throw new ConfigError(`${dir}: holds another sweep, expected a new directory or the same sweep`, {
      hint: 'name another with --run-dir, or remove it',
    })
  }
}

/** Trains a variant up to so many epochs, from wherever it is. */
async function runTo(variant: Variant, epochs: number, cores: number, options: SweepOptions): Promise<SweepRun> {
  const { point, dir, loaded } = variant
  const before = (await readRunJson(join(dir, FILES.summary))) as RunSummary | undefined
  if (before && (before.status === 'failed' || isDone(before, epochs))) return stateOf(variant, before)
  const { compute } = loaded.experiment
  const workers = compute.workers === 'auto' ? cores : compute.workers
  const overrides = [`train.epochs=${epochs}`, `compute.workers=${workers}`]
  const { signal, onWarning } = options
  const common = {
    signal,
    onEvent: (event: TrainEvent) => options.onEvent?.(point.index, event),
    onWarning: (message: string) => onWarning?.(`run ${point.index}: ${message}`),
  }
  try {
    if (await exists(join(dir, FILES.resolved))) {
      const { summary } = await resume(dir, { ...common, overrides })
      return stateOf(variant, summary)
    }
    await rm(dir, { recursive: true, force: true }) // killed as it started
    const all = [...overridesOf(point), ...overrides]
    return stateOf(variant, await train(await loadExperiment(loaded.path!, all), { ...common, runDir: dir }))
  } catch (error) {
    if (!(error instanceof GradloomError)) throw error
    return { ...waiting(variant), status: 'failed', error: error.message }
  }
}

const isDone = ({ status, epochs, stopped }: RunSummary, wanted: number): boolean =>
  status === 'completed' && (epochs >= wanted || stopped !== undefined)

function stateOf({ point, dir, loaded }: Variant, summary: RunSummary): SweepRun {
  const { status, epochs, train, validation, error } = summary
  return {
    ...{ point, dir, epochs },
    status: status === 'completed' ? 'completed' : status === 'failed' ? 'failed' : 'waiting',
    score: status === 'completed' ? rated(scoreOf(loaded.experiment, { train, validation })) : null,
    ...(error !== undefined && { error }),
  }
}

/** null where a score is not finite: such a run is better than no other. */
const rated = ({ metric, value }: EpochScore): SweepRun['score'] => (value === null ? null : { metric, value })

const exists = (file: string): Promise<boolean> =>
  stat(file).then(
    () => true,
    () => false,
  )

/** Calls `act` for each item, `count` at a time, in order. The first rejection ends it, once those under way are done. */
async function inParallel<T>(items: readonly T[], count: number, act: (item: T) => Promise<void>): Promise<void> {
  let next = 0
  let failure: { readonly error: unknown } | undefined
  const lane = async () => {
    while (next < items.length && !failure) {
      try {
        await act(items[next++])
      } catch (error) {
        failure ??= { error }
      }
    }
  }
  await Promise.all(Array.from({ length: count }, lane))
  if (failure) throw failure.error
}

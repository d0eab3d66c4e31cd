/**
 * Runs a sweep: each variant in a run directory of its own, a few at a time. A sweep that was stopped or killed continues
 * where it was: finished runs stay, the others are resumed, and those that failed are tried again. Main thread.
 *
 * Runs are ranked here (`bestOf`), by `scoreOf` of coordinator/early-stopping.ts and never by the test split; report/comparison.ts
 * makes their table.
 */
import { availableParallelism } from 'node:os'
import { join, resolve } from 'node:path'
import { loadExperiment } from '../config/load.js'
import { ConfigError } from '../errors.js'
import { dependsOnEpochs } from '../model/schedule.js'
import { claimSweep } from './claim.js'
import { DataOfRuns } from './data-of-runs.js'
import type { LoadedSweep, SweepFile } from './file.js'
import { overridesOf, sweepPoints } from './plan.js'
import { RankLanes } from './ranks.js'
import type { SweepOptions, SweepResult, SweepRun } from './result.js'
import { isFinished, runTo, type Variant, waiting } from './variant.js'

/**
 * Rejects before anything runs: with ConfigError where any of the variants is no experiment or the directory holds another
 * sweep, RunError where another process has the directory, DataError where its runs were trained on different data.
 */
export async function runSweep(
  { sweep, name, experimentPath }: LoadedSweep,
  options: SweepOptions = {},
): Promise<SweepResult> {
  const dir = resolve(options.dir ?? join('runs', name))
  const variants = await variantsOf(sweep, experimentPath, dir)
  if (options.ranks && variants.some(({ loaded }) => loaded.experiment.data.from === 'rank0')) {
    throw new ConfigError('data.from is "rank0", expected "each": in a sweep over several ranks each trains whole runs')
  }
  const lock = await claimSweep(
    dir,
    variants.map(({ point, loaded }) => ({ ...point, experiment: loaded.experiment })),
  )
  try {
    return await trainAll(sweep, dir, variants, options)
  } finally {
    await lock.release()
  }
}

/** Trains all variants; the directory is ours. */
async function trainAll(
  sweep: SweepFile,
  dir: string,
  variants: readonly Variant[],
  options: SweepOptions,
): Promise<SweepResult> {
  const { onRun, signal } = options
  const data = new DataOfRuns()
  for (const { loaded, dir } of variants) await data.add(loaded.experiment, dir)
  const lanes = options.ranks ? new RankLanes(options.ranks, signal) : null
  const parallel = Math.min(lanes?.count ?? options.parallel ?? sweep.parallel, variants.length)
  const cores = lanes?.cores ?? Math.max(1, Math.floor(availableParallelism() / parallel))
  const states = new Map<Variant, SweepRun>()
  const note = (variant: Variant, state: SweepRun) => {
    states.set(variant, state)
    onRun?.(state)
  }

  await refuseChangedData(variants, data, options)

  let going = variants
  const rungs = rungsOf(sweep.halving)
  for (const [r, share] of rungs.entries()) {
    await inParallel(going, parallel, async (variant, lane) => {
      if (signal?.aborted) return
      const epochs = Math.max(1, Math.ceil(variant.loaded.experiment.train.epochs * share))
      if (lanes === null || lane === 0) note(variant, await runTo(variant, epochs, { ...options, cores, data }))
      else {
        note(variant, await lanes.run(lane, variant, epochs, options))
        await data.add(variant.loaded.experiment, variant.dir)
      }
    })
    if (signal?.aborted) break
    if (sweep.halving && r < rungs.length - 1) {
      const kept = bestOf(going, states, Math.ceil(going.length / sweep.halving.factor))
      for (const variant of going) {
        const state = states.get(variant)!
        if (!kept.includes(variant) && state.status === 'completed') note(variant, { ...state, status: 'dropped' })
      }
      going = kept
    }
  }
  const runs = variants.map(variant => states.get(variant) ?? waiting(variant))
  const completed = runs.filter(({ status, score }) => status === 'completed' && score !== null)
  return { dir, runs, best: completed.sort((a, b) => b.score!.value - a.score!.value)[0] ?? null }
}

/**
 * Compares the data with those of the runs, where all runs are finished and none would read them. Throws DataError where
 * they have changed; data that are no longer there are told.
 */
async function refuseChangedData(
  variants: readonly Variant[],
  data: DataOfRuns,
  { onWarning }: SweepOptions,
): Promise<void> {
  const finished = await Promise.all(variants.map(variant => isFinished(variant)))
  if (finished.includes(false)) return
  const sections = new Map(variants.map(({ loaded }) => [JSON.stringify(loaded.experiment.data), loaded]))
  for (const { experiment, baseDir } of sections.values()) {
    const problem = await data.check(experiment, baseDir)
    if (problem) onWarning?.(`${problem}; the finished runs cannot be compared with it`)
  }
}

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
    if (sweep.halving && !loaded.experiment.checkpoint.atEnd) {
      throw new ConfigError(
        'sweep: checkpoint.atEnd is false, expected true; halving resumes runs from where they ended',
      )
    }
    variants.push({ point, loaded, dir: join(dir, `run-${String(point.index).padStart(digits, '0')}`) })
  }
  return variants
}

/** Calls `act` for each item, `count` at a time, in order, with the number of the lane that it is in. The first rejection ends it, once the current calls are done. */
async function inParallel<T>(
  items: readonly T[],
  count: number,
  act: (item: T, lane: number) => Promise<void>,
): Promise<void> {
  let next = 0
  let failure: { readonly error: unknown } | undefined
  const run = async (_: unknown, lane: number) => {
    while (next < items.length && !failure) {
      try {
        await act(items[next++], lane)
      } catch (error) {
        failure ??= { error }
      }
    }
  }
  await Promise.all(Array.from({ length: count }, run))
  if (failure) throw failure.error
}

/** One run of a sweep: trained, resumed, or left as it is, in a directory of its own. Main thread. */
import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { differencesBetween } from '../config/diff.js'
import { type LoadedExperiment, loadExperiment } from '../config/load.js'
import { withTask } from '../config/task.js'
import { seriousChanges } from '../coordinator/changes.js'
import { type EpochScore, scoreOf } from '../coordinator/early-stopping.js'
import { train } from '../coordinator/new-run.js'
import { resume } from '../coordinator/resume.js'
import { GradloomError, RunError } from '../errors.js'
import type { RunSummary, TrainEvent } from '../run/events.js'
import { isInUse, LOCK_FILE, RunLock } from '../run/lock.js'
import { FILES } from '../run/manifest.js'
import { OtherRunDataError, readSavedRun } from '../run/saved-run.js'
import { orRunError } from '../run/write-errors.js'
import { type DataOfRuns, OtherDataError, otherDataError } from './data-of-runs.js'
import { overridesOf, type SweepPoint } from './plan.js'
import type { SweepOptions, SweepRun } from './result.js'

export interface Variant {
  readonly point: SweepPoint
  readonly loaded: LoadedExperiment
  readonly dir: string
}

/** A run that has not been started. */
export const waiting = ({ point, dir }: Variant): SweepRun => ({
  ...{ point, dir, epochs: 0, score: null },
  status: 'waiting',
})

export interface VariantOptions extends Pick<SweepOptions, 'signal' | 'onEvent' | 'onWarning' | 'keepFailed'> {
  /** Threads of a run whose experiment leaves their number open. */
  readonly cores: number
  readonly data: DataOfRuns
}

/**
 * Trains a variant up to a number of epochs, from wherever it is. A failure is its result; rejects with DataError only if
 * the data of the sweep have changed.
 */
export async function runTo(variant: Variant, epochs: number, options: VariantOptions): Promise<SweepRun> {
  const { point, dir, loaded } = variant
  const { signal, cores, data } = options
  const warn = (message: string) => options.onWarning?.(`run ${point.index}: ${message}`)
  const { compute } = loaded.experiment
  const overrides = [
    `train.epochs=${epochs}`,
    `compute.workers=${compute.workers === 'auto' ? cores : compute.workers}`,
  ]
  const common = {
    signal,
    onEvent: (event: TrainEvent) => options.onEvent?.(point.index, event),
    onWarning: warn,
  }
  try {
    if (await exists(join(dir, FILES.resolved))) {
      const before = await summaryOfVariant(variant)
      if (before && isDone(before, epochs)) return stateOf(variant, before)
      if (before?.status === 'failed') {
        if (options.keepFailed) return stateOf(variant, before)
        warn(`failed before: ${reasonOf(before)}; it is tried again`)
      }
      return stateOf(variant, (await resume(dir, { ...common, overrides })).summary)
    }
    await removeStarted(dir)
    const expectedFiles = data.filesFor(loaded.experiment)
    const again = await loadExperiment(loaded.path!, [...overridesOf(point), ...overrides])
    const state = stateOf(
      variant,
      await train(again, { ...common, runDir: dir, ...(expectedFiles && { expectedFiles }) }),
    )
    await data.add(loaded.experiment, dir)
    return state
  } catch (error) {
    if (!(error instanceof GradloomError) || error instanceof OtherDataError) throw error
    if (error instanceof OtherRunDataError) throw otherDataError(error.message, error)
    if (await isInUse(dir)) {
      warn(`${error.message}; it is left to that process`)
      return waiting(variant)
    }
    return { ...waiting(variant), status: 'failed', error: error.message }
  }
}

/** The summary of a directory that holds a run of this variant; throws RunError where it holds another experiment. */
async function summaryOfVariant({ dir, loaded }: Variant): Promise<RunSummary | undefined> {
  const saved = await readSavedRun(dir)
  // The run has the task that its data decided, where the sweep's experiment leaves it to them.
  const { task } = saved.loaded.experiment.data
  const experiment = task === 'auto' ? loaded.experiment : withTask(loaded.experiment, task)
  const changes = differencesBetween(experiment, saved.loaded.experiment)
  const other = seriousChanges(changes, experiment).filter(({ path }) => path !== 'train.epochs')
  if (other.length === 0) return saved.summary
  throw new RunError(`${dir}: holds a run of another experiment; ${other.map(({ text }) => text).join('; ')}`, {
    hint: 'move it elsewhere, and the sweep trains this run anew',
  })
}

/** Names in the directory of a run that was killed as it started. */
const STARTED: readonly string[] = [
  FILES.experiment,
  FILES.manifest,
  FILES.metrics,
  FILES.tensorboard,
  FILES.checkpoints,
]

/** Removes what is left of a run that was killed as it started; throws RunError where there is more than that. */
async function removeStarted(dir: string): Promise<void> {
  if (!(await exists(dir))) return
  const lock = await RunLock.take(dir)
  try {
    const names = (await readdir(dir)).filter(name => !name.startsWith(LOCK_FILE) && !isTemporary(name))
    const saved = await readdir(join(dir, FILES.checkpoints)).catch(() => [])
    const more = [
      ...names.filter(name => !STARTED.includes(name)),
      ...saved.filter(name => !isTemporary(name)).map(name => `${FILES.checkpoints}/${name}`),
    ]
    if (more.length > 0) {
      throw new RunError(`${dir}: has no ${FILES.resolved} but holds ${more[0]}, expected a run, or nothing`, {
        hint: 'put the file back, or move the directory elsewhere',
      })
    }
    await orRunError(dir, () => rm(dir, { recursive: true, force: true }))
  } finally {
    await lock.release()
  }
}

const isTemporary = (name: string): boolean => name.startsWith('.') && name.endsWith('.tmp')

/** True if the variant has a run that has trained all its epochs. */
export async function isFinished(variant: Variant): Promise<boolean> {
  if (!(await exists(join(variant.dir, FILES.resolved)))) return false
  const summary = await summaryOfVariant(variant).catch(() => undefined)
  return summary !== undefined && isDone(summary, variant.loaded.experiment.train.epochs)
}

const isDone = ({ status, epochs, stopped }: RunSummary, wanted: number): boolean =>
  status === 'completed' && (epochs >= wanted || stopped !== undefined)

const reasonOf = ({ error }: RunSummary): string => error ?? `its ${FILES.summary} does not say why`

function stateOf({ point, dir, loaded }: Variant, summary: RunSummary): SweepRun {
  const { status, epochs, train, validation } = summary
  return {
    ...{ point, dir, epochs },
    status: status === 'completed' ? 'completed' : status === 'failed' ? 'failed' : 'waiting',
    score: status === 'completed' ? rated(scoreOf(loaded.experiment, { train, validation })) : null,
    ...(status === 'failed' && { error: reasonOf(summary) }),
  }
}

/** Null where a score is not finite: such a run is better than no other. */
const rated = ({ metric, value }: EpochScore): SweepRun['score'] => (value === null ? null : { metric, value })

const exists = (file: string): Promise<boolean> =>
  stat(file).then(
    () => true,
    () => false,
  )

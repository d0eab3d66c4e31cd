/**
 * Goes on with a run from its newest whole checkpoint: the same bits as if it had never stopped, with any number of
 * workers. Main thread.
 */
import { resolve } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { resolveExperiment } from '../config/load.js'
import { valueAt } from '../config/problems.js'
import type { Experiment } from '../config/schema.js'
import { settings } from '../config/settings.js'
import { ConfigError } from '../errors.js'
import { dependsOnEpochs } from '../model/schedule.js'
import { RunDirectory } from '../run/directory.js'
import type { RunSummary } from '../run/events.js'
import { inputOfFrom, knownScaling } from './model-input.js'
import { bitsOf } from './run-state.js'
import { readSavedRun, refuseOtherData, type SavedRun, withBackendOf } from './saved-run.js'
import { prepareSession, Session } from './session.js'
import { restoreFirst, type Start, startFrom, startsIn } from './start.js'
import { Trainer, type TrainOptions } from './trainer.js'

export interface ResumeOptions extends Omit<TrainOptions, 'runDir'> {
  /** Texts such as "train.epochs=30". */
  readonly overrides?: readonly string[]
  /** Allow changes that the steps already done would not have been trained with; recorded in the manifest. */
  readonly allowChange?: boolean
}

export interface Resumed {
  /** False for a run that was finished already: nothing was done. */
  readonly trained: boolean
  readonly summary: RunSummary
}

/** Changes of these leave the bits of the steps already done as they are. */
const FREE = [
  ...['name', '$schema', 'train.epochs', 'train.stopAfterSeconds', 'train.evaluateEverySteps', 'checkpoint.'],
  ...['train.earlyStopping.patience', 'train.earlyStopping.restoreBest'],
  ...['compute.workers', 'compute.library', 'compute.maxRestarts'],
  'log.',
]
/** And these, as long as nothing has been left out, and no checkpoint may be gone back to. */
const FREE_WHILE_STOPPING = ['train.onNonFinite', 'train.rollbackFactor', 'train.maxNonFinite']
/** Where these say, a run goes back to. */
const ROLLBACK_SCHEDULE = ['checkpoint.everySteps', 'checkpoint.everyEpochs']
/** And this, what is best. */
const JUDGED_BY = ['checkpoint.bestMetric', 'train.earlyStopping.minDelta']

/** Rejects with ConfigError where the run cannot go on as asked, RunError where it is in use or fails again. */
export async function resume(runDir: string, options: ResumeOptions = {}): Promise<Resumed> {
  const path = resolve(runDir)
  const { overrides = [], allowChange = false, onWarning = () => {} } = options
  const before = (await readSavedRun(path)).loaded
  const { experiment } = resolveExperiment(before.experiment, { where: before.path!, overrides })
  const changes = changesBetween(before.experiment, experiment)
  const serious = seriousOf(changes, before.experiment)
  refuseChanges(path, serious, allowChange)

  const directory = await RunDirectory.reopen(path, { onWarning, tensorboard: experiment.log.tensorboard })
  try {
    // Read again: until the lock was ours, another process may have gone on with it.
    const run = await readSavedRun(path)
    const finished = finishedSummary(run, experiment, changes.length > 0)
    if (finished) return { trained: false, summary: finished }

    const starts = await startsIn(directory.checkpoints, onWarning)
    const pinned = starts.length > 0 ? withBackendOf(experiment, starts[0].training.bits) : experiment
    const model = await inputOfFrom(run.manifest?.from)
    const prepared = await prepareSession(
      pinned,
      path,
      { purpose: 'train', splits: ['train', 'validation', 'test'] },
      options.data,
      model.spec,
    )
    const session = await Session.start(prepared, pinned, knownScaling(model, prepared.data, pinned.data))
    try {
      refuseOtherData(run, session)
      const otherBits = bitsDiffer(session, starts)
      if (otherBits !== null && !allowChange) throw otherBits
      const from = await restoreFirst(session, starts, onWarning)
      await directory.cutMetrics(from?.step ?? -1)
      await directory.removeSummary()
      await directory.replaceResolved(experiment)
      await directory.noteResume({
        at: new Date().toISOString(),
        step: from?.step ?? 0,
        workers: session.plan.workers,
        changes: changes.map(({ text }) => text),
        changesPast: serious.length > 0 || otherBits !== null,
      })
      const { backendReason, backendAdvice } = prepared
      const startedFrom = run.manifest?.from ?? null
      const trainer = new Trainer({
        ...{ session, experiment, options, directory, backendReason, backendAdvice, from },
        ...(startedFrom !== null && { initialise: session => startFrom(session, startedFrom) }),
      })
      return { trained: true, summary: await trainer.train() }
    } finally {
      await session.close()
    }
  } finally {
    await directory.close()
  }
}

interface Change {
  readonly path: string
  readonly text: string
}

function changesBetween(before: Experiment, after: Experiment): Change[] {
  const paths = [...new Set(settings.map(({ path }) => path))]
  return paths.flatMap(path => {
    const [old, now] = [before, after].map(experiment => valueAt(experiment, path.split('.')))
    if (isDeepStrictEqual(old, now)) return []
    return [{ path, text: `${path}: ${JSON.stringify(old)} -> ${JSON.stringify(now)}` }]
  })
}

function isFree({ path }: Change, { train, schedule, augment }: Experiment): boolean {
  if (path === 'train.epochs' && (dependsOnEpochs(schedule) || augment.plainEpochs > 0)) return false
  if (schedule.type === 'plateau' && JUDGED_BY.includes(path)) return false
  if (JUDGED_BY.includes(path)) return true
  if (train.onNonFinite === 'rollback' && ROLLBACK_SCHEDULE.includes(path)) return false
  if (train.onNonFinite === 'stop' && FREE_WHILE_STOPPING.includes(path)) return true
  return FREE.some(free => path.startsWith(free))
}

/** Those that would have changed the past, with the reason where it is not plain. */
const seriousOf = (changes: readonly Change[], before: Experiment): Change[] =>
  changes
    .filter(change => !isFree(change, before))
    .map(({ path, text }) => ({ path, text: path === 'train.epochs' ? `${text} (${epochsReason(before)})` : text }))

function refuseChanges(path: string, serious: readonly Change[], allowed: boolean): void {
  const shape = serious.filter(change =>
    /^(model\.(hidden|norm)|train\.ema\.decay|data\.dataset|optimizer\.type)$/.test(change.path),
  )
  if (serious.length === 0 || (allowed && shape.length === 0)) return
  const list = (allowed ? shape : serious).map(({ text }) => text).join('; ')
  throw new ConfigError(
    allowed
      ? `${path}: ${list}; the state of the run does not fit that`
      : `${path}: ${list}; the steps already done were trained otherwise, so this would be another run`,
    {
      hint: allowed
        ? 'npx gradloom train <experiment> --from <checkpoint> starts a new run from the weights'
        : 'start a new run, or --allow-change to go on nevertheless; the manifest will say so',
    },
  )
}

const epochsReason = ({ schedule, augment }: Experiment): string =>
  dependsOnEpochs(schedule)
    ? `schedule.type is "${schedule.type}", whose learning rates depend on the number of epochs from the first step on`
    : `the last ${augment.plainEpochs} epochs saw images as they are, augment.plainEpochs`

/** The summary of a run that has done all it should; undefined if there is more to do, or it is asked for more. */
function finishedSummary({ summary }: SavedRun, { train }: Experiment, changed: boolean): RunSummary | undefined {
  if (summary?.status !== 'completed') return undefined
  const done = summary.epochs >= train.epochs || (summary.stopped !== undefined && !changed)
  return done ? summary : undefined
}

/** What is wrong if the session would go on with other bits than the newest start was trained with; null: nothing. */
function bitsDiffer({ plan, files }: Session, [newest]: readonly Start[]): ConfigError | null {
  const now = bitsOf(plan, files)
  if (newest === undefined || isDeepStrictEqual(now, newest.training.bits)) return null
  return new ConfigError(
    `${newest.file}: was trained with ${JSON.stringify(newest.training.bits)}, expected the same here; this is ${JSON.stringify(now)}`,
    { hint: '--allow-change goes on nevertheless; the bits will be others' },
  )
}

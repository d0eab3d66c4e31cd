/**
 * Goes on with a run from its newest whole checkpoint: the same bits as if it had never stopped, with any number of
 * workers. Main thread.
 */
import { join, resolve } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { type LoadedExperiment, resolveExperiment } from '../config/load.js'
import { valueAt } from '../config/problems.js'
import type { Experiment } from '../config/schema.js'
import { settings } from '../config/settings.js'
import { ConfigError, DataError } from '../errors.js'
import { dependsOnEpochs } from '../model/schedule.js'
import { checkpointName, checkpointSteps } from '../run/checkpoints.js'
import { FILES, RunDirectory } from '../run/directory.js'
import type { RunSummary } from '../run/events.js'
import { readRunJson } from '../run/open.js'
import { CheckpointError } from '../run/safetensors.js'
import { parseTrainingState, type TrainingState } from '../run/training-state.js'
import { type Checkpoint, loadState, readCheckpoint } from '../run/weights.js'
import { prepareSession, Session } from './session.js'
import { bitsOf, type ResumePoint, Trainer, type TrainOptions } from './trainer.js'

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

/** Changes of these leave the bits of the steps already done as they are; see epochsReason for the epochs. */
const FREE = ['name', 'train.epochs', 'compute.workers', 'compute.library', 'checkpoint.', '$schema']

/** Rejects with ConfigError where the run cannot go on as asked, RunError where it is in use or fails again. */
export async function resume(runDir: string, options: ResumeOptions = {}): Promise<Resumed> {
  const path = resolve(runDir)
  const before = await resolvedOf(path)
  const { overrides = [], allowChange = false, onWarning = () => {} } = options
  const { experiment } = resolveExperiment(before.experiment, { where: before.path!, overrides })
  const changes = changesBetween(before.experiment, experiment)
  refuseChanges(path, changes, allowChange)

  const directory = await RunDirectory.reopen(path, { onWarning })
  try {
    const finished = await finishedSummary(path, experiment)
    if (finished) return { trained: false, summary: finished }

    const starts = await startsIn(directory.checkpoints, onWarning)
    const pinned = starts.length > 0 ? withBackendOf(experiment, starts[0].training) : experiment
    const prepared = await prepareSession(pinned, path, { purpose: 'train', splits: ['train', 'validation', 'test'] })
    const session = await Session.start(prepared, pinned)
    try {
      await refuseOtherData(path, session)
      const from = await restoreNewest(session, starts, allowChange, onWarning)
      await directory.cutMetrics(from?.step ?? -1)
      await directory.replaceResolved(experiment)
      await directory.noteResume({
        at: new Date().toISOString(),
        step: from?.step ?? 0,
        workers: session.plan.workers,
        changes: changes.map(({ text }) => text),
      })
      const { backendReason, backendAdvice } = prepared
      const run = new Trainer({ experiment, options, directory, backendReason, backendAdvice, from })
      return { trained: true, summary: await run.train(session) }
    } finally {
      await session.close()
    }
  } finally {
    await directory.close()
  }
}

async function resolvedOf(path: string): Promise<LoadedExperiment> {
  const file = join(path, FILES.resolved)
  const found = await readRunJson(file)
  if (found === undefined) {
    throw new ConfigError(`${path}: has no ${FILES.resolved}, expected the directory of a run`, {
      hint: 'give the directory that `gradloom train` named',
    })
  }
  return { ...resolveExperiment(found, { where: file }), path: file }
}

interface Change {
  readonly path: string
  readonly text: string
  /** Of the steps already done. */
  readonly schedule: Experiment['schedule']
}

function changesBetween(before: Experiment, after: Experiment): Change[] {
  const paths = [...new Set(settings.map(({ path }) => path))]
  return paths.flatMap(path => {
    const [old, now] = [before, after].map(experiment => valueAt(experiment, path.split('.')))
    if (isDeepStrictEqual(old, now)) return []
    return [{ path, text: `${path}: ${JSON.stringify(old)} -> ${JSON.stringify(now)}`, schedule: before.schedule }]
  })
}

function refuseChanges(path: string, changes: readonly Change[], allowed: boolean): void {
  const serious = changes.flatMap(change => {
    const reason = epochsReason(change)
    if (reason !== null) return [{ ...change, text: `${change.text} (${reason})` }]
    return FREE.some(free => change.path.startsWith(free)) ? [] : [change]
  })
  const shape = serious.filter(change => /^(model\.hidden|data\.dataset|optimizer\.type)$/.test(change.path))
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

/** Why another number of epochs is not free here; null where it is, and for other changes. */
function epochsReason({ path, schedule }: Change): string | null {
  if (path !== 'train.epochs' || !dependsOnEpochs(schedule)) return null
  return `schedule.type is "${schedule.type}", whose learning rates depend on the number of epochs from the first step on`
}

/** The summary of a run that has done all its epochs; undefined if there is more to do. */
async function finishedSummary(path: string, experiment: Experiment): Promise<RunSummary | undefined> {
  const summary = (await readRunJson(join(path, FILES.summary))) as RunSummary | undefined
  return summary?.status === 'completed' && summary.epochs >= experiment.train.epochs ? summary : undefined
}

interface Start {
  readonly file: string
  readonly checkpoint: Checkpoint
  readonly training: TrainingState
}

/** The checkpoints whose headers are whole, newest first; damaged ones are told and passed over. */
async function startsIn(folder: string, onWarning: (message: string) => void): Promise<Start[]> {
  const starts: Start[] = []
  for (const step of await checkpointSteps(folder)) {
    const file = join(folder, checkpointName(step))
    try {
      const checkpoint = await readCheckpoint(file)
      starts.push({ file, checkpoint, training: parseTrainingState(file, checkpoint.training) })
    } catch (error) {
      tellDamage(error, onWarning)
    }
  }
  return starts
}

function tellDamage(error: unknown, onWarning: (message: string) => void): void {
  if (!(error instanceof CheckpointError)) throw error
  onWarning(`${error.message}; it is passed over`)
}

/** `auto` must not choose another backend than the one that trained so far. */
function withBackendOf(experiment: Experiment, { bits }: TrainingState): Experiment {
  const { compute } = experiment
  const backend = compute.backend === 'auto' ? (bits.backend as typeof compute.backend) : compute.backend
  const shardRows = compute.shardRows === 'auto' ? bits.shardRows : compute.shardRows
  return { ...experiment, compute: { ...compute, backend, shardRows } }
}

async function refuseOtherData(path: string, session: Session): Promise<void> {
  const manifest = (await readRunJson(join(path, FILES.manifest))) as
    | { data?: { files?: { path: string; md5: string }[] } }
    | undefined
  const before = manifest?.data?.files
  session.files.forEach(({ path: file, md5 }, i) => {
    if (before?.[i] && before[i].md5 !== md5) {
      throw new DataError(`${file}: MD5 is ${md5}, expected ${before[i].md5}; the run was trained on other data`)
    }
  })
}

/** Gives the session the state of the newest checkpoint that is whole; null: none is, the run starts over. */
async function restoreNewest(
  session: Session,
  starts: readonly Start[],
  allowChange: boolean,
  onWarning: (message: string) => void,
): Promise<ResumePoint | null> {
  for (const start of starts) {
    try {
      return await restore(session, start, allowChange)
    } catch (error) {
      tellDamage(error, onWarning)
    }
  }
  return null
}

async function restore(session: Session, start: Start, allowChange: boolean): Promise<ResumePoint> {
  const { file, training, checkpoint } = start
  const now = bitsOf(session.plan, session.files)
  if (!allowChange && !isDeepStrictEqual(now, training.bits)) {
    throw new ConfigError(
      `${file}: was trained with ${JSON.stringify(training.bits)}, expected the same here; this is ${JSON.stringify(now)}`,
      { hint: '--allow-change goes on nevertheless; the bits will be others' },
    )
  }
  await session.restore(async ({ parameters, moments }) => {
    await loadState(file, parameters, moments)
  })
  return { step: checkpoint.step, training }
}

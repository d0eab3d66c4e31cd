/**
 * Checks whether and how a run can be resumed: everything that can be known from its directory, before anything is written.
 * Main thread; reads, never writes.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { type Change, differencesBetween } from '../config/diff.js'
import { resolveExperiment } from '../config/load.js'
import type { Experiment } from '../config/schema.js'
import { ConfigError, type GradloomError, RunError } from '../errors.js'
import { checkpointSteps } from '../run/checkpoints.js'
import type { RunSummary } from '../run/events.js'
import { dataOverrides, withLocatedData } from '../run/locate-data.js'
import { FILES } from '../run/manifest.js'
import { readSavedRun, type SavedRun } from '../run/saved-run.js'
import { isPlace, refuseChanges, seriousChanges } from './changes.js'
import { type Start, startsIn } from './start.js'

export interface ResumeRequest {
  /** Texts such as "train.epochs=30". */
  readonly overrides?: readonly string[]
  /** Allow changes that the completed steps would not have been trained with; recorded in the manifest. */
  readonly allowChange?: boolean
  /** Current location of the data, if they have moved: relative to the current folder. */
  readonly dataPath?: string | undefined
  readonly testDataPath?: string | undefined
  /** Current location of the weights that the run started from, if they have moved. */
  readonly fromPath?: string | undefined
}

export interface ResumePlan {
  readonly run: SavedRun
  /** The run's experiment with the changes, and with data that exist. */
  readonly experiment: Experiment
  readonly changes: readonly Change[]
  /** Changes with which the completed steps would have other bits. */
  readonly serious: readonly Change[]
  /** Checkpoints whose headers are whole, newest first; none: training starts at step 0. */
  readonly starts: readonly Start[]
  /** Summary of a run that is finished; null if there is more to train. */
  readonly finished: RunSummary | null
}

/**
 * Checks a run directory; `path` is absolute. Throws ConfigError if the request is impossible, RunError if files of the
 * run are missing, damaged or edited so that it cannot be continued, DataError if its data are missing.
 */
export async function checkResumable(
  path: string,
  request: ResumeRequest,
  onWarning: (message: string) => void,
): Promise<ResumePlan> {
  const { allowChange = false } = request
  const run = await readSavedRun(path)
  const before = run.loaded.experiment
  const overrides = [...(request.overrides ?? []), ...dataOverrides(request)]
  const asked = resolveExperiment(before, { where: run.loaded.path!, overrides }).experiment
  const askedChanges = differencesBetween(before, asked)
  refuseChanges(path, seriousChanges(askedChanges, before), allowChange)
  const finished = finishedSummary(
    run,
    asked,
    askedChanges.some(change => !isPlace(change)),
  )
  if (finished) return { run, experiment: asked, changes: [], serious: [], starts: [], finished }
  refuseMissingManifest(run)

  const starts = await startsIn(join(path, FILES.checkpoints), onWarning)
  if (starts.length === 0) await refuseToStartOver(run, onWarning)
  for (const start of starts) refuseOfAnotherRun(run, start)

  const named = (key: string) => overrides.some(text => text.startsWith(`data.${key}=`))
  const experiment = await withLocatedData(asked, run, {
    ...(named('path') && { path: asked.data.path }),
    ...(named('testPath') && { testPath: asked.data.testPath }),
  })
  const changes = differencesBetween(before, experiment)
  return { run, experiment, changes, serious: seriousChanges(changes, before), starts, finished: null }
}

/** Error for a run none of whose checkpoints can be used. `reasons`: the problem of each. */
export function noUsableCheckpoint(path: string, reasons: readonly string[]): RunError {
  return new RunError(
    `${path}: none of its checkpoints can be used, expected one to resume from; ${reasons.join('; ')}`,
    {
      hint: `nothing was changed; put back a copy of a checkpoint, or start again: ${startAgain(path)}`,
    },
  )
}

const startAgain = (path: string): string =>
  `npx gradloom train ${join(path, FILES.resolved)} --run-dir <new directory>`

/** The summary of a run that is complete; null if there is more to train, or more is asked for. */
function finishedSummary({ summary }: SavedRun, { train }: Experiment, changed: boolean): RunSummary | null {
  if (summary?.status !== 'completed') return null
  const done = summary.epochs >= train.epochs || (summary.stopped !== undefined && !changed)
  return done ? summary : null
}

function refuseMissingManifest({ path, manifest }: SavedRun): void {
  if (manifest !== undefined) return
  throw new RunError(
    `${join(path, FILES.manifest)}: there is no such file, expected the manifest of the run, which records its data and first weights`,
    {
      hint: `put it back; npx gradloom train ${join(path, FILES.resolved)} --from ${path} starts a new run from the weights`,
    },
  )
}

/** Lets a run without a checkpoint start at step 0 again, unless it had saved some. */
async function refuseToStartOver({ path, summary }: SavedRun, onWarning: (message: string) => void): Promise<void> {
  const folder = join(path, FILES.checkpoints)
  if ((await checkpointSteps(folder)).length > 0) {
    const reasons: string[] = []
    await startsIn(folder, message => reasons.push(message))
    throw noUsableCheckpoint(path, reasons)
  }
  const hadSome = Boolean(summary?.checkpoint) || (await recordsCheckpoint(join(path, FILES.metrics)))
  if (hadSome) {
    throw new RunError(`${folder}: has no checkpoint, expected those that the run has saved; they were removed since`, {
      hint: `nothing was changed; put them back, or start again: ${startAgain(path)}`,
    })
  }
  if (summary?.status === 'completed') {
    throw new RunError(`${path}: run is completed and has no checkpoint, expected one to continue from`, {
      hint: `nothing was changed; start again: ${startAgain(path)}`,
    })
  }
  onWarning(`${path}: run has no checkpoint yet; training starts at step 0`)
}

async function recordsCheckpoint(file: string): Promise<boolean> {
  try {
    return /^\{.*"type":"checkpoint"/m.test(await readFile(file, 'utf8'))
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw new RunError(`${file}: cannot be read: ${(cause as Error).message}`, { cause })
  }
}

/** Refuses a checkpoint of another run in this one's folder, which would be continued as if it were its own. */
function refuseOfAnotherRun({ path, loaded, manifest }: SavedRun, { file, checkpoint }: Start): void {
  if (manifest?.resumes?.some(({ changesPast }) => changesPast)) return // then older ones may differ
  let own: Experiment
  try {
    own = resolveExperiment(checkpoint.experiment, { where: file }).experiment
  } catch (cause) {
    if (!(cause instanceof ConfigError)) throw cause
    throw new RunError(`${file}: experiment in its metadata is not valid: ${cause.message}`, { cause })
  }
  const serious = seriousChanges(differencesBetween(loaded.experiment, own), loaded.experiment)
  if (serious.length === 0) return
  throw new RunError(
    `${file}: is a checkpoint of another experiment than ${join(path, FILES.resolved)}; ${serious.map(({ text }) => text).join('; ')}`,
    { hint: 'nothing was changed; undo the edit of that file, or move the checkpoint elsewhere' },
  )
}

/** Error if training would continue with other bits than the start was trained with; null if it would not. */
export function otherBits(now: Start['training']['bits'], newest: Start | undefined): GradloomError | null {
  if (newest === undefined || isDeepStrictEqual(now, newest.training.bits)) return null
  return new ConfigError(
    `${newest.file}: was trained with ${JSON.stringify(newest.training.bits)}, expected the same here; this is ${JSON.stringify(now)}`,
    { hint: '--allow-change resumes nevertheless; the bits will be others' },
  )
}

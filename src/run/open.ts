/**
 * Finds the weights to use, and the experiment they come from, given a run directory or a checkpoint file. Reads,
 * never writes. Main thread.
 */
import { readFile, stat } from 'node:fs/promises'
import { basename, extname, isAbsolute, join, relative, resolve } from 'node:path'
import { inspect } from 'node:util'
import { ConfigError, RunError } from '../errors.js'
import { readCheckpoint } from './checkpoint-file.js'
import { checkpointName, checkpointSteps, stepOfCheckpoint } from './checkpoints.js'
import { refuseEdited } from './edits.js'
import type { RunSummary } from './events.js'
import { FILES, type Manifest } from './manifest.js'
import { PACKAGED_MODELS, packagedModel } from './packaged.js'

export interface OpenedRun {
  /** Absolute; null for a checkpoint file given by itself. */
  readonly runDir: string | null
  /** Absolute path of the weights. */
  readonly checkpoint: string
  /** The resolved experiment as it was read, not yet validated. */
  readonly experiment: unknown
  /** Source of the experiment, for messages. */
  readonly experimentFrom: string
  /** Says that the weights are not those with which the run ended; null: they are, or nobody knows. */
  readonly note: string | null
}

/**
 * Opens a run's final weights: those of its summary, else of its newest checkpoint; a checkpoint file: itself; a packaged
 * model: by its name, if no file has that name.
 */
export async function openRun(target: string): Promise<OpenedRun> {
  const stats = async (path: string) => ({ path, found: await stat(path) })
  const packaged = packagedModel(target)
  const { path, found } = await stats(resolve(target))
    .catch(cause => (packaged === null || cause.code !== 'ENOENT' ? Promise.reject(cause) : stats(packaged)))
    .catch(cause => {
      throw new ConfigError(
        `${target}: cannot be read: ${cause.message}; expected a run directory or a checkpoint file`,
        {
          hint: `runs are saved under runs/ unless --run-dir is given; ${PACKAGED_MODELS.join(' and ')} are models that come with gradloom`,
          cause,
        },
      )
    })
  if (found.isDirectory()) return openDirectory(path)
  refuseOtherForms(target, path)
  const { experiment } = await readCheckpoint(path)
  return { runDir: null, checkpoint: path, experiment, experimentFrom: path, note: null }
}

/** Files that look like a model and are none: their kind, and what reads them. */
const OTHER_FORMS: Readonly<Record<string, { readonly is: string; readonly hint: (target: string) => string }>> = {
  '.json': { is: 'a JSON file', hint: target => `npx gradloom train ${target} trains an experiment` },
  '.onnx': {
    is: 'an ONNX model, which is for other programs',
    hint: () => 'npx gradloom export RUN --out model.safetensors writes a model that every command reads',
  },
  '.npz': {
    is: 'an .npz archive of arrays',
    hint: target => `npx gradloom train EXPERIMENT --from ${target} --epochs 0 makes a run of the weights in it`,
  },
}

function refuseOtherForms(target: string, path: string): void {
  const form = OTHER_FORMS[extname(path).toLowerCase()]
  if (form === undefined) return
  throw new ConfigError(`${target}: is ${form.is}, expected a run directory or a checkpoint file`, {
    hint: form.hint(target),
  })
}

/** Attempts of a reader: a run that saves faster than its checkpoints are read has something wrong with it. */
const MOST_TRIES = 20

/**
 * Does `work`, which opens a run and reads it, and does it again where a checkpoint was removed between the two: a run in progress prunes
 * older ones. `work` chooses the checkpoint anew each time.
 */
export async function againIfPruned<T>(work: () => Promise<T>): Promise<T> {
  let before: string | null = null
  for (let tries = 1; ; tries++) {
    try {
      return await work()
    } catch (error) {
      const gone = removedCheckpoint(error)
      // The same file again: the summary of the run names one that is not there.
      if (gone === null || gone === before || tries === MOST_TRIES) throw error
      before = gone
    }
  }
}

/** Path of the checkpoint whose absence is the cause of an error; null for any other error. */
function removedCheckpoint(error: unknown): string | null {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const { code, path } = cause as NodeJS.ErrnoException
    if (code === 'ENOENT' && path !== undefined) return stepOfCheckpoint(basename(path)) === null ? null : path
  }
  return null
}

async function openDirectory(runDir: string): Promise<OpenedRun> {
  const experimentFrom = join(runDir, FILES.resolved)
  const experiment = await readRunJson(experimentFrom)
  if (experiment === undefined) {
    throw new ConfigError(`${runDir}: has no ${FILES.resolved}, expected the directory of a run`, {
      hint: 'give the directory that `gradloom train` named, or a checkpoint file; a run that was killed as it started has none',
    })
  }
  const summary = (await readRunJson(join(runDir, FILES.summary))) as Partial<RunSummary> | null | undefined
  const checkpoint = checkpointOfSummary(runDir, summary) ?? (await newestCheckpoint(runDir))
  const note = olderNote(checkpoint, summary)
  const manifest = (await readRunJson(join(runDir, FILES.manifest)).catch(() => undefined)) as Partial<Manifest> | null
  if (manifest?.own !== undefined) {
    await refuseEdited(runDir, manifest, experiment)
    return { runDir, checkpoint, experiment, experimentFrom, note }
  }
  // No digest covers resolved.json; the checkpoint's own metadata records what its weights were trained with.
  const own = await readCheckpoint(checkpoint).catch(() => null) // its reader reports what is wrong with it
  if (own === null) return { runDir, checkpoint, experiment, experimentFrom, note }
  return { runDir, checkpoint, experiment: own.experiment, experimentFrom: checkpoint, note }
}

/** The weights of a run that ended without saving its last ones, as with `checkpoint.atEnd` false, are older than its scores. */
function olderNote(checkpoint: string, summary: Partial<RunSummary> | null | undefined): string | null {
  const step = stepOfCheckpoint(basename(checkpoint))
  const scored = summary?.weightsStep ?? summary?.steps
  if (step === null || typeof scored !== 'number' || step >= scored) return null
  return `the weights are those of step ${step}, the last that were saved; the scores of the run are those of step ${scored}`
}

/** The path in the summary, which must stay inside the directory; undefined if the run was not that far. */
function checkpointOfSummary(
  runDir: string,
  summary: { readonly checkpoint?: unknown } | null | undefined,
): string | undefined {
  const file = join(runDir, FILES.summary)
  const checkpoint = summary?.checkpoint
  if (checkpoint === undefined || checkpoint === null || checkpoint === '') return undefined // it failed before saving
  const path = typeof checkpoint === 'string' ? resolve(runDir, checkpoint) : runDir
  const inside = relative(runDir, path)
  if (inside === '' || inside.startsWith('..') || isAbsolute(inside)) {
    throw new RunError(`${file}: checkpoint is ${inspect(checkpoint)}, expected a path inside the run directory`)
  }
  return path
}

async function newestCheckpoint(runDir: string): Promise<string> {
  const folder = join(runDir, FILES.checkpoints)
  const [newest] = await checkpointSteps(folder)
  if (newest === undefined) {
    throw new RunError(
      `${runDir}: run has no checkpoint, expected ${FILES.checkpoints}/step-<n>.safetensors; it ended before its weights were saved`,
    )
  }
  return join(folder, checkpointName(newest))
}

/** A JSON file of a run directory; undefined if there is no such file. */
export async function readRunJson(file: string): Promise<unknown> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new RunError(`${file}: cannot be read: ${(cause as Error).message}`, { cause })
  }
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new RunError(`${file}: is not JSON: ${(cause as Error).message}; the file is damaged`, { cause })
  }
}

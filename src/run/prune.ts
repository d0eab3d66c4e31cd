/**
 * Checkpoints of a saved run, for `gradloom checkpoint`: lists them, and removes those that are not needed. During a run
 * coordinator/checkpointing.ts decides what is kept, and checkpoints.ts removes. Main thread.
 */
import { readlink, rm, stat } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { ConfigError, RunError } from '../errors.js'
import { CheckpointError } from '../formats/safetensors.js'
import type { Checkpoint } from './checkpoint-file.js'
import { checkpointName, checkpointSteps, linkedStep, stepOfCheckpoint } from './checkpoints.js'
import { verifyCheckpoint } from './inspect.js'
import { RunLock } from './lock.js'
import { FILES } from './manifest.js'
import { readRunJson } from './open.js'
import { parseTrainingState } from './training-state.js'
import { orRunError } from './write-errors.js'

/** Checkpoint files of a run directory, newest first, or the given file. Absolute paths. */
export async function checkpointFiles(target: string): Promise<string[]> {
  const path = resolve(target)
  const found = await stat(path).catch(cause => {
    throw new ConfigError(
      `${target}: cannot be read: ${cause.message}; expected a run directory or a checkpoint file`,
      {
        cause,
      },
    )
  })
  if (!found.isDirectory()) return [path]
  const folder = join(path, FILES.checkpoints)
  const steps = await checkpointSteps(folder)
  if (steps.length === 0) {
    throw new RunError(`${target}: run has no checkpoint, expected ${FILES.checkpoints}/step-<n>.safetensors`)
  }
  return steps.map(step => join(folder, checkpointName(step)))
}

export interface PruneOptions {
  /** Number of newest whole checkpoints to keep. */
  readonly keepLast: number
  readonly keepBest: boolean
  /** Only report what would be removed. */
  readonly dryRun: boolean
}

export interface Pruned {
  readonly removed: readonly { readonly file: string; readonly bytes: number }[]
  readonly kept: readonly string[]
  /** Checkpoints that cannot be read: they are kept, and do not count. */
  readonly damaged: readonly string[]
}

/**
 * Removes checkpoints of a run. Those that a result or a later resume needs are kept: the newest whole ones, the one of the
 * summary, and the one that the run would roll back to. Rejects with RunError while another process has the run, and
 * if no checkpoint is whole.
 */
export async function pruneRun(target: string, options: PruneOptions): Promise<Pruned> {
  const path = resolve(target)
  await checkpointFiles(path)
  if (options.dryRun) return pruned(path, options)
  const lock = await RunLock.take(path)
  try {
    const result = await pruned(path, options)
    for (const { file } of result.removed) await orRunError(file, () => rm(file, { force: true }))
    await removeLinkTo(join(path, FILES.checkpoints, 'best'), result.removed)
    return result
  } finally {
    await lock.release()
  }
}

/** Removes a link whose checkpoint was removed, so that it does not point to nothing. */
async function removeLinkTo(link: string, removed: Pruned['removed']): Promise<void> {
  const target = await readlink(link).catch(() => null)
  if (target === null || !removed.some(({ file }) => basename(file) === basename(target))) return
  await orRunError(link, () => rm(link, { force: true }))
}

async function pruned(path: string, { keepLast, keepBest }: PruneOptions): Promise<Pruned> {
  const folder = join(path, FILES.checkpoints)
  const file = (step: number) => join(folder, checkpointName(step))
  const steps = await checkpointSteps(folder)
  const newest: Checkpoint[] = []
  const damaged: number[] = []
  for (const step of steps) {
    if (newest.length === keepLast) break
    try {
      newest.push(await verifyCheckpoint(file(step)))
    } catch (error) {
      if (!(error instanceof CheckpointError)) throw error
      damaged.push(step)
    }
  }
  if (newest.length === 0) {
    throw new RunError(`${path}: none of its ${steps.length} checkpoints is whole, expected one to keep`, {
      hint: `nothing was removed; npx gradloom checkpoint verify ${path} reports what is wrong with each`,
    })
  }
  const kept = new Set([...newest.map(({ step }) => step), ...(await neededBy(path, newest[0], keepBest)), ...damaged])
  const stale = steps.filter(step => !kept.has(step))
  return {
    removed: await Promise.all(stale.map(async step => ({ file: file(step), bytes: (await stat(file(step))).size }))),
    kept: steps.filter(step => kept.has(step) && !damaged.includes(step)).map(file),
    damaged: damaged.map(file),
  }
}

/** Steps that the run's newest whole checkpoint, its links and its summary refer to. */
async function neededBy(
  path: string,
  { step, training, experiment }: Pick<Checkpoint, 'step' | 'training' | 'experiment'>,
  keepBest: boolean,
): Promise<number[]> {
  const folder = join(path, FILES.checkpoints)
  const needed: (number | null | undefined)[] = []
  if (training !== null) {
    const { best, rollback, rollbackBefore } = parseTrainingState(join(folder, checkpointName(step)), training)
    const { train } = experiment as { train?: { onNonFinite?: unknown } }
    needed.push(...(train?.onNonFinite === 'rollback' ? [rollback, rollbackBefore] : []), keepBest ? best?.step : null)
  }
  if (keepBest) needed.push(await linkedStep(folder, 'best'))
  const summary = (await readRunJson(join(path, FILES.summary))) as { checkpoint?: unknown } | null | undefined
  if (typeof summary?.checkpoint === 'string') needed.push(stepOfCheckpoint(basename(summary.checkpoint)))
  return needed.filter(step => typeof step === 'number')
}

/** Checkpoints of a saved run: which there are, and removing those that nobody needs. Main thread. */
import { stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { ConfigError, RunError } from '../errors.js'
import { checkpointName, checkpointSteps, linkedStep, pruneCheckpoints } from './checkpoints.js'
import { RunLock } from './lock.js'
import { FILES } from './manifest.js'

/** A file itself; of a run directory its checkpoints, newest first. Absolute paths. */
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
  readonly keepLast: number
  readonly keepBest: boolean
  /** Only say what would go. */
  readonly dryRun: boolean
}

export interface Pruned {
  readonly removed: readonly { readonly file: string; readonly bytes: number }[]
  readonly kept: readonly string[]
}

/** Rejects with RunError while another process has the run. */
export async function pruneRun(target: string, { keepLast, keepBest, dryRun }: PruneOptions): Promise<Pruned> {
  const path = resolve(target)
  await checkpointFiles(path)
  const folder = join(path, FILES.checkpoints)
  const file = (step: number) => join(folder, checkpointName(step))
  const lock = await RunLock.take(path)
  try {
    const best = keepBest ? await linkedStep(folder, 'best') : null
    const before = await checkpointSteps(folder)
    const stale = before.slice(keepLast).filter(step => step !== best)
    const removed = await Promise.all(
      stale.map(async step => ({ file: file(step), bytes: (await stat(file(step))).size })),
    )
    if (!dryRun) await pruneCheckpoints(folder, keepLast, [best])
    return { removed, kept: before.filter(step => !stale.includes(step)).map(file) }
  } finally {
    await lock.release()
  }
}

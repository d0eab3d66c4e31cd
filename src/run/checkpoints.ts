/**
 * Checkpoints of a run directory: their names, writing them whole, the links `latest` and `best`, and pruning. The one
 * place that knows the names of checkpoints. Main thread.
 */
import { mkdir, readdir, readlink, rename, rm, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { syncDirectory } from '../files/atomic.js'
import { type CheckpointState, type Digests, type NamedWeights, saveWeights } from './checkpoint-file.js'

const NAME = /^step-(\d+)\.safetensors$/
export const checkpointName = (step: number): string => `step-${step}.safetensors`

/** Step of the checkpoint with this file name; null if the name is not that of a checkpoint. */
export function stepOfCheckpoint(name: string): number | null {
  const step = NAME.exec(name)?.[1]
  return step === undefined ? null : Number(step)
}

/** Steps of the checkpoints in a folder, newest first; empty if the folder is missing. */
export async function checkpointSteps(folder: string): Promise<number[]> {
  const names = await readdir(folder).catch(() => [])
  return names.flatMap(name => stepOfCheckpoint(name) ?? []).sort((a, b) => b - a)
}

/** Step that `latest` or `best` points to; null if there is no such link. */
export async function linkedStep(folder: string, link: 'latest' | 'best'): Promise<number | null> {
  return stepOfCheckpoint(await readlink(join(folder, link)).catch(() => ''))
}

/** Removes the incomplete files of a process that was killed. Only the process that owns the run may call this. */
export async function removeTemporaryFiles(folder: string): Promise<string[]> {
  const names = (await readdir(folder).catch(() => [])).filter(name => /^\..*\.tmp$/.test(name))
  for (const name of names) await rm(join(folder, name), { force: true })
  return names
}

export class CheckpointStore {
  readonly #folder: string
  readonly #keepLast: number

  /** `keepLast`: number of newest checkpoints to keep. */
  constructor(folder: string, keepLast: number) {
    this.#folder = folder
    this.#keepLast = keepLast
  }

  file(step: number): string {
    return join(this.#folder, checkpointName(step))
  }

  /**
   * Writes the checkpoint of `state.step`, then points `latest`, and `best` if `bestStep` is that step, to it. When it
   * rejects, all earlier checkpoints are as they were.
   */
  async save(
    parameters: readonly NamedWeights[],
    moments: readonly NamedWeights[],
    state: CheckpointState,
    bestStep: number | null,
  ): Promise<Digests> {
    // A user who cleans up during a run must not cost it its weights: make the folder again.
    await mkdir(this.#folder, { recursive: true })
    const digests = await saveWeights(this.file(state.step), parameters, state, moments)
    await this.#point('latest', state.step)
    if (bestStep === state.step) await this.#point('best', state.step)
    return digests
  }

  /** Removes the checkpoints after a step; `latest` and `best` are first moved to earlier ones, or removed. */
  async dropAfter(step: number, best: number | null): Promise<void> {
    const steps = await checkpointSteps(this.#folder)
    const left = steps.find(other => other <= step)
    if (left === undefined) await rm(join(this.#folder, 'latest'), { force: true })
    else await this.#point('latest', left)
    if (best !== null && steps.includes(best)) await this.#point('best', best)
    else await rm(join(this.#folder, 'best'), { force: true })
    for (const stale of steps) if (stale > step) await rm(this.file(stale), { force: true })
  }

  /** Removes all but the newest checkpoints and those of the steps in `kept`. */
  async prune(kept: readonly (number | null)[]): Promise<void> {
    await pruneCheckpoints(this.#folder, this.#keepLast, kept)
  }

  /** Replaces a link atomically: at no time does it point to nothing, or to half a file. */
  async #point(name: 'latest' | 'best', step: number): Promise<void> {
    const temporary = join(this.#folder, `.${name}.${process.pid}.tmp`)
    await rm(temporary, { force: true })
    await symlink(checkpointName(step), temporary, 'file')
    await rename(temporary, join(this.#folder, name))
    await syncDirectory(this.#folder)
  }
}

/**
 * Removes all but the newest `keepLast` and those of the steps in `kept`, and `best` if it would point to none.
 */
async function pruneCheckpoints(folder: string, keepLast: number, kept: readonly (number | null)[]): Promise<void> {
  const steps = await checkpointSteps(folder)
  const stale = steps.slice(keepLast).filter(step => !kept.includes(step))
  const best = await linkedStep(folder, 'best')
  if (best !== null && (stale.includes(best) || !steps.includes(best))) await rm(join(folder, 'best'), { force: true })
  for (const step of stale) await rm(join(folder, checkpointName(step)), { force: true })
}

/**
 * The checkpoints of a run directory: written whole, pointed at by `latest` and `best`, and removed when newer ones
 * take their place. Main thread.
 */
import { mkdir, readdir, rename, rm, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { syncDirectory } from '../files/atomic.js'
import { type CheckpointState, type Digests, type NamedWeights, saveWeights } from './save.js'

/** Which checkpoints stay. */
export interface Keeping {
  /** So many of the newest. */
  readonly keepLast: number
  readonly keepBest: boolean
}

const NAME = /^step-(\d+)\.safetensors$/
export const checkpointName = (step: number): string => `step-${step}.safetensors`

/** Steps of the checkpoints in a folder, newest first; none where the folder is missing. */
export async function checkpointSteps(folder: string): Promise<number[]> {
  const names = await readdir(folder).catch(() => [])
  const steps = names.flatMap(name => NAME.exec(name)?.[1] ?? []).map(Number)
  return steps.sort((a, b) => b - a)
}

/** What a process that was killed left half written. Only the process that owns the run may call this. */
export async function removeTemporaryFiles(folder: string): Promise<string[]> {
  const names = (await readdir(folder).catch(() => [])).filter(name => /^\..*\.tmp$/.test(name))
  for (const name of names) await rm(join(folder, name), { force: true })
  return names
}

export class CheckpointStore {
  readonly #folder: string
  readonly #keeping: Keeping

  constructor(folder: string, keeping: Keeping) {
    this.#folder = folder
    this.#keeping = keeping
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
    // Whoever cleans up behind a run in progress must not cost it its weights.
    await mkdir(this.#folder, { recursive: true })
    const digests = await saveWeights(this.file(state.step), parameters, state, moments)
    await this.#point('latest', state.step)
    if (bestStep === state.step) await this.#point('best', state.step)
    return digests
  }

  /** Removes the checkpoints after a step, to which `latest` points before. */
  async dropAfter(step: number): Promise<void> {
    const steps = await checkpointSteps(this.#folder)
    const left = steps.find(other => other <= step)
    if (left === undefined) await rm(join(this.#folder, 'latest'), { force: true })
    else await this.#point('latest', left)
    for (const stale of steps) if (stale > step) await rm(this.file(stale), { force: true })
  }

  /** Removes what need not stay; the checkpoint of step `rollback` does in any case. */
  async prune(
    marks: { readonly best: number | null; readonly rollback: number | null },
    keepBest = this.#keeping.keepBest,
  ): Promise<void> {
    const kept = [keepBest || this.#keeping.keepBest ? marks.best : null, marks.rollback]
    await pruneCheckpoints(this.#folder, this.#keeping.keepLast, kept)
  }

  /** A link that is replaced in one go: there is no moment at which it names nothing, or half a file. */
  async #point(name: 'latest' | 'best', step: number): Promise<void> {
    const temporary = join(this.#folder, `.${name}.${process.pid}.tmp`)
    await rm(temporary, { force: true })
    await symlink(checkpointName(step), temporary, 'file')
    await rename(temporary, join(this.#folder, name))
    await syncDirectory(this.#folder)
  }
}

/** Removes all but the newest `keepLast` and those of the steps in `kept`. Returns the steps removed. */
export async function pruneCheckpoints(
  folder: string,
  keepLast: number,
  kept: readonly (number | null)[],
): Promise<number[]> {
  const steps = await checkpointSteps(folder)
  const stale = steps.slice(keepLast).filter(step => !kept.includes(step))
  for (const step of stale) await rm(join(folder, checkpointName(step)), { force: true })
  return stale
}

/**
 * The checkpoints that a run can go on from, and the way back to one of them. Main thread.
 */
import { join } from 'node:path'
import { RunError } from '../errors.js'
import { checkpointName, checkpointSteps } from '../run/checkpoints.js'
import type { ManifestDetails } from '../run/directory.js'
import { CheckpointError } from '../run/safetensors.js'
import { parseTrainingState, type TrainingState } from '../run/training-state.js'
import { type Checkpoint, loadState, loadWeights, readCheckpoint } from '../run/weights.js'
import type { Session } from './session.js'

/** Where a run goes on. */
export interface ResumePoint {
  readonly step: number
  readonly training: TrainingState
}

/** A checkpoint whose header is whole. */
export interface Start {
  readonly file: string
  readonly checkpoint: Checkpoint
  readonly training: TrainingState
}

/** The checkpoint that the first weights of a run were taken from. */
export type StartingPoint = NonNullable<ManifestDetails['from']>

type Warn = (message: string) => void

/** The checkpoints whose headers are whole, newest first, none after step `last`; damaged ones are told and passed over. */
export async function startsIn(folder: string, onWarning: Warn, last = Number.POSITIVE_INFINITY): Promise<Start[]> {
  const starts: Start[] = []
  for (const step of await checkpointSteps(folder)) {
    if (step > last) continue
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

/** Gives the session the state of the first start that is whole; null: none is. */
export async function restoreFirst(
  session: Session,
  starts: readonly Start[],
  onWarning: Warn,
): Promise<ResumePoint | null> {
  for (const { file, checkpoint, training } of starts) {
    try {
      await session.restore(async ({ parameters, moments }) => {
        await loadState(file, parameters, moments)
      })
      return { step: checkpoint.step, training }
    } catch (error) {
      tellDamage(error, onWarning)
    }
  }
  return null
}

/**
 * The weights of a checkpoint, checked by name, shape and digest; moments start at zero and averages at the
 * weights, as in any new run. Throws
 * RunError if the file has become another one.
 */
export async function startFrom(session: Session, { file, weightsSha256 }: StartingPoint): Promise<void> {
  await session.restore(async ({ parameters, moments }) => {
    const found = await loadWeights(file, parameters)
    if (found.weightsSha256 !== weightsSha256) {
      throw new RunError(
        `${file}: weightsSha256 is ${found.weightsSha256}, expected ${weightsSha256}; the run began there`,
      )
    }
    for (const { name, data } of moments) {
      const averaged = parameters.find(parameter => name === `${parameter.name}.average`)
      if (averaged) data.set(averaged.data)
      else data.fill(0)
    }
  })
}

function tellDamage(error: unknown, onWarning: Warn): void {
  if (!(error instanceof CheckpointError)) throw error
  onWarning(`${error.message}; it is passed over`)
}

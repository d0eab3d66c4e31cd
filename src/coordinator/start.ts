/**
 * Checkpoints that a run can continue from, and restoring one of them. Main thread.
 */
import { existsSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { ConfigError, RunError } from '../errors.js'
import { CheckpointError } from '../formats/safetensors.js'
import type { WeightLayout } from '../import/assign.js'
import { importAgain, importWeights, scaledOutputs } from '../import/import.js'
import { isForeign } from '../import/read.js'
import { type Parameter, parametersOf } from '../model/parameters.js'
import { type Checkpoint, loadState, loadWeights, readCheckpoint, weightsSha256 } from '../run/checkpoint-file.js'
import { checkpointName, checkpointSteps } from '../run/checkpoints.js'
import type { ManifestDetails } from '../run/manifest.js'
import { againIfPruned, openRun } from '../run/open.js'
import { parseTrainingState, type TrainingState } from '../run/training-state.js'
import { loadScoredOf } from './model-input.js'
import type { Session } from './session.js'

/** Point at which a run continues. */
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

/** The file that the first weights of a run were taken from. */
export type StartingPoint = NonNullable<ManifestDetails['from']>

/** The starting point as the manifest of a run directory has it. */
export const recordedStart = (from: StartingPoint, runDir: string): StartingPoint => ({
  ...from,
  fromRun: relative(runDir, from.file).replaceAll('\\', '/'),
})

type Warn = (message: string) => void

/** Checkpoints whose headers are whole, newest first, none after step `last`; damaged ones are reported and passed over. */
export async function startsIn(folder: string, onWarning: Warn, last = Number.POSITIVE_INFINITY): Promise<Start[]> {
  const starts: Start[] = []
  for (const step of await checkpointSteps(folder)) {
    if (step > last) continue
    const file = join(folder, checkpointName(step))
    try {
      const checkpoint = await readCheckpoint(file)
      if (checkpoint.step !== step) {
        throw new CheckpointError(
          `${file}: is of step ${checkpoint.step}, expected step ${step}, as its name says; it was renamed`,
        )
      }
      starts.push({ file, checkpoint, training: parseTrainingState(file, checkpoint.training) })
    } catch (error) {
      tellDamage(error, onWarning)
    }
  }
  return starts
}

/** Restores the first start that is whole; null if none is. */
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

/** Request of `train` to start from existing weights. */
export interface StartRequest {
  /** A run directory, a checkpoint, or a file of another program. */
  readonly target: string
  /** Orientation of weight matrices in such a file; null: detected from names and shapes. */
  readonly layout: WeightLayout | null
  /** Names of its modules, first layer first; null: detected from names and shapes. */
  readonly order: readonly string[] | null
  /** `kept`: columns, classes and scales are the model's; `new`: the data's. */
  readonly input: 'kept' | 'new'
}

/**
 * Finds the weights to start from, and reads those of another program, so that misfits are found before anything
 * starts. Throws a GradloomError.
 */
export async function startingPoint(
  { target, layout, order, input }: StartRequest,
  table: readonly Parameter[],
  onWarning: Warn,
): Promise<StartingPoint> {
  if (await isForeign(target)) {
    const file = resolve(target)
    const { parameters, missing, ...imported } = await importWeights(file, table, { layout, order })
    if (missing.length > 0) onWarning(`${target}: has no ${missing.join(', ')}; they start at 0`)
    return { file, weightsSha256: await weightsSha256(parameters), input, imported }
  }
  const given = layout !== null ? `--from-layout is "${layout}"` : order !== null ? `--from-order is "${order}"` : null
  if (given !== null) {
    throw new ConfigError(`${given}, expected none: ${target} is not an .npz or .safetensors file of another program`)
  }
  return againIfPruned(async () => {
    const { checkpoint: file } = await openRun(target)
    return { file, weightsSha256: (await readCheckpoint(file)).weightsSha256, input }
  })
}

/**
 * A run's starting point, at the current path of its file: where it was, where it lies relative to the run directory, or at `moved`,
 * which the user names. `startFrom` compares the digest. Throws RunError, with the searched places, if it is nowhere.
 */
export async function locateStart(
  from: StartingPoint | null | undefined,
  runDir: string,
  moved: string | undefined,
): Promise<StartingPoint | null> {
  if (!from) {
    if (moved === undefined) return null
    throw new ConfigError(`--from is given, expected none: ${runDir} started from random weights`)
  }
  if (moved !== undefined) {
    const file = (await isForeign(moved)) ? resolve(moved) : (await openRun(moved)).checkpoint
    return { ...from, file }
  }
  const places = [from.file, ...(from.fromRun === undefined ? [] : [resolve(runDir, from.fromRun)])]
  const file = places.find(place => existsSync(place))
  if (file !== undefined) return { ...from, file }
  throw new RunError(
    `${from.file}: the weights that the run started from are not there, expected the file or run that --from named`,
    { hint: '--from PATH is where they are now; their digest proves whether they are the same' },
  )
}

/**
 * The weights of a file, checked by name, shape and digest; moments start at zero and averages at the weights, as in any
 * new run. Throws RunError or DataError if the file has changed.
 */
export async function startFrom(session: Session, { file, imported, ...start }: StartingPoint): Promise<void> {
  await session.restore(async ({ parameters, moments }) => {
    if (imported) {
      const table = parametersOf(session.plan)
      const { targets } = session.input
      const unscaled = await importAgain(file, table, imported)
      const read = targets ? scaledOutputs(file, unscaled, targets) : unscaled
      for (const [i, { data }] of parameters.entries()) data.set(read[i].data)
    } else {
      const found = await (start.input === undefined ? loadWeights : loadScoredOf)(file, parameters)
      if (found.weightsSha256 !== start.weightsSha256) {
        throw new RunError(
          `${file}: weightsSha256 is ${found.weightsSha256}, expected ${start.weightsSha256}; the run began there`,
        )
      }
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
  onWarning(`${error.message}; it is skipped`)
}

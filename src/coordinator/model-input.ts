/**
 * Input that a new run takes over from the model it starts from, besides the weights: columns, classes and scales, so that it
 * is the same model on other data. Main thread; reads, never writes.
 */

import { resolveExperiment } from '../config/load.js'
import type { Experiment } from '../config/schema.js'
import { isScaled, type KnownInput, normalisationOf, type SavedInput, type Scaling } from '../data/input.js'
import type { DatasetSource } from '../data/source.js'
import { ConfigError, DataError } from '../errors.js'
import { exportedFacts } from '../import/exported.js'
import { isForeign } from '../import/read.js'
import { type ForwardSettings, forwardDifference, forwardSettings } from '../model/forward.js'
import { type Checkpoint, loadScored, type NamedWeights, readCheckpoint } from '../run/checkpoint-file.js'
import { againIfPruned, openRun } from '../run/open.js'
import { inputSize } from '../tensor/input-shape.js'

export interface ModelInput {
  /** Names, shapes and scales of the model's data; null if the file has none. */
  readonly spec: SavedInput | null
  /** Scaling of the features; null if the file has none, or if bytes are divided by 255. */
  readonly scaling: Scaling | null
  /** Settings that the model computes with; null if the file has none. */
  readonly forward: ForwardSettings | null
}

/** Input of a run that takes nothing over. */
export const NO_INPUT: ModelInput = { spec: null, scaling: null, forward: null }

/** The input of the model in a run directory, a checkpoint or a file that `export` wrote. */
export async function inputOfStart(target: string): Promise<ModelInput> {
  if (await isForeign(target)) return exportedFacts(target)
  const { experiment, experimentFrom, input } = await againIfPruned(async () => {
    const opened = await openRun(target)
    return { ...opened, input: (await readCheckpoint(opened.checkpoint)).input }
  })
  const { experiment: resolved } = resolveExperiment(experiment, { where: experimentFrom })
  return { spec: input ?? null, scaling: input?.scaling ?? null, forward: forwardSettings(resolved) }
}

/** Throws ConfigError where the experiment computes otherwise than the model that it starts from. */
export function expectSameForward(target: string, { forward }: ModelInput, experiment: Experiment): void {
  const found = forward && forwardDifference(forwardSettings(experiment), forward)
  if (!found) return
  throw new ConfigError(
    `${target}: ${found.path} is ${JSON.stringify(found.asked)}, expected ${JSON.stringify(found.model)}, as the model was trained`,
    {
      hint: `--set ${found.path}=${found.model} is the same model; --from-input new begins another one with these weights`,
    },
  )
}

/** Manifest entry about the file that the first weights were taken from. */
interface RecordedStart {
  readonly file: string
  readonly input?: 'kept' | 'new'
}

/** Input that an existing run took over; none if its own data determined scaling and class numbers. */
export async function inputOfFrom(from: RecordedStart | null | undefined): Promise<ModelInput> {
  return from?.input === 'kept' ? inputOfStart(from.file) : NO_INPUT
}

/**
 * Input of a run that is resumed: names, types and scales of its checkpoint, so that neither a later version nor a changed
 * setting prepares the data in another way than the completed steps had them. Without a checkpoint: what the run took over.
 */
export async function inputOfResumed(
  checkpoint: Checkpoint | undefined,
  from: RecordedStart | null | undefined,
): Promise<ModelInput> {
  const spec = checkpoint?.input
  return spec ? { ...NO_INPUT, spec, scaling: spec.scaling } : inputOfFrom(from)
}

/**
 * Scaling of a session's data, given its model input; null: computed from the session's own training split. Throws DataError
 * if the experiment prepares features in another way than the model, or if a sample has another number of them.
 */
export function knownScaling(
  { spec, scaling }: ModelInput,
  source: DatasetSource,
  config: Experiment['data'],
  hint = '--from-input new prepares the data anew, for another model that begins with these weights',
): KnownInput | null {
  const { where } = source
  if (spec === null && scaling === null) return null
  // A scale of 1/255 is that of bytes if the file has no specification.
  if (spec === null && isUnit(scaling) && !isScaled(config, source)) return null
  if (scaling !== null && scaling.offset.length !== inputSize(source)) {
    throw new DataError(
      `${where}: a sample has ${inputSize(source)} features, expected ${scaling.offset.length}, as the model takes`,
    )
  }
  if (isScaled(config, source) !== (scaling !== null)) {
    const wanted =
      scaling === null ? 'bytes divided by 255 ("unit")' : 'features that are shifted and scaled ("standardise")'
    throw new DataError(
      `${where}: data.normalise is "${normalisationOf(config, source)}", expected ${wanted}, as the model was trained`,
      { hint },
    )
  }
  return {
    scaling,
    targets: spec?.targets ?? null,
    preparation: spec?.preparation ?? null,
    background: spec?.background ?? null,
  }
}

const isUnit = (scaling: Scaling | null): boolean =>
  scaling?.offset.every(offset => offset === 0) === true &&
  scaling.factor.every(factor => factor === Math.fround(1 / 255))

/** Loads the weights that a run or model is scored with: averages, if it keeps them. */
export async function loadScoredOf(file: string, parameters: readonly NamedWeights[]): Promise<Checkpoint> {
  const { experiment } = await readCheckpoint(file)
  const ema = (experiment as Partial<Experiment> | null)?.train?.ema?.decay ?? null
  return loadScored(file, parameters, ema)
}

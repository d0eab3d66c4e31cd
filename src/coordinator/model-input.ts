/**
 * Input that a new run takes over from the model it starts from, besides the weights: columns, classes and scales, so that it
 * is the same model on other data. Main thread; reads, never writes.
 */
import type { Experiment } from '../config/schema.js'
import { isScaled, type KnownInput, normalisationOf, type SavedInput, type Scaling } from '../data/input.js'
import type { DatasetSource } from '../data/source.js'
import { DataError } from '../errors.js'
import { importedScaling } from '../import/import.js'
import { isForeign } from '../import/read.js'
import { openRun } from '../run/open.js'
import { type Checkpoint, loadScored, type NamedWeights, readCheckpoint } from '../run/save.js'

export interface ModelInput {
  /** Names, shapes and scales of the model's data; null if the file has none. */
  readonly spec: SavedInput | null
  /** Scaling of the features; null if the file has none, or if bytes are divided by 255. */
  readonly scaling: Scaling | null
}

/** Input of a run that takes nothing over. */
export const NO_INPUT: ModelInput = { spec: null, scaling: null }

/** The input of the model in a run directory, a checkpoint or a file that `export` wrote. */
export async function inputOfStart(target: string): Promise<ModelInput> {
  if (await isForeign(target)) return { spec: null, scaling: await importedScaling(target) }
  const { checkpoint } = await openRun(target)
  const { input } = await readCheckpoint(checkpoint)
  return input ? { spec: input, scaling: input.scaling } : NO_INPUT
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
 * Scaling of a session's data, given its model input; null: computed from the session's own training split. Throws DataError
 * if the experiment prepares features in another way than the model, or if a sample has another number of them.
 */
export function knownScaling(
  { spec, scaling }: ModelInput,
  { where, height, width, dtype }: DatasetSource,
  config: Experiment['data'],
): KnownInput | null {
  if (spec === null && scaling === null) return null
  if (scaling !== null && scaling.offset.length !== height * width) {
    throw new DataError(
      `${where}: a sample has ${height * width} features, expected ${scaling.offset.length}, as the model takes`,
    )
  }
  if (isScaled(config, dtype) !== (scaling !== null)) {
    const wanted = scaling === null ? 'bytes divided by 255 ("unit")' : 'features scaled one by one ("standardise")'
    throw new DataError(
      `${where}: data.normalise is "${normalisationOf(config, dtype)}", expected ${wanted}, as the model was trained`,
      { hint: '--from-input new prepares the data anew, for another model that begins with these weights' },
    )
  }
  return { scaling, targets: spec?.targets ?? null, preparation: spec?.preparation ?? null }
}

/** Loads the weights that a run or model is scored with: averages, if it keeps them. */
export async function loadScoredOf(file: string, parameters: readonly NamedWeights[]): Promise<Checkpoint> {
  const { experiment } = await readCheckpoint(file)
  const ema = (experiment as Partial<Experiment> | null)?.train?.ema?.decay ?? null
  return loadScored(file, parameters, ema)
}

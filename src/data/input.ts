/**
 * Input of a network: the shape and names of its data, and how features are normalised. Kept in every checkpoint, so
 * that a model can be used where its data are not. Pure; any thread.
 *
 * Letters: `N` rows, `F` features.
 */
import { inspect } from 'node:util'
import { TASKS, type Task } from '../config/tasks.js'
import type { Colour } from '../picture/canvas.js'
import { type PictureInput, PREPARATIONS, type Preparation } from '../picture/preparation.js'
import { inputSize } from '../tensor/input-shape.js'
import type { DataConfig, Features, FeatureType, TableColumns } from './source.js'
import type { TableEncoding } from './table/encoding.js'
import { parseEncoding } from './table/parse.js'

export interface Scaling {
  /** (x - offset) · factor; f32 numbers. */
  readonly offset: readonly number[] // (F)
  readonly factor: readonly number[] // (F)
}

export type ColumnNames = Pick<TableColumns, 'features' | 'labels'>

/** Files of versions that knew no colour have neither `channels`, which was one, nor `background`. */
export interface InputSpec extends PictureInput {
  readonly dtype: FeatureType
  /** Files of versions that knew no labels do not record it: regression if there is a scaling of targets. */
  readonly task: Task
  /** Names of the outputs: classes, labels or targets. */
  readonly classNames: readonly string[]
  /** Names of a table's columns; absent: rows are arrays or pictures, or an older version wrote this. */
  readonly columns?: ColumnNames
  /** Encoding of a table's columns as features, which are then neither shifted nor scaled again. */
  readonly table?: TableEncoding
  /** null: bytes, divided by 255. */
  readonly scaling: Scaling | null
  /** Scaling of regression targets, which the outputs predict; null: the outputs are classes or labels. */
  readonly targets: Scaling | null
}

/** Type of the features, and the numbers of a pixel. */
type FeatureKind = Pick<InputSpec, 'dtype' | 'channels'>

/** Resolves `data.normalise`. */
export function normalisationOf(
  { normalise, dataset }: Pick<DataConfig, 'normalise' | 'dataset'>,
  { dtype, channels }: FeatureKind,
) {
  if (dataset === 'table') return 'none'
  if (normalise !== 'auto') return normalise
  if (channels > 1) return 'standardise-channels'
  return dtype === 'uint8' ? 'unit' : 'standardise'
}

export const isScaled = (data: Pick<DataConfig, 'normalise' | 'dataset'>, kind: FeatureKind): boolean =>
  kind.dtype !== 'uint8' || normalisationOf(data, kind) !== 'unit'

/**
 * Offsets and factors of the features, or targets, (N, F) from the given rows: for `standardise` the mean and 1 / standard deviation,
 * summed in f64 in the order of the rows, so that they do not depend on the number of workers; 0 for a feature that is constant.
 * `standardise-channels`: the same of each channel, over all pixels.
 */
export function scalingOf(
  normalisation: ReturnType<typeof normalisationOf>,
  features: Features, // (N, F)
  width: number,
  rows: ArrayLike<number>,
  channels = 1,
): Scaling {
  const same = (value: number) => Array.from({ length: width }, () => value)
  if (normalisation === 'standardise-channels') return scalingOfChannels(features, width, rows, channels)
  if (normalisation !== 'standardise') {
    return { offset: same(0), factor: same(normalisation === 'unit' ? Math.fround(1 / 255) : 1) }
  }
  const mean = new Float64Array(width)
  const square = new Float64Array(width)
  for (let r = 0; r < rows.length; r++) for (let f = 0; f < width; f++) mean[f] += features[rows[r] * width + f]
  for (let f = 0; f < width; f++) mean[f] /= rows.length
  for (let r = 0; r < rows.length; r++) {
    for (let f = 0; f < width; f++) square[f] += (features[rows[r] * width + f] - mean[f]) ** 2
  }
  return {
    offset: Array.from(mean, Math.fround),
    factor: Array.from(square, sum => (sum === 0 ? 0 : Math.fround(1 / Math.sqrt(sum / rows.length)))),
  }
}

function scalingOfChannels(features: Features, width: number, rows: ArrayLike<number>, channels: number): Scaling {
  const mean = new Float64Array(channels)
  const square = new Float64Array(channels)
  const values = (rows.length * width) / channels
  // Sums of one picture first: those of all pixels are too long to add a byte to without losing it.
  const addUp = (into: Float64Array, of: (value: number, channel: number) => number) => {
    for (let r = 0; r < rows.length; r++) {
      for (let channel = 0; channel < channels; channel++) {
        let sum = 0
        for (let f = channel; f < width; f += channels) sum += of(features[rows[r] * width + f], channel)
        into[channel] += sum
      }
    }
  }
  addUp(mean, value => value)
  for (let channel = 0; channel < channels; channel++) mean[channel] /= values
  addUp(square, (value, channel) => (value - mean[channel]) ** 2)
  const factors = Array.from(square, sum => (sum === 0 ? 0 : Math.fround(1 / Math.sqrt(sum / values))))
  return {
    offset: Array.from({ length: width }, (_, f) => Math.fround(mean[f % channels])),
    factor: Array.from({ length: width }, (_, f) => factors[f % channels]),
  }
}

/** Scales values (N, K) in place: by a column's offset and factor, or back to the units of the data. */
export function scaleRows(values: Float32Array, { offset, factor }: Scaling): void {
  const width = offset.length
  for (let i = 0; i < values.length; i++) values[i] = (values[i] - offset[i % width]) * factor[i % width]
}

export function unscaleRows(values: Float32Array, { offset, factor }: Scaling): void {
  const width = offset.length
  for (let i = 0; i < values.length; i++) values[i] = offset[i % width] + values[i] * deviation(factor[i % width])
}

/** Bytes of an image (F) from its features as a network gets them. */
export function bytesOfFeatures(values: ArrayLike<number>, scaling: Scaling | null): Uint8Array {
  const byteOf = (value: number, f: number) =>
    scaling === null ? 255 * value : scaling.offset[f] + value * deviation(scaling.factor[f])
  return Uint8Array.from(values, (value, f) => Math.round(Math.min(255, Math.max(0, byteOf(value, f)))))
}

/** Size of a scaled 1 in the units of the data: 0 for a column that is constant. */
export const deviation = (factor: number): number => (factor === 0 ? 0 : 1 / factor)

/** An InputSpec as a checkpoint has it. `preparation` is null in files of versions that did not write it: see `preparationOfOldModel`. */
export type SavedInput = Omit<InputSpec, 'preparation'> & { readonly preparation: Preparation | null }

/** Scaling and preprocessing that a session takes over from a model. */
export type KnownInput = Pick<SavedInput, 'scaling' | 'targets' | 'preparation' | 'background'>

/** Parses an input specification; undefined if there is none. Throws TypeError if it is something else. */
export function parseInput(json: string | undefined): SavedInput | undefined {
  if (json === undefined) return undefined
  const spec = JSON.parse(json) as Omit<SavedInput, 'channels' | 'task' | 'targets' | 'preparation' | 'background'> &
    Partial<SavedInput>
  const { height, width, channels = 1, dtype, classNames, scaling, targets = null, columns } = spec
  const { preparation = null, background = null } = spec
  const { task = targets ? 'regression' : 'classification' } = spec
  const size = inputSize({ height, width, channels })
  const table = spec.table === undefined ? undefined : parseEncoding(spec.table, size)
  const isList = (list: unknown, of: string, length: number) =>
    Array.isArray(list) && list.length === length && list.every(item => typeof item === of)
  const isScalingOf = (found: Scaling | null, length: number) =>
    found === null || (isList(found?.offset, 'number', length) && isList(found?.factor, 'number', length))
  const good =
    [height, width].every(side => Number.isSafeInteger(side) && side > 0) &&
    (channels === 1 || channels === 3) &&
    (dtype === 'uint8' || dtype === 'float32') &&
    isList(classNames, 'string', classNames?.length) &&
    isScalingOf(scaling, size) &&
    isScalingOf(targets, classNames.length) &&
    TASKS.includes(task) &&
    (task === 'regression') === (targets !== null) &&
    (preparation === null || PREPARATIONS.includes(preparation)) &&
    (background === null || isColour(background)) &&
    table !== null &&
    (columns === undefined ||
      (isList(columns?.features, 'string', size) && isList(columns.labels, 'string', columns.labels?.length)))
  if (!good) throw new TypeError(`input is ${inspect(spec, { depth: 1 })}`)
  return {
    height,
    width,
    channels,
    dtype,
    task,
    classNames,
    ...(columns && { columns }),
    ...(table && { table }),
    scaling,
    targets,
    preparation,
    background,
  }
}

/** Colour of the setting `data.background`; null: `auto`. */
export const colourOf = (setting: DataConfig['background']): Colour | null =>
  setting === 'auto' ? null : [setting[0], setting[1], setting[2]]

const isColour = (value: unknown): value is Colour =>
  Array.isArray(value) &&
  value.length === 3 &&
  value.every(level => Number.isInteger(level) && level >= 0 && level <= 255)

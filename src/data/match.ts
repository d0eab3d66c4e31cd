/**
 * Matches data to a model: columns and classes by the names in the model's checkpoint, arrays by position, classes
 * of arrays by value. Anything that does not fit is refused. Main thread.
 *
 * Letters: `N` rows, `F` features, `K` targets or labels.
 */
import { TASK_FACTS } from '../config/tasks.js'
import { DataError } from '../errors.js'
import { formatNames } from '../format.js'
import { type InputShape, inputSize, isSameShape, shapeText } from '../tensor/input-shape.js'
import { asFeatureType } from './feature-type.js'
import type { SavedInput } from './input.js'
import type { DatasetSource, Features, Split } from './source.js'

export interface MatchedSource extends DatasetSource {
  /** Columns of the data that the model does not use. */
  readonly ignored: readonly string[]
  /** Note about what could not be checked, or null. */
  readonly note: string | null
}

/** Names shown in a message. */
const MOST_SHOWN = 20

/**
 * `source` with the features, classes and targets of `model`, in its order. Throws DataError for a column that is missing,
 * a class or target that the model does not have, and rows of another shape or type; `hint` is the advice to add.
 */
export function matchModel(source: DatasetSource, model: SavedInput, hint?: string): MatchedSource {
  try {
    return matched(asFeatureType(source, model.dtype), model)
  } catch (error) {
    if (!(error instanceof DataError) || hint === undefined) throw error
    throw new DataError(error.message, { hint })
  }
}

function matched(source: DatasetSource, model: SavedInput): MatchedSource {
  const { where } = source
  const { task } = model
  if (source.task !== task) {
    throw new DataError(`${where}: data.task is "${source.task}", expected "${task}", as the model was trained`)
  }
  const features = featurePlaces(source, model)
  const outputs = task === 'classification' ? classPlaces(source, model) : targetPlaces(source, model)
  const named = source.columns && model.columns
  const taken = new Set(named ? model.columns?.features : source.columns?.features)
  const ignored = [...(source.columns?.features ?? []), ...(source.columns?.others ?? [])].filter(
    name => !taken.has(name),
  )
  const isUnnamed = source.columns && !model.columns
  return {
    ...source,
    ...{
      height: model.height,
      width: model.width,
      channels: model.channels,
      classNames: model.classNames,
      classes: model.classNames.length,
    },
    ...(source.columns && {
      columns: { ...source.columns, features: model.columns?.features ?? source.columns.features },
    }),
    ignored,
    note: isUnnamed ? 'the model has no column names, so columns were matched by position' : null,
    load: loader(source, features, outputs),
  }
}

type Places = readonly number[] | null

/** Positions in the data of the model's features; null: they are those of the data. */
function featurePlaces(source: DatasetSource, model: SavedInput): Places {
  const { where, columns } = source
  if (columns && model.columns) {
    const missing = model.columns.features.filter(name => !columns.features.includes(name))
    if (missing.length > 0) {
      throw new DataError(
        `${where}: has no numeric column ${listOf(missing)}, expected all that the model takes; it has ${listOf(columns.features)}`,
      )
    }
    return unlessSame(
      model.columns.features.map(name => columns.features.indexOf(name)),
      columns.features.length,
    )
  }
  if (isSameShape(source, model)) return null
  // Pixels row by row are the same values whether or not the file says where a row ends.
  if (inputSize(source) === inputSize(model) && (isFlat(source) || isFlat(model))) return null
  const shapeOf = (shape: InputShape) => (isFlat(shape) ? `${shape.width} features` : `${shapeText(shape)} pixels`)
  throw new DataError(`${where}: a row has ${shapeOf(source)}, expected ${shapeOf(model)}, as the model takes`)
}

/** A row of numbers. */
const isFlat = ({ height, channels }: InputShape): boolean => height === 1 && channels === 1

/** The model's class of each class of the data; null: they are the same. */
function classPlaces({ where, classNames }: DatasetSource, model: SavedInput): Places {
  const places = classNames.map(name => model.classNames.indexOf(name))
  const unknown = classNames.filter((_, label) => places[label] < 0)
  if (unknown.length > 0) {
    throw new DataError(
      `${where}: has the class${unknown.length > 1 ? 'es' : ''} ${listOf(unknown)}, expected only those of the model: ${listOf(model.classNames)}`,
    )
  }
  return unlessSame(places, model.classNames.length)
}

/** Positions in the data of the model's targets or labels. */
function targetPlaces({ where, classNames, columns }: DatasetSource, model: SavedInput): Places {
  const isNamed = columns && model.columns
  const places = isNamed ? model.classNames.map(name => classNames.indexOf(name)) : model.classNames.map((_, k) => k)
  if (classNames.length === places.length && places.every(place => place >= 0)) {
    return unlessSame(places, classNames.length)
  }
  throw new DataError(
    `${where}: has the ${TASK_FACTS[model.task].outputs[1]} ${listOf(classNames)}, expected those of the model: ${listOf(model.classNames)}`,
  )
}

const unlessSame = (places: readonly number[], count: number): Places =>
  places.length === count && places.every((place, i) => place === i) ? null : places

/** Names in quotes, for a message. */
const listOf = (names: readonly string[]): string => formatNames(names, MOST_SHOWN)

/** Loads from the source, then rearranges features, labels and targets into the model's order. */
function loader(source: DatasetSource, features: Places, outputs: Places): DatasetSource['load'] {
  if (!features && !outputs) return source.load.bind(source)
  const width = inputSize(source)
  return async (split: Split, into: Features, labels: Int32Array, targets?: Float32Array) => {
    const rows = labels.length
    const all = features ? new (into.constructor as new (length: number) => Features)(rows * width) : into
    const hasTargets = source.task !== 'classification'
    const numbers = hasTargets && outputs ? new Float32Array(rows * outputs.length) : targets
    const loaded = await (numbers ? source.load(split, all, labels, numbers) : source.load(split, all, labels))
    if (features) gather(into, all, features, width)
    if (outputs && hasTargets) gather(targets!, numbers!, outputs, outputs.length)
    else if (outputs) for (let row = 0; row < rows; row++) labels[row] = outputs[labels[row]]
    return loaded
  }
}

/** Gathers columns `places` of rows of `width` numbers. */
function gather(into: Features, from: Features, places: readonly number[], width: number): void {
  for (let row = 0; row < from.length / width; row++) {
    for (const [i, place] of places.entries()) into[row * places.length + i] = from[row * width + place]
  }
}

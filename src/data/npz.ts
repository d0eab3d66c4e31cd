/**
 * Data sets as NumPy arrays, in one .npz archive as Keras publishes them, or as .npy files in a folder. Main thread;
 * reads files whole.
 */
import { createHash } from 'node:crypto'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { DataError } from '../errors.js'
import { readRegularFile } from '../files/regular.js'
import { formatList } from '../format.js'
import { type NpyArray, type NpyTexts, parseNpy, parseNpyLabels } from '../formats/npy.js'
import { zipEntries } from '../formats/zip.js'
import { type InputShape, isSameShape, shapeText } from '../tensor/input-shape.js'
import { channelsLast, rowShape, withChannels } from './array-pictures.js'
import { fileError } from './content.js'
import { expectDistinctFeatures, RowSample } from './distinct-features.js'
import { ALL_ROWS, inMemorySource, type NamedRows } from './in-memory.js'
import type { SavedInput } from './input.js'
import type { DataConfig, DatasetSource, Features, LoadedFile } from './source.js'
import { outputNames, type Targets } from './targets.js'

/** Largest compression ratio of Deflate is 1032: an archive that claims more is malicious. */
const MAX_RATIO = 1040
/** Names of arrays in one line. */
const MOST_SHOWN = 12
/** Maximum size of one array. */
const MAX_BYTES = 2 ** 32 - 1

interface Arrays {
  /** Bytes of an array; null if there is none. */
  read(name: string): Promise<{ readonly bytes: Uint8Array; readonly file: LoadedFile } | null>
  /** Names of all arrays that are there, in the order of the alphabet. */
  names(): Promise<string[]>
}

/** `model`: whose number of channels pictures get, where the settings leave it open. */
export async function openNpz(
  path: string,
  config: DataConfig,
  model: Pick<SavedInput, 'channels'> | null = null,
): Promise<DatasetSource> {
  const isFolder = await stat(path).then(
    found => found.isDirectory(),
    cause => Promise.reject(fileError(path, 'cannot be read', cause)),
  )
  const arrays = isFolder ? arraysOfFolder(path) : await arraysOfArchive(path)
  const { trainFeatures, trainLabels, testFeatures, testLabels } = config.npz
  const train = await readPart(path, arrays, [trainFeatures, trainLabels], config, model)
  if (!train) throw await noArray(path, arrays, trainFeatures)
  const test = await readPart(path, arrays, [testFeatures, testLabels], config, train)
  if (test && (!isSameShape(test, train) || test.dtype !== train.dtype)) {
    throw new DataError(
      `${path}: ${testFeatures} is ${test.dtype} of ${shapeText(test)}, expected ${train.dtype} of ` +
        `${shapeText(train)} as ${trainFeatures} is`,
    )
  }
  const { height, width, channels, dtype } = train
  const shape = { name: 'npz', where: path, height, width, channels, dtype }
  // Data that are only scored are the test arrays, if the archive has some.
  const source =
    test && config.testFraction === ALL_ROWS
      ? inMemorySource(shape, test, null, config)
      : inMemorySource(shape, train, test, config)
  const used = [trainFeatures, trainLabels, ...(test ? [testFeatures, testLabels] : [])]
  const others = (await arrays.names()).filter(name => !used.includes(name))
  const notes = [
    `predicts ${trainLabels} from ${trainFeatures}: ${train.text}` +
      (test ? `; tested on ${testLabels} and ${testFeatures}` : ''),
    ...(others.length > 0 ? [`left out: ${formatList(others, MOST_SHOWN)}, which data.npz does not name`] : []),
    ...(source.notes ?? []),
  ]
  return { ...source, notes }
}

/** Names of arrays in other archives: features, then classes or targets. */
const USUAL_NAMES: readonly (readonly [features: string, labels: string])[] = [
  ...([
    ['features', 'labels'],
    ['features', 'targets'],
    ['images', 'labels'],
    ['data', 'labels'],
    ['data', 'target'],
  ] as const),
  ...([
    ['X_train', 'y_train'],
    ['X', 'y'],
    ['x', 'y'],
    ['train_images', 'train_labels'],
    ['arr_0', 'arr_1'],
  ] as const),
]

/** Names of the training arrays in an archive, or a folder, where they are usual ones but not the default; else none. */
export async function usualNames(path: string): Promise<{ trainFeatures: string; trainLabels: string } | null> {
  const isFolder = (await stat(path)).isDirectory()
  const names = await (isFolder ? arraysOfFolder(path) : await arraysOfArchive(path)).names()
  if (names.includes(DEFAULT_FEATURES)) return null
  const found = pairIn(names)
  return found ? { trainFeatures: found[0], trainLabels: found[1] } : null
}

const DEFAULT_FEATURES = 'x_train'

const pairIn = (names: readonly string[]) => USUAL_NAMES.find(pair => pair.every(name => names.includes(name)))

async function noArray(path: string, arrays: Arrays, wanted: string): Promise<DataError> {
  const names = await arrays.names()
  const [features, labels] = pairIn(names) ?? ['FEATURES', 'LABELS']
  return new DataError(
    `${path}: has no array '${wanted}', expected it; it has ${names.length === 0 ? 'none' : formatList(names, MOST_SHOWN)}`,
    { hint: `--set data.npz.trainFeatures=${features} --set data.npz.trainLabels=${labels}` },
  )
}

interface Part extends NamedRows, InputShape {
  readonly dtype: 'uint8' | 'float32'
  /** The array of the features in words. */
  readonly text: string
}

async function readPart(
  path: string,
  arrays: Arrays,
  [features, labels]: readonly [features: string, labels: string],
  { task, npz, channels: wanted }: DataConfig,
  model: Pick<SavedInput, 'channels'> | null,
): Promise<Part | null> {
  const x = await arrays.read(features)
  if (x === null) return null
  const y = await arrays.read(labels)
  if (y === null) throw new DataError(`${path}: has '${features}' but no array '${labels}', expected labels or targets`)
  const array = parseNpy(`${path}: ${features}`, x.bytes)
  const what = parseNpyLabels(`${path}: ${labels}`, y.bytes)
  const [rows] = array.shape
  if (rows === undefined) throw new DataError(`${path}: ${features} is a single number, expected an array with rows`)
  const found = rowsOf(what, rows)
  if (found !== rows) {
    throw new DataError(`${path}: ${features} has ${rows} rows, expected ${found}, as ${labels} has`)
  }
  const targets =
    task === 'auto' || task === 'classification' ? null : targetsOf(`${path}: ${labels}`, what, rows, task)
  const classNames = targets ? [] : labelsOf(`${path}: ${labels}`, what, rows)
  const files = x.file.path === y.file.path ? [x.file] : [x.file, y.file]
  const shape = rowShape(`${path}: ${features}`, array.shape, npz.order)
  const isPicture = array.shape.length > 2
  if (wanted !== 'auto' && !isPicture) {
    throw new DataError(
      `${path}: ${features} has the shape (${array.shape.join(', ')}), expected pictures, because data.channels is ${wanted}`,
    )
  }
  const { height, width } = shape
  const channels = isPicture ? (wanted === 'auto' ? (model?.channels ?? shape.channels) : wanted) : 1
  const values = featuresOf(`${path}: ${features}`, array)
  const text = `${array.type} of shape (${array.shape.join(', ')}), ${values.dtype === 'uint8' ? 'images of bytes' : 'numbers'}`
  const pictures = withChannels(channelsLast(values.features, shape), shape.channels, channels)
  const about = { height, width, channels, dtype: values.dtype, features: pictures }
  return { ...about, classNames, targets, files, text }
}

/** Rows of labels or targets: (rows, …), or (1, rows) as one row of a matrix. */
const rowsOf = ({ shape }: Pick<NpyArray, 'shape'>, wanted: number): number =>
  shape.length === 2 && shape[0] === 1 && shape[1] === wanted ? wanted : (shape[0] ?? 0)

/** Features of an array. Bytes of images stay bytes; bytes of a table become floats like all others, so that its type decides nothing. */
function featuresOf(where: string, array: NpyArray): { features: Features; dtype: Part['dtype'] } {
  const isTable = array.shape.length < 3
  if (array.values instanceof Uint8Array && !isTable) return { features: array.values, dtype: 'uint8' }
  return { features: floatsOf(where, array), dtype: 'float32' }
}

function floatsOf(where: string, array: NpyArray): Float32Array {
  expectFinite(where, array)
  const { values } = array
  const width = values.length / array.shape[0]
  const sample = new RowSample()
  for (let at = 0; at < values.length; at += width) {
    if (sample.wantsNext()) sample.add(Array.from(values.subarray(at, at + width)))
  }
  expectDistinctFeatures(where, sample, column => (width === 1 ? 'the feature' : `feature ${column}`))
  return Float32Array.from(array.values)
}

function expectFinite(where: string, { type, values }: NpyArray): void {
  const wrong = values.findIndex(value => !Number.isFinite(Math.fround(value)))
  if (wrong < 0) return
  throw new DataError(`${where}: element ${wrong} is ${values[wrong]}, expected finite numbers in f32; it is ${type}`)
}

/** True if elements are text. */
const isText = (array: NpyArray | NpyTexts): array is NpyTexts => Array.isArray(array.values)

/** Targets or labels (rows), (1, rows) or (rows, targets), which have no names. */
function targetsOf(where: string, array: NpyArray | NpyTexts, rows: number, task: Targets['task']): Targets {
  const { shape } = array
  if (isText(array)) {
    throw new DataError(`${where}: is text, expected numbers, because data.task is "${task}"`)
  }
  const count = array.values.length / rows
  if (shape.length < 1 || shape.length > 2 || count === 0) {
    throw new DataError(`${where}: shape is (${shape.join(', ')}), expected (rows) or (rows, targets)`)
  }
  const names = outputNames(task, count)
  expectFinite(where, array)
  return { task, names, values: Float64Array.from(array.values) }
}

/** Classes by name: text or integers, (rows), (rows, 1) or (1, rows), or one-hot rows (rows, classes). */
function labelsOf(where: string, array: NpyArray | NpyTexts, rows: number): string[] {
  const { type, shape, values } = array
  const perRow = values.length / rows
  if (shape.length > 2 || shape.length < 1 || (isText(array) && perRow !== 1)) {
    throw new DataError(
      `${where}: is ${type} of shape (${shape.join(', ')}), expected one class a row: (rows), or numbers one-hot, (rows, classes)`,
    )
  }
  if (isText(array)) {
    const empty = array.values.indexOf('')
    if (empty >= 0) throw new DataError(`${where}: element ${empty} is empty, expected the name of a class`)
    return [...array.values]
  }
  return perRow === 1 ? wholeLabels(where, array) : oneHotLabels(where, array, perRow)
}

function wholeLabels(where: string, { type, values }: NpyArray): string[] {
  return Array.from(values, (value, i) => {
    if (Number.isSafeInteger(value)) return String(value)
    throw new DataError(`${where}: element ${i} is ${value}, expected integers as classes; it is ${type}`, {
      hint: 'for regression: --set data.task=regression',
    })
  })
}

function oneHotLabels(where: string, { type, values }: NpyArray, classes: number): string[] {
  return Array.from({ length: values.length / classes }, (_, row) => {
    const line = values.subarray(row * classes, (row + 1) * classes)
    const label = line.indexOf(1)
    const ones = line.filter(value => value === 1).length
    if (ones === 1 && line.every(value => value === 0 || value === 1)) return String(label)
    throw new DataError(
      `${where}: row ${row} is ${type} (${[...line.subarray(0, 10)].join(', ')}${classes > 10 ? ', …' : ''}), expected one-hot: a single 1 among zeros`,
      { hint: 'for yes/no labels: --set data.task=multi-label; for regression: --set data.task=regression' },
    )
  })
}

function arraysOfFolder(folder: string): Arrays {
  return {
    async read(name) {
      const path = join(folder, `${name}.npy`)
      let bytes: Uint8Array
      try {
        bytes = await readRegularFile(path)
      } catch (cause) {
        if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return null
        throw fileError(path, 'cannot be read', cause)
      }
      return { bytes, file: fileOf(path, bytes) }
    },
    async names() {
      return arrayNames(await readdir(folder))
    },
  }
}

/** Names of arrays among names of files. */
const arrayNames = (files: readonly string[]): string[] =>
  files
    .filter(name => name.endsWith('.npy'))
    .map(name => name.slice(0, -'.npy'.length))
    .sort()

async function arraysOfArchive(path: string): Promise<Arrays> {
  const archive = await readRegularFile(path).catch(cause => Promise.reject(fileError(path, 'cannot be read', cause)))
  const file = fileOf(path, archive)
  const entries = zipEntries(path, archive)
  return {
    async read(name) {
      const entry = entries.find(each => each.name === `${name}.npy`)
      if (entry === undefined) return null
      const { originalSize: found, size } = entry
      if (found > MAX_BYTES || found > size * MAX_RATIO) {
        throw new DataError(
          `${path}: ${entry.name} claims ${found} bytes out of ${size}, expected at most ${Math.min(MAX_BYTES, size * MAX_RATIO)}`,
        )
      }
      return { bytes: entry.read(), file }
    },
    async names() {
      return arrayNames(entries.map(({ name }) => name))
    },
  }
}

function fileOf(path: string, bytes: Uint8Array): LoadedFile {
  return { path, bytes: bytes.length, md5: createHash('md5').update(bytes).digest('hex'), official: null }
}

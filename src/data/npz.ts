/**
 * Data sets as NumPy arrays, in one .npz archive as Keras publishes them, or as .npy files in a folder. Main thread;
 * reads files whole.
 */
import { createHash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { unzipSync } from 'fflate'
import { DataError } from '../errors.js'
import { type NpyArray, parseNpy } from '../formats/npy.js'
import { fileError } from './content.js'
import type { DataConfig, DatasetSource, Features, LoadedFile } from './source.js'
import { ALL_ROWS, type NamedRows, tableSource } from './table.js'
import type { Targets } from './targets.js'

/** Deflate cannot do better than 1032 to 1: what claims more is made to harm. */
const MAX_RATIO = 1040
/** What one array may take. */
const MAX_BYTES = 2 ** 32 - 1

/** The bytes of an array by its name; null where there is none. */
type Arrays = (name: string) => Promise<{ readonly bytes: Uint8Array; readonly file: LoadedFile } | null>

export async function openNpz(path: string, config: DataConfig): Promise<DatasetSource> {
  const isFolder = await stat(path).then(
    found => found.isDirectory(),
    cause => Promise.reject(fileError(path, 'cannot be read', cause)),
  )
  const arrays = isFolder ? arraysOfFolder(path) : await arraysOfArchive(path)
  const { trainFeatures, trainLabels, testFeatures, testLabels } = config.npz
  const train = await readPart(path, arrays, trainFeatures, trainLabels, config.task)
  if (!train) throw new DataError(`${path}: has no array '${trainFeatures}', expected it; see data.npz.trainFeatures`)
  const test = await readPart(path, arrays, testFeatures, testLabels, config.task)
  if (test && (test.height !== train.height || test.width !== train.width || test.dtype !== train.dtype)) {
    throw new DataError(
      `${path}: ${testFeatures} is ${test.dtype} of ${test.height} x ${test.width}, expected ${train.dtype} of ` +
        `${train.height} x ${train.width} as ${trainFeatures} is`,
    )
  }
  const { height, width, dtype } = train
  const shape = { name: 'npz', where: path, height, width, dtype }
  // What is only scored are the test rows of an archive that has some.
  return test && config.testFraction === ALL_ROWS
    ? tableSource(shape, test, null, config)
    : tableSource(shape, train, test, config)
}

interface Part extends NamedRows {
  readonly height: number
  readonly width: number
  readonly dtype: 'uint8' | 'float32'
}

async function readPart(
  path: string,
  arrays: Arrays,
  features: string,
  labels: string,
  task: DataConfig['task'],
): Promise<Part | null> {
  const x = await arrays(features)
  if (x === null) return null
  const y = await arrays(labels)
  if (y === null) throw new DataError(`${path}: has '${features}' but no array '${labels}', expected what to learn`)
  const array = parseNpy(`${path}: ${features}`, x.bytes)
  const what = parseNpy(`${path}: ${labels}`, y.bytes)
  const targets = task === 'regression' ? targetsOf(`${path}: ${labels}`, what) : null
  const classNames = targets ? [] : labelsOf(`${path}: ${labels}`, what)
  const files = x.file.path === y.file.path ? [x.file] : [x.file, y.file]
  const shape = imageShape(`${path}: ${features}`, array)
  if (array.shape[0] !== what.shape[0]) {
    throw new DataError(`${path}: ${features} has ${array.shape[0]} rows, expected ${what.shape[0]}, as ${labels} has`)
  }
  return { ...shape, ...featuresOf(`${path}: ${features}`, array), classNames, targets, files }
}

/** (rows, F), (rows, height, width), or that with one channel behind it. */
function imageShape(where: string, { shape }: NpyArray): { height: number; width: number } {
  const [, first, second, channels = 1, ...more] = shape
  if (shape.length === 2) return { height: 1, width: first }
  if (shape.length > 2 && channels === 1 && more.length === 0) return { height: first, width: second }
  throw new DataError(
    `${where}: shape is (${shape.join(', ')}), expected (rows, features), (rows, height, width) or (rows, height, width, 1)`,
  )
}

function featuresOf(where: string, array: NpyArray): { features: Features; dtype: Part['dtype'] } {
  if (array.values instanceof Uint8Array) return { features: array.values, dtype: 'uint8' }
  return { features: floatsOf(where, array), dtype: 'float32' }
}

function floatsOf(where: string, array: NpyArray): Float32Array {
  expectFinite(where, array)
  return Float32Array.from(array.values)
}

function expectFinite(where: string, { type, values }: NpyArray): void {
  const wrong = values.findIndex(value => !Number.isFinite(Math.fround(value)))
  if (wrong < 0) return
  throw new DataError(`${where}: element ${wrong} is ${values[wrong]}, expected finite numbers in f32; it is ${type}`)
}

/** Numbers (rows) or (rows, targets), which have no names. */
function targetsOf(where: string, array: NpyArray): Targets {
  const { shape } = array
  const [, count = 1] = shape
  if (shape.length < 1 || shape.length > 2 || count === 0) {
    throw new DataError(`${where}: shape is (${shape.join(', ')}), expected (rows) or (rows, targets)`)
  }
  const names = Array.from({ length: count }, (_, i) => (count === 1 ? 'target' : `target ${i}`))
  expectFinite(where, array)
  return { names, values: Float64Array.from(array.values) }
}

/** Whole numbers (rows) or (rows, 1) as the names of classes. */
function labelsOf(where: string, { type, shape, values }: NpyArray): string[] {
  if (!(shape.length === 1 || (shape.length === 2 && shape[1] === 1)) || !/^[iu]/.test(type)) {
    throw new DataError(`${where}: is ${type} of shape (${shape.join(', ')}), expected whole numbers of shape (rows)`)
  }
  return Array.from(values, String)
}

function arraysOfFolder(folder: string): Arrays {
  return async name => {
    const path = join(folder, `${name}.npy`)
    let bytes: Uint8Array
    try {
      bytes = await readFile(path)
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return null
      throw fileError(path, 'cannot be read', cause)
    }
    return { bytes, file: fileOf(path, bytes) }
  }
}

async function arraysOfArchive(path: string): Promise<Arrays> {
  const archive = await readFile(path).catch(cause => Promise.reject(fileError(path, 'cannot be read', cause)))
  const file = fileOf(path, archive)
  return async name => {
    let found = 0
    try {
      const entries = unzipSync(archive, {
        filter(entry) {
          if (entry.name !== `${name}.npy`) return false
          found = entry.originalSize
          if (found > MAX_BYTES || found > entry.size * MAX_RATIO) {
            throw new DataError(
              `${path}: ${entry.name} claims ${found} bytes out of ${entry.size}, expected at most ${Math.min(MAX_BYTES, entry.size * MAX_RATIO)}`,
            )
          }
          return true
        },
      })
      const bytes = entries[`${name}.npy`]
      return bytes === undefined ? null : { bytes, file }
    } catch (cause) {
      if (cause instanceof DataError) throw cause
      throw new DataError(`${path}: is no whole .npz archive: ${(cause as Error).message}`, { cause })
    }
  }
}

function fileOf(path: string, bytes: Uint8Array): LoadedFile {
  return { path, bytes: bytes.length, md5: createHash('md5').update(bytes).digest('hex'), official: null }
}

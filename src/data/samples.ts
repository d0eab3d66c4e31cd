/**
 * Samples in memory: arrays of rows, typed arrays with a shape, ndarrays, and generators of rows, converted to
 * one flat array. Main thread; reads what it is given, row by row, and holds one copy.
 *
 * Letters: `N` samples, `F` features, `K` targets.
 */
import { inspect } from 'node:util'
import type { Task } from '../config/tasks.js'
import { DataError } from '../errors.js'
import type { InputShape } from '../tensor/input-shape.js'
import { expectDistinctFeatures, RowSample } from './distinct-features.js'
import type { Features, FeatureType } from './source.js'
import { outputNames, type Targets } from './targets.js'

/** Numbers with a shape, row-major unless `stride` differs; an ndarray is one. */
export interface ShapedArray {
  readonly data: ArrayLike<number>
  readonly shape: readonly number[]
  /** Elements between consecutive indices of each dimension. */
  readonly stride?: readonly number[]
  /** Index in `data` of the first element. */
  readonly offset?: number
}

/** Features of one sample: numbers, or the rows of a picture. */
export type SampleFeatures = ArrayLike<number> | readonly ArrayLike<number>[]
/** A class by name or number, or a one-hot array. */
export type SampleLabel = string | number | boolean | ArrayLike<number>

/** A number for each target; yes or no for each label. */
export type SampleTarget = number | boolean | ArrayLike<number | boolean>

type Sequence<T> = Iterable<T> | AsyncIterable<T>

/** Samples as arrays: features beside labels (classification) or targets (regression, multi-label). */
export interface SampleArrays {
  /** (N, F), or pictures (N, height, width), with a shape also (N, height, width, 3); an iterable yields the features of one sample at a time. */
  readonly features: ShapedArray | Sequence<SampleFeatures>
  /** (N): classes. */
  readonly labels?: ShapedArray | Sequence<SampleLabel>
  /** (N) or (N, K): regression targets, or 0 and 1 (or false and true) of multi-label. */
  readonly targets?: ShapedArray | Sequence<SampleTarget>
}

/** One sample of a generator. */
export interface Sample {
  readonly features: SampleFeatures
  readonly label?: SampleLabel
  readonly target?: SampleTarget
}

/** Samples one at a time, from an array, a generator or an async generator. */
export interface SampleRows {
  readonly rows: Sequence<Sample>
}

export type SampleSet = SampleArrays | SampleRows

/** Samples in flat arrays. */
export interface ReadSamples extends InputShape {
  readonly rows: number
  readonly dtype: FeatureType
  readonly features: Features // (N, F)
  /** (N); empty where there are targets. */
  readonly classNames: readonly string[]
  readonly targets: Targets | null
}

/**
 * Reads a set of samples. `where` begins its messages. Throws DataError for rows of unequal length, values that are not
 * finite f32 numbers, unequal counts of features and labels, and anything that is not an array of numbers.
 */
export async function readSamples(where: string, set: SampleSet, task: Task) {
  if (typeof set !== 'object' || set === null || !('features' in set || 'rows' in set)) {
    throw new DataError(`${where}: samples are ${short(set)}, expected { features, labels } or { rows }`)
  }
  const features = new FeatureReader(`${where}: features`)
  const goals = new GoalReader(where, task)
  if ('rows' in set) {
    await forEach(`${where}: rows`, set.rows, row => {
      if (typeof row !== 'object' || row === null || !('features' in row)) {
        throw new DataError(`${where}: sample ${features.rows} is ${short(row)}, expected { features, label }`)
      }
      goals.add(task === 'classification' ? row.label : row.target)
      features.add(row.features)
    })
  } else {
    const [wanted, other] =
      task === 'classification' ? (['labels', 'targets'] as const) : (['targets', 'labels'] as const)
    const given: ShapedArray | Sequence<unknown> | undefined = set[wanted]
    if (given === undefined) {
      const evidence = set[other] === undefined ? '' : `; ${other} are given, and data.task is "${task}"`
      throw new DataError(`${where}: has no ${wanted}, expected them beside the features${evidence}`, {
        hint: `data.task is "classification" with labels, "regression" or "multi-label" with targets`,
      })
    }
    await forEach(`${where}: features`, rowsOf(`${where}: features`, set.features), row => features.add(row))
    await forEach(`${where}: ${wanted}`, rowsOf(`${where}: ${wanted}`, given), goal => goals.add(goal))
    if (features.rows !== goals.rows) {
      throw new DataError(
        `${where}: has ${features.rows} rows of features and ${goals.rows} ${wanted}, expected as many of each`,
      )
    }
  }
  if (features.rows === 0) throw new DataError(`${where}: has no samples, expected at least one`)
  const channels = 'features' in set && isShaped(set.features) && isColoured(set.features.shape) ? 3 : 1
  return { ...features.result(channels), ...goals.result() } satisfies ReadSamples
}

async function forEach<T>(where: string, sequence: Sequence<T>, act: (item: T) => void): Promise<void> {
  if (isIterable(sequence)) for (const item of sequence) act(item)
  else if (typeof (sequence as Partial<AsyncIterable<T>> | null)?.[Symbol.asyncIterator] === 'function') {
    for await (const item of sequence) act(item)
  } else throw new DataError(`${where} is ${short(sequence)}, expected an array, { data, shape } or a generator`)
}

/** Rows of a shaped array as views or copies; a sequence is returned unchanged. */
function rowsOf<T>(where: string, given: ShapedArray | Sequence<T>): Sequence<T | number | SampleFeatures> {
  if (!isShaped(given)) {
    if (ArrayBuffer.isView(given) && where.endsWith('features')) {
      throw new DataError(`${where} is a ${given.constructor.name} without a shape, expected { data, shape }`, {
        hint: '{ data, shape: [samples, features] }',
      })
    }
    return given as Sequence<T>
  }
  return shapedRows(where, given)
}

/** (N, height, width, 3) */
const isColoured = (shape: readonly number[]): boolean => shape.length === 4 && shape[3] === 3

function* shapedRows(where: string, array: ShapedArray): Generator<number | SampleFeatures> {
  const { data, shape, offset = 0 } = array
  const coloured = isColoured(shape)
  const dims = shape.length === 4 && shape[3] === 1 ? shape.slice(0, 3) : shape
  if (
    dims.length < 1 ||
    (dims.length > 3 && !coloured) ||
    !dims.every(size => Number.isSafeInteger(size) && size >= 0)
  ) {
    throw new DataError(
      `${where}: shape is (${shape.join(', ')}), expected (samples), (samples, features), (samples, height, width) or (samples, height, width, 3)`,
    )
  }
  const stride = array.stride ?? dims.map((_, i) => dims.slice(i + 1).reduce((product, size) => product * size, 1))
  const last = offset + dims.reduce((sum, size, i) => sum + (size - 1) * stride[i], 0)
  const needed = dims.includes(0) ? 0 : last + 1
  if (data.length < needed || (array.stride === undefined && data.length !== needed)) {
    throw new DataError(
      `${where}: data has ${data.length} elements, expected ${needed}; the shape is (${shape.join(', ')})`,
    )
  }
  const [count, height = 0, width = 0] = dims
  const isBytes = data instanceof Uint8Array || data instanceof Uint8ClampedArray
  const line = (start: number, length: number, step: number): ArrayLike<number> => {
    const values = isBytes ? new Uint8Array(length) : new Float64Array(length)
    for (let i = 0; i < length; i++) values[i] = data[start + i * step]
    return values
  }
  /** A line of pixels, the three numbers of each side by side. */
  const colours = (start: number, length: number): ArrayLike<number> => {
    const values = isBytes ? new Uint8Array(3 * length) : new Float64Array(3 * length)
    for (let i = 0; i < values.length; i++)
      values[i] = data[start + Math.floor(i / 3) * stride[2] + (i % 3) * stride[3]]
    return values
  }
  for (let n = 0; n < count; n++) {
    const start = offset + n * stride[0]
    if (dims.length === 1) yield data[start]
    else if (dims.length === 2) yield line(start, height, stride[1])
    else if (!coloured) yield Array.from({ length: height }, (_, y) => line(start + y * stride[1], width, stride[2]))
    else yield Array.from({ length: height }, (_, y) => colours(start + y * stride[1], width))
  }
}

/** Collects features of equal shape. Pictures of bytes stay bytes; everything else becomes f32. */
class FeatureReader {
  readonly #where: string
  #shape: { height: number; width: number; dtype: FeatureType } | null = null
  #values: Features = new Float32Array()
  readonly #sample = new RowSample()
  rows = 0

  constructor(where: string) {
    this.#where = where
  }

  add(row: SampleFeatures | number | undefined): void {
    const lines = linesOf(row)
    if (lines === null) {
      throw new DataError(`${this.#where}: row ${this.rows} is ${short(row)}, expected an array of numbers`)
    }
    this.#shape ??= this.#begin(row as SampleFeatures, lines)
    const { height, width } = this.#shape
    const size = height * width
    if (lines.length !== height || lines.some(line => line.length !== width)) {
      const got = lines.length === 1 ? `${lines[0].length} values` : `${lines.length} x ${lines[0]?.length ?? 0} values`
      const wanted = height === 1 ? `${width}` : `${height} x ${width}`
      throw new DataError(`${this.#where}: row ${this.rows} has ${got}, expected ${wanted} as the first row has`)
    }
    if (this.#values.length < (this.rows + 1) * size) this.#grow(size)
    let at = this.rows * size
    for (const line of lines) {
      for (let i = 0; i < width; i++) {
        const value = line[i]
        if (typeof value !== 'number' || !Number.isFinite(Math.fround(value)) || this.#losesBits(value)) {
          const expected = this.#shape.dtype === 'uint8' ? 'a byte, as in the first row' : 'a finite number in f32'
          throw new DataError(
            `${this.#where}: row ${this.rows}, feature ${at % size} is ${short(value)}, expected ${expected}`,
          )
        }
        this.#values[at++] = value
      }
    }
    if (this.#shape.dtype === 'float32' && this.#sample.wantsNext()) {
      this.#sample.add(lines.flatMap(line => Array.from(line)))
    }
    this.rows++
  }

  /** Throws DataError for a feature whose different values f32 takes for the same. */
  result(channels: 1 | 3): Pick<ReadSamples, keyof InputShape | 'rows' | 'dtype' | 'features'> {
    const nameOf = (column: number) => (this.#sample.width === 1 ? 'the feature' : `feature ${column}`)
    expectDistinctFeatures(this.#where, this.#sample, nameOf)
    const shape = this.#shape ?? { height: 1, width: 0, dtype: 'float32' as const }
    return {
      rows: this.rows,
      ...{ ...shape, width: shape.width / channels, channels },
      features: this.#values.slice(0, this.rows * shape.height * shape.width),
    }
  }

  #begin(row: SampleFeatures, lines: readonly ArrayLike<number>[]) {
    const isPicture = typeof row[0] !== 'number'
    const bytes = isPicture && lines.every(line => line instanceof Uint8Array || line instanceof Uint8ClampedArray)
    const shape = { height: lines.length, width: lines[0].length, dtype: bytes ? 'uint8' : 'float32' } as const
    if (shape.width === 0) throw new DataError(`${this.#where}: row 0 is empty, expected at least one number`)
    if (bytes) this.#values = new Uint8Array()
    return shape
  }

  #losesBits(value: number): boolean {
    return this.#values instanceof Uint8Array && !(Number.isInteger(value) && value >= 0 && value <= 255)
  }

  #grow(size: number): void {
    const length = Math.max(64 * size, 2 * this.#values.length)
    const grown = this.#values instanceof Uint8Array ? new Uint8Array(length) : new Float32Array(length)
    grown.set(this.#values)
    this.#values = grown
  }
}

/** A row's numbers, or those of each row of a picture; null if it is neither. */
function linesOf(row: unknown): ArrayLike<number>[] | null {
  if (!isArrayLike(row)) return null
  if (row.length === 0 || !isArrayLike(row[0])) return [row as ArrayLike<number>]
  const lines = Array.from(row as ArrayLike<unknown>)
  return lines.every(isArrayLike) ? (lines as ArrayLike<number>[]) : null
}

/** Collects labels or targets. */
class GoalReader {
  readonly #where: string
  readonly #task: Task
  readonly #classNames: string[] = []
  readonly #values: number[] = []
  #width = 0
  rows = 0

  constructor(where: string, task: Task) {
    this.#where = where
    this.#task = task
  }

  add(goal: unknown): void {
    if (this.#task === 'classification') this.#classNames.push(this.#nameOf(goal))
    else this.#addTargets(goal)
    this.rows++
  }

  result(): Pick<ReadSamples, 'classNames' | 'targets'> {
    if (this.#task === 'classification') return { classNames: this.#classNames, targets: null }
    const names = outputNames(this.#task, this.#width)
    return { classNames: [], targets: { task: this.#task, names, values: Float64Array.from(this.#values) } }
  }

  #nameOf(label: unknown): string {
    if (typeof label === 'string' || typeof label === 'boolean') return String(label)
    if (typeof label === 'number' && Number.isSafeInteger(label)) return String(label)
    if (isArrayLike(label) && label.length > 1) {
      const values = Array.from(label as ArrayLike<unknown>)
      if (values.every(value => value === 0 || value === 1) && values.filter(value => value === 1).length === 1) {
        return String(values.indexOf(1))
      }
    }
    throw new DataError(
      `${this.#where}: label ${this.rows} is ${short(label)}, expected text, an integer, or a one-hot array`,
      typeof label === 'number'
        ? { hint: 'numbers to predict are `targets`, with data.task "regression"' }
        : isArrayLike(label)
          ? { hint: 'several yes/no labels are `targets`, with data.task "multi-label"' }
          : {},
    )
  }

  #addTargets(goal: unknown): void {
    const values: readonly unknown[] = isArrayLike(goal) ? Array.from(goal as ArrayLike<unknown>) : [goal]
    if (this.rows === 0) this.#width = values.length
    if (values.length !== this.#width || values.length === 0) {
      throw new DataError(
        `${this.#where}: target ${this.rows} has ${values.length} numbers, expected ${Math.max(1, this.#width)}`,
      )
    }
    for (const given of values) {
      const value = this.#task === 'multi-label' && typeof given === 'boolean' ? Number(given) : given
      if (typeof value !== 'number' || !Number.isFinite(Math.fround(value))) {
        throw new DataError(
          `${this.#where}: target ${this.rows} is ${short(value)}, expected a number that is finite in f32`,
        )
      }
      this.#values.push(value)
    }
  }
}

const isIterable = (value: unknown): value is Iterable<never> =>
  typeof value === 'object' && typeof (value as Partial<Iterable<never>> | null)?.[Symbol.iterator] === 'function'

const isArrayLike = (value: unknown): value is ArrayLike<unknown> =>
  Array.isArray(value) || (ArrayBuffer.isView(value) && 'length' in value)

const isShaped = (value: unknown): value is ShapedArray =>
  typeof value === 'object' && value !== null && 'data' in value && Array.isArray((value as ShapedArray).shape)

const short = (value: unknown): string => inspect(value, { depth: 1, maxArrayLength: 4, maxStringLength: 40 })

/**
 * Data sets that are read whole when they are opened: arrays, folders of pictures, samples of a program. Splits off the test
 * part. (Tables: table/source.ts.) Main thread; holds all rows until the caller has loaded them, so that memory is twice that of
 * the data for a moment.
 *
 * Letters: `N` rows, `F` features, `K` targets or labels.
 */

import { allRowsAdvice } from '../config/all-rows.js'
import { DataError, ShapeError } from '../errors.js'
import { type InputShape, inputSize } from '../tensor/input-shape.js'
import {
  checkViews,
  type DataConfig,
  type DatasetSource,
  type Features,
  type FeatureType,
  type LoadedFile,
  type Split,
} from './source.js'
import { splitValidation } from './split.js'
import { expectLearnable, expectYesNo, type Targets } from './targets.js'

/** Rows as a file has them, with their classes by name, or with targets. */
export interface NamedRows {
  readonly features: Features // (N, F)
  readonly classNames: readonly string[] // (N); none with targets
  readonly targets: Targets | null
  readonly files: readonly LoadedFile[]
}

export interface TableShape extends InputShape {
  readonly name: string
  readonly where: string
  readonly dtype: FeatureType
}

interface Rows {
  readonly features: Features // (N, F)
  readonly labels: Int32Array // (N)
  readonly targets: Float32Array // (N, K)
}

/** `testFraction` of data that are only scored: all rows are test rows, whatever their classes. */
export const ALL_ROWS = 1

/** Seed of the test split, independent of the experiment's: runs with several seeds are scored on the same samples. */
const TEST_SEED = 0

/**
 * `test` is null if the rows have to be split. Throws DataError for fewer than two classes, or one that only test rows have, for test
 * rows with other targets than the training rows, and for targets that f32 cannot distinguish.
 */
export function inMemorySource(
  shape: TableShape,
  train: NamedRows,
  test: NamedRows | null,
  { testFraction }: Pick<DataConfig, 'testFraction'>,
): DatasetSource {
  const { name, where } = shape
  const size = inputSize(shape)
  const classNames = train.targets?.names ?? sortedClasses(train.classNames)
  if (train.targets === null) expectOneSpelling(where, classNames)
  const isScored = test === null && testFraction === ALL_ROWS
  if (train.targets === null && classNames.length < 2 && !isScored) {
    throw new DataError(
      `${where}: has ${train.classNames.length} rows in ${classNames.length} classes, expected at least 2 classes`,
    )
  }
  for (const part of [train, test]) {
    if (part?.targets?.task === 'multi-label') expectYesNo(where, part.targets)
  }
  if (train.targets && !isScored) expectLearnable(where, train.targets)
  if (test) expectTargets(where, train.targets, test.targets)
  const outputs = classNames.length
  const rowsOf = ({ features, targets, ...named }: NamedRows): Rows => ({
    features,
    labels: targets ? new Int32Array(targets.values.length / outputs) : labelsOf(where, named, classNames),
    targets: Float32Array.from(targets?.values ?? []),
  })
  const all = rowsOf(train)
  const parts = test ? { train: all, test: rowsOf(test) } : divided(all, size, testFraction, name)
  const files = isScored ? { train: [], test: train.files } : { train: train.files, test: test ? test.files : [] }
  return {
    ...shape,
    ...(isScored ? {} : taskDoubts(where, train, classNames)),
    task: train.targets?.task ?? 'classification',
    classes: outputs,
    classNames,
    train: { rows: parts.train.labels.length },
    test: { rows: parts.test.labels.length },
    async load(split: Split, features: Features, labels: Int32Array, targets = new Float32Array()) {
      const part = parts[split]
      checkViews(name, split, part.labels.length, size, features, labels)
      if (targets.length !== part.targets.length) {
        throw new ShapeError(`${name}: load got room for ${targets.length} targets, expected ${part.targets.length}`)
      }
      features.set(part.features)
      labels.set(part.labels)
      targets.set(part.targets)
      return { files: files[split] }
    },
  }
}

/** A number, as classes of tables are often written. */
const NUMBER = /^-?\d{1,15}(\.\d{1,15})?$/

/** Sorts numbers by value, then everything else by character codes. */
export function sortedClasses(names: Iterable<string>): string[] {
  const isNumber = (name: string) => NUMBER.test(name)
  const distinct = [...new Set(names)]
  const byText = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)
  return distinct.sort((a, b) => {
    if (isNumber(a) && isNumber(b)) return Number(a) - Number(b) || byText(a, b)
    return isNumber(a) === isNumber(b) ? byText(a, b) : isNumber(a) ? -1 : 1
  })
}

/** One class in two spellings, as 1 and 1.0, would be learned as two. */
export function expectOneSpelling(where: string, classNames: readonly string[]): void {
  const numbers = classNames.filter(name => NUMBER.test(name)) // sorted
  // Names without a decimal point may be codes, as 01 and 1.
  const isSame = (a: string, b: string) => Number(a) === Number(b) && (a + b).includes('.')
  const again = numbers.findIndex((name, i) => i > 0 && isSame(name, numbers[i - 1]))
  if (again < 0) return
  throw new DataError(
    `${where}: has the classes '${numbers[again - 1]}' and '${numbers[again]}', expected one spelling of a class`,
    { hint: 'write each class in one way; numbers to predict: --set data.task=regression' },
  )
}

/** Classes from which on, where all are numbers and rare, they are more likely quantities; rows of a class that is not rare. */
const MANY_CLASSES = 50
const ROWS_OF_CLASS = 10
/** Different values of a target up to which, where all are integers and common, they are more likely classes. */
const FEW_VALUES = 10

/** Says where the rows look as if they belong to the other task: nothing in them decides it. */
function taskDoubts(
  where: string,
  { classNames: rows, targets }: NamedRows,
  classNames: readonly string[],
): Pick<DatasetSource, 'warnings' | 'notes'> {
  if (targets === null) {
    const isRare = classNames.length >= MANY_CLASSES && rows.length < ROWS_OF_CLASS * classNames.length
    if (!isRare || !classNames.every(name => NUMBER.test(name))) return {}
    const text = `${where}: has ${classNames.length} classes in ${rows.length} rows, and all are numbers; to predict quantities: data.task "regression"`
    return { warnings: [text] }
  }
  if (targets.task !== 'regression' || targets.names.length > 1) return {}
  const values = new Set<number>()
  for (const value of targets.values) {
    if (!Number.isInteger(value) || values.size > FEW_VALUES) return {}
    values.add(value)
  }
  if (values.size < 2 || values.size > FEW_VALUES || targets.values.length < ROWS_OF_CLASS * values.size) return {}
  return { notes: [`the target has ${values.size} different integers; to predict classes: data.task "classification"`] }
}

/** Compares the names of the targets, and thereby their number. */
function expectTargets(where: string, train: Targets | null, test: Targets | null): void {
  const [wanted, found] = [train, test].map(targets => targets?.names.join(', '))
  if (wanted === found) return
  throw new DataError(
    `${where}: the test rows have the targets ${found}, expected ${wanted}, as the training rows have`,
    {
      hint: 'data.target selects columns; arrays must have the same shape except for the rows',
    },
  )
}

function labelsOf(
  where: string,
  { classNames: rows, files }: Pick<NamedRows, 'classNames' | 'files'>,
  classNames: readonly string[],
): Int32Array {
  const known = new Map(classNames.map((name, label) => [name, label]))
  return Int32Array.from(rows, name => {
    const label = known.get(name)
    if (label !== undefined) return label
    const alike = NUMBER.test(name)
      ? classNames.find(each => NUMBER.test(each) && Number(each) === Number(name))
      : undefined
    throw new DataError(
      `${files[0]?.path ?? where}: test rows have the class '${name}', expected one of the training rows` +
        (alike === undefined ? '' : `, which have it as '${alike}'`),
    )
  })
}

const testAdvice = (dataset: string): string | undefined => {
  const all = allRowsAdvice(dataset)
  return all && `a larger fraction; ${all}`
}

function divided(rows: Rows, width: number, fraction: number, dataset: string): { train: Rows; test: Rows } {
  const { train, validation: test } =
    fraction === ALL_ROWS
      ? { train: new Uint32Array(0), validation: Uint32Array.from(rows.labels.keys()) }
      : splitValidation(rows.labels, fraction, TEST_SEED, 'data.testFraction', testAdvice(dataset))
  const targets = rows.targets.length / rows.labels.length
  const taken = (indices: Uint32Array): Rows => ({
    features: takenRows(rows.features, width, indices),
    labels: Int32Array.from(indices, row => rows.labels[row]),
    targets: takenRows(rows.targets, targets, indices),
  })
  return { train: taken(train), test: taken(test) }
}

/** Numbers of a row that are copied one by one. */
const FEW = 16

/** Selected rows of `values`, each of which has `width` numbers. */
export function takenRows<T extends Features>(values: T, width: number, indices: ArrayLike<number>): T {
  const taken = new (values.constructor as new (length: number) => T)(indices.length * width)
  for (let i = 0; i < indices.length; i++) {
    const from = indices[i] * width
    // A view costs more than a few numbers.
    if (width > FEW) taken.set(values.subarray(from, from + width), i * width)
    else for (let k = 0; k < width; k++) taken[i * width + k] = values[from + k]
  }
  return taken
}

/** Growing array of floats: doubles its capacity. */
export class GrowingFloats<T extends Float32Array | Float64Array> {
  readonly #ofLength: new (
    length: number,
  ) => T
  #data: T
  #length = 0

  constructor(ofLength: new (length: number) => T) {
    this.#ofLength = ofLength
    this.#data = new ofLength(1024)
  }

  push(value: number): void {
    if (this.#length === this.#data.length) {
      const grown = new this.#ofLength(2 * this.#length)
      grown.set(this.#data)
      this.#data = grown
    }
    this.#data[this.#length++] = value
  }

  get values(): T {
    return this.#data.subarray(0, this.#length) as T
  }
}

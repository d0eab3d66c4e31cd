/**
 * Interface of data sets. Opening and loading are two steps, because all memory of a run is planned at once: opening
 * reads headers, counts and labels; then `load` streams the images straight into the caller's memory, and holds no
 * more than a few chunks of its own (dead ones may wait for the collector, up to about 32 MiB of them).
 * Types, and the check of the caller's views; main thread.
 */
import { inspect } from 'node:util'
import type { Experiment } from '../config/schema.js'
import type { Task } from '../config/tasks.js'
import { ShapeError } from '../errors.js'
import type { InputShape } from '../tensor/input-shape.js'
import type { TableChunk } from './table/columns.js'
import type { TableEncoding } from './table/encoding.js'

export type Split = 'train' | 'test'

/** The `data` section of an experiment. */
export type DataConfig = Experiment['data']

/** Type of the features: bytes, as of images, or floats. */
export type FeatureType = 'uint8' | 'float32'
export type Features = Uint8Array | Float32Array

/** File that was read, for the manifest. */
export interface LoadedFile {
  readonly path: string
  /** Length and MD5 of the content, uncompressed. */
  readonly bytes: number
  readonly md5: string
  /** True if it is the published file of a known set; null for the user's own files. */
  readonly official: boolean | null
}

export interface LoadedSplit {
  readonly files: readonly LoadedFile[]
  /** Weight of each row, if the source is `weighted`. */
  readonly weights?: ArrayLike<number>
}

/** Takes features (rows, F) of the rows from `row` of a split on, in pieces; they are valid until the promise resolves. */
export type WriteRows = (row: number, features: Float32Array) => Promise<void>

export interface TableColumns {
  /** Feature columns, in the order of the features. */
  readonly features: readonly string[]
  readonly labels: readonly string[]
  /** Columns that are neither features nor labels. */
  readonly others: readonly string[]
}

/** Raw values of some rows of a table: the columns of features and targets. */
export interface FieldRows {
  readonly chunk: TableChunk // (N)
  /** Index of each row in its file, from 0. */
  readonly fileRows: ArrayLike<number> // (N)
  readonly files: readonly LoadedFile[]
}

/** Features of a picture are (H, W, C), as its shape says; rows of numbers have height 1 and one channel. */
export interface DatasetSource extends InputShape {
  readonly name: string
  /** The folder the files are in. */
  readonly where: string
  readonly dtype: FeatureType
  readonly task: Task
  /** Outputs of a network: classes, labels or targets, and their names. */
  readonly classes: number
  readonly classNames: readonly string[]
  /** Names of a table's columns; absent: rows are arrays or pictures. */
  readonly columns?: TableColumns
  /** Encoding of a table's columns as features. */
  readonly table?: TableEncoding
  /** True if `load` delivers a weight for each row of the training part. */
  readonly weighted?: boolean
  readonly train: { readonly rows: number }
  readonly test: { readonly rows: number }
  /** First row of the training part that belongs to the validation split; absent: see `data.validation`. */
  readonly validationFrom?: number
  /** Versions of the libraries that decoded the data, by name: others may decode to other bits. */
  readonly libraries?: Readonly<Record<string, string>>
  /** Warnings to show before training, such as ignored files. */
  readonly warnings?: readonly string[]
  /** Notes on the data, in short lines. */
  readonly notes?: readonly string[]
  /** Notes, among these, that say which rows are left out and why. */
  readonly omissions?: readonly string[]
  /**
   * Overwrites `features` (rows x features, of `dtype`) and `labels` (rows), the classes; of another task also `targets` (rows x
   * outputs), which are 0 or 1 of multi-label, and `labels` are 0. The views may lie on a SharedArrayBuffer. After an error their content is undefined.
   */
  load(split: Split, features: Features, labels: Int32Array, targets?: Float32Array): Promise<LoadedSplit>
  /**
   * Loads both parts as `load` does, and gives back the memory of the data meanwhile: nothing but `close` may be called after that. Absent
   * where that saves nothing.
   */
  readonly loadLast?: (into: Readonly<Record<Split, SplitViews>>) => Promise<Readonly<Record<Split, LoadedSplit>>>
  /**
   * Loads the training part as `load` does, but for the features, which `write` gets. Present only where the features are too large for
   * memory, or the experiment asks for streaming; then `validationFrom` is known.
   */
  readonly stream?: (write: WriteRows, labels: Int32Array, targets?: Float32Array) => Promise<LoadedSplit>
  /** Closes files that stayed open after they were opened; nothing can be loaded after that. */
  close?(): Promise<void>
  /** Raw values of the rows at the given positions of a split, as `load` numbers them, from 0. Absent: the data are no table. */
  readonly fields?: (split: Split, positions: ArrayLike<number>) => Promise<FieldRows>
}

/** Memory of a part, as `load` overwrites it. */
export interface SplitViews {
  readonly features: Features
  readonly labels: Int32Array
  /** Empty for classification. */
  readonly targets: Float32Array
}

/** A data set without its readers. */
export interface SourceFacts
  extends Omit<
    DatasetSource,
    'load' | 'loadLast' | 'stream' | 'close' | 'fields' | 'warnings' | 'notes' | 'omissions' | 'libraries'
  > {
  /** True if its features do not fit into memory. */
  readonly isStreamed: boolean
}

/** Checks that the views that a caller passes to `load` fit exactly. */
export function checkViews(
  name: string,
  split: Split,
  rows: number,
  features: number,
  images: Features,
  labels: Int32Array,
): void {
  if (images.length === rows * features && labels.length === rows) return
  throw new ShapeError(
    `${name}: load(${inspect(split)}) got room for ${images.length} bytes of images and ${labels.length} labels, ` +
      `expected ${rows * features} and ${rows}; ${rows} rows of ${features}`,
  )
}

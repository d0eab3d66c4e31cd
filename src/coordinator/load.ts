/**
 * Loads the data of a session: reads them into the shared memory, splits off the validation part, computes the scales of features
 * (data/input.ts) and scales targets, before any worker opens the plan. Main thread; writes `features`, `labels`, `targets`, `sampleIndices` and `scaling` of the layout.
 *
 * Letters: `N` rows, `F` features, `K` targets.
 */

import { tmpdir } from 'node:os'
import type { Experiment } from '../config/schema.js'
import type { DatasetSource, LoadedFile } from '../data/dataset.js'
import {
  colourOf,
  type InputSpec,
  isScaled,
  type KnownInput,
  normalisationOf,
  type Scaling,
  scaleRows,
  scalingOf,
} from '../data/input.js'
import { type TargetSpread, targetSpread } from '../data/regression-score.js'
import type { SplitViews, WriteRows } from '../data/source.js'
import { splitAt, splitValidation, type ValidationSplit } from '../data/split.js'
import { formatList } from '../format.js'
import { choosePreparation } from '../picture/preparation.js'
import { viewSlot } from '../tensor/arena.js'
import { inputSize } from '../tensor/input-shape.js'
import type { Layout } from '../worker/plan/layout.js'
import type { PlannedRun } from '../worker/plan/plan.js'
import type { Split } from '../worker/plan/run-plan.js'
import { placeOfKept, type Windows } from '../worker/plan/windows.js'
import type { SharedRun } from './ranks.js'
import { writeWeights } from './sample-weights.js'
import { Spool } from './spool.js'

/** Classes named in a message. */
const MOST_SHOWN = 20

/** A run that is ready to start: its data are found and it fits into memory. No thread runs yet. */
export interface PreparedSession extends PlannedRun {
  readonly data: DatasetSource
  /** Experiment with the task of its data, where it left that to them. */
  readonly experiment: Experiment
  /** The ranks of a run over several; absent: this process alone. */
  readonly ranks?: SharedRun
}

export interface LoadedData {
  /** Files read, with their digests. */
  readonly files: readonly LoadedFile[]
  /** Number of samples in each split. */
  readonly rows: Readonly<Record<Split, number>>
  readonly input: InputSpec
  /** Spread of the targets in each split; null for classification. */
  readonly spreads: Readonly<Record<Split, TargetSpread>> | null
  /** Warnings about the splits. */
  readonly warnings: readonly string[]
  /** Training rows, where they are not all in memory; the caller closes it. */
  readonly spool: Spool | null
}

/**
 * Loads all that the plan has room for. `known` is the scaling of features and targets if a model already has one;
 * null: computed from the training split. `folder`: for the training rows that do not fit into memory. Throws DataError if a file is
 * not as expected.
 */
export async function loadData(
  prepared: PreparedSession,
  memory: WebAssembly.Memory,
  experiment: Experiment,
  known: KnownInput | null,
  folder = tmpdir(),
): Promise<LoadedData> {
  const { files, weights, spool } = await readFiles(prepared, memory, folder)
  const rows = writeOrder(prepared, memory, experiment)
  const { layout, data } = prepared
  const trainRows = viewSlot(memory, layout.sampleIndices.train).data.subarray(0, rows.train)
  writeWeights(layout, memory, data, experiment.train.classWeights, weights, trainRows)
  const warnings = unscoredOutputs(prepared, memory, rows)
  return { files, rows, warnings, spool, ...scaleData(prepared, rows, memory, experiment, known) }
}

/**
 * Classes that a split has no sample of, and labels that are the same in all: the split's scores say nothing about them. The data set
 * itself checks the classes of the training split.
 */
function unscoredOutputs(
  { layout, data }: PreparedSession,
  memory: WebAssembly.Memory,
  rows: Readonly<Record<Split, number>>,
): string[] {
  if (data.task === 'regression') return []
  return (['train', 'validation', 'test'] as const).flatMap(split => {
    if (split === 'train' && data.task === 'classification') return []
    if (rows[split] === 0) return []
    const from = split === 'test' ? 'test' : 'train'
    const indices = viewSlot(memory, layout.sampleIndices[split]).data.subarray(0, rows[split])
    const isUnscored =
      data.task === 'classification'
        ? missingClass(viewSlot(memory, layout.labels[from]).data, indices)
        : constantLabel(viewSlot(memory, layout.targets[from]).data, indices, data.classes)
    const unscored = data.classNames.filter((_, output) => isUnscored(output))
    if (unscored.length === 0) return []
    const shown = formatList(
      unscored.map(name => `'${name}'`),
      MOST_SHOWN,
    )
    const what =
      data.task === 'classification'
        ? `no ${split} sample has the class ${shown}`
        : `all ${split === 'train' ? 'training' : split} samples have the same value of the label ${shown}`
    const loss = split === 'train' ? 'nothing is learned' : `${split} scores say nothing`
    return [`${data.where}: ${what}; ${loss} about ${unscored.length > 1 ? 'them' : 'it'}`]
  })
}

function missingClass(labels: Int32Array, indices: Int32Array): (label: number) => boolean {
  const seen = new Set<number>()
  for (const row of indices) seen.add(labels[row])
  return label => !seen.has(label)
}

const constantLabel =
  (targets: Float32Array, indices: Int32Array, width: number) =>
  (label: number): boolean =>
    indices.every(row => targets[row * width + label] === targets[indices[0] * width + label])

interface ReadFiles {
  readonly files: readonly LoadedFile[]
  /** Weights of the training samples that the data have; null: none. */
  readonly weights: ArrayLike<number> | null
  readonly spool: Spool | null
}

async function readFiles(
  { plan, layout, data }: PreparedSession,
  memory: WebAssembly.Memory,
  folder: string,
): Promise<ReadFiles> {
  const files: LoadedFile[] = []
  let weights: ArrayLike<number> | null = null
  const { windows } = plan
  const spool =
    windows && plan.images.train > 0 ? await Spool.create(folder, data.validationFrom!, plan.features) : null
  const hasTargets = data.task !== 'classification'
  const viewsOf = (split: 'train' | 'test'): SplitViews => ({
    features: viewSlot<'uint8' | 'float32'>(memory, layout.features[split]).data,
    labels: viewSlot(memory, layout.labels[split]).data,
    targets: hasTargets ? viewSlot(memory, layout.targets[split]).data : new Float32Array(),
  })
  try {
    const areAll = plan.images.train > 0 && plan.images.test > 0
    // Only training closes the data set afterwards.
    const isLast = plan.purpose === 'train' && areAll && spool === null && data.loadLast !== undefined
    const both = isLast ? await data.loadLast({ train: viewsOf('train'), test: viewsOf('test') }) : null
    for (const split of ['train', 'test'] as const) {
      if (plan.images[split] === 0) continue
      const { features, labels, targets } = viewsOf(split)
      const loaded =
        both?.[split] ??
        (split === 'train' && spool !== null
          ? await data.stream!(
              writeTo(spool, windows!, data.validationFrom!, features as Float32Array),
              labels,
              targets,
            )
          : await data.load(split, features, labels, ...(hasTargets ? [targets] : [])))
      files.push(...loaded.files)
      if (split === 'train') weights = loaded.weights ?? null
      if (!hasTargets) {
        const ones = viewSlot(memory, layout.targets[split])
        if (ones.shape[0] > 0) for (const [row, label] of labels.entries()) ones.set(row, label, 1)
      }
    }
    return { files, weights, spool }
  } catch (error) {
    await spool?.close()
    throw error
  }
}

/** Writes training rows to the spool, and the validation rows that follow them into memory, after the windows. */
function writeTo(spool: Spool, windows: Windows, validationFrom: number, features: Float32Array): WriteRows {
  const width = spool.features
  return async (row, encoded) => {
    if (row < validationFrom) await spool.append(encoded)
    else features.set(encoded, (placeOfKept(windows) + row - validationFrom) * width)
  }
}

/** Divides the rows of the training files, of which there are none where only the test split is scored, into training and validation. */
export function splitTrainingRows(
  labels: Int32Array,
  data: Pick<DatasetSource, 'validationFrom'>,
  experiment: Pick<Experiment, 'data' | 'seed'>,
): ValidationSplit {
  return data.validationFrom !== undefined && labels.length > 0
    ? splitAt(labels.length, data.validationFrom)
    : splitValidation(labels, labels.length > 0 ? experiment.data.validation : 0, experiment.seed)
}

/** Writes the sample index of each row of a split. Returns the number of rows. */
function writeOrder(
  { plan, layout, data }: PreparedSession,
  memory: WebAssembly.Memory,
  experiment: Experiment,
): Record<Split, number> {
  const { train, validation } = splitTrainingRows(viewSlot(memory, layout.labels.train).data, data, experiment)
  viewSlot(memory, layout.sampleIndices.train).data.set(train)
  viewSlot(memory, layout.sampleIndices.validation).data.set(validation)
  const test = viewSlot(memory, layout.sampleIndices.test).data
  for (let i = 0; i < test.length; i++) test[i] = i
  return { train: train.length, validation: validation.length, test: plan.images.test }
}

/** Writes the scaling of the features, for the workers, and scales regression targets in place. */
function scaleData(
  { layout, data }: PreparedSession,
  rows: Readonly<Record<Split, number>>,
  memory: WebAssembly.Memory,
  experiment: Experiment,
  known: KnownInput | null,
): Pick<LoadedData, 'input' | 'spreads'> {
  const { height, width, channels, dtype, classNames, columns, table } = data
  const named = columns && { columns: { features: columns.features, labels: columns.labels } }
  const trainRows = viewSlot(memory, layout.sampleIndices.train).data.subarray(0, rows.train)
  const regression = data.task === 'regression' ? scaleTargets(layout, memory, known?.targets ?? null, rows) : null
  const { scaling: targets, spreads } = regression ?? { scaling: null, spreads: null }
  const images = viewSlot<'uint8' | 'float32'>(memory, layout.features.train).data
  const { dataset, preparation: setting, background: colour } = experiment.data
  // The model's, unless the experiment names another.
  const preparation =
    (setting === 'auto' ? known?.preparation : null) ??
    choosePreparation(setting, dataset, images instanceof Uint8Array ? images : null, data)
  const background = colourOf(colour) ?? known?.background ?? null
  const { task } = data
  const spec = {
    height,
    width,
    channels,
    dtype,
    task,
    classNames,
    ...named,
    ...(table && { table }),
    targets,
    preparation,
    background,
  }
  if (!layout.scaling || !isScaled(experiment.data, data)) return { input: { ...spec, scaling: null }, spreads }
  const scaling =
    known?.scaling ?? scalingOf(normalisationOf(experiment.data, data), images, inputSize(data), trainRows, channels)
  viewSlot(memory, layout.scaling.offset).data.set(scaling.offset)
  viewSlot(memory, layout.scaling.factor).data.set(scaling.factor)
  return { input: { ...spec, scaling }, spreads }
}

/** Scales targets in place, by `known` or by the training split; their spread is taken before. */
function scaleTargets(
  { targets, sampleIndices }: Layout,
  memory: WebAssembly.Memory,
  known: Scaling | null,
  rows: Readonly<Record<Split, number>>,
): { readonly scaling: Scaling; readonly spreads: Readonly<Record<Split, TargetSpread>> } {
  const train = viewSlot(memory, targets.train)
  const test = viewSlot(memory, targets.test)
  const rowsOf = (split: Split) => viewSlot(memory, sampleIndices[split]).data.subarray(0, rows[split])
  const scaling = known ?? scalingOf('standardise', train.data, train.shape[1], rowsOf('train'))
  const spreads = {
    train: targetSpread(train.data, rowsOf('train'), scaling),
    validation: targetSpread(train.data, rowsOf('validation'), scaling),
    test: targetSpread(test.data, rowsOf('test'), scaling),
  }
  for (const { data } of [train, test]) scaleRows(data, scaling)
  return { scaling, spreads }
}

/**
 * The data set `memory`: samples that a program passes to `train`. Main thread; holds all
 * samples until they have been loaded.
 */
import { createHash } from 'node:crypto'
import { ConfigError, DataError } from '../errors.js'
import { inputSize, isSameShape, shapeText } from '../tensor/input-shape.js'
import { inMemorySource } from './in-memory.js'
import { type ReadSamples, readSamples, type SampleSet } from './samples.js'
import type { DataConfig, DatasetSource, Features, LoadedFile, Split } from './source.js'

/** Samples to train from. Each set is read once and copied; until the event `start` it must not change. */
export type TrainingData = SampleSet & {
  /** Scored after every epoch. Default: the fraction `data.validation` of the training samples. */
  readonly validation?: SampleSet
  /** Scored when training has ended. Default: the fraction `data.testFraction` of the training samples. */
  readonly test?: SampleSet
}

const NAME = 'memory'

/** Opens samples as a data set. Throws ConfigError if there are none, DataError if they do not fit together. */
export async function openMemory(data: TrainingData | undefined, config: DataConfig): Promise<DatasetSource> {
  if (data === undefined) {
    throw new ConfigError(
      'data.dataset is "memory", expected the samples too: a program passes them to `train`, a file cannot have them',
      {
        hint: 'train(experiment, { data: { features, labels } }); resume and reproduce take the same samples',
      },
    )
  }
  const { validation: fraction } = config
  const task = config.task === 'auto' ? 'classification' : config.task
  if (data.validation !== undefined && fraction > 0) {
    throw new ConfigError(`data.validation is ${fraction}, expected 0, because validation samples are given`)
  }
  const train = await readSamples('training samples', data, task)
  const read = async (name: string, set: SampleSet | undefined) => {
    if (set === undefined) return null
    const samples = await readSamples(name, set, task)
    expectSameShape(name, samples, train)
    return { ...samples, files: [fileOf(name, samples)] }
  }
  const validation = await read('validation samples', data.validation)
  const test = await read('test samples', data.test)
  const { height, width, channels, dtype } = train
  const shape = { name: NAME, where: NAME, height, width, channels, dtype }
  const base = inMemorySource(shape, { ...train, files: [fileOf('training samples', train)] }, test, config)
  if (validation === null) return base
  // Read them against the training samples, as test samples are: the same classes, the same targets.
  const checked = inMemorySource(
    { ...shape, where: 'validation samples' },
    { ...train, files: [] },
    { ...validation, files: validation.files },
    config,
  )
  return withValidation(base, checked, inputSize(shape))
}

/** Appends validation samples to the training samples. `checked` has them as its test rows. */
function withValidation(base: DatasetSource, checked: DatasetSource, size: number): DatasetSource {
  const { rows } = base.train
  return {
    ...base,
    train: { rows: rows + checked.test.rows },
    validationFrom: rows,
    async load(split: Split, features: Features, labels: Int32Array, targets?: Float32Array) {
      if (split === 'test') return base.load(split, features, labels, targets)
      const outputs = targets === undefined ? 0 : targets.length / labels.length
      const part = (from: number, to: number) =>
        [
          features.subarray(from * size, to * size),
          labels.subarray(from, to),
          targets?.subarray(from * outputs, to * outputs),
        ] as const
      const train = await base.load('train', ...part(0, rows))
      const validation = await checked.load('test', ...part(rows, labels.length))
      return { files: [...train.files, ...validation.files] }
    },
  }
}

function expectSameShape(name: string, got: ReadSamples, train: ReadSamples): void {
  if (isSameShape(got, train) && got.dtype === train.dtype) return
  const text = (samples: ReadSamples) => `${samples.dtype} of ${shapeText(samples)}`
  throw new DataError(`${name}: features are ${text(got)}, expected ${text(train)} as the training samples have`)
}

/** Digest of samples in place of a file's, so that a run can check that it is given the same ones again. */
function fileOf(name: string, { features, classNames, targets, ...shape }: ReadSamples): LoadedFile {
  const hash = createHash('md5')
  hash.update(JSON.stringify({ ...shape, classNames, targets: targets?.names ?? null }))
  const bytes = (view: ArrayBufferView) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
  hash.update(bytes(features))
  if (targets) hash.update(bytes(targets.values))
  return {
    path: `${NAME}: ${name}`,
    bytes: features.byteLength + (targets?.values.byteLength ?? 0),
    md5: hash.digest('hex'),
    official: null,
  }
}

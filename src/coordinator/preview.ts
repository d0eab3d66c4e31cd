/**
 * Original training images, and the augmented ones of the first epochs: the bits that training sees. Main thread.
 *
 * Letters: `N` training images, `F` features of one.
 */
import type { Experiment } from '../config/schema.js'
import { openDataset } from '../data/dataset.js'
import { ConfigError } from '../errors.js'
import { reference } from '../kernels/reference/index.js'
import { type InputShape, inputSize } from '../tensor/input-shape.js'
import { Purpose, permutation } from '../tensor/random.js'
import { viewTensor } from '../tensor/tensor.js'
import { augmentationOf } from '../worker/plan/plan.js'

export interface PreviewRow {
  /** Index of the training image, from 0. */
  readonly index: number
  readonly className: string
  readonly original: Uint8Array // (F)
  /** Image in epochs 0, 1, 2 …; the original if the experiment augments nothing. */
  readonly epochs: readonly Uint8Array[] // (F) each
}

export interface Preview extends InputShape {
  readonly rows: readonly PreviewRow[]
}

/** Random training images, by the experiment's seed. Rejects with ConfigError or DataError as training would. */
export async function previewImages(
  { experiment, baseDir }: { readonly experiment: Experiment; readonly baseDir: string },
  { images: count, epochs }: { readonly images: number; readonly epochs: number },
): Promise<Preview> {
  const data = await openDataset(experiment.data, { baseDir })
  const { height, width, channels, classNames } = data
  if (data.dtype !== 'uint8') {
    throw new ConfigError(`${data.where}: the features are numeric, expected images; there is nothing to preview`)
  }
  const { rows: total } = data.train
  const features = inputSize(data)
  const tensor = <T extends 'uint8' | 'int32'>(dtype: T, shape: readonly number[]) =>
    viewTensor(new ArrayBuffer(shape.reduce((size, dim) => size * dim, dtype === 'int32' ? 4 : 1)), dtype, shape, 0)
  const images = tensor('uint8', [total, features]) // (N, F)
  const labels = tensor('int32', [total]) // (N)
  await data.load('train', images.data, labels.data)

  const augmentation = augmentationOf(experiment, data)
  const samples = tensor('int32', [1])
  const out = tensor('uint8', [1, features])
  const { seed } = experiment
  const augment =
    augmentation &&
    reference
      .instantiate({ memory: new WebAssembly.Memory({ initial: 0 }), scratchByteOffset: 0, module: null, native: null })
      .augment({ ...{ out, images, labels, samples, seed }, augmentation })
  return {
    ...{ height, width, channels },
    rows: Array.from(permutation(total, seed, Purpose.examples, 0).subarray(0, count), index => {
      const original = images.data.slice(index * features, (index + 1) * features)
      samples.data[0] = index
      return {
        ...{ index, original },
        className: classNames[labels.data[index]],
        epochs: Array.from({ length: epochs }, (_, epoch) => {
          if (!augment) return original
          augment(0, 1, epoch)
          return out.data.slice()
        }),
      }
    }),
  }
}

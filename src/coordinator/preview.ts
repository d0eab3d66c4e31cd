/**
 * Original training images, and the augmented ones of the first epochs: the bits that training sees. Main thread.
 *
 * Letters: `N` training images, `F` features of one.
 */
import { mixBytes, mixtures, PARTS } from '../augment/mixup.js'
import type { Experiment } from '../config/schema.js'
import { type DatasetSource, openDataset } from '../data/dataset.js'
import { ConfigError } from '../errors.js'
import { reference } from '../kernels/reference/index.js'
import { type InputShape, inputSize } from '../tensor/input-shape.js'
import { Purpose, permutation } from '../tensor/random.js'
import { type ByteTensor, type IntTensor, viewTensor } from '../tensor/tensor.js'
import { augmentationOf } from '../worker/plan/plan.js'
import { splitTrainingRows } from './load.js'

export interface PreviewRow {
  /** Index of the training image, from 0. */
  readonly index: number
  readonly className: string
  readonly original: Uint8Array // (F)
  /** Image in epochs 0, 1, 2 …: augmented, mixed with another one; the original in plain epochs, or if the experiment augments nothing. */
  readonly epochs: readonly Uint8Array[] // (F) each
}

export interface Preview extends InputShape {
  readonly rows: readonly PreviewRow[]
}

/** Random images of the training split, by the experiment's seed. Rejects with ConfigError or DataError as training would. */
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
  const images = tensor('uint8', [total, features]) // (N, F)
  const labels = tensor('int32', [total]) // (N)
  await data.load('train', images.data, labels.data)

  const { train: trained } = splitTrainingRows(labels.data, data, experiment)
  const draw = drawing(experiment, data, { images, labels, trained })
  return {
    ...{ height, width, channels },
    rows: Array.from(permutation(trained.length, experiment.seed, Purpose.examples, 0).subarray(0, count), at => {
      const index = trained[at]
      return {
        index,
        className: classNames[labels.data[index]],
        original: images.data.slice(index * features, (index + 1) * features),
        epochs: Array.from({ length: epochs }, (_, epoch) => draw(index, epoch)),
      }
    }),
  }
}

interface Drawn {
  readonly images: ByteTensor // (N, F)
  readonly labels: IntTensor // (N)
  /** Indices of the training split, of which mixup takes its partners. */
  readonly trained: ArrayLike<number>
}

/** Returns a function that draws a training image as an epoch sees it: as worker/network/input.ts does. Epochs after the last show what more of them would. */
function drawing(
  experiment: Experiment,
  data: DatasetSource,
  { images, labels, trained }: Drawn,
): (image: number, epoch: number) => Uint8Array {
  const features = images.shape[1]
  const augmentation = augmentationOf(experiment, data)
  if (augmentation === null) return image => images.data.slice(image * features, (image + 1) * features)
  const { seed, train } = experiment
  const samples = tensor('int32', [1])
  const out = tensor('uint8', [1, features])
  const augment = reference
    .instantiate({ memory: new WebAssembly.Memory({ initial: 0 }), scratchByteOffset: 0, module: null, native: null })
    .augment({ ...{ out, images, labels, samples, seed }, augmentation })
  const augmented = (image: number, epoch: number): Uint8Array => {
    samples.data[0] = image
    augment(0, 1, epoch)
    return out.data.slice()
  }
  const mixture = augmentation.mixup > 0 ? mixtures(augmentation.mixup, seed, trained) : null
  const plainFrom = train.epochs - augmentation.plainEpochs
  return (image, epoch) => {
    if (epoch >= plainFrom && epoch < train.epochs) return images.data.slice(image * features, (image + 1) * features)
    const pixels = augmented(image, epoch)
    if (mixture === null) return pixels
    const { partner, parts } = mixture(image, epoch)
    mixBytes(pixels, augmented(partner, epoch), [0, 0], 0, features, parts / PARTS)
    return pixels
  }
}

const tensor = <T extends 'uint8' | 'int32'>(dtype: T, shape: readonly number[]) =>
  viewTensor(new ArrayBuffer(shape.reduce((size, dim) => size * dim, dtype === 'int32' ? 4 : 1)), dtype, shape, 0)

/**
 * The inputs of the network: samples gathered into the batch buffers and scaled, augmented and dropped in training. Bound to one
 * worker's kernels; runs in workers and in the predictor.
 *
 * Letters: `B` rows of the batch buffers, `N` samples of a file, `F` features.
 */
import ndarray from 'ndarray'
import { type LabelMixer, labelMixer, mixBytes, mixtures } from '../../augment/mixup.js'
import type { DropoutSpec, EmbeddedFeatures, Kernels } from '../../kernels/backend.js'
import { type Slot, viewSlot } from '../../tensor/arena.js'
import type { ByteTensor, FloatTensor, IntTensor, Matrix } from '../../tensor/tensor.js'
import type { Layout } from '../plan/layout.js'
import type { RunPlan } from '../plan/run-plan.js'
import type { BoundEmbeddings } from './embedding.js'
import type { Network } from './network.js'

/** Partners and shares of the rows of a mini-batch, for each user its own; null: nothing is mixed. */
export function mixerOf(plan: RunPlan, layout: Layout, memory: WebAssembly.Memory): LabelMixer | null {
  const { augmentation, seed, rows, epochs } = plan
  if (augmentation === null || augmentation.mixup === 0) return null
  const trained = viewSlot(memory, layout.sampleIndices.train).data.subarray(0, rows.train)
  const samples = viewSlot(memory, layout.batch.samples).data
  return labelMixer(mixtures(augmentation.mixup, seed, trained), samples, epochs - augmentation.plainEpochs)
}

/** Index of the inputs in the random words of dropout, where hidden layers count from 0. */
const INPUT_LAYER = 2 ** 32 - 1

export const inputDropout = ({ inputDropout: rate, seed }: RunPlan, samples: IntTensor): DropoutSpec => ({
  ...{ rate, seed, samples },
  layer: INPUT_LAYER,
})

export function bindInput(
  plan: RunPlan,
  layout: Layout,
  memory: WebAssembly.Memory,
  kernels: Kernels,
  to: Matrix, // (B, I) overwritten: features, embedded ones as vectors
  embedded: BoundEmbeddings['gathered'],
): Network['gather'] {
  const samples = viewSlot(memory, layout.batch.samples)
  const places = layout.batch.places ? viewSlot(memory, layout.batch.places) : samples
  const images = {
    train: viewSlot<'uint8' | 'float32'>(memory, layout.features.train),
    test: viewSlot<'uint8' | 'float32'>(memory, layout.features.test),
  } as Record<'train' | 'test', ByteTensor | FloatTensor> // (N, F)
  const scaling = layout.scaling && {
    offset: viewSlot(memory, layout.scaling.offset),
    factor: viewSlot(memory, layout.scaling.factor),
  }
  const gatherOf = (of: EmbeddedFeatures | null) => ({
    train: kernels.gather(to, images.train, places, scaling, of),
    test: kernels.gather(to, images.test, samples, scaling, of),
  })
  const gather = gatherOf(embedded?.scored ?? null)
  const gatherTrained = embedded ? gatherOf(embedded.trained) : gather
  const augmented = layout.augmented && bindAugmented(layout.augmented)
  const drop = plan.inputDropout > 0 ? kernels.dropout(to, inputDropout(plan, samples)) : null

  /** Gathers training images by way of a buffer in which they have been augmented. */
  function bindAugmented(slots: NonNullable<Layout['augmented']>) {
    const augmentation = plan.augmentation!
    const out = viewSlot(memory, slots.images)
    const rowOf = viewSlot(memory, slots.rows)
    for (let row = 0; row < rowOf.shape[0]; row++) rowOf.data[row] = row
    const labels = viewSlot(memory, layout.labels.train)
    const from = images.train as ByteTensor
    const augment = kernels.augment({ out, images: from, labels, samples, seed: plan.seed, augmentation })
    const gatherAugmented = kernels.gather(to, out, rowOf, scaling)
    const mix = slots.mixed && bindMixed(slots.mixed, out, { images: from, labels })
    const plainFrom = plan.epochs - augmentation.plainEpochs
    return (row: number, rows: number, epoch: number) => {
      if (epoch >= plainFrom) return gather.train(row, rows)
      augment(row, rows, epoch)
      mix?.(row, rows, epoch)
      gatherAugmented(row, rows)
    }
  }

  /** Mixes augmented images with others, which are augmented as they are by themselves in this epoch. */
  function bindMixed(slot: Slot<'uint8'>, out: ByteTensor, from: { images: ByteTensor; labels: IntTensor }) {
    const mixed = viewSlot(memory, slot) // (B, F)
    const features = mixed.shape[1]
    const [augmentation, seed] = [plan.augmentation!, plan.seed]
    const { partners, shares, mix } = mixerOf(plan, layout, memory)!
    const others = ndarray(partners)
    const augment = kernels.augment({ ...from, out: mixed, samples: others, seed, augmentation })
    return (row: number, rows: number, epoch: number) => {
      mix(row, rows, epoch)
      augment(row, rows, epoch)
      for (let r = row; r < row + rows; r++) {
        mixBytes(out.data, mixed.data, [out.offset, mixed.offset], r * features, features, shares[r])
      }
    }
  }

  return ({ images: from, deltaScale, epoch }, { row, rows }) => {
    if (augmented && deltaScale > 0) augmented(row, rows, epoch)
    else (deltaScale > 0 ? gatherTrained : gather)[from](row, rows)
    if (deltaScale > 0) drop?.(row, rows, epoch)
  }
}

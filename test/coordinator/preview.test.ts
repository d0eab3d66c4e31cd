/** Pictures of `data preview`: what training sees in each epoch, mixtures and plain epochs included. */
import t from 'tap'
import { mixtures } from '../../src/augment/mixup.js'
import { resolveExperiment } from '../../src/config/load.js'
import type { ExperimentInput } from '../../src/config/schema.js'
import { previewImages } from '../../src/coordinator/preview.js'
import { openDataset } from '../../src/data/dataset.js'
import { splitValidation } from '../../src/data/split.js'
import { TINY, writeTinyData } from '../helpers/tiny-data.js'

const path = writeTinyData(t.testdir())
const FEATURES = TINY.height * TINY.width
const ALL = TINY.train
const data = { dataset: 'idx', path, validation: 0.5 } as const

async function samples() {
  const source = await openDataset(resolveExperiment({ data }).experiment.data, { baseDir: '/' })
  const [images, labels] = [new Uint8Array(ALL * FEATURES), new Int32Array(ALL)]
  await source.load('train', images, labels)
  return { labels, image: (index: number) => images.subarray(index * FEATURES, (index + 1) * FEATURES) }
}

const previewOf = (more: Partial<ExperimentInput>, epochs: number) =>
  previewImages(resolveExperiment({ data, ...more }), { images: ALL, epochs })

t.test('mixtures of images of the training split alone, by hand; unchanged ones in plain epochs', async t => {
  const { labels, image } = await samples()
  const { train, validation } = splitValidation(labels, data.validation, 7)
  const more = { seed: 7, augment: { mixup: 1, plainEpochs: 1 }, train: { epochs: 3 } }
  const { rows } = await previewOf(more, 4)
  t.same(
    rows.map(({ index }) => index).sort((a, b) => a - b),
    [...train],
  )
  t.ok(validation.length > 200)
  const draw = mixtures(1, 7, train)
  let mixed = 0
  for (const { index, original, epochs } of rows) {
    if (!Buffer.from(original).equals(image(index))) t.fail(`original ${index}`)
    for (const epoch of [0, 1, 3]) {
      const { partner, parts } = draw(index, epoch)
      const want = image(index).map((own, i) =>
        Math.floor((parts * own + (256 - parts) * image(partner)[i]) / 256 + 0.5),
      )
      if (!Buffer.from(epochs[epoch]).equals(want)) t.fail(`image ${index}, epoch ${epoch}`)
      if (!Buffer.from(want).equals(image(index))) mixed++
    }
    if (!Buffer.from(epochs[2]).equals(image(index))) t.fail(`image ${index} is not as it is in the plain epoch`)
  }
  t.ok(mixed > 2.5 * rows.length, `${mixed} of ${3 * rows.length} are mixed`)
})

t.test('a partner is augmented too', async t => {
  const { image } = await samples()
  const mirrored = (index: number) =>
    Uint8Array.from(
      { length: FEATURES },
      (_, i) => image(index)[i - (i % TINY.width) + TINY.width - 1 - (i % TINY.width)],
    )
  const { rows } = await previewOf({ seed: 7, augment: { mixup: 1, flip: 1 } }, 1)
  const { train } = splitValidation((await samples()).labels, data.validation, 7)
  const draw = mixtures(1, 7, train)
  for (const { index, epochs } of rows) {
    const { partner, parts } = draw(index, 0)
    const [own, other] = [mirrored(index), mirrored(partner)]
    const want = own.map((level, i) => Math.floor((parts * level + (256 - parts) * other[i]) / 256 + 0.5))
    if (!Buffer.from(epochs[0]).equals(want)) t.fail(`image ${index}`)
  }
  t.equal(rows.length, train.length)
})

t.test('without augmentation every epoch is as it is', async t => {
  const { rows } = await previewOf({}, 2)
  t.ok(rows.every(({ original, epochs }) => epochs.every(pixels => Buffer.from(pixels).equals(original))))
})

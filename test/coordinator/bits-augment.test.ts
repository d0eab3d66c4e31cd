/** Bar "bits" of augmentation: neither the number of workers nor a stop on the way matters. */
import t from 'tap'
import { resolveExperiment } from '../../src/config/load.js'
import type { ExperimentInput } from '../../src/config/schema.js'
import { train } from '../../src/coordinator/new-run.js'
import { resume } from '../../src/coordinator/resume.js'
import { bitsLab } from './bits-lab.js'

const { base, digestOf } = bitsLab(t)
const augment: ExperimentInput['augment'] = {
  ...{ shift: 2, rotate: 20, scale: 0.1, shear: 0.2, flip: 0.5, noise: 0.05 },
  ...{ elastic: { alpha: 20, sigma: 3 }, erase: { probability: 0.5, fill: 'random' } },
}

t.test(
  'workers 1, 2, 3 and 7 give one digest, cut by rows or by layers, and it is not that of plain images',
  async t => {
    for (const model of [base.model, { ...base.model, norm: 'batch' as const }]) {
      const one = await digestOf({ workers: 1, shardRows: 100 }, { augment, model })
      t.not(await digestOf({ workers: 1, shardRows: 100 }, { model }), one)
      for (const workers of [2, 3, 7]) t.equal(await digestOf({ workers, shardRows: 32 }, { augment, model }), one)
    }
  },
)

t.test('a resumed run sees the same augmented images as an uninterrupted run', async t => {
  const experiment = { ...base, augment, checkpoint: { everyEpochs: 1 } }
  const whole = (await train(resolveExperiment(experiment), { runDir: null })).weightsSha256
  const runDir = t.testdir()
  await train(resolveExperiment({ ...experiment, train: { ...base.train, epochs: 1 } }), { runDir })
  const { summary } = await resume(runDir, { overrides: ['train.epochs=2', 'compute.workers=3'] })
  t.equal(summary.weightsSha256, whole)
})

t.test('only the last plainEpochs epochs see images without augmentation', async t => {
  const compute = { workers: 2, shardRows: 100 }
  const of = (plainEpochs: number) => digestOf(compute, { augment: { ...augment, plainEpochs } })
  t.equal(await of(2), await digestOf(compute, { augment: {} }), 'all of them')
  t.equal(await of(7), await of(2), 'more than there are')
  const [one, none] = [await of(1), await of(0)]
  t.equal(new Set([one, none, await of(2)]).size, 3)

  // The first epoch of both is the same; then they part.
  const runDir = t.testdir()
  const experiment = { ...base, augment: { ...augment, plainEpochs: 1 }, checkpoint: { everyEpochs: 1 } }
  await train(resolveExperiment(experiment), { runDir })
  await t.rejects(resume(runDir, { overrides: ['train.epochs=3'] }), {
    name: 'ConfigError',
    message: /train\.epochs: 2 -> 3 \(the last 1 epochs saw images without augmentation, augment\.plainEpochs\)/,
  })
})

t.test('factors for another number of classes are refused', async t => {
  const wrong = digestOf({ workers: 1 }, { augment: { rotate: 5, perClass: [1, 0.5] } })
  await t.rejects(wrong, { name: 'ConfigError', message: /augment\.perClass has 2 entries, expected \d+/ })
})

t.test('mixup: workers 1, 2, 3 and 7 give one digest, cut by rows or by layers, and so does a resumed run', async t => {
  const mixed = { flip: 0.5, mixup: 0.4 }
  for (const model of [base.model, { ...base.model, norm: 'batch' as const }]) {
    const of = (compute: ExperimentInput['compute'], more: ExperimentInput['augment']) =>
      digestOf({ backend: 'wasm', ...compute }, { augment: more, model })
    const one = await of({ workers: 1, shardRows: 100 }, mixed)
    t.not(await of({ workers: 1, shardRows: 100 }, { flip: 0.5 }), one)
    for (const workers of [2, 3, 7]) t.equal(await of({ workers, shardRows: 32 }, mixed), one)
  }
  const experiment = { ...base, augment: mixed, checkpoint: { everyEpochs: 1 }, compute: { backend: 'wasm' as const } }
  const whole = (await train(resolveExperiment(experiment), { runDir: null })).weightsSha256
  const runDir = t.testdir()
  await train(resolveExperiment({ ...experiment, train: { ...base.train, epochs: 1 } }), { runDir })
  const { summary } = await resume(runDir, { overrides: ['train.epochs=2', 'compute.workers=3'] })
  t.equal(summary.weightsSha256, whole)
})

t.test('mixup in wasm and in reference: the training loss after 2 epochs agrees to 1e-5', async t => {
  const lossOf = async (backend: 'wasm' | 'reference') =>
    (
      await train(
        resolveExperiment({
          ...base,
          train: { ...base.train, labelSmoothing: 0.1 },
          augment: { shift: 1, mixup: 1 },
          compute: { backend, workers: 2 },
        }),
        { runDir: null },
      )
    ).train!.loss
  const [wasm, reference] = [await lossOf('wasm'), await lossOf('reference')]
  t.ok(Math.abs(wasm - reference) < 1e-5 * reference, `${wasm} and ${reference}`)
})

t.test(
  'mixup of all epochs but the last plain ones; refused where samples have no single class that counts',
  async t => {
    const compute = { workers: 2, backend: 'wasm' as const }
    const of = (plainEpochs: number) => digestOf(compute, { augment: { mixup: 0.4, plainEpochs } })
    t.equal(await of(2), await digestOf(compute), 'none is mixed')
    t.not(await of(1), await of(0))
  },
)

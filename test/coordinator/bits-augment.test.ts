/** Bar "bits" of augmentation: neither the number of workers nor a stop on the way matters. */
import t from 'tap'
import { resolveExperiment } from '../../src/config/load.js'
import type { ExperimentInput } from '../../src/config/schema.js'
import { resume } from '../../src/coordinator/resume.js'
import { train } from '../../src/coordinator/train.js'
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

t.test('a run that is resumed sees the images that one in one piece sees', async t => {
  const experiment = { ...base, augment, checkpoint: { everyEpochs: 1 } }
  const whole = (await train(resolveExperiment(experiment), { runDir: null })).weightsSha256
  const runDir = t.testdir()
  await train(resolveExperiment({ ...experiment, train: { ...base.train, epochs: 1 } }), { runDir })
  const { summary } = await resume(runDir, { overrides: ['train.epochs=2', 'compute.workers=3'] })
  t.equal(summary.weightsSha256, whole)
})

t.test('factors for another number of classes are refused', async t => {
  const wrong = digestOf({ workers: 1 }, { augment: { rotate: 5, perClass: [1, 0.5] } })
  await t.rejects(wrong, { name: 'ConfigError', message: /augment\.perClass has 2 numbers, expected \d+/ })
})

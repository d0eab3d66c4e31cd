/** Bar "bits", for every optimizer, activation and other setting: the number of workers does not matter. */
import t from 'tap'
import type { ExperimentInput } from '../../src/config/schema.js'
import { bitsLab } from './bits-lab.js'

const { base, digestOf } = bitsLab(t)

t.test('every optimizer and a logistic regression: 1 and 3 workers give the same digest', async t => {
  const cases: Partial<ExperimentInput>[] = [
    { optimizer: { type: 'sgd', learningRate: 0.1 } },
    { optimizer: { type: 'momentum', learningRate: 0.1 } },
    { optimizer: { type: 'nesterov' }, schedule: { type: 'one-cycle', warmup: { steps: 2 } } },
    { optimizer: { type: 'rmsprop' }, schedule: { type: 'exponential', per: 'step' } },
    { optimizer: { type: 'adamw', weightDecay: 0.1 }, train: { ...base.train, l2: 0 } },
    { optimizer: { type: 'lion', weightDecay: 0.1 }, train: { ...base.train, l2: 0, clipValue: 0.01 } },
    {
      model: { hidden: [29, 13], activation: 'gelu', init: 'glorot-uniform' },
      optimizer: { type: 'lion' },
      train: { ...base.train, labelSmoothing: 0.1 },
    },
    { model: { hidden: [29, 13], activation: 'sigmoid', dropout: 0.3 }, optimizer: { type: 'adamw' } },
    { train: { ...base.train, loss: 'mean-squared-error' } },
    { model: { hidden: [29, 13], init: 'orthogonal' } },
    { model: { hidden: [] } },
    { model: { hidden: [5], dropout: 0 } },
  ]
  for (const more of cases) {
    const one = await digestOf({ workers: 1, shardRows: 100 }, more)
    t.equal(await digestOf({ workers: 3, shardRows: 32 }, more), one)
  }
})

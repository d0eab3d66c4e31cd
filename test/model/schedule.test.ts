/** Learning rates by epoch, against values worked out by hand. */
import t from 'tap'
import { learningRateAt } from '../../src/model/schedule.js'

const optimizer = { type: 'sgd', learningRate: 0.12, weightDecay: 0 } as const

t.test('constant is the learning rate in every epoch', async t => {
  for (const epoch of [0, 1, 1999]) t.equal(learningRateAt({ optimizer, schedule: { type: 'constant' } }, epoch), 0.12)
})

t.test('inverse-sqrt is rate / √(epoch + 1) / decayRate, epochs from 0', async t => {
  const at = (epoch: number, decayRate: number) =>
    learningRateAt({ optimizer, schedule: { type: 'inverse-sqrt', decayRate } }, epoch)
  t.equal(at(0, 1), 0.12)
  t.equal(at(3, 1), 0.06)
  t.equal(at(8, 1), 0.04)
  t.equal(at(1, 1), 0.12 / Math.SQRT2)
  t.equal(at(99, 2), 0.006)
  t.equal(at(0, 4), 0.03)
})

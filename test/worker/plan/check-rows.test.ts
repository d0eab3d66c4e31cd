/** Checks of a plan that depend on the number of training rows. */
import t from 'tap'
import { checkTrainingRows } from '../../../src/worker/plan/check-rows.js'
import type { RunPlan } from '../../../src/worker/plan/run-plan.js'

const planOf = (train: number, { norm = 'batch', batchSize = 16, widths = [4, 3, 2] } = {}) =>
  ({
    purpose: 'train',
    widths,
    norm: { type: norm },
    batchSize,
    rows: { train, validation: 0, test: 9 },
  }) as unknown as RunPlan

t.test('batch norm with a mini-batch of one row: refused if every mini-batch is, else a warning', async t => {
  t.throws(() => checkTrainingRows(planOf(1)), {
    name: 'ConfigError',
    message: 'model.norm is "batch" with 1 training row, expected at least 2; a single row has no statistics',
    hint: /model.norm "layer"/,
  })
  t.match(checkTrainingRows(planOf(33)), [/single row \(33 training rows, train.batchSize 16\)/])
  t.match(checkTrainingRows(planOf(17)), [/single row/])
})

t.test('no warning for larger mini-batches, other normalisations, or without hidden layers', async t => {
  t.strictSame(checkTrainingRows(planOf(32)), [])
  t.strictSame(checkTrainingRows(planOf(34)), [])
  t.strictSame(checkTrainingRows(planOf(2)), [])
  t.strictSame(checkTrainingRows(planOf(33, { norm: 'layer' })), [])
  t.strictSame(checkTrainingRows(planOf(1, { widths: [4, 2] })), [])
})

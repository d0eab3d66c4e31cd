/**
 * Learning rates by step: against numbers computed apart from gradloom (test/optimizer-oracle/schedules.py says how), and
 * what is exact by hand.
 */
import { readFile } from 'node:fs/promises'
import t from 'tap'
import { resolveExperiment } from '../../src/config/load.js'
import type { ExperimentInput } from '../../src/config/schema.js'
import { dependsOnEpochs, learningRateAt, type ScheduleInput } from '../../src/model/schedule.js'

interface Oracle {
  readonly learningRate: number
  readonly epochs: number
  readonly stepsPerEpoch: number
  /** `rates`: of every step of the run. */
  readonly cases: readonly { readonly schedule: ScheduleInput['schedule']; readonly rates: readonly number[] }[]
}
const oracle: Oracle = JSON.parse(await readFile('test/optimizer-oracle/schedules.json', 'utf8'))

function inputOf(schedule: ExperimentInput['schedule'], epochs = 100): ScheduleInput {
  const optimizer = { type: 'sgd', learningRate: 0.12 } as const
  const { experiment } = resolveExperiment({ data: { dataset: 'digits' }, train: { epochs }, optimizer, schedule })
  return { optimizer: experiment.optimizer, schedule: experiment.schedule, epochs }
}

t.test('every schedule and warm-up, every step: error < 1e-14 of the learning rate', async t => {
  const { learningRate, epochs, stepsPerEpoch, cases } = oracle
  const wrong: string[] = []
  let compared = 0
  for (const { schedule, rates } of cases) {
    for (const [step, want] of rates.entries()) {
      const got = learningRateAt({ optimizer: { learningRate }, schedule, epochs }, step, stepsPerEpoch)
      const error = Math.abs(got - want) / learningRate
      if (!(error < 1e-14)) wrong.push(`${JSON.stringify(schedule)}, step ${step}: is ${got}, expected ${want}`)
      compared++
    }
  }
  t.same(wrong.slice(0, 5), [], `${wrong.length} wrong`)
  t.equal(new Set(cases.map(({ schedule }) => schedule.type)).size, 6, 'all types')
  t.equal(compared, 30 * 35)
})

t.test('constant is the learning rate in every epoch', async t => {
  for (const epoch of [0, 1, 1999]) t.equal(learningRateAt(inputOf({ type: 'constant' }), epoch * 7, 7), 0.12)
})

t.test('inverse-sqrt is rate / √(epoch + 1) / decayRate, epochs from 0, the same in all steps of an epoch', async t => {
  for (const stepInEpoch of [0, 3, 6]) {
    const at = (epoch: number, decayRate: number) => learningRateAt(inputOf({ decayRate }), epoch * 7 + stepInEpoch, 7)
    t.equal(at(0, 1), 0.12)
    t.equal(at(3, 1), 0.06)
    t.equal(at(8, 1), 0.04)
    t.equal(at(1, 1), 0.12 / Math.SQRT2)
    t.equal(at(99, 2), 0.006)
    t.equal(at(0, 4), 0.03)
  }
  for (let epoch = 0; epoch < 3000; epoch++) {
    const rate = learningRateAt(inputOf({ decayRate: 3 }), epoch * 235 + 234, 235)
    if (rate !== 0.12 / Math.sqrt(epoch + 1) / 3) t.fail(`epoch ${epoch}: ${rate}`)
  }
})

t.test('runs too short for their schedule have finite rates up to the learning rate', async t => {
  let tried = 0
  for (const type of ['cosine', 'one-cycle'] as const) {
    for (const per of ['epoch', 'step'] as const) {
      for (const pctStart of [0, 0.3, 1]) {
        for (const epochs of [0, 1, 2, 3]) {
          for (const warmup of [{}, { steps: 1 }, { epochs: 2, from: 0 }]) {
            const more = type === 'one-cycle' ? { pctStart } : {}
            const input = inputOf({ type, per, warmup, ...more }, epochs)
            for (let step = 0; step < epochs * 3; step++) {
              const rate = learningRateAt(input, step, 3)
              if (!(rate >= 0 && rate <= 0.12)) t.fail(`${type}, ${per}, ${pctStart}, ${epochs}, step ${step}: ${rate}`)
              tried++
            }
          }
        }
      }
    }
  }
  t.equal(tried, 2 * 2 * 3 * 3 * (3 + 6 + 9))
})

t.test('rates depend on the number of epochs exactly where dependsOnEpochs is true', async t => {
  for (const type of ['inverse-sqrt', 'constant', 'step', 'exponential', 'cosine', 'one-cycle'] as const) {
    const differs = [0, 3, 20].some(
      step => learningRateAt(inputOf({ type }, 5), step, 7) !== learningRateAt(inputOf({ type }, 6), step, 7),
    )
    t.equal(dependsOnEpochs(inputOf({ type }).schedule), differs, type)
  }
})

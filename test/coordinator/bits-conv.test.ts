/** Bars "bits" and "resume" of networks with convolutions, and their golden digest. */
import { join } from 'node:path'
import t from 'tap'
import { resolveExperiment } from '../../src/config/load.js'
import type { ExperimentInput } from '../../src/config/schema.js'
import { resume, train } from '../../src/index.js'
import { nativeCandidates } from '../helpers/native.js'
import { bitsLab, distance } from './bits-lab.js'

const { base, digestOf, weightsAfter } = bitsLab(t)

/** Batch norm and none, both poolings, dropout of maps, a stride; 7 x 5 pixels in, 2 x 1 x 6 values out. */
const CONVOLVED: ExperimentInput['model'] = {
  convolutions: [
    { filters: 5, norm: 'batch', dropout: 0.2 },
    { filters: 13, size: 2, pool: { size: 2 } },
    { filters: 6, size: 3, stride: 2, pool: null, norm: 'batch' },
  ],
  hidden: [9],
  dropout: 0.1,
}
const more = { model: CONVOLVED, train: { ...base.train, epochs: 1, batchSize: 100 } }

const natives = await nativeCandidates()

/** Of 6 steps; changes only if what a convolution computes in `wasm` does. */
const GOLDEN = 'adc1135fa968319380f149e6641d0e0b20a0e561ea4cd83d7021b75f59ca2471'

t.test('wasm: workers 1, 2, 3 and 7 give the golden digest, on every CPU', async t => {
  for (const workers of [1, 2, 3, 7]) t.equal(await digestOf({ workers, backend: 'wasm' }, more), GOLDEN, `${workers}`)
})

t.test('wasm: so they do with accumulation, a limit of the gradient, limited weights, averages and gelu', async t => {
  const settings: Partial<ExperimentInput> = {
    model: { ...CONVOLVED, activation: 'gelu' },
    train: { ...more.train, batchSize: 50, accumulateSteps: 2, clipNorm: 0.5, maxNorm: 2, ema: { decay: 0.9 } },
  }
  const digests = [await digestOf({ workers: 1, backend: 'wasm' }, settings)]
  for (const workers of [2, 3]) digests.push(await digestOf({ workers, backend: 'wasm' }, settings))
  t.match(digests[0], /^[0-9a-f]{64}$/)
  t.same(new Set(digests).size, 1)
})

t.test('reference agrees with wasm: weights differ by less than 2e-5 after 4 steps', async t => {
  const [wasm, reference] = await Promise.all([
    weightsAfter({ workers: 2, backend: 'wasm' }, 4, CONVOLVED),
    weightsAfter({ workers: 2, backend: 'reference' }, 4, CONVOLVED),
  ])
  const worst = distance(wasm, reference)
  t.ok(worst > 0, 'they are different computations')
  t.ok(worst < 2e-5, `largest difference ${worst}`)
})

for (const { backend, skip } of natives) {
  t.test(
    `${backend.name}: workers 1, 2, 3 and 7 give one digest, within 2e-5 of wasm after 4 steps`,
    { skip },
    async t => {
      const name = backend.name as 'blas' | 'onednn'
      const first = await digestOf({ workers: 1, backend: name }, more)
      t.match(first, /^[0-9a-f]{64}$/)
      for (const workers of [2, 3, 7]) t.equal(await digestOf({ workers, backend: name }, more), first, `${workers}`)
      const weights = await weightsAfter({ workers: 2, backend: name }, 4, CONVOLVED)
      const worst = distance(weights, await weightsAfter({ workers: 2, backend: 'wasm' }, 4, CONVOLVED))
      t.ok(worst < 2e-5, `largest difference ${worst}`)
    },
  )
}

const average = { size: 2, type: 'average' } as const
/** Pictures of a row, a column or a pixel, and windows larger than they are: height, width, convolutions. */
const NARROW: readonly [number, number, NonNullable<ExperimentInput['model']>['convolutions']][] = [
  [1, 1, [{ filters: 5 }, { filters: 3, size: 2, stride: 3 }]],
  [
    1,
    7,
    [
      { filters: 4, size: 5 },
      { filters: 6, stride: 2, norm: 'none', dropout: 0.1 },
    ],
  ],
  [
    6,
    1,
    [
      { filters: 3, size: 1, padding: 'valid' },
      { filters: 5, size: 9 },
    ],
  ],
  [3, 2, [{ filters: 6, size: 7, pool: average }, { filters: 2 }]],
]

t.test(
  'narrow pictures: the same bits with 1 and 3 workers, backends within 2e-5 of reference after 2 steps',
  async t => {
    for (const [height, width, convolutions] of NARROW) {
      await t.test(`${height} x ${width}`, async t => {
        const { digestOf, weightsAfter } = bitsLab(t, { ...{ train: 60, test: 10, classes: 3 }, height, width })
        const model: ExperimentInput['model'] = { convolutions, hidden: [6], norm: 'batch', dropout: 0 }
        const settings = { model, train: { epochs: 1, batchSize: 16, l2: 0 } }
        const digest = await digestOf({ workers: 1, backend: 'wasm' }, settings)
        t.equal(await digestOf({ workers: 3, backend: 'wasm' }, settings), digest)
        const want = await weightsAfter({ workers: 1, backend: 'reference' }, 2, model)
        for (const { backend, skip } of [{ backend: { name: 'wasm' }, skip: false }, ...natives]) {
          if (skip) continue
          const got = await weightsAfter({ workers: 2, backend: backend.name as 'wasm' }, 2, model)
          const worst = distance(got, want)
          t.ok(worst < 2e-5, `${backend.name}: largest difference ${worst}`)
        }
      })
    }
  },
)

t.test('a run that stops after each epoch and is resumed ends with the bits of one that does not', async t => {
  const experiment = (epochs: number) =>
    resolveExperiment({ ...base, ...more, train: { ...more.train, epochs }, compute: { workers: 2, backend: 'wasm' } })
  const whole = await train(experiment(3), { runDir: null })
  const runDir = join(t.testdir(), 'run')
  await train(experiment(1), { runDir })
  await resume(runDir, { overrides: ['train.epochs=2'] })
  const { summary } = await resume(runDir, { overrides: ['train.epochs=3', 'compute.workers=3'] })
  t.equal(summary.weightsSha256, whole.weightsSha256)
})

/**
 * bf16 in whole runs, through the real library: where the CPU cannot multiply bf16, oneDNN multiplies the rounded numbers
 * in f32, which is exact but for the order of sums.
 */
import t from 'tap'
import { resolveExperiment } from '../../src/config/load.js'
import type { ExperimentInput } from '../../src/config/schema.js'
import { train } from '../../src/coordinator/new-run.js'
import { resume } from '../../src/coordinator/resume.js'
import { evaluate } from '../../src/inference/evaluate.js'
import { reportBackend } from '../../src/kernels/backends.js'
import { bf16SparseObstacle } from '../../src/kernels/x64/bf16-sparse.js'
import { nativeCandidates } from '../helpers/native.js'
import { bitsLab, distance } from './bits-lab.js'

const { base, digestOf, weightsAfter } = bitsLab(t)
const { skip } = (await nativeCandidates()).find(({ backend }) => backend.name === 'onednn')!
const { library } = await reportBackend('onednn')
if (library && 'obstacle' in library.bf16) {
  t.comment(`${library.bf16.obstacle}: products in bf16 are emulated here`)
  process.env.GRADLOOM_BF16 = 'emulate'
}
const bf16 = { backend: 'onednn', precision: 'bf16' } as const

t.test('workers 1, 2, 3, 4, 7 give one digest, close to but different from that of f32', { skip }, async t => {
  const digests: (string | null)[] = []
  for (const workers of [1, 2, 3, 4, 7]) digests.push(await digestOf({ ...bf16, workers }))
  t.match(digests[0], /^[0-9a-f]{64}$/)
  t.strictSame(digests, Array(5).fill(digests[0]))
  const worst = distance(
    await weightsAfter({ ...bf16, workers: 2 }, 2),
    await weightsAfter({ workers: 2, backend: 'onednn' }, 2),
  )
  t.ok(worst > 0 && worst < 4e-3, `largest difference ${worst}, of steps of 1e-3`)
})

const VARIANTS: readonly (readonly [name: string, more: Partial<ExperimentInput>])[] = [
  [
    'batch norm, averages, clipped, two mini-batches a step',
    {
      model: { ...base.model, norm: 'batch' },
      train: { ...base.train, ema: { decay: 0.9 }, clipNorm: 1, accumulateSteps: 2 },
    },
  ],
  [
    'layer norm, gelu, max-norm',
    {
      model: { ...base.model, norm: 'layer', activation: 'gelu', inputDropout: 0.1 },
      train: { ...base.train, maxNorm: 1 },
    },
  ],
]

for (const [name, more] of VARIANTS) {
  t.test(`${name}: one digest for 1 and 3 workers, and for a run that is resumed`, { skip }, async t => {
    const experiment = { ...base, ...more, checkpoint: { everyEpochs: 1 }, compute: { ...bf16, workers: 3 } }
    const whole = await train(resolveExperiment(experiment), { runDir: null })
    t.match(whole, { precision: 'bf16', backend: 'onednn', status: 'completed' })
    t.ok(Number.isFinite(whole.train?.loss), 'scored')
    t.equal(await digestOf({ ...bf16, workers: 1 }, more), whole.weightsSha256)
    const runDir = t.testdir()
    await train(resolveExperiment({ ...experiment, train: { ...experiment.train, epochs: 1 } }), { runDir })
    const { summary } = await resume(runDir, { overrides: ['train.epochs=2', 'compute.workers=2'] })
    t.equal(summary.weightsSha256, whole.weightsSha256)
  })
}

t.test('averages of weights: evaluate has the digits of the summary', { skip }, async t => {
  const runDir = t.testdir()
  const averaged = { ...base, train: { ...base.train, ema: { decay: 0.5 } }, compute: { ...bf16, workers: 2 } }
  const { test } = await train(resolveExperiment(averaged), { runDir })
  t.equal((await evaluate(runDir)).loss, test!.loss)
})

t.test(
  'the bits depend on what multiplies in bf16: a run without machine code is not continued with it',
  { skip: skip || bf16SparseObstacle() || false },
  async t => {
    const experiment = { ...base, checkpoint: { everyEpochs: 1 }, compute: { ...bf16, workers: 1 } }
    const runDir = t.testdir()
    process.env.GRADLOOM_X64 = '0'
    t.teardown(() => delete process.env.GRADLOOM_X64)
    await train(resolveExperiment({ ...experiment, train: { ...experiment.train, epochs: 1 } }), { runDir })
    delete process.env.GRADLOOM_X64
    const refused = resume(runDir, { overrides: ['train.epochs=2'] })
    await t.rejects(refused, { message: /bf16 brg[^,]*\).*expected the same here.*zeros left out in AVX512-BF16/s })
  },
)

t.test('learns the embedded digits as well as f32 does, within 1 point', { skip }, async t => {
  const accuracy = async (compute: ExperimentInput['compute']) => {
    const experiment: ExperimentInput = {
      data: { dataset: 'digits' },
      model: { hidden: [128, 64], dropout: 0.1 },
      train: { epochs: 3, batchSize: 64, l2: 0 },
      compute,
    }
    const { test } = await train(resolveExperiment(experiment), { runDir: null })
    return 100 * (test?.accuracy ?? 0)
  }
  const [rounded, full] = [await accuracy({ ...bf16, workers: 2 }), await accuracy({ backend: 'onednn', workers: 2 })]
  t.ok(full > 90 && Math.abs(rounded - full) < 1, `${rounded} %, f32 ${full} %`)
})

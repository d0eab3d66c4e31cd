/** 2 and 16 workers share a mini-batch evenly, of the reference network and of one with convolutions; counted, because no machine of ours has 16 cores. */
import t from 'tap'
import { countedProgram, imbalanceOf, loadsOf } from '../../bench/balance.js'
import type { Backend } from '../../src/kernels/backend.js'
import { nativeBackend } from '../../src/kernels/native/f32.js'
import { wasm } from '../../src/kernels/wasm/index.js'
import { X64_VARIABLE } from '../../src/kernels/x64/cpu.js'
import { sparseCost } from '../../src/kernels/x64/sparse-products.js'
import { convolutionsOf, convolutionWork } from '../../src/model/convolution.js'
import { layerWidths, multiplications } from '../../src/model/parameters.js'
import type { StepContext } from '../../src/worker/plan/clock.js'
import type { RunPlan } from '../../src/worker/plan/run-plan.js'
import type { Stage } from '../../src/worker/program/stage.js'

const WIDTHS = [784, 3000, 2500, 2000, 1500, 1000, 500, 10]
const BATCH = 256

/** The plan of a training step, of which the settings that follow do not matter here. */
function programFor(
  backend: Backend,
  workers: number,
  passes: RunPlan['passes'],
  more: Partial<RunPlan> = {},
): Stage<StepContext>[] {
  const { widths = WIDTHS } = more
  const plan = {
    purpose: 'train',
    widths,
    features: widths[0],
    embeddings: [],
    convolutions: [],
    windows: null,
    activation: 'relu',
    dropout: widths.slice(1, -1).map(() => 0),
    inputDropout: 0,
    norm: { type: 'none', momentum: 0.1, epsilon: 1e-5 },
    loss: 'cross-entropy',
    labelSmoothing: 0,
    ema: null,
    optimizer: { type: 'sgd', learningRate: 0.1, weightDecay: 0 },
    batchSize: BATCH,
    shardRows: 64,
    gradientRows: null,
    ranks: null,
    workers,
    passes,
    allReduce: 'fused',
    augmentation: null,
    clipNorm: null,
    accumulateSteps: 1,
    maxNorm: null,
    input: { dtype: 'uint8', scaled: false },
    images: { train: 0, test: 0 },
    ...more,
  } as unknown as RunPlan
  return countedProgram(plan, backend)
}

const context = { rows: BATCH } as unknown as StepContext
const weights = WIDTHS.slice(1).reduce((sum, width, i) => sum + WIDTHS[i] * width, 0)
/** Forward, backward but for the first layer, gradient. */
const STEP_FLOPS = 2 * BATCH * (3 * weights - WIDTHS[0] * WIDTHS[1])

function withoutMachineCode<T>(make: () => T): T {
  const before = process.env[X64_VARIABLE]
  process.env[X64_VARIABLE] = '0'
  try {
    return make()
  } finally {
    if (before === undefined) delete process.env[X64_VARIABLE]
    else process.env[X64_VARIABLE] = before
  }
}

for (const [name, backend] of [
  ['wasm', wasm],
  ['native', nativeBackend('blas')],
  ['native, without machine code', withoutMachineCode(() => nativeBackend('blas'))],
  ['native, where zeros are left out', { ...nativeBackend('onednn'), blockCost: sparseCost }],
] as const) {
  for (const workers of [2, 16]) {
    t.test(`${name}, ${workers} workers: imbalance of a step <= 10 %, and every product is counted`, async t => {
      const loads = loadsOf(programFor(backend, workers, 'layers'), context, workers)
      const total = loads.flatMap(({ loads }) => loads).reduce((sum, load) => sum + load, 0)
      t.equal(total, STEP_FLOPS)
      const imbalance = imbalanceOf(loads)
      t.ok(imbalance <= 0.1, `${(100 * imbalance).toFixed(1)} %`)
      t.comment(
        loads
          .map(
            ({ stage, loads }) =>
              `${stage} ${((100 * Math.max(...loads) * workers) / loads.reduce((a, b) => a + b)).toFixed(0)} %`,
          )
          .join(', '),
      )
    })
  }
}

/** conv 32 - conv 64 - max pool 2 - 128 - 10, the network of `npm run bench -- conv`. */
const plain = { size: 3, stride: 1, padding: 'same', pool: null, norm: null, dropout: 0 } as const
const convolutions = convolutionsOf(
  {
    convolutions: [
      { ...plain, filters: 32 },
      { ...plain, filters: 64, pool: { size: 2, type: 'max' } },
    ],
    norm: 'none',
  },
  { height: 28, width: 28, channels: 1 },
)
const CONVOLVED = { widths: layerWidths(784, [128], 10, convolutions), convolutions }

for (const [name, backend] of [
  ['wasm', wasm],
  ['blas', nativeBackend('blas')],
  ['onednn', nativeBackend('onednn')],
] as const) {
  for (const [workers, bound] of [
    [2, 0.005],
    [16, 0.03],
  ] as const) {
    t.test(
      `${name}, ${workers} workers: imbalance of convolutions <= ${100 * bound} %, and every product is counted`,
      async t => {
        const rows = 128
        const plan = { ...CONVOLVED, batchSize: rows, images: { train: rows, test: 0 } } as Partial<RunPlan>
        const loads = loadsOf(programFor(backend, workers, 'layers', plan), { rows } as unknown as StepContext, workers)
        const total = loads.flatMap(({ loads }) => loads).reduce((sum, load) => sum + load, 0)
        t.equal(total, 2 * rows * (3 * multiplications(CONVOLVED) - convolutionWork(convolutions[0])))
        const imbalance = imbalanceOf(loads)
        t.ok(imbalance <= bound, `${(100 * imbalance).toFixed(2)} %`)
      },
    )
  }
}

t.test('four shards leave 12 of 16 workers idle: that is what the grid is for', async t => {
  const loads = loadsOf(programFor(wasm, 16, 'shards'), context, 16)
  t.equal(loads[0].loads.filter(load => load === 0).length, 12)
  t.ok(imbalanceOf(loads) > 1)
})

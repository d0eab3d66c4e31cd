/** Bar "bits": the weights do not depend on how many workers there are, nor on how the mini-batch is cut. */
import t from 'tap'
import { resolveExperiment } from '../../src/config/load.js'
import type { ExperimentInput } from '../../src/config/schema.js'
import { prepareSession, Session } from '../../src/coordinator/session.js'
import { train } from '../../src/coordinator/train.js'
import { loadExperiment } from '../../src/index.js'
import { stepsPerEpoch } from '../../src/worker/clock.js'
import { nativeCandidates } from '../helpers/native.js'
import { TINY, writeTinyData } from '../helpers/tiny-data.js'

const path = writeTinyData(t.testdir())

/** Dropout on, and a last mini-batch of 130 rows out of 200. */
const base = {
  data: { dataset: 'idx', path },
  model: { hidden: [29, 13], dropout: 0.3 },
  train: { epochs: 2, batchSize: 200 },
} satisfies ExperimentInput

const digestOf = async (compute: ExperimentInput['compute'], more: Partial<ExperimentInput> = {}) =>
  (await train(resolveExperiment({ ...base, ...more, compute: { ...compute } }), { runDir: null })).weightsSha256

/** Each number of workers and each shard size at least once with a few of the other. */
const COMBINATIONS = [
  [1, 100],
  [1, 16],
  [2, 16],
  [2, 64],
  [3, 32],
  [4, 100],
  [4, 64],
  [7, 16],
  [7, 32],
] as const

t.test('wasm: workers 1, 2, 3, 4, 7 and shards of 16, 32, 64, 100 rows give one digest', async t => {
  const digests = new Map<string, string>()
  for (const [workers, shardRows] of COMBINATIONS) {
    const digest = await digestOf({ workers, shardRows, backend: 'wasm' })
    digests.set(`${workers} workers, ${shardRows} rows`, digest ?? 'none')
  }
  t.equal(digests.size, COMBINATIONS.length, 'every combination ran')
  const [first] = digests.values()
  t.match(first, /^[0-9a-f]{64}$/)
  t.strictSame(
    [...digests].filter(([, digest]) => digest !== first),
    [],
    'all the same',
  )
  t.not(await digestOf({ workers: 2, backend: 'wasm' }, { seed: 2 }), first, 'another seed gives another digest')
})

t.test('every optimizer and a logistic regression: 1, 2 and 3 workers give the same digest', async t => {
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
    { model: { hidden: [] } },
    { model: { hidden: [5], dropout: 0 } },
  ]
  for (const more of cases) {
    const one = await digestOf({ workers: 1, shardRows: 100 }, more)
    t.equal(await digestOf({ workers: 2, shardRows: 64 }, more), one)
    t.equal(await digestOf({ workers: 3, shardRows: 32 }, more), one)
  }
})

for (const norm of ['batch', 'layer'] as const) {
  t.test(`${norm} norm and dropout: workers 1, 2, 3 and 7 give one digest, whatever the shards`, async t => {
    // 50 rows a mini-batch, of the last 30; units that are no multiple of a panel.
    const more = {
      model: { hidden: [29, 13], norm, activation: norm === 'batch' ? 'relu' : 'gelu', dropout: 0.3 },
      train: { epochs: 2, batchSize: 50 },
    } satisfies Partial<ExperimentInput>
    const digests: (string | null)[] = []
    for (const [workers, shardRows] of [
      [1, 100],
      [2, 16],
      [3, 9],
      [7, 32],
    ] as const) {
      digests.push(await digestOf({ workers, shardRows, backend: 'wasm' }, more))
    }
    t.match(digests[0], /^[0-9a-f]{64}$/)
    t.strictSame(digests, Array(4).fill(digests[0]))
    const other = { ...more, model: { ...more.model, normEpsilon: 1e-3 } }
    t.not(await digestOf({ workers: 2, backend: 'wasm' }, other), digests[0], 'epsilon counts')
  })

  t.test(`${norm} norm: every backend agrees with wasm: state differs by less than 5e-5 after 6 steps`, async t => {
    const model = { hidden: [29, 13], norm, dropout: 0.3 }
    const wasm = await weightsAfter({ workers: 2, backend: 'wasm' }, 6, model)
    const natives = (await nativeCandidates()).filter(({ skip }) => !skip).map(({ backend }) => backend.name)
    for (const backend of ['reference', ...natives] as const) {
      const worst = distance(wasm, await weightsAfter({ workers: 3, backend }, 6, model))
      t.ok(worst > 0 && worst < 5e-5, `${backend}: largest difference ${worst}`)
    }
    t.equal(wasm.length, norm === 'batch' ? 14 : 10, 'running statistics too')
  })
}

t.test('the smoke experiment has its golden digest on every CPU', async t => {
  const { weightsSha256, steps } = await train(await loadExperiment('configs/smoke.json', ['compute.backend=wasm']), {
    runDir: null,
  })
  t.equal(steps, 81)
  t.equal(weightsSha256, '0579ab28d430a7d7f6cefe5f3f6947dd855c264ce961cbfb0480c8b7227cc56a')
})

/** Weights after some steps, in table order. */
async function weightsAfter(
  compute: ExperimentInput['compute'],
  steps: number,
  model: ExperimentInput['model'] = base.model,
): Promise<Float32Array[]> {
  const { experiment, baseDir } = resolveExperiment({ ...base, compute, model })
  const session = await Session.start(
    await prepareSession(experiment, baseDir, { purpose: 'train', splits: ['train', 'test'] }),
    experiment,
  )
  try {
    await session.pool.all('initialise', worker => worker.initialise())
    await session.pool.all('run', worker => worker.run(0, steps))
    return session.parameters().map(({ data }) => data)
  } finally {
    await session.close()
  }
}

t.test('buffers agrees with fused: weights differ by less than 2e-5 after 6 steps, for 1, 2 and 5 workers', async t => {
  const fused = await weightsAfter({ workers: 2, backend: 'wasm' }, 6)
  let compared = 0
  for (const workers of [1, 2, 5]) {
    const buffers = await weightsAfter({ workers, backend: 'wasm', allReduce: 'buffers', shardRows: 32 }, 6)
    const worst = distance(fused, buffers)
    compared += buffers.reduce((count, { length }) => count + length, 0)
    t.ok(worst < 2e-5, `${workers} workers: largest difference ${worst}`)
    const again = await weightsAfter({ workers, backend: 'wasm', allReduce: 'buffers', shardRows: 32 }, 6)
    t.strictSame(again, buffers, 'the same workers give the same bits')
  }
  t.equal(compared, 3 * (35 * 29 + 29 + 29 * 13 + 13 + 13 * 4 + 4), 'every weight was compared')
})

/** The largest difference between two sets of weights. */
function distance(one: readonly Float32Array[], other: readonly Float32Array[]): number {
  let worst = 0
  for (const [p, data] of one.entries()) {
    for (let i = 0; i < data.length; i++) worst = Math.max(worst, Math.abs(data[i] - other[p][i]))
  }
  return worst
}

for (const { backend, skip } of await nativeCandidates()) {
  const { name } = backend as { name: 'blas' | 'onednn' }
  t.test(
    `${name}: workers 1, 2, 3, 4, 7 give one digest, near that of wasm after 6 steps (2e-5)`,
    { skip },
    async t => {
      const digests: (string | null)[] = []
      for (const workers of [1, 2, 3, 4, 7]) digests.push(await digestOf({ workers, backend: name }))
      t.match(digests[0], /^[0-9a-f]{64}$/)
      t.strictSame(digests, Array(5).fill(digests[0]))
      const worst = distance(
        await weightsAfter({ workers: 2, backend: name }, 6),
        await weightsAfter({ workers: 2, backend: 'wasm' }, 6),
      )
      t.ok(worst > 0 && worst < 2e-5, `largest difference ${worst}`)
    },
  )

  t.test(`${name}: buffers agrees with fused: weights differ by less than 2e-5 after 6 steps`, { skip }, async t => {
    const worst = distance(
      await weightsAfter({ workers: 2, backend: name }, 6),
      await weightsAfter({ workers: 3, backend: name, allReduce: 'buffers', shardRows: 32 }, 6),
    )
    t.ok(worst < 2e-5, `largest difference ${worst}`)
  })
}

t.test('reference agrees with wasm: weights differ by less than 2e-5 after 6 steps', async t => {
  const wasm = await weightsAfter({ workers: 2, backend: 'wasm' }, 6)
  const reference = await weightsAfter({ workers: 3, backend: 'reference' }, 6)
  const worst = distance(wasm, reference)
  t.ok(worst > 0, 'they are different computations')
  t.ok(worst < 2e-5, `largest difference ${worst}`)
})

t.test('an epoch covers every training row exactly once', async t => {
  const { experiment, baseDir } = resolveExperiment({
    ...base,
    data: { ...base.data, validation: 0.1 },
    compute: { workers: 3, shardRows: 32 },
  })
  const session = await Session.start(
    await prepareSession(experiment, baseDir, { purpose: 'train', splits: ['train', 'validation', 'test'] }),
    experiment,
  )
  t.teardown(() => session.close())
  await session.pool.all('initialise', worker => worker.initialise())
  const { train: trainRows, validation } = session.plan.rows
  t.equal(trainRows + validation, TINY.train)
  t.ok(validation > 0)
  for (const epoch of [0, 1]) {
    const seen: number[] = []
    for (let step = 0; step < stepsPerEpoch(session.plan); step++) {
      const at = epoch * stepsPerEpoch(session.plan) + step
      await session.pool.all('run', worker => worker.run(at, at + 1))
      const rows = session.sums().rows - seen.length
      seen.push(...session.batchSamples(rows))
    }
    t.strictSame(
      seen.toSorted((a, b) => a - b),
      session.rowsOf('train'),
      `epoch ${epoch}: each row once`,
    )
    t.notSame(seen, session.rowsOf('train'), 'in another order')
  }
})

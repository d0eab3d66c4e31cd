/** train.accumulateSteps: mini-batches of a step, summed, are one large mini-batch. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { resolveExperiment } from '../../src/config/load.js'
import type { ExperimentInput } from '../../src/config/schema.js'
import { train } from '../../src/coordinator/new-run.js'
import { prepareSession } from '../../src/coordinator/prepare.js'
import { resume } from '../../src/coordinator/resume.js'
import { Session } from '../../src/coordinator/session.js'
import type { NamedWeights } from '../../src/run/checkpoint-file.js'
import { Purpose, permutation } from '../../src/tensor/random.js'
import { writeTinyData } from '../helpers/tiny-data.js'
import { distance } from './bits-lab.js'

const path = writeTinyData(t.testdir())
const ROWS = 530

interface Changes {
  readonly model?: ExperimentInput['model']
  readonly train?: ExperimentInput['train']
  readonly compute?: ExperimentInput['compute']
  readonly optimizer?: ExperimentInput['optimizer']
  readonly path?: string
}

const experiment = (of: Changes) =>
  resolveExperiment({
    data: { dataset: 'idx', path: of.path ?? path },
    model: { hidden: [29, 13], dropout: 0.3, ...of.model },
    train: { epochs: 2, batchSize: 64, accumulateSteps: 2, ...of.train },
    optimizer: of.optimizer ?? { type: 'momentum', learningRate: 0.1 },
    compute: { backend: 'wasm', workers: 2, ...of.compute },
    checkpoint: { everySteps: 3 },
  })

async function opened(t: Test, of: Changes): Promise<Session> {
  const loaded = experiment(of)
  const options = { purpose: 'train', splits: ['train', 'test'] } as const
  const session = await Session.start(
    await prepareSession(loaded.experiment, loaded.baseDir, options),
    loaded.experiment,
  )
  t.teardown(() => session.close())
  await session.initialise()
  return session
}

/** Steps of training, and what they have left. */
async function after(t: Test, steps: number, of: Changes) {
  const session = await opened(t, of)
  await session.pool.all('run', worker => worker.run(0, steps))
  return { parameters: session.parameters().map(({ name, data }) => ({ name, data })), sums: session.sums() }
}

const dataOf = (parameters: readonly Pick<NamedWeights, 'data'>[]) => parameters.map(({ data }) => data)

const WASM = [{ backend: 'wasm', bound: 1e-6 }] as const
const BACKENDS = [...WASM, { backend: 'reference', bound: 1e-13 }] as const
const CASES: readonly (readonly [name: string, backends: typeof WASM | typeof BACKENDS, of: Changes])[] = [
  ['dropout', BACKENDS, {}],
  ['a limit on the norm', WASM, { train: { clipNorm: 0.2 } }],
  ['layer norm and averages', BACKENDS, { model: { norm: 'layer' }, train: { ema: { decay: 0.9 } } }],
  ['buffers', WASM, { compute: { allReduce: 'buffers', workers: 3, shardRows: 32 } }],
]
for (const [what, backends, of] of CASES) {
  for (const { backend, bound } of backends) {
    t.test(`${backend}, ${what}: 2 x 64 rows are 128, to ${bound}, over an epoch and its short last step`, async t => {
      const steps = Math.ceil(ROWS / 128)
      const compute = { ...of.compute, backend }
      const once = await after(t, steps, { ...of, compute, train: { ...of.train, batchSize: 128, accumulateSteps: 1 } })
      const twice = await after(t, steps, { ...of, compute })
      const apart = distance(dataOf(once.parameters), dataOf(twice.parameters))
      t.ok(apart < bound, `weights differ by up to ${apart}`)
      t.strictSame([twice.sums.step, twice.sums.rows, twice.sums.correct], [steps, ROWS, once.sums.correct])
      t.ok(Math.abs(twice.sums.loss - once.sums.loss) < bound * ROWS, `sums of losses: ${twice.sums.loss}`)
    })
  }
}

t.test('any number of workers and shards, stopped and resumed: the same bits, steps and rows', async t => {
  const of: Changes = {
    model: { norm: 'batch', inputDropout: 0.1 },
    train: { batchSize: 50, accumulateSteps: 3, clipNorm: 0.5, maxNorm: 2, ema: { decay: 0.9 } },
    optimizer: { type: 'adam' },
  }
  const facts = []
  for (const [workers, shardRows] of [
    [1, 50],
    [2, 32],
    [3, 16],
    [7, 5],
  ]) {
    const { weightsSha256, steps, rowsSeen, test } = await train(
      experiment({ ...of, compute: { workers, shardRows } }),
      {
        runDir: null,
      },
    )
    facts.push({ weightsSha256, steps, rowsSeen, test })
  }
  t.strictSame(facts, Array(4).fill(facts[0]))
  t.strictSame([facts[0].steps, facts[0].rowsSeen], [2 * Math.ceil(ROWS / 150), 2 * ROWS])

  const runDir = join(t.testdir(), 'run')
  const stop = new AbortController()
  const onEvent = ({ type }: { type: string }) => type === 'steps' && stop.abort()
  const stopped = await train(experiment(of), { runDir, signal: stop.signal, onEvent })
  t.strictSame([stopped.status, stopped.steps], ['interrupted', 3])
  const { summary } = await resume(runDir, { overrides: ['compute.workers=3'] })
  t.equal(summary.weightsSha256, facts[0].weightsSha256)
  await t.rejects(resume(runDir, { overrides: ['train.accumulateSteps=2'] }), /accumulateSteps: 3 -> 2/)
})

t.test('batch norm: statistics are those of each mini-batch, running ones include all of them', async t => {
  const still = { model: { norm: 'batch' }, optimizer: { type: 'sgd', learningRate: 1e-30 } } as const
  const running = async (steps: number, accumulateSteps: number) => {
    const train = { l2: 0, accumulateSteps }
    const { parameters } = await after(t, steps, { ...still, train })
    return parameters.filter(({ name }) => /norm\.(mean|variance)$/.test(name))
  }
  const each = await running(9, 1)
  t.strictSame(await running(3, 3), each)
  t.equal(each.length, 4)
})

t.test('a fault in the second mini-batch of a step: nothing has changed, and no row counts', async t => {
  const folder = writeTinyData(t.testdir())
  const images = join(folder, 'train-images-idx3-ubyte')
  const bytes = readFileSync(images)
  const bad = permutation(ROWS, 1, Purpose.shuffle, 0)[64 + 5]
  for (let i = 0; i < ROWS; i++) bytes[16 + i * 35] = i === bad ? 255 : 0
  writeFileSync(images, bytes)
  const session = await opened(t, { path: folder, model: { dropout: 0 } })
  const weights = session.parameters().map(({ name, shape, data }) => ({ name, shape, data: data.slice() }))
  weights[0].data.fill(3e38, 0, 29) // of the pixel that only the bad image has
  for (const { name, data } of weights) if (name === 'layers.1.weight') data.fill(1e30)
  await session.storeParameters(weights)
  const [report] = await session.pool.all('run', worker => worker.run(0, 1))
  t.not(report.fault, 0)
  t.equal(report.step, 0)
  t.strictSame(session.sums(), { step: 0, loss: 0, correct: 0, rows: 0 })
  t.strictSame(
    session.parameters().map(({ data }) => data),
    dataOf(weights),
  )
})

t.test('accumulation needs the memory of one mini-batch and one gradient', async t => {
  const big = { hidden: [300], dropout: 0 }
  const bytesOf = async (train: ExperimentInput['train']) => (await opened(t, { model: big, train })).layout.bytes
  const once = await bytesOf({ batchSize: 500, accumulateSteps: 1 })
  const twice = await bytesOf({ batchSize: 250, accumulateSteps: 2 })
  const batch = 4 * (500 - 256) * (35 + 300 + 300 + 4)
  const gradient = 4 * (35 * 300 + 300 + 300 * 4 + 4)
  t.ok(once - twice > 0.8 * batch - 1.2 * gradient, `${once - twice} bytes less`)
})

/** Averages of weights: their numbers, what is scored with them, and that they and running statistics survive a stop. */
import { join } from 'node:path'
import t from 'tap'
import { resolveExperiment } from '../../src/config/load.js'
import type { ExperimentInput } from '../../src/config/schema.js'
import { train } from '../../src/coordinator/new-run.js'
import { prepareSession } from '../../src/coordinator/prepare.js'
import { resume } from '../../src/coordinator/resume.js'
import { Session } from '../../src/coordinator/session.js'
import { evaluate } from '../../src/inference/evaluate.js'
import { averageShare } from '../../src/model/state.js'
import { readCheckpoint } from '../../src/run/checkpoint-file.js'
import { checkpointSteps } from '../../src/run/checkpoints.js'
import { nativeCandidates } from '../helpers/native.js'
import { writeTinyData } from '../helpers/tiny-data.js'

const path = writeTinyData(t.testdir())
/** 11 steps an epoch, the last of them partial. */
const experiment = (compute: ExperimentInput['compute'], more: Partial<ExperimentInput> = {}) =>
  resolveExperiment({
    data: { dataset: 'idx', path },
    model: { hidden: [29, 13], dropout: 0.3, norm: 'batch' },
    train: { epochs: 2, batchSize: 50, ema: { decay: 0.9 } },
    compute,
    checkpoint: { everySteps: 5, keepLast: 3 },
    ...more,
  })

t.test('the share of a step: (1 + t) / (10 + t) until that reaches the decay', async t => {
  t.equal(averageShare(0.999, 0), 0.9)
  t.equal(averageShare(0.999, 8), 0.5)
  t.ok(Math.abs(averageShare(0.9, 1e6) - 0.1) < 1e-15)
})

const natives = (await nativeCandidates()).map(({ backend, skip }) => ({ backend: backend.name, skip }))
for (const { backend, skip, maxNorm } of [
  { backend: 'wasm' as const, skip: false as const, maxNorm: 1.5 },
  { backend: 'wasm' as const, skip: false as const, maxNorm: null },
  { backend: 'reference' as const, skip: false as const, maxNorm: null },
  ...natives.map(native => ({ ...native, maxNorm: null })),
]) {
  t.test(
    `${backend}, maxNorm ${maxNorm}: averages follow their formula over 4 steps: error < 1e-6`,
    { skip },
    async t => {
      const train = { epochs: 2, batchSize: 50, ema: { decay: 0.9 }, maxNorm }
      const loaded = experiment({ backend, workers: 2 }, { train })
      const session = await Session.start(
        await prepareSession(loaded.experiment, loaded.baseDir, { purpose: 'train', splits: ['train', 'test'] }),
        loaded.experiment,
      )
      t.teardown(() => session.close())
      await session.initialise()
      const stateOf = async () => {
        const { parameters, moments } = await session.snapshot()
        return new Map([...parameters, ...moments].map(({ name, data }) => [name, Float32Array.from(data)]))
      }
      const start = await stateOf()
      const names = [...start.keys()].filter(name => name.endsWith('.average'))
      t.equal(names.length, 3 * 2 + 2 * 2, 'weights, biases, scales and shifts; no running statistics')
      const expected = new Map(names.map(name => [name, Float64Array.from(start.get(name.slice(0, -8))!)]))
      for (const [name, values] of expected)
        t.same([...start.get(name)!], [...values], `${name} begins with the weights`)
      for (let step = 0; step < 4; step++) {
        await session.pool.all('run', worker => worker.run(step, step + 1))
        const now = await stateOf()
        for (const [name, values] of expected) {
          const weights = now.get(name.slice(0, -8))!
          for (let i = 0; i < values.length; i++) values[i] += averageShare(0.9, step) * (weights[i] - values[i])
          const averages = now.get(name)!
          const worst = values.reduce((most, value, i) => Math.max(most, Math.abs(value - averages[i])), 0)
          t.ok(worst < 1e-6, `${name} after step ${step}: ${worst}`)
        }
      }
    },
  )
}

t.test('the summary and evaluate score the averages; the digest is that of the weights', async t => {
  const dir = t.testdir()
  const runDir = join(dir, 'averaged')
  const averaged = await train(experiment({ backend: 'wasm' }), { runDir })
  const none = { train: { epochs: 2, batchSize: 50 } }
  const plain = await train(experiment({ backend: 'wasm' }, none), { runDir: null })
  t.equal(averaged.weightsSha256, plain.weightsSha256, 'training goes on with the weights')
  t.not(averaged.test?.loss, plain.test?.loss)
  t.hasStrict(await evaluate(runDir), averaged.test)
})

t.test(
  'batch norm and averages, stopped in the middle, resumed with other workers: the same bits of all state',
  async t => {
    const dir = t.testdir()
    const stateOf = async (runDir: string) => {
      const folder = join(runDir, 'checkpoints')
      const [step] = await checkpointSteps(folder)
      return (await readCheckpoint(join(folder, `step-${step}.safetensors`))).stateSha256
    }
    const undisturbedDir = join(dir, 'undisturbed')
    const undisturbed = await train(experiment({ backend: 'wasm', workers: 2 }), { runDir: undisturbedDir })
    for (const [step, workers] of [
      [3, 1],
      [12, 3],
    ] as const) {
      const runDir = join(dir, `at-${step}`)
      const stop = new AbortController()
      const stopped = await train(experiment({ backend: 'wasm', workers: 2 }), {
        ...{ runDir, signal: stop.signal },
        onEvent: event => {
          if (event.type === 'steps' && event.step >= step) stop.abort()
        },
      })
      t.equal(stopped.status, 'interrupted')
      t.ok(stopped.steps >= step && stopped.steps < undisturbed.steps, `stopped after ${stopped.steps} steps`)
      const { summary } = await resume(runDir, { overrides: [`compute.workers=${workers}`] })
      t.equal(summary.weightsSha256, undisturbed.weightsSha256)
      t.strictSame([summary.test, summary.train], [undisturbed.test, undisturbed.train])
      t.equal(await stateOf(runDir), await stateOf(undisturbedDir))
    }
  },
)

t.test('a run from the weights of another begins its averages with them', async t => {
  const dir = t.testdir()
  await train(experiment({ backend: 'wasm' }), { runDir: join(dir, 'first') })
  const none = { train: { epochs: 0, ema: { decay: 0.9 } } }
  const second = await train(experiment({ backend: 'wasm' }, none), { runDir: null, from: join(dir, 'first') })
  const raw = { train: { epochs: 0 } }
  const third = await train(experiment({ backend: 'wasm' }, raw), { runDir: null, from: join(dir, 'first') })
  t.same(second.test, third.test)
})

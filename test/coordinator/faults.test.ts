/** A worker that dies in the middle of a step ends the run, by name: nothing hangs, and no thread or handle is left. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Worker } from 'node:worker_threads'
import t from 'tap'
import { resolveExperiment } from '../../src/config/load.js'
import { train } from '../../src/coordinator/new-run.js'
import { prepareSession } from '../../src/coordinator/prepare.js'
import { Session } from '../../src/coordinator/session.js'
import { openDataset } from '../../src/data/dataset.js'
import { TensorFile } from '../../src/formats/tensor-file.js'
import type { RunSummary } from '../../src/run/events.js'
import { planRun } from '../../src/worker/plan/plan.js'
import { writeTinyData } from '../helpers/tiny-data.js'
import { CEILING_MS, until } from '../helpers/until.js'

const long = {
  data: { dataset: 'idx', path: writeTinyData(t.testdir()) },
  model: { hidden: [64, 32] },
  train: { epochs: 100_000, batchSize: 128 },
  compute: { workers: 3, shardRows: 32 },
}

/** Trains in a process of its own with a faulty worker; its exit code and messages. */
async function trainWithFault(kind: string, dir: string) {
  const child = spawn(
    process.execPath,
    [
      ...['--import', new URL('../fixtures/worker-fault.js', import.meta.url).href, 'dist/src/cli/main.js'],
      ...[
        'train',
        'configs/smoke.json',
        '--epochs',
        '10000',
        '--workers',
        '3',
        '--run-dir',
        dir,
        '--set',
        'compute.maxRestarts=0',
      ],
    ],
    { env: { ...process.env, FAULT_KIND: kind }, stdio: ['ignore', 'ignore', 'pipe'] },
  )
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', text => {
    stderr += text
  })
  // 'close' comes only when the process is gone with all its threads: a leftover handle would keep it.
  const [code] = await Promise.race([once(child, 'close'), delay(CEILING_MS, ['did not end'], { ref: false })])
  child.kill('SIGKILL')
  return { code, stderr }
}

/** Handles that would keep the process, or a thread, from ending. */
const handles = () => process.getActiveResourcesInfo().filter(name => /MessagePort|Worker|Timeout|FSReq/.test(name))

for (const [kind, cause] of [
  ['throw', /a fault for the test/],
  ['exit', /exit|left/i],
] as const) {
  t.test(`a worker that ${kind}s mid-step: exit code 1, an error with worker, step and cause`, async t => {
    const dir = join(t.testdir(), 'run')
    const { code, stderr } = await trainWithFault(kind, dir)
    t.equal(code, 1)
    t.match(stderr, /worker \d: run steps \d+-\d+: .*at step \d+/)
    t.match(stderr, cause)
    const summary = JSON.parse(readFileSync(join(dir, 'summary.json'), 'utf8')) as RunSummary
    t.equal(summary.status, 'failed')
    t.match(summary.error, /worker \d: run steps/)
    t.equal(summary.checkpoint, null, 'weights that may be half updated are not saved')
  })
}

t.test('a worker terminated mid-step: the call rejects, no thread is left', async t => {
  const { experiment, baseDir } = resolveExperiment(long)
  const session = await Session.start(
    await prepareSession(experiment, baseDir, { purpose: 'train', splits: ['train', 'test'] }),
    experiment,
  )
  await session.pool.all('initialise', worker => worker.initialise())
  const running = session.pool.all('run steps 0-1000000', worker => worker.run(0, 1_000_000))
  await until('steps run', () => session.sums().step > 2)
  void session.pool.piscina.threads[1].terminate()
  await t.rejects(running, { name: 'RunError', message: /worker \d: run steps 0-1000000: .*; at step \d+/ })
  await t.rejects(
    session.pool.all('evaluate', worker => worker.evaluate('test')),
    /worker/,
    'later calls reject too',
  )
  await session.close()
  t.equal(session.pool.piscina.threads.length, 0)
})

t.test('data that fail to load while threads start: their error, and no thread or handle is left', async t => {
  const { experiment, baseDir } = resolveExperiment(long)
  const prepared = await prepareSession(experiment, baseDir, { purpose: 'train', splits: ['train', 'test'] })
  for (const ms of [0, 10, 100, 1000]) {
    const threads = new Set<Worker>()
    const started = (thread: Worker) => threads.add(thread.once('exit', () => threads.delete(thread)))
    process.on('worker', started)
    const load = () => delay(ms).then(() => Promise.reject(new Error(`no data after ${ms} ms`)))
    await t.rejects(Session.start({ ...prepared, data: { ...prepared.data, load } }, experiment), {
      message: `no data after ${ms} ms`,
    })
    process.off('worker', started)
    await until('no thread is left', () => threads.size === 0)
    await until('no handle is left', () => handles().length === 0)
    t.pass(`after ${ms} ms`)
  }
})

t.test('after a run no handle is left', async t => {
  await train(resolveExperiment({ ...long, train: { epochs: 1 } }), { runDir: null })
  await until('no handle is left', () => handles().length === 0)
  t.strictSame(handles(), [])
})

t.test('numbers that overflow stop the run before the update; the last good weights are saved', async t => {
  const runDir = join(t.testdir(), 'run')
  const experiment = resolveExperiment({
    ...long,
    train: { epochs: 5, batchSize: 128, l2: 0 },
    optimizer: { type: 'sgd', learningRate: 1e30 },
  })
  await t.rejects(train(experiment, { runDir }), {
    name: 'RunError',
    message: /^training: epoch 1, step 1: layer \d: outputs are not finite; nothing was updated by that step$/,
    hint: /learningRate/,
  })
  const summary = JSON.parse(readFileSync(join(runDir, 'summary.json'), 'utf8')) as RunSummary
  t.match(summary, { status: 'failed', steps: 1, checkpoint: 'checkpoints/step-1.safetensors' })
  const file = await TensorFile.open(join(runDir, 'checkpoints', 'step-1.safetensors'))
  t.teardown(() => file.close())
  const bytes = new Uint8Array(35 * 64 * 4)
  await file.read('layers.0.weight', bytes)
  const weights = new Float32Array(bytes.buffer)
  t.ok(weights.every(Number.isFinite), 'finite, as the step before left them')
  t.ok(weights.some(Boolean))
})

t.test('an abort signal ends the run after a whole step, saved as interrupted', async t => {
  const runDir = join(t.testdir(), 'run')
  const abort = new AbortController()
  const summary = await train(resolveExperiment(long), {
    runDir,
    signal: abort.signal,
    onEvent: event => {
      if (event.type === 'steps' && event.step > 20) abort.abort()
    },
  })
  t.match(summary, { status: 'interrupted', test: { accuracy: Number } })
  t.ok(summary.steps > 20)
  t.equal(summary.checkpoint, `checkpoints/step-${summary.steps}.safetensors`)
  t.equal(readlinkSync(join(runDir, 'checkpoints', 'latest')), `step-${summary.steps}.safetensors`)
  const already = new AbortController()
  already.abort()
  t.match(await train(resolveExperiment(long), { runDir: null, signal: already.signal }), {
    status: 'interrupted',
    steps: 0,
  })
})

t.test('a plan that does not fit 4 GiB is refused with the sum that shows why', async t => {
  const { experiment, baseDir } = resolveExperiment({ ...long, model: { hidden: [20_000, 20_000] } })
  const data = await openDataset(experiment.data, { baseDir })
  await t.rejects(planRun(experiment, data, { purpose: 'train', splits: ['train', 'test'] }), {
    name: 'ConfigError',
    message:
      /needs \d\.\d\d GiB .* at most 4.00 GiB; 1\.\d\d GiB weights \+ [23]\.\d\d GiB optimizer moments .*35-20000-20000-4/,
  })
  t.ok(await planRun(experiment, data, { purpose: 'evaluate', splits: ['test'] }), 'to score it would fit')
})

t.test('of a convolutional plan that does not fit, the hint names what is too large', async t => {
  const of = (convolutions: readonly object[], batchSize: number) => {
    const { experiment, baseDir } = resolveExperiment({
      data: { dataset: 'digits' },
      model: { convolutions, hidden: [8] },
      train: { batchSize },
      compute: { backend: 'wasm', workers: 1 },
    })
    return openDataset(experiment.data, { baseDir }).then(data =>
      planRun(experiment, data, { purpose: 'train', splits: ['train', 'test'] }),
    )
  }
  await t.rejects(of([{ filters: 4, size: 20_001 }], 32), {
    name: 'ConfigError',
    hint: /filters and size of model\.convolutions smaller/,
  })
  await t.rejects(of([{ filters: 400 }, { filters: 4, pool: { size: 4 } }], 4000), {
    name: 'ConfigError',
    hint: /train\.batchSize smaller/,
  })
})

t.test('a plan whose exchanges need 2 GiB, which MPI cannot count, is refused', async t => {
  const planOf = async (width: number) => {
    const { experiment, baseDir } = resolveExperiment({
      ...long,
      model: { hidden: Array.from({ length: 6 }, () => width) },
      train: { ...long.train, batchSize: 63 },
      compute: { workers: 1, backend: 'wasm', gradientGroups: 63 },
    })
    const data = await openDataset(experiment.data, { baseDir })
    // With such a latency sums of gradients are exchanged, of which groups have many.
    const ranks = {
      rank: 0,
      size: 2,
      workers: 2,
      ownWorkers: 1,
      link: { latencyMs: 1e9, bytesPerMs: 1 },
      shareMemory: false,
    }
    return planRun(experiment, data, { purpose: 'train', splits: ['train', 'test'], ranks })
  }
  await t.rejects(planOf(4400), {
    name: 'ConfigError',
    message: /exchange between machines needs 2\.\d\d GiB, expected less than 2 GiB/,
  })
  t.ok(await planOf(1000))
})

t.test(
  'ranks of one host share memory unless the whole state does not fit into it, and each has moments of its own tiles',
  async t => {
    const planOf = async (width: number) => {
      const { experiment, baseDir } = resolveExperiment({
        ...long,
        model: { hidden: Array.from({ length: 5 }, () => width) },
      })
      const data = await openDataset(experiment.data, { baseDir })
      const link = { latencyMs: 0.1, bytesPerMs: 1e6 }
      const ranks = { rank: 1, size: 4, workers: 4, ownWorkers: 1, link, shareMemory: true }
      return (await planRun(experiment, data, { purpose: 'train', splits: ['train'], ranks })).plan
    }
    t.match(await planOf(2000), { ranks: null, host: { rank: 1, size: 4, workers: 4 } })
    t.match(await planOf(9600), { ranks: { rank: 1, size: 4, workers: 4 }, host: null })
  },
)

/** Deaths of workers: whichever dies, and at any time, the run continues to the bits of an undisturbed one. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Worker } from 'node:worker_threads'
import t from 'tap'
import { resolveExperiment } from '../../src/config/load.js'
import type { ExperimentInput } from '../../src/config/schema.js'
import { train } from '../../src/coordinator/new-run.js'
import { prepareSession } from '../../src/coordinator/prepare.js'
import { Session } from '../../src/coordinator/session.js'
import { weightsSha256 } from '../../src/run/checkpoint-file.js'
import type { RestartEvent, RunSummary } from '../../src/run/events.js'
import { philox } from '../../src/tensor/random.js'
import { eventsIn } from '../helpers/metrics.js'
import { nativeCandidates } from '../helpers/native.js'
import { writeTinyData } from '../helpers/tiny-data.js'

const path = writeTinyData(t.testdir())
const DEATHS = 6
/** Each death costs the start of all workers. */
const WORKERS = 2

const experiment = (compute: ExperimentInput['compute'], more: Partial<ExperimentInput> = {}) =>
  resolveExperiment({
    data: { dataset: 'idx', path, validation: 0.2 },
    model: { hidden: [61, 23], dropout: 0.3 },
    train: { epochs: 60, batchSize: 50 },
    optimizer: { type: 'momentum' },
    compute,
    checkpoint: { everySteps: 40 },
    ...more,
  })

const natives = (await nativeCandidates()).map(({ backend, skip }) => ({ name: backend.name, skip, deaths: 2 }))
const backends = [{ name: 'wasm' as const, skip: false as const, deaths: DEATHS }, ...natives]
// A thread that is terminated inside a native library can take the process with it (see src/coordinator/pool.ts): there is no such moment here.
for (const { name, skip, deaths } of backends.slice(0, 1)) {
  t.test(`${name}: ${deaths} threads terminated at seeded random moments: the same bits`, { skip }, async t => {
    const threads: Worker[] = []
    const collect = (thread: Worker) => threads.push(thread)
    process.on('worker', collect)
    t.teardown(() => process.off('worker', collect))
    // Threads of this run serve the next one too.
    const undisturbed = await train(experiment({ backend: name, workers: WORKERS }), { runDir: null })
    let died = 0
    /** Milliseconds to the next death, up to 40. */
    const word = new Uint32Array(4)
    const nextDelayMs = () => {
      philox(word, died, 0, 0, 0, 17, 0)
      return (40 * word[0]) / 2 ** 32
    }
    const restarts: RestartEvent['from'][] = []
    /** Ends one of the newest threads, some steps from now. */
    const endOne = () => {
      setTimeout(() => {
        const newest = threads.slice(-WORKERS)
        died++
        void newest[died % WORKERS].terminate()
      }, nextDelayMs())
    }
    const dir = t.testdir()
    // A run may be over before the next thread's time has come.
    for (let run = 0; restarts.length < deaths; run++) {
      const summary = await train(experiment({ backend: name, workers: WORKERS, maxRestarts: deaths }), {
        runDir: join(dir, `run-${run}`),
        onEvent: event => {
          if (event.type === 'restart') restarts.push(event.from)
          if (event.type === 'start' || (event.type === 'restart' && restarts.length < deaths)) endOne()
        },
      })
      t.equal(summary.weightsSha256, undisturbed.weightsSha256)
      t.strictSame([summary.test, summary.steps], [undisturbed.test, undisturbed.steps])
    }
    t.comment(restarts.join(' '))
  })
}

/** Trains in a process of its own whose workers fail from within. */
async function trainWithDeaths(dir: string, backend: string, deaths: number, more: readonly string[] = []) {
  const counter = `${dir}-deaths`
  writeFileSync(counter, '')
  const child = spawn(
    process.execPath,
    [
      ...['--import', new URL('../fixtures/worker-deaths.js', import.meta.url).href, 'dist/src/cli/main.js'],
      ...[
        'train',
        'configs/smoke.json',
        '--epochs',
        '40',
        '--workers',
        String(WORKERS),
        '--backend',
        backend,
        '--run-dir',
        dir,
      ],
      ...['--set', 'checkpoint.everySteps=100', ...more],
    ],
    { env: { ...process.env, DEATHS: String(deaths), DEATHS_FILE: counter }, stdio: ['ignore', 'ignore', 'pipe'] },
  )
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', text => {
    stderr += text
  })
  const [code] = await once(child, 'close')
  const summary = JSON.parse(readFileSync(join(dir, 'summary.json'), 'utf8')) as RunSummary
  return { code, stderr, summary, died: readFileSync(counter).length }
}

t.test('a thread that ends between two spans: new workers continue from memory, to the same bits', async t => {
  const { experiment: settings, baseDir } = experiment({ backend: 'wasm', workers: WORKERS })
  const open = async () => {
    const splits = ['train', 'validation', 'test'] as const
    const session = await Session.start(await prepareSession(settings, baseDir, { purpose: 'train', splits }), settings)
    t.teardown(() => session.close())
    await session.initialise()
    return session
  }
  const [whole, disturbed] = [await open(), await open()]
  await whole.runSteps(0, 30, 1)
  await disturbed.runSteps(0, 11, 1)
  await disturbed.pool.piscina.threads[1].terminate()
  await t.rejects(disturbed.runSteps(11, 30, 1), { name: 'RunError', message: /worker 1/ })
  t.strictSame(await disturbed.restart(), { stateIsWhole: true })
  t.equal(disturbed.sums().step, 11)
  await disturbed.runSteps(11, 30, 1)
  t.equal(await weightsSha256(disturbed.parameters()), await weightsSha256(whole.parameters()))
  t.strictSame(disturbed.sums(), whole.sums())
})

for (const { name, skip, deaths } of backends) {
  t.test(
    `${name}: ${deaths} workers that throw or call process.exit: the same bits, and each restart is reported`,
    { skip },
    async t => {
      const dir = t.testdir()
      const whole = await trainWithDeaths(join(dir, 'whole'), name, 0)
      t.equal(whole.code, 0)
      const run = join(dir, 'run')
      const { code, stderr, summary, died } = await trainWithDeaths(run, name, deaths, [
        ...['--set', `compute.maxRestarts=${deaths}`],
      ])
      t.equal(code, 0, code === 0 ? 'exit code' : stderr)
      t.equal(died, deaths)
      t.equal(summary.weightsSha256, whole.summary.weightsSha256)
      t.strictSame(summary.test, whole.summary.test)
      // Two may die at the same time; and events after the checkpoint that a restart went back to are gone.
      const told = [...stderr.matchAll(/workers are replaced \(restart (\d+) of at most \d+\)/g)]
      t.ok(told.length > deaths / 3 && told.length <= deaths, `${told.length} restarts`)
      t.ok(
        eventsIn(run).some(({ type }) => type === 'restart'),
        'they are in the metrics',
      )
      const losses = (of: string) => eventsIn(of).flatMap(event => (event.type === 'epoch' ? [event.train] : []))
      t.strictSame(losses(run), losses(join(dir, 'whole')), 'every epoch is told once, with the same score')
    },
  )
}

t.test('more failures than compute.maxRestarts: the run fails with that reason', async t => {
  const { code, stderr, summary } = await trainWithDeaths(join(t.testdir(), 'run'), 'wasm', 9, [
    ...['--set', 'compute.maxRestarts=2'],
  ])
  t.equal(code, 1)
  t.match(stderr, /worker \d: .*; at step \d+; gave up after 2 restarts\nhint: compute.maxRestarts/)
  t.equal(summary.status, 'failed')
  t.match(summary.error, /gave up after 2 restarts/)
})

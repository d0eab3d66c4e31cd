/** Turns of a trial: who takes them. The threads and their times are made up. */
import type { Remote } from 'comlink'
import t from 'tap'
import { resolveExperiment } from '../../src/config/load.js'
import type { ExperimentInput } from '../../src/config/schema.js'
import { prepareSession } from '../../src/coordinator/prepare.js'
import { openMemory } from '../../src/coordinator/run-memory.js'
import { measureSteps, type TrialPool } from '../../src/coordinator/trial.js'
import type { Loaded } from '../../src/coordinator/trial-rows.js'
import { RunError } from '../../src/errors.js'
import { viewSlot } from '../../src/tensor/arena.js'
import type { PlannedRun } from '../../src/worker/plan/plan.js'
import type { RunPlan } from '../../src/worker/plan/run-plan.js'
import type { SpanReport, TrainWorker } from '../../src/worker/threads/protocol.js'
import { nativeLibrary } from '../helpers/native-library.js'
import { writeTinyData } from '../helpers/tiny-data.js'

const path = writeTinyData(t.testdir())

async function planned(compute: ExperimentInput['compute']): Promise<PlannedRun> {
  const { experiment, baseDir } = resolveExperiment({
    data: { dataset: 'idx', path },
    model: { hidden: [9] },
    train: { batchSize: 30 },
    compute: { ...compute },
  })
  return prepareSession(experiment, baseDir, { purpose: 'train', splits: ['train', 'test'] })
}

/** Data of a run in memory: feature f of sample s is (s + f) % 7, its label s % 10. */
async function loaded({ plan: { images, ...plan }, layout }: PlannedRun): Promise<Loaded> {
  const of = { ...plan, images, rows: { train: images.train, validation: 0, test: images.test } }
  const { memory } = await openMemory(of, layout)
  const features = viewSlot<'uint8' | 'float32'>(memory, layout.features.train).data
  for (let i = 0; i < features.length; i++) features[i] = (Math.floor(i / plan.features) + (i % plan.features)) % 7
  viewSlot(memory, layout.labels.train).data.forEach((_, s, labels) => {
    labels[s] = s % 10
  })
  viewSlot(memory, layout.sampleIndices.train).data.forEach((_, s, indices) => {
    indices[s] = s
  })
  return { plan: of, layout, memory }
}

interface Fake {
  readonly pool: TrialPool
  /** Names of the plans whose steps ran, one for each call, and plans by name. */
  readonly calls: string[]
  readonly plans: Map<string, RunPlan>
  /** Turns of each besides its first. */
  readonly turns: Map<string, number>
  /** Memory of each. */
  readonly memories: Map<string, WebAssembly.Memory>
  /** Names of those that drew weights. */
  readonly drawn: string[]
}

/** Threads whose steps take as long as `msOf` says. */
function fakePool(msOf: (plan: RunPlan, turn: number) => number, fault = 0): Fake {
  const calls: string[] = []
  const plans = new Map<string, RunPlan>()
  const turns = new Map<string, number>()
  const memories = new Map<string, WebAssembly.Memory>()
  const drawn: string[] = []
  let current = ''
  const worker = {
    initialise() {
      drawn.push(current)
    },
    run(from: number, to: number): SpanReport {
      calls.push(current)
      const ms = msOf(plans.get(current)!, turns.get(current) ?? 0)
      const times = new Float64Array(to - from).fill(ms)
      return { step: to, stages: [], fault, steps: { totalMs: times, workMs: times } }
    },
  }
  const pool = {
    async open(plan: RunPlan, memory: WebAssembly.Memory, _module: unknown, { name = '' } = {}) {
      plans.set(name, plan)
      memories.set(name, memory)
      current = name
    },
    async use(name: string) {
      current = name
      turns.set(name, (turns.get(name) ?? 0) + 1)
    },
    async all<T>(_what: string, send: (worker: Remote<TrainWorker>, id: number) => PromiseLike<T>) {
      return [await send(worker as unknown as Remote<TrainWorker>, 0)]
    },
  } as TrialPool
  return { pool, calls, plans, turns, memories, drawn }
}

/** Two backends that work everywhere. */
const wasm = await planned({ backend: 'wasm', workers: 2 })
const reference = await planned({ backend: 'reference', workers: 2 })
const single = await planned({ backend: 'wasm', workers: 1 })
const singleReference = await planned({ backend: 'reference', workers: 1 })
const countOf = ({ calls }: Fake, name: string) => calls.filter(call => call === name).length

t.test('contenders take turns, each the same number of turns', async t => {
  const fake = fakePool(({ backend }) => (backend === 'wasm' ? 31 : 30))
  const times = await measureSteps([wasm, reference], await loaded(wasm), fake.pool)
  t.strictSame(times, [
    { backend: 'wasm', precision: 'f32', workers: 2, ms: 31 },
    { backend: 'reference', precision: 'f32', workers: 2, ms: 30 },
  ])
  const turns = fake.calls.filter((name, i) => name !== fake.calls[i - 1])
  t.ok(turns.length > 6, 'after their first turns')
  t.equal(countOf(fake, 'wasm, 2 workers') > 6, true)
})

t.test('a contender that is far behind takes no other turn', async t => {
  const fake = fakePool(({ backend }) => (backend === 'wasm' ? 30 : 90))
  const times = await measureSteps([wasm, reference], await loaded(wasm), fake.pool)
  t.match(times, [{ ms: 30 }, { backend: 'reference', ms: 90 }], 'its first time is told')
  const last = fake.calls.lastIndexOf('reference, 2 workers')
  const firsts = new Set(fake.calls.slice(0, last + 1))
  t.equal(firsts.size, 2)
  t.notOk(fake.calls.slice(last + 1).includes('reference, 2 workers'))
  t.equal(last, fake.calls.length - 1, 'nobody is left to compare with')
})

t.test('a contender that falls behind later takes no other turn', async t => {
  const fake = fakePool(({ backend }, turn) => (backend === 'wasm' || turn === 0 ? 15 : 25))
  const times = await measureSteps([wasm, reference], await loaded(wasm), fake.pool)
  t.match(times, [{ ms: 15 }, { ms: 25 }])
  t.strictSame([...fake.turns.values()], [1, 1])
})

t.test('the first turn, in which code is compiled, does not count', async t => {
  const fake = fakePool(({ backend }, turn) => (backend === 'wasm' ? (turn === 0 ? 19 : 10 + turn) : 14))
  const [first] = await measureSteps([wasm, reference], await loaded(wasm), fake.pool)
  const turns = fake.turns.get('wasm, 2 workers')!
  t.ok(turns >= 3)
  t.equal(first.ms, (11 + 10 + turns) / 2, 'the median of the others, of two steps each')
})

t.test('pairs are compared with one worker, and only the fastest with more', async t => {
  const fake = fakePool(({ backend, workers }) => (backend === 'wasm' ? 5 : 3) * workers)
  const runs = [wasm, reference, single, singleReference]
  const times = await measureSteps(runs, await loaded(wasm), fake.pool)
  t.strictSame(
    times.map(({ backend, workers, ms }) => [backend, workers, ms]),
    [
      ['wasm', 1, 5],
      ['reference', 1, 3],
      ['reference', 2, 6],
    ],
  )
})

t.test('a slow first turn of a pair does not keep its number of workers from being compared', async t => {
  const fake = fakePool(({ backend }, turn) => (backend === 'wasm' ? 2 : turn === 0 ? 4 : 1))
  const runs = [wasm, reference, single, singleReference]
  const times = await measureSteps(runs, await loaded(wasm), fake.pool)
  t.strictSame(
    times.map(({ backend, workers }) => [backend, workers]),
    [
      ['wasm', 1],
      ['reference', 1],
      ['reference', 2],
    ],
  )
})

t.test('a slow turn does not keep more workers from being compared for as long as fewer', async t => {
  const fake = fakePool(({ workers }, turn) => (workers === 1 ? 1 : turn <= 1 ? 3 : 0.5))
  const times = await measureSteps([wasm, single], await loaded(wasm), fake.pool)
  t.match(times, [
    { workers: 1, ms: 1 },
    { workers: 2, ms: 0.5 },
  ])
  t.equal(fake.turns.get('wasm, 2 workers'), fake.turns.get('wasm, 1 worker'))
})

t.test('steps are whole ones of the run, of its own samples, and change nothing of it', async t => {
  const fake = fakePool(() => 30)
  const from = await loaded(wasm)
  const before = Buffer.from(new Uint8Array(from.memory.buffer)).toString('hex')
  await measureSteps([wasm, reference], from, fake.pool)
  t.equal(Buffer.from(new Uint8Array(from.memory.buffer)).toString('hex') === before, true)
  const { batchSize, rows, images, windows } = fake.plans.get('wasm, 2 workers')!
  t.strictSame({ batchSize, windows }, { batchSize: 30, windows: null })
  t.equal(rows.train % 30, 0)
  t.ok(rows.train <= wasm.plan.images.train)
  t.equal(images.train, rows.train)
})

t.test(
  'contenders whose memory is laid out alike share it, with its samples and weights, until the last is out',
  async t => {
    if (!(await nativeLibrary(t, 'onednn')) || !(await nativeLibrary(t, 'blas'))) return
    const runs = [
      await planned({ backend: 'onednn', workers: 2 }),
      await planned({ backend: 'blas', workers: 2 }),
      wasm,
    ]
    for (const slow of ['onednn', 'blas']) {
      const filled: boolean[] = []
      const fake = fakePool(({ backend, workers }) => {
        const memory = fake.memories.get(`${backend}, ${workers} workers`)!
        filled.push(new Uint8Array(memory.buffer).some(byte => byte !== 0))
        return backend === slow ? 90 : 30
      })
      await measureSteps(runs, await loaded(runs[0]), fake.pool)
      const [first, second, other] = ['onednn', 'blas', 'wasm'].map(name => fake.memories.get(`${name}, 2 workers`))
      t.equal(first === second, true)
      t.equal(first === other, false, 'another layout')
      t.strictSame(fake.drawn, ['onednn, 2 workers', 'wasm, 2 workers'])
      t.ok(filled.length > 10 && filled.every(Boolean), 'pages are kept while one of them is in the trial')
      t.notOk(
        new Uint8Array(first!.buffer).some(byte => byte !== 0),
        'and then released',
      )
    }
  },
)

t.test('a step that finds a fault ends the trial', async t => {
  const fake = fakePool(() => 30, 1)
  await t.rejects(measureSteps([wasm, reference], await loaded(wasm), fake.pool), RunError)
})

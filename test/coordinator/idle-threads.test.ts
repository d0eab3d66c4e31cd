/** Threads of a run that has ended well serve only the next run of the process, to the same bits. */
import t from 'tap'
import { resolveExperiment } from '../../src/config/load.js'
import type { ExperimentInput } from '../../src/config/schema.js'
import { prepareSession } from '../../src/coordinator/prepare.js'
import { Session } from '../../src/coordinator/session.js'
import { weightsSha256 } from '../../src/run/checkpoint-file.js'
import { nativeCandidates } from '../helpers/native.js'
import { writeTinyData } from '../helpers/tiny-data.js'

const path = writeTinyData(t.testdir())

async function open(hidden: number[], compute: ExperimentInput['compute'] = {}): Promise<Session> {
  const { experiment, baseDir } = resolveExperiment({
    data: { dataset: 'idx', path, validation: 0.2 },
    model: { hidden },
    compute: { backend: 'wasm', workers: 2, ...compute },
  })
  const splits = ['train', 'validation', 'test'] as const
  const session = await Session.start(
    await prepareSession(experiment, baseDir, { purpose: 'train', splits }),
    experiment,
  )
  await session.initialise()
  return session
}

/** Threads of all runs so far. */
const known = new Set<number>()

/** Trains a little; returns the threads that did it, and what they came to. */
async function trained(hidden: number[], compute: ExperimentInput['compute'] = {}) {
  const session = await open(hidden, compute)
  await session.runSteps(0, 20, 1)
  const weights = await weightsSha256(session.parameters())
  const { threads } = session.pool.piscina
  const ids = threads.map(({ threadId }) => threadId)
  const isNew = ids.every(id => !known.has(id))
  for (const id of ids) known.add(id)
  await session.close()
  return { weights, ids, isNew }
}

const natives = (await nativeCandidates()).map(({ backend, skip }) => ({ backend: backend.name, skip }))
for (const { backend, skip } of [{ backend: 'wasm' as const, skip: false as const }, ...natives]) {
  t.test(`${backend}: reused threads train one network after another, each with its own bits`, { skip }, async t => {
    const first = await trained([31], { backend })
    const other = await trained([40, 20], { backend })
    const again = await trained([31], { backend })
    t.strictSame([other.ids, again.ids], [first.ids, first.ids], 'no thread was started')
    t.equal(again.weights, first.weights)
    t.not(other.weights, first.weights)
  })
}

t.test('two runs at the same time do not share threads, nor do runs with different numbers of workers', async t => {
  const [one, two] = [await open([31]), await open([31])]
  const threads = [one, two].flatMap(session => session.pool.piscina.threads.map(({ threadId }) => threadId))
  t.equal(new Set(threads).size, 4)
  await Promise.all([one.close(), two.close()])
  const three = await trained([31], { workers: 3 })
  t.equal(three.ids.length, 3)
  t.ok(three.isNew)
  t.notOk(three.ids.some(id => threads.includes(id)))
})

t.test('a change of the environment starts new threads, which copy the environment at their start', async t => {
  await trained([31])
  t.teardown(() => {
    delete process.env.GRADLOOM_IDLE_TEST
  })
  process.env.GRADLOOM_IDLE_TEST = '1'
  t.ok((await trained([31])).isNew)
})

t.test('threads of a run that failed, or that had a large memory, are not reused', async t => {
  const failed = await open([31])
  const ids = failed.pool.piscina.threads.map(({ threadId }) => threadId)
  await failed.pool.piscina.threads[1].terminate()
  await t.rejects(failed.runSteps(0, 5, 1), /worker 1/)
  await failed.close()
  const next = await trained([31])
  t.notOk(next.ids.some(id => ids.includes(id)))
  const large = await trained([3000, 500])
  t.notOk((await trained([31])).ids.some(id => large.ids.includes(id)))
})

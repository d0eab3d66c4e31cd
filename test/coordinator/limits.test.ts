/** Limits that need more than one tile: the norm of the whole gradient. */
import t from 'tap'
import { resolveExperiment } from '../../src/config/load.js'
import type { ExperimentInput } from '../../src/config/schema.js'
import { prepareSession, Session } from '../../src/coordinator/session.js'
import { train } from '../../src/coordinator/train.js'
import { nativeCandidates } from '../helpers/native.js'
import { writeTinyData } from '../helpers/tiny-data.js'

const path = writeTinyData(t.testdir())
type Changes = { model?: ExperimentInput['model']; train?: ExperimentInput['train'] }

const experiment = (
  compute: ExperimentInput['compute'],
  { model, train }: Changes,
  more: Partial<ExperimentInput> = {},
) =>
  resolveExperiment({
    data: { dataset: 'idx', path },
    model: { hidden: [29, 13], dropout: 0.3, ...model },
    train: { epochs: 2, batchSize: 200, ...train },
    compute,
    ...more,
  })

const digestOf = async (compute: ExperimentInput['compute'], changes: Changes) =>
  (await train(experiment(compute, changes), { runDir: null })).weightsSha256

/** Parameters, in table order, at the beginning and after a step of plain gradient descent at rate 1. */
async function oneStep(backend: 'wasm' | 'reference' | 'blas' | 'onednn', changes: Changes) {
  const { experiment: resolved, baseDir } = experiment({ backend, workers: 2 }, changes, {
    optimizer: { type: 'sgd', learningRate: 1 },
  })
  const session = await Session.start(
    await prepareSession(resolved, baseDir, { purpose: 'train', splits: ['train', 'test'] }),
    resolved,
  )
  try {
    await session.initialise()
    const read = () => session.parameters().map(({ name, data }) => ({ name, data }))
    const before = read()
    await session.pool.all('run', worker => worker.run(0, 1))
    return { before, after: read() }
  } finally {
    await session.close()
  }
}

const natives = (await nativeCandidates()).map(({ backend, skip }) => ({ backend: backend.name, skip }))
const BACKENDS = [
  { backend: 'wasm' as const, skip: false as const },
  { backend: 'reference' as const, skip: false as const },
  ...natives,
]

/** What a step has taken off every learned number. */
function changeOf({ before, after }: Awaited<ReturnType<typeof oneStep>>): number[] {
  return before.flatMap(({ name, data }, p) =>
    /\.(mean|variance)$/.test(name) ? [] : Array.from(data, (x, i) => x - after[p].data[i]),
  )
}

for (const { backend, skip } of BACKENDS) {
  for (const norm of ['none', 'batch', 'layer'] as const) {
    t.test(
      `${backend}, ${norm} norm: clipNorm scales the whole gradient to its length, error < 2e-6`,
      { skip },
      async t => {
        const train = { l2: 0 }
        const limit = 0.25
        const plain = changeOf(await oneStep(backend, { model: { norm }, train }))
        const clipped = changeOf(await oneStep(backend, { model: { norm }, train: { ...train, clipNorm: limit } }))
        const length = Math.hypot(...plain)
        t.ok(length > 2 * limit, `the gradient is ${length} long`)
        t.ok(Math.abs(Math.hypot(...clipped) - limit) < 2e-6, `clipped it is ${Math.hypot(...clipped)} long`)
        const worst = plain.reduce((most, x, i) => Math.max(most, Math.abs((x * limit) / length - clipped[i])), 0)
        t.ok(worst < 2e-6, `largest difference from its direction ${worst}`)
        const units = norm === 'none' ? 0 : 2 * (29 + 13)
        t.equal(plain.length, 35 * 29 + 29 + 29 * 13 + 13 + 13 * 4 + 4 + units, 'every number was compared')
      },
    )
  }
}

t.test('clipNorm: workers 1, 2, 3 and 7 give one digest; a limit that is never reached gives that of none', async t => {
  for (const norm of ['none', 'batch'] as const) {
    const digests: (string | null)[] = []
    for (const workers of [1, 2, 3, 7]) {
      digests.push(await digestOf({ workers, backend: 'wasm' }, { model: { norm }, train: { clipNorm: 0.1 } }))
    }
    t.match(digests[0], /^[0-9a-f]{64}$/)
    t.strictSame(digests, Array(4).fill(digests[0]))
    const none = await digestOf({ workers: 2, backend: 'wasm' }, { model: { norm } })
    t.equal(await digestOf({ workers: 3, backend: 'wasm' }, { model: { norm }, train: { clipNorm: 1e9 } }), none)
    t.not(none, digests[0])
  }
})

t.test('what needs the whole mini-batch or gradient is refused over buffers', async t => {
  const compute = { allReduce: 'buffers' } as const
  t.throws(() => experiment(compute, { train: { clipNorm: 1 } }), /compute\.allReduce.*train\.clipNorm is 1/s)
  t.throws(() => experiment(compute, { model: { norm: 'layer' } }), /compute\.allReduce.*model\.norm is "layer"/s)
  t.ok(experiment(compute, {}))
})

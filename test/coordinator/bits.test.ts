/** Bar "bits": the weights do not depend on how many workers there are, nor on how the mini-batch is cut. */
import t from 'tap'
import { resolveExperiment } from '../../src/config/load.js'
import { prepareSession } from '../../src/coordinator/prepare.js'
import { Session } from '../../src/coordinator/session.js'
import { stepsPerEpoch } from '../../src/worker/plan/clock.js'
import { TINY } from '../helpers/tiny-data.js'
import { bitsLab, distance } from './bits-lab.js'

const { base, digestOf, weightsAfter } = bitsLab(t)

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

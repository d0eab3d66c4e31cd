/** Limits that need more than one tile, the norms of gradient and weights, and the forms of dropout. */
import t from 'tap'
import { resolveExperiment } from '../../src/config/load.js'
import type { ExperimentInput } from '../../src/config/schema.js'
import { train } from '../../src/coordinator/new-run.js'
import { prepareSession } from '../../src/coordinator/prepare.js'
import { Session } from '../../src/coordinator/session.js'
import { reference } from '../../src/kernels/reference/index.js'
import { wasm } from '../../src/kernels/wasm/index.js'
import { keyOf, Purpose, philox } from '../../src/tensor/random.js'
import { nativeCandidates } from '../helpers/native.js'
import { writeTinyData } from '../helpers/tiny-data.js'
import { fill, Lab, read, rowsOf, whole } from '../kernels/lab.js'

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

/** A backend of its own memory. */
const openLab = async (name: string) => {
  const native = (await nativeCandidates()).find(({ backend }) => backend.name === name)
  if (native) return Lab.open(native.backend, native.open)
  return Lab.open(name === 'wasm' ? wasm : reference)
}
const natives = (await nativeCandidates()).map(({ backend, skip }) => ({ backend: backend.name, skip }))
const BACKENDS = [
  { backend: 'wasm' as const, skip: false as const },
  { backend: 'reference' as const, skip: false as const },
  ...natives,
]

/** Amount that a step has subtracted from every learned value. */
function changeOf({ before, after }: Awaited<ReturnType<typeof oneStep>>): number[] {
  return before.flatMap(({ name, data }, p) =>
    /\.(mean|variance)$/.test(name) ? [] : Array.from(data, (x, i) => x - after[p].data[i]),
  )
}

for (const { backend, skip } of BACKENDS) {
  // Each backend sums the gradient of the weights, and of a norm's vectors; both norms have the same ones.
  for (const norm of backend === 'wasm' ? (['none', 'batch', 'layer'] as const) : (['batch'] as const)) {
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

t.test('clipNorm: workers 1 and 3 give one digest; a limit that is never reached gives that of none', async t => {
  for (const norm of ['none', 'batch'] as const) {
    const digests: (string | null)[] = []
    for (const workers of [1, 3]) {
      digests.push(await digestOf({ workers, backend: 'wasm' }, { model: { norm }, train: { clipNorm: 0.1 } }))
    }
    t.match(digests[0], /^[0-9a-f]{64}$/)
    t.equal(digests[1], digests[0])
    const none = await digestOf({ workers: 2, backend: 'wasm' }, { model: { norm } })
    t.equal(await digestOf({ workers: 3, backend: 'wasm' }, { model: { norm }, train: { clipNorm: 1e9 } }), none)
    t.not(none, digests[0])
  }
})

for (const { backend, skip } of BACKENDS) {
  t.test(
    `${backend}: maxNorm scales incoming weights of hidden units to its length, error < 1e-6`,
    { skip },
    async t => {
      const limit = 1.4
      const train = { l2: 0 }
      const plain = (await oneStep(backend, { train })).after
      const limited = (await oneStep(backend, { train: { ...train, maxNorm: limit } })).after
      let [long, short, worst] = [0, 0, 0]
      for (const [p, { name, data }] of plain.entries()) {
        const outputs = [29, 29, 13, 13, 4, 4][p]
        const hidden = name.endsWith('weight') && outputs !== 4
        for (let o = 0; o < outputs; o++) {
          const column = Array.from(data).filter((_, i) => i % outputs === o)
          const length = hidden ? Math.hypot(...column) : 0
          if (length > limit) long++
          else if (hidden) short++
          const factor = length > limit ? limit / length : 1
          for (const [i, x] of column.entries()) {
            const error = Math.abs(limited[p].data[i * outputs + o] - x * factor)
            worst = Math.max(worst, error)
            if (factor === 1 && error !== 0) t.fail(`${name}: weight (${i}, ${o}) has changed, its column is short`)
          }
        }
      }
      t.ok(worst < 1e-6, `largest difference ${worst}`)
      t.equal(long + short, 29 + 13)
      t.ok(long > 5 && short > 5, `${long} columns too long, ${short} not`)
    },
  )

  t.test(`${backend}: inputs are dropped by the rule of hidden layers, as layer 2^32 - 1`, { skip }, async t => {
    const lab = await openLab(backend)
    const [B, F, rate, seed, epoch] = [9, 50, 0.3, 12345678901234, 7]
    const sampleOf = Array.from({ length: B }, (_, r) => r * 1499)
    const x = lab.matrix(B, F)
    fill(whole(x), () => 0.75)
    const layer = 2 ** 32 - 1
    const kernel = lab.kernels.dropout(x, { rate, seed, layer, samples: lab.integers(sampleOf) })
    const { strays } = lab.guarded([rowsOf(x, 1, 7)], () => kernel(1, 7, epoch))
    t.equal(strays, '')
    const [k0, k1] = keyOf(seed, Purpose.dropout)
    const words = new Uint32Array(4)
    let [wrong, kept] = [0, 0]
    for (const [n, value] of read(rowsOf(x, 1, 7)).entries()) {
      const [r, u] = [1 + Math.floor(n / F), n % F]
      philox(words, Math.floor(u / 4), layer, sampleOf[r], epoch, k0, k1)
      const keep = words[u % 4] / 2 ** 32 >= rate
      if (keep) kept++
      if (Math.abs(value - (keep ? 0.75 / (1 - rate) : 0)) > 1e-6) wrong++
    }
    t.equal(wrong, 0)
    t.ok(kept > 200 && kept < 290, `${kept} of 350 kept`)
  })
}

t.test(
  'maxNorm, input dropout, batch norm, averages and clipNorm together: 1, 2, 3 and 7 workers give one digest, 1 and 3 of libraries',
  async t => {
    const changes: Changes = {
      model: { norm: 'batch', inputDropout: 0.2, dropout: [0.5, 0.1] },
      train: { maxNorm: 1.6, clipNorm: 0.5, ema: { decay: 0.9 } },
    }
    for (const backend of ['wasm', ...natives.filter(({ skip }) => !skip).map(({ backend }) => backend)] as const) {
      const scores: unknown[] = []
      for (const workers of backend === 'wasm' ? [1, 2, 3, 7] : [1, 3]) {
        const { weightsSha256, test } = await train(experiment({ workers, backend }, changes), { runDir: null })
        scores.push([weightsSha256, test])
      }
      t.strictSame(scores, Array(scores.length).fill(scores[0]), backend)
    }
  },
)

t.test('dropout of each layer: an array of one number is that number; the wrong number of them is refused', async t => {
  const compute = { workers: 2, backend: 'wasm' } as const
  const both = await digestOf(compute, { model: { dropout: 0.3 } })
  t.equal(await digestOf(compute, { model: { dropout: [0.3, 0.3] } }), both)
  const digests = [both]
  for (const model of [{ dropout: [0.3, 0] }, { dropout: [0, 0.3] }, { inputDropout: 0.3 }]) {
    digests.push(await digestOf(compute, { model }))
  }
  t.equal(new Set(digests).size, 4, 'each layer counts')
  t.throws(
    () => experiment(compute, { model: { dropout: [0.3] } }),
    /model\.dropout is \[ 0\.3 \], expected .*an array of 2/s,
  )
})

t.test('settings that need the whole mini-batch or gradient are refused with allReduce "buffers"', async t => {
  const compute = { allReduce: 'buffers' } as const
  t.throws(() => experiment(compute, { train: { clipNorm: 1 } }), /compute\.allReduce.*train\.clipNorm is 1/s)
  t.throws(() => experiment(compute, { model: { norm: 'layer' } }), /compute\.allReduce.*model\.norm is "layer"/s)
  t.ok(experiment(compute, {}))
})

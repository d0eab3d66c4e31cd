/**
 * Memory of a rank: weights and buffers as one process has them, and of N ranks 1/N of the optimizer's state. Counted in the plan for up to
 * 16 ranks; then runs of real ranks, whose checkpoints are those of one process.
 */
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { train } from '../../src/coordinator/new-run.js'
import { loadExperiment } from '../../src/index.js'
import type { Backend } from '../../src/kernels/backend.js'
import { nativeBackend } from '../../src/kernels/native/f32.js'
import { wasm } from '../../src/kernels/wasm/index.js'
import { bytesPerElement, sizeOf } from '../../src/tensor/tensor.js'
import { planLayout } from '../../src/worker/plan/layout.js'
import type { RunPlan } from '../../src/worker/plan/run-plan.js'
import { gradloomRanks, hasMpi } from '../helpers/mpi.js'
import { writeTinyData } from '../helpers/tiny-data.js'

process.env.GRADLOOM_TRIAL = '0'

const WIDTHS = [784, 3000, 2500, 2000, 1500, 1000, 500, 10]

function planOf(ema: number | null, size: number | null, rank = 0, shareMemory = false): RunPlan {
  const all = size === null ? null : { rank, size, workers: size }
  const host = all && shareMemory ? { ...all, hugeOffset: 65536 * 5 * rank } : null
  const ranks = all && !shareMemory ? { ...all, partials: WIDTHS.slice(1).map(() => false) } : null
  return {
    ...{ purpose: 'train', widths: WIDTHS, features: WIDTHS[0], embeddings: [], convolutions: [], windows: null },
    ...{ activation: 'relu', dropout: WIDTHS.slice(1, -1).map(() => 0), inputDropout: 0 },
    norm: { type: 'none', momentum: 0.1, epsilon: 1e-5 },
    ...{ loss: 'cross-entropy', labelSmoothing: 0, ema, batchSize: 256, shardRows: 64, workers: 1, passes: 'layers' },
    optimizer: { type: 'adam', learningRate: 0.1, weightDecay: 0 },
    ...{ allReduce: 'fused', augmentation: null, clipNorm: null, accumulateSteps: 1, maxNorm: null, ranks, host },
    ...{ input: { dtype: 'uint8', scaled: false }, images: { train: 1000, test: 100 }, gradientRows: null },
  } as unknown as RunPlan
}

/** Bytes of the arena, and of the tensors in it whose names match. */
function bytesOf(plan: RunPlan, backend: Backend) {
  const { bytes, reservations } = planLayout(plan, backend)
  const of = (pattern: RegExp) =>
    reservations.slots
      .filter(({ name }) => pattern.test(name))
      .reduce((sum, { dtype, shape }) => sum + sizeOf(shape) * bytesPerElement[dtype], 0)
  return { all: bytes, state: of(/\.(moment\d|average)$/), exchange: of(/^exchange\./) }
}

for (const backend of [nativeBackend('onednn'), wasm]) {
  for (const ema of [null, 0.99]) {
    const title = `${backend.name}${ema === null ? '' : ', averages'}`
    t.test(
      `${title}: a rank of N has 1/N of the optimizer's state within 5 %, and no more of anything else`,
      async t => {
        const alone = bytesOf(planOf(ema, null), backend)
        let cases = 0
        for (const size of [1, 2, 4, 16]) {
          for (const rank of new Set([0, 1, size - 1])) {
            if (rank >= size) continue
            const own = bytesOf(planOf(ema, size, rank), backend)
            const excess = own.state / (alone.state / size) - 1
            t.ok(Math.abs(excess) < 0.05, `rank ${rank} of ${size}: ${own.state} bytes of ${alone.state}`)
            const others = alone.all - alone.state + own.exchange
            const expected = others + alone.state / size
            t.ok(
              Math.abs(own.all / expected - 1) < 0.05,
              `rank ${rank} of ${size}: ${own.all} bytes, ${expected} expected`,
            )
            cases++
          }
        }
        t.equal(cases, 9)
      },
    )
  }
}

t.test(
  'ranks of one host have the same tensors at the same places of their memory, and nothing of one twice',
  async t => {
    const backend = nativeBackend('onednn')
    const placesOf = (rank: number) => {
      const { reservations, hostMemory, bytes } = planLayout(planOf(0.99, 3, rank, true), backend)
      const { byteOffset, bytes: size } = hostMemory!
      t.equal((byteOffset + 65536 * 5 * rank) % 2 ** 21, 0, 'begins with a huge page')
      t.equal(size % 65536, 0)
      t.equal(byteOffset + size, bytes)
      const [own, together] = [reservations.slots, reservations.slots].map((slots, i) =>
        slots.filter(slot => slot.byteOffset >= byteOffset === (i === 1)),
      )
      t.ok(own.every(({ byteOffset: at, dtype, shape }) => at + sizeOf(shape) * bytesPerElement[dtype] <= byteOffset))
      return {
        own: own.map(({ name }) => name),
        together: together.map(of => `${of.name} ${of.byteOffset - byteOffset}`),
      }
    }
    const places = placesOf(0)
    t.same(placesOf(1), places)
    t.same(placesOf(2), places)
    const alone = planLayout(planOf(0.99, null), backend)
    t.equal(alone.hostMemory, null)
    const names = (slots: readonly { name: string }[]) => slots.map(({ name }) => name).sort()
    t.same(
      [...places.own, ...places.together.map(place => place.split(' ')[0])].sort(),
      [...names(alone.reservations.slots), 'exchange.heads', 'exchange.words'].sort(),
    )
    const kinds = [...new Set(places.own.map(name => name.split('.')[0]))].sort()
    t.same(kinds, [
      'control',
      'end',
      'exchange',
      'features',
      'labels',
      'partials',
      'sampleIndices',
      'scratch',
      'targets',
    ])
  },
)

/** Digests of the tensors of a run's newest checkpoint. */
function stateOf(run: string): Record<string, string> {
  const file = readFileSync(join(run, 'checkpoints', 'latest'))
  const from = 8 + Number(file.readBigUInt64LE(0))
  const { __metadata__, ...tensors } = JSON.parse(file.toString('utf8', 8, from))
  return Object.fromEntries(
    Object.entries(tensors as Record<string, { data_offsets: [number, number] }>).map(
      ([
        name,
        {
          data_offsets: [start, end],
        },
      ]) => [
        name,
        createHash('sha256')
          .update(file.subarray(from + start, from + end))
          .digest('hex'),
      ],
    ),
  )
}

function writeExperiment(t: Test) {
  const dir = t.testdir({})
  const file = join(dir, 'tiny.json')
  const experiment = {
    data: { dataset: 'idx', path: writeTinyData(join(dir, 'data')), validation: 0.2 },
    // Some layers have more tiles than ranks, others fewer; no size is a multiple of a panel or a cache line.
    model: { hidden: [401, 303], dropout: 0.2 },
    train: { epochs: 2, batchSize: 100, maxNorm: 2, ema: { decay: 0.9 } },
    compute: { workers: 1, backend: 'wasm' },
  }
  writeFileSync(file, JSON.stringify(experiment))
  return { dir, file }
}

t.test('the checkpoint of three ranks is that of one process, and two go on from it to the same bits', async t => {
  if (!hasMpi(t, 'openmpi') || !hasMpi(t, 'mpich')) return
  const { dir, file } = writeExperiment(t)
  const alone = join(dir, 'alone')
  const first = await train(await loadExperiment(file), { runDir: alone })
  const run = join(dir, 'run')
  const three = await gradloomRanks('openmpi', 3, ['train', file, '--run-dir', run, '--quiet'])
  t.equal(three.code, 0, three.stderr)
  const states = stateOf(run)
  t.equal(Object.keys(states).length, 6 * 4)
  t.same(states, stateOf(alone))
  const summary = JSON.parse(readFileSync(join(run, 'summary.json'), 'utf8'))
  t.same([summary.test, summary.validation], [first.test, first.validation], 'averages are scored')
  const whole = join(dir, 'whole')
  const longer = await train(await loadExperiment(file, ['train.epochs=3']), { runDir: whole })
  const two = await gradloomRanks('mpich', 2, ['resume', run, '--quiet', '--set', 'train.epochs=3'])
  t.equal(two.code, 0, two.stderr)
  t.same(stateOf(run), stateOf(whole))
  t.equal(JSON.parse(readFileSync(join(run, 'summary.json'), 'utf8')).weightsSha256, longer.weightsSha256)
})

/** Bytes of the exchanges by the formula, beside those of the very program, and the balance of the work; for 16 ranks counted, not run. */
import t from 'tap'
import { countedProgram } from '../../bench/balance.js'
import { nativeBackend } from '../../src/kernels/native/f32.js'
import { wasm } from '../../src/kernels/wasm/index.js'
import type { StepContext } from '../../src/worker/plan/clock.js'
import { choosePartials, exchangeBytes, totalBytes } from '../../src/worker/plan/cost.js'
import { planLayout } from '../../src/worker/plan/layout.js'
import type { RunPlan } from '../../src/worker/plan/run-plan.js'
import { rowsOfGroups } from '../../src/worker/plan/sharing.js'
import { areaOf } from '../../src/worker/plan/tiles.js'
import { wavesOf } from '../../src/worker/plan/waves.js'
import { shareWeights, weightsReceived, weightsSent } from '../../src/worker/plan/weight-use.js'

const WIDTHS = [784, 3000, 2500, 2000, 1500, 1000, 500, 10]
const LINK = { latencyMs: 0.05, bytesPerMs: 1.25e6 }

function planOf(batchSize: number, groups: number | null, activation: RunPlan['activation'] = 'relu'): RunPlan {
  const images = { train: 60_000, test: 0 }
  return {
    ...{ purpose: 'train', widths: WIDTHS, features: WIDTHS[0], embeddings: [], convolutions: [], windows: null },
    ...{ activation, dropout: WIDTHS.slice(1, -1).map(() => 0), inputDropout: 0 },
    norm: { type: 'none', momentum: 0.1, epsilon: 1e-5 },
    ...{ loss: 'cross-entropy', labelSmoothing: 0, ema: null, batchSize, shardRows: 64, workers: 1, passes: 'layers' },
    optimizer: { type: 'adam', learningRate: 0.1, weightDecay: 0 },
    ...{ allReduce: 'fused', augmentation: null, clipNorm: null, accumulateSteps: 1, maxNorm: null },
    ...{ input: { dtype: 'uint8', scaled: false }, images },
    gradientRows: rowsOfGroups(groups, Math.min(batchSize, images.train), { blockRows: 1 }),
  } as unknown as RunPlan
}

/** Bytes that each rank gets in a step, and its FLOPs of each stage. */
function counted(plan: RunPlan, size: number, partials: readonly boolean[], backend = nativeBackend('onednn')) {
  const context = { rows: plan.batchSize } as unknown as StepContext
  return Array.from({ length: size }, (_, rank) => {
    const ranks = { rank, size, workers: size, partials }
    const stages = countedProgram({ ...plan, ranks }, backend)
    const bytes = stages.reduce((sum, of) => sum + (of.tasks(context) > 0 ? (of.bytes?.(context) ?? 0) : 0), 0)
    const flopsOf = (stage: (typeof stages)[number]) => {
      let flops = 0
      for (let task = 0; task < stage.tasks(context); task++) flops += stage.flops?.(task, context) ?? 0
      return flops
    }
    return { bytes, stages: stages.map(flopsOf), names: stages.map(({ name }) => name) }
  })
}

/** Share of the weights that a rank gets after an update, as a mean. */
function sharedWeights(plan: RunPlan, size: number, partials: readonly boolean[]): number {
  const sharing = shareWeights({ ...plan, ranks: { rank: 0, size, workers: size, partials } }, nativeBackend('onednn'))
  const all = sharing.tiles.reduce((sum, { tile }) => sum + areaOf(tile), 0)
  return meanOf(weightsReceived(sharing, size)) / all
}

const meanOf = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length

const CASES = [
  { name: 'rows', plan: planOf(256, null) },
  { name: 'rows, with derivatives', plan: planOf(256, null, 'gelu') },
  { name: 'groups: sums', plan: planOf(4096, 16) },
  { name: 'groups: rows, and sums where they are smaller', plan: planOf(1024, 16) },
]

for (const size of [2, 3, 4, 16]) {
  for (const { name, plan } of CASES) {
    t.test(`${size} ranks, ${name}: bytes per rank within 2 % of the formula`, async t => {
      const partials = choosePartials(plan, size, LINK)
      const bytes = counted(plan, size, partials).map(({ bytes }) => bytes)
      const share = sharedWeights(plan, size, partials)
      const expected = totalBytes(exchangeBytes(plan, size, partials, share))
      const mean = meanOf(bytes)
      t.ok(Math.abs(mean / expected - 1) < 0.02, `${mean} bytes, the formula gives ${expected}; ${partials}`)
    })
  }
}

t.test(
  'ranks get next to the least share of the weights, (N - 1) / N², where blocks are divided by columns; else all',
  async t => {
    const plan = planOf(256, null)
    for (const [size, most] of [
      [2, 0.26],
      [3, 0.24],
      [4, 0.2],
      [16, 0.1],
    ] as const) {
      const share = sharedWeights(plan, size, [])
      t.ok(share < most && share > 0.8 * ((size - 1) / size ** 2), `${size} ranks: ${share}`)
    }
    for (const whole of [planOf(4096, 16), { ...plan, maxNorm: 1 }, { ...plan, passes: 'shards' as const }]) {
      t.ok(Math.abs(sharedWeights(whole, 4, []) - 0.75) < 0.01)
    }
  },
)

/**
 * Time that a step lasts, in FLOPs of one rank. One with less work than others waits for them stage by stage, but for the waves of an update: there
 * it waits for what they did one wave before, which travels meanwhile.
 */
function lastsOf(ranks: readonly { readonly stages: readonly number[]; readonly names: readonly string[] }[]): number {
  const working = [...ranks[0].stages.keys()].filter(s => ranks.some(({ stages }) => stages[s] > 0))
  const ended = ranks.map(() => 0)
  let [allEnded, before] = [0, 0]
  let last = ''
  for (const s of working) {
    const name = ranks[0].names[s]
    const from = name === 'tiles' && last === name ? before : allEnded
    for (const [rank, { stages }] of ranks.entries()) ended[rank] = Math.max(ended[rank], from) + stages[s]
    ;[before, allEnded, last] = [allEnded, Math.max(...ended), name]
  }
  return allEnded
}

for (const backend of [nativeBackend('onednn'), wasm]) {
  t.test(`16 ranks, ${backend.name}: a step lasts at most 5 % longer than the mean work of a rank`, async t => {
    for (const [name, plan] of [
      ['rows', planOf(256, null)],
      ['groups', planOf(4096, 16)],
    ] as const) {
      const ranks = counted(plan, 16, choosePartials(plan, 16, LINK), backend)
      const excess = lastsOf(ranks) / meanOf(ranks.map(({ stages }) => stages.reduce((a, b) => a + b))) - 1
      t.ok(excess < 0.05, `${name}: ${(100 * excess).toFixed(1)} % more than the mean`)
    }
  })
}

t.test('sums of gradients are chosen for large mini-batches alone, and never without groups', async t => {
  t.notOk(choosePartials(planOf(4096, null), 4, LINK).some(Boolean))
  t.notOk(choosePartials(planOf(64, 16), 4, LINK).slice(0, -2).some(Boolean))
  t.ok(choosePartials(planOf(65_536, 16), 4, LINK).every(Boolean))
})

t.test(
  'waves of an update: each tile once, of each rank about as much in each, as many as its bytes pay for',
  async t => {
    const small = { ...planOf(256, null), widths: [784, 100, 10], dropout: [0] } as RunPlan
    for (const [size, of, expected] of [
      [2, planOf(256, null), 4],
      [16, planOf(256, 16), 4],
      [2, small, 1],
    ] as const) {
      const plan = { ...of, ranks: { rank: 0, size, workers: size, partials: [] } }
      const backend = nativeBackend('onednn')
      const waves = wavesOf(plan, backend)
      const sharing = shareWeights(plan, backend)
      const { tiles, owners } = sharing
      t.equal(waves.length, expected, `${size} ranks`)
      t.same(
        waves.flat().toSorted((a, b) => a - b),
        [...tiles.keys()],
      )
      for (const [what, of] of [
        ['work', (tile: number) => areaOf(tiles[tile].tile)],
        ['sent', (tile: number) => weightsSent(sharing, tile, size)],
      ] as const) {
        for (let rank = 0; rank < size; rank++) {
          const own = (tile: number) => (owners[tile] === rank ? of(tile) : 0)
          const ofWaves = waves.map(wave => wave.reduce((sum, tile) => sum + own(tile), 0))
          const largest = Math.max(...[...tiles.keys()].map(own))
          const difference = Math.max(...ofWaves) - Math.min(...ofWaves)
          t.ok(difference <= 1.5 * largest, `${what} of rank ${rank} of ${size}: ${ofWaves}`)
        }
      }
    }
    t.same(wavesOf(planOf(256, null), wasm), [[...shareWeights(planOf(256, null), wasm).tiles.keys()]], 'alone: one')
  },
)

t.test(
  'the buffer of exchanges: rows that travel while others are computed have places, those that no rank sends have none',
  async t => {
    const backend = nativeBackend('onednn')
    const bytesOf = (partials: boolean) => {
      const ranks = { rank: 0, size: 4, workers: 4, partials: WIDTHS.slice(1).map(() => partials) }
      return planLayout({ ...planOf(4096, 16), features: WIDTHS[0], ranks } as RunPlan, backend).exchange!.slicesAt
    }
    const rows = WIDTHS.slice(1).reduce((sum, width, l) => sum + width + (l > 0 ? WIDTHS[l] : 0), 0)
    t.ok(bytesOf(false) >= 4 * 4096 * rows, `${bytesOf(false)} bytes`)
    t.ok(bytesOf(true) < 0.9 * bytesOf(false), `${bytesOf(true)} bytes where sums are exchanged`)
  },
)

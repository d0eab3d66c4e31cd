/**
 * `npm run bench -- gemm`: how near the matrix products of a step come to the micro-kernel they are made of. Main thread
 * alone, no workers. The machine's speed changes from one millisecond to the next, so every sample of a product stands
 * between two samples of the micro-kernel and is compared with those.
 */
import { performance } from 'node:perf_hooks'
import { buildProducts, type Piece, type Product, type ProductKind } from './gemm-products.js'
import type { Report, Say, Table } from './report.js'
import { meanRate, median, quantile, summarise } from './stats.js'

export interface GemmOptions {
  readonly rounds: number
  readonly warmup: number
}
export const GEMM_DEFAULTS: GemmOptions = { rounds: 12, warmup: 3 }

const BAR = 0.8
const KINDS: readonly ProductKind[] = ['forward', 'backward', 'weight gradient']

/** Rates in GFLOP/s; shares are of the micro-kernel's. */
interface Measured extends Pick<Product, 'kind' | 'layer' | 'm' | 'n' | 'k' | 'stepFlops'> {
  readonly samples: number
  readonly median: number
  readonly best: number
  /** Median over the samples of sample / mean of the micro-kernel's before and after it. */
  readonly share: number
  /** The same in processor time, which other programs' turns on the core do not enter. */
  readonly cpuShare: number
  /** Best sample / best of the micro-kernel's. */
  readonly bestShare: number
}

/** Part of the step: rates and shares as all operations over all time. */
type Total = Pick<Measured, 'median' | 'best' | 'share' | 'cpuShare' | 'bestShare'>

export async function benchGemm({ rounds, warmup }: GemmOptions, say: Say): Promise<Report> {
  say(`gemm: ${warmup} + ${rounds} rounds through the products of a step, in one thread`)
  const { products, micro } = await buildProducts()
  const rates = new Map(
    products.map(product => [product, { gflops: [] as number[], shares: [] as number[], cpuShares: [] as number[] }]),
  )
  const micros: number[] = []
  for (let round = -warmup; round < rounds; round++) {
    let before = rateOf(micro)
    for (const product of products) {
      for (const piece of product.pieces(round + warmup)) {
        const rate = rateOf(piece)
        const after = rateOf(micro)
        if (round >= 0) {
          const { gflops, shares, cpuShares } = rates.get(product)!
          gflops.push(rate.wall)
          shares.push((2 * rate.wall) / (before.wall + after.wall))
          cpuShares.push((2 * rate.cpu) / (before.cpu + after.cpu))
          micros.push(after.wall)
        }
        before = after
      }
    }
  }

  const peak = summarise(micros)
  const measured = products.map((product): Measured => {
    const { kind, layer, m, n, k, stepFlops } = product
    const { gflops, shares, cpuShares } = rates.get(product)!
    const best = quantile(gflops, 1)
    const all = {
      samples: gflops.length,
      median: median(gflops),
      best,
      share: median(shares),
      cpuShare: median(cpuShares),
    }
    return { ...{ kind, layer, m, n, k, stepFlops }, ...all, bestShare: best / peak.max }
  })
  const byKind = KINDS.map(kind => ({ kind, ...totalOf(measured.filter(part => part.kind === kind)) }))
  const total = totalOf(measured)
  return {
    name: 'gemm',
    title: 'matrix products of a step of the reference network beside the micro-kernel alone',
    method: [
      `One thread; ${warmup} rounds of warm-up, then ${rounds} through all products in the order of a step, weights far larger than the caches.`,
      `Between any two samples the micro-kernel (3x12, k = 240, operands in the first-level cache): ${micros.length} samples,`,
      `  median ${peak.median.toFixed(1)}, quartiles ${peak.low.toFixed(1)} to ${peak.high.toFixed(1)}, best ${peak.max.toFixed(1)} GFLOP/s.`,
      '"of peak": median of sample / mean of the micro-kernel\'s two around it. "best of peak": best sample / its best sample.',
      '"in CPU time": "of peak" without the time in which other programs had the core; the same on a quiet machine.',
      'Totals are all operations over all time. Operations of padding are not counted.',
    ],
    tables: [productTable(measured, byKind, total)],
    bars: [
      { what: 'GEMM of the micro-kernel, over a step', got: total.share, want: BAR, at: 'least', unit: 'percent' },
      { what: 'GEMM of the micro-kernel, in CPU time', got: total.cpuShare, want: BAR, at: 'least', unit: 'percent' },
      { what: 'GEMM of the micro-kernel, best samples', got: total.bestShare, want: BAR, at: 'least', unit: 'percent' },
    ],
    skipped: [],
    numbers: { options: { rounds, warmup }, microKernel: peak, products: measured, byKind, total },
  }
}

/** GFLOP/s, by the wall clock and by this process's time on its core. */
interface Rate {
  readonly wall: number
  readonly cpu: number
}

/** Windows counts processor time in ticks longer than a sample. */
const HAS_CPU_CLOCK = process.platform !== 'win32'

function rateOf({ flops, run }: Piece): Rate {
  const cpuBefore = process.cpuUsage()
  const started = performance.now()
  run()
  const wall = flops / ((performance.now() - started) * 1e6)
  const { user, system } = process.cpuUsage(cpuBefore)
  return { wall, cpu: HAS_CPU_CLOCK ? flops / ((user + system) * 1e3) : wall }
}

function totalOf(parts: readonly Measured[]): Total {
  const over = (pick: (part: Measured) => number) =>
    meanRate(parts.map(part => ({ work: part.stepFlops, rate: pick(part) })))
  return {
    median: over(part => part.median),
    best: over(part => part.best),
    share: over(part => part.share),
    cpuShare: over(part => part.cpuShare),
    bestShare: over(part => part.bestShare),
  }
}

function productTable(
  measured: readonly Measured[],
  byKind: readonly (Total & { kind: ProductKind })[],
  total: Total,
): Table {
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`
  const rates = ({ median, best, share, cpuShare, bestShare }: Total) => [
    median.toFixed(1),
    best.toFixed(1),
    percent(share),
    percent(cpuShare),
    percent(bestShare),
  ]
  return {
    title: '',
    words: 1,
    head: ['product', 'layer', 'm', 'n', 'k', 'samples', 'GFLOP/s', 'best', 'of peak', 'in CPU time', 'best of peak'],
    rows: [
      ...measured.map(part => [
        part.kind,
        ...[part.layer, part.m, part.n, part.k, part.samples].map(String),
        ...rates(part),
      ]),
      ...byKind.map(part => [`all ${part.kind}`, '', '', '', '', '', ...rates(part)]),
      ['whole step', '', '', '', '', '', ...rates(total)],
    ],
  }
}

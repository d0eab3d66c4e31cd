/**
 * `npm run bench -- gemm`: speed of a step's matrix products, compared with the best that the same code reaches: for `wasm` its
 * micro-kernel, for a native library a product that stays in the caches. Main thread alone, no workers. The machine's speed changes from
 * one millisecond to the next, so every sample of a product stands between two samples of the best and is compared with those.
 */
import { performance } from 'node:perf_hooks'
import { type BackendName, type BenchBackend, backendLine, chooseBackends } from './backends.js'
import { buildNativeProducts } from './gemm-native.js'
import { buildProducts, type Piece, type Product, type ProductKind, type Products } from './gemm-products.js'
import { type Bar, chartBar, type Report, type Say, type Table } from './report.js'
import { meanRate, type Summary, summarise } from './stats.js'
import type { Chart } from './svg.js'

export interface GemmOptions {
  readonly rounds: number
  readonly warmup: number
  /** Backends to measure; empty: all that work here. */
  readonly backends: readonly BackendName[]
}
export const GEMM_DEFAULTS: GemmOptions = { rounds: 12, warmup: 3, backends: [] }

const BAR = 0.8
const KINDS: readonly ProductKind[] = ['forward', 'backward', 'weight gradient']

/** Rates in GFLOP/s; shares are of the best that the same code reaches. */
interface Measured extends Pick<Product, 'kind' | 'layer' | 'm' | 'n' | 'k' | 'stepFlops'> {
  readonly gflops: Summary
  /** Median over the samples of sample / mean of the best's before and after it. */
  readonly share: number
  /** GFLOP/s by processor time, which excludes other programs' time on the core. */
  readonly cpuShare: number
  /** Best sample / best of the best's. */
  readonly bestShare: number
}

/** Part of the step: rates and shares as all operations over all time. */
interface Total extends Pick<Measured, 'share' | 'cpuShare' | 'bestShare'> {
  readonly median: number
  readonly best: number
}

interface Result {
  readonly backend: string
  /** Code that multiplies. */
  readonly implementation: string
  /** Reference of the shares, in words and GFLOP/s. */
  readonly peakOf: string
  readonly peak: Summary
  readonly products: readonly Measured[]
  readonly byKind: readonly (Total & { readonly kind: ProductKind })[]
  readonly total: Total
}

export async function benchGemm({ rounds, warmup, backends: wanted }: GemmOptions, say: Say): Promise<Report> {
  const { backends, skipped } = await chooseBackends(wanted)
  const results: Result[] = []
  for (const backend of backends) {
    if (backend.name === 'reference') skipped.push('backend reference: has no products of its own to compare')
    else {
      say(`gemm: ${backend.name}: ${warmup} + ${rounds} rounds through the products of a step, in one thread`)
      results.push(await measure(backend, rounds, warmup))
    }
  }
  const wasm = results.find(({ backend }) => backend === 'wasm')
  return {
    name: 'gemm',
    title: 'matrix products of a step of the reference network, in one thread',
    method: [
      `${warmup} rounds of warm-up, then ${rounds} through all products in the order of a step, dense operands, weights far larger than the caches.`,
      'Samples of a product and of the peak alternate:',
      ...results.map(
        ({ backend, peakOf, peak }) =>
          `  ${backend}: ${peakOf}: median ${peak.median.toFixed(1)}, quartiles ${peak.low.toFixed(1)} to ${peak.high.toFixed(1)}, best ${peak.max.toFixed(1)} GFLOP/s.`,
      ),
      ...results.map(({ implementation }) => `Products by ${implementation}.`),
      '"of peak": median of sample / mean of the peak\'s two around it. "best of peak": best sample / the peak\'s best.',
      '"in CPU time": "of peak" without the time in which other programs had the core; the same on a quiet machine.',
      'm, n, k: of the first block or tile, as the step cuts them. Totals are all operations over all time; padding does not count.',
    ],
    tables: results.map(productTable),
    charts: results.length === 0 ? [] : [gemmChart(results)],
    bars: wasm ? barsOf(wasm.total) : [],
    skipped,
    numbers: { options: { rounds, warmup, backends: wanted }, results },
  }
}

const barsOf = ({ share, cpuShare, bestShare }: Total): Bar[] =>
  [
    { what: 'wasm GEMM as a share of the micro-kernel, over a step', got: share },
    { what: 'wasm GEMM as a share of the micro-kernel, in CPU time', got: cpuShare },
    { what: 'wasm GEMM as a share of the micro-kernel, best samples', got: bestShare },
  ].map(bar => ({ ...bar, want: BAR, at: 'least', unit: 'percent' }))

interface Built extends Products {
  readonly peakOf: string
}

async function build({ library }: BenchBackend): Promise<Built> {
  if (library) {
    const products = await buildNativeProducts(library)
    const size = products.cachedSize
    return { ...products, peakOf: `the library's product of ${size} matrices, in the caches` }
  }
  const products = await buildProducts()
  return { ...products, peakOf: 'the micro-kernel alone, 3x12, k = 240, operands in the first-level cache' }
}

async function measure(backend: BenchBackend, rounds: number, warmup: number): Promise<Result> {
  const { products, micro, peakOf } = await build(backend)
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
    const taken = rates.get(product)!
    const gflops = summarise(taken.gflops)
    const shares = {
      share: summarise(taken.shares).median,
      cpuShare: summarise(taken.cpuShares).median,
      bestShare: gflops.max / peak.max,
    }
    return { kind, layer, m, n, k, stepFlops, gflops, ...shares }
  })
  return {
    backend: backend.name,
    implementation: backendLine(backend),
    peakOf,
    peak,
    products: measured,
    byKind: KINDS.map(kind => ({ kind, ...totalOf(measured.filter(part => part.kind === kind)) })),
    total: totalOf(measured),
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
    median: over(part => part.gflops.median),
    best: over(part => part.gflops.max),
    share: over(part => part.share),
    cpuShare: over(part => part.cpuShare),
    bestShare: over(part => part.bestShare),
  }
}

function productTable({ backend, products, byKind, total }: Result): Table {
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`
  const shares = ({ share, cpuShare, bestShare }: Pick<Total, 'share' | 'cpuShare' | 'bestShare'>) =>
    [share, cpuShare, bestShare].map(percent)
  const rates = (of: Total) => [of.median.toFixed(1), of.best.toFixed(1), ...shares(of)]
  return {
    title: `${backend}, f32`,
    words: 1,
    head: ['product', 'layer', 'm', 'n', 'k', 'samples', 'GFLOP/s', 'best', 'of peak', 'in CPU time', 'best of peak'],
    rows: [
      ...products.map(part => [
        part.kind,
        ...[part.layer, part.m, part.n, part.k, part.gflops.count].map(String),
        part.gflops.median.toFixed(1),
        part.gflops.max.toFixed(1),
        ...shares(part),
      ]),
      ...byKind.map(part => [`all ${part.kind}`, '', '', '', '', '', ...rates(part)]),
      ['whole step', '', '', '', '', '', ...rates(total)],
    ],
  }
}

/** Whiskers: the quartiles of each layer's rate, combined as the rates are. */
function gemmChart(results: readonly Result[]): Chart {
  return {
    title: 'Matrix products of a step, one thread',
    axis: 'GFLOP/s',
    better: 'higher',
    groups: [...KINDS, 'peak'],
    series: results.map(({ backend, products, peak }) => ({
      name: backend,
      bars: [
        ...KINDS.map(kind => {
          const parts = products.filter(part => part.kind === kind)
          const over = (q: 'median' | 'low' | 'high') =>
            meanRate(parts.map(({ stepFlops, gflops }) => ({ work: stepFlops, rate: gflops[q] })))
          return { value: over('median'), low: over('low'), high: over('high') }
        }),
        chartBar(peak),
      ],
    })),
  }
}

/** The roofline of a step from what the machine was measured to do between the steps. Pure; main thread. */
import type { BackendName, BenchBackend } from './backends.js'
import type { ProbeSample } from './probe.js'
import { REFERENCE_BATCH, REFERENCE_WIDTHS } from './reference-network.js'
import { type Roofline, rooflineOf, stepWork } from './roofline.js'
import { type Summary, summarise } from './stats.js'

export interface RooflineResult {
  /** Medians over the turns, and the best of each. */
  readonly peak: Summary
  readonly bandwidth: Summary
  /** By the medians, and by the best samples. */
  readonly typical: Roofline
  readonly best: Roofline
  /** Roofline / step: typical / median step, best / best step. */
  readonly share: number
  readonly bestShare: number
}

/** Of each backend and number of threads, one a turn. */
export type Samples = Map<`${BackendName} ${number}`, readonly ProbeSample[]>

/**
 * The machine's peak is that of its fastest library: all native backends are measured against the best of them. `wasm`
 * is measured against what its own instructions can do.
 */
export function samplesFor(
  samples: Samples,
  backends: readonly BenchBackend[],
  backend: BackendName,
  workers: number,
): readonly ProbeSample[] {
  const native = (of: BackendName) => of === 'blas' || of === 'onednn'
  const peers = native(backend) ? backends.map(({ name }) => name).filter(native) : [backend]
  const lists = peers.map(name => samples.get(`${name} ${workers}`) ?? [])
  return lists[0].map((_, turn) => ({
    gflops: Math.max(...lists.map(list => list[turn].gflops)),
    gbytes: Math.max(...lists.map(list => list[turn].gbytes)),
  }))
}

export function compareWith(seconds: Summary, samples: readonly ProbeSample[]): RooflineResult | null {
  if (samples.length === 0) return null
  const work = stepWork(REFERENCE_WIDTHS, REFERENCE_BATCH)
  const peak = summarise(samples.map(({ gflops }) => gflops))
  const bandwidth = summarise(samples.map(({ gbytes }) => gbytes))
  const typical = rooflineOf(work, { gflops: peak.median, gbytes: bandwidth.median })
  const best = rooflineOf(work, { gflops: peak.max, gbytes: bandwidth.max })
  const shares = { share: typical.seconds / seconds.median, bestShare: best.seconds / seconds.min }
  return { peak, bandwidth, typical, best, ...shares }
}

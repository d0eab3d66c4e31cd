/** The roofline of a step from what the machine was measured to do between the steps. Pure; main thread. */
import type { Variant } from './backends.js'
import type { ProbeSample } from './probe.js'
import { REFERENCE_BATCH, REFERENCE_WIDTHS } from './reference-network.js'
import { type Roofline, rooflineOf, stepWork } from './roofline.js'
import { type Summary, summarise } from './stats.js'

export interface RooflineResult {
  /** Medians over the turns, and the best of each. */
  readonly peak: Summary
  readonly bandwidth: Summary
  /** Share of the roofline by the medians, and by the best samples. */
  readonly typical: Roofline
  readonly best: Roofline
  /** Roofline / step: typical / median step, best / best step. */
  readonly share: number
  readonly bestShare: number
}

/** Rooflines by a variant's label and number of threads, one per turn. */
export type Samples = Map<`${string} ${number}`, readonly ProbeSample[]>

/**
 * The machine's peak is that of its fastest library: native backends of one precision are measured against the best of
 * them. `wasm`
 * is measured against what its own instructions can do.
 */
export function samplesFor(
  samples: Samples,
  variants: readonly Variant[],
  { label, name, precision }: Variant,
  workers: number,
): readonly ProbeSample[] {
  const native = (of: Variant['name']) => of === 'blas' || of === 'onednn'
  const peers = native(name)
    ? variants.filter(peer => native(peer.name) && peer.precision === precision).map(peer => peer.label)
    : [label]
  const lists = peers.map(peer => samples.get(`${peer} ${workers}`) ?? [])
  return lists[0].map((_, turn) => ({
    gflops: Math.max(...lists.map(list => list[turn].gflops)),
    gbytes: Math.max(...lists.map(list => list[turn].gbytes)),
  }))
}

export function compareWith(
  seconds: Summary,
  samples: readonly ProbeSample[],
  precision: Variant['precision'],
): RooflineResult | null {
  if (samples.length === 0) return null
  const work = stepWork(REFERENCE_WIDTHS, REFERENCE_BATCH, precision === 'bf16' ? 2 : 4)
  const peak = summarise(samples.map(({ gflops }) => gflops))
  const bandwidth = summarise(samples.map(({ gbytes }) => gbytes))
  const typical = rooflineOf(work, { gflops: peak.median, gbytes: bandwidth.median })
  const best = rooflineOf(work, { gflops: peak.max, gbytes: bandwidth.max })
  const shares = { share: typical.seconds / seconds.median, bestShare: best.seconds / seconds.min }
  return { peak, bandwidth, typical, best, ...shares }
}

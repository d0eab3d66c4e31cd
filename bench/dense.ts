/**
 * `npm run bench -- dense`: a training step of networks whose activations and deltas have no zeros to leave out, in f32 and
 * bf16, beside the dense roofline and PyTorch's step of the same network. Main thread; our steps run in the workers, theirs
 * in processes, in turns.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { type BackendName, chooseBackends, type Variant, variantLine, variantsOf } from './backends.js'
import { peerEnvironment } from './core-types.js'
import { bf16Missing } from './cpu.js'
import { type Lab, openLab, type Precision, REFERENCE_HIDDEN, stepSeconds } from './lab.js'
import { type Peer, PeerError, pythonCommand, startPeer } from './peer.js'
import { openProbe, type Probe, type ProbeSample } from './probe.js'
import { REFERENCE_BATCH, REFERENCE_L2, REFERENCE_WIDTHS } from './reference-network.js'
import type { Bar, Report, Say, Table } from './report.js'
import { type Summary, spread, summarise } from './stats.js'
import { compareWith, type RooflineResult } from './step-roofline.js'

export interface DenseOptions {
  /** Turns of each side, and steps in a turn after one that does not count. */
  readonly turns: number
  readonly steps: number
  readonly backend: BackendName
  readonly workers: number
}
export const DENSE_DEFAULTS: DenseOptions = { turns: 5, steps: 4, backend: 'onednn', workers: 2 }

const WARMUP_STEPS = 3
/** OpenBLAS's threads look for work for a while after their last, before they sleep. */
const PAUSE_MS = 100
const NETWORKS = ['gelu', 'gelu, batch norm'] as const
type Network = (typeof NETWORKS)[number]
const BARS = { f32: { roofline: 0.8, torch: 2.9 }, bf16: { roofline: 0.7, torch: 2.2 } } as const

interface Measured {
  readonly network: Network
  readonly variant: Variant
  /** Seconds of a step. */
  readonly ours: Summary
  readonly theirs: Summary | null
  readonly roofline: RooflineResult
}

export async function benchDense(options: DenseOptions, say: Say): Promise<Report> {
  const { backend, turns, steps } = options
  const { backends, skipped } = await chooseBackends([backend])
  const variants = variantsOf(backends, skipped)
  const measured: Measured[] = []
  for (const network of NETWORKS) {
    for (const variant of variants) {
      say(`dense: ${network}, ${variant.label}: ${turns} turns of ${steps} steps`)
      measured.push(await measure(network, variant, options, skipped))
    }
  }
  return {
    name: 'dense',
    title: `training step of ${REFERENCE_WIDTHS.join('-')} without zeros, batch ${REFERENCE_BATCH}, no dropout, Adam`,
    method: [
      `${WARMUP_STEPS} steps of warm-up, then ${turns} turns of ${steps} steps of each side after one that does not count; medians.`,
      ...variants.map(variantLine),
      'PyTorch: nn.Sequential with nn.GELU(approximate="tanh"), as many threads as gradloom has workers.',
      '"of the roofline": the longer of the arithmetic of the products at the measured peak and of the memory traffic, as in `step`, of our median.',
    ],
    tables: [table(measured)],
    charts: [],
    bars: measured.flatMap(barsOf),
    skipped,
    numbers: { options, results: measured },
  }
}

const openOurs = (network: Network, { name, precision }: Variant, workers: number): Promise<Lab> =>
  openLab({
    ...{ hidden: REFERENCE_HIDDEN, batchSize: REFERENCE_BATCH, l2: REFERENCE_L2, dropout: 0 },
    ...{ workers, precision, backend: name },
    more: { model: { activation: 'gelu', norm: network === 'gelu' ? 'none' : 'batch' } },
  })

/** PyTorch with the same network; null, and a reason in `skipped`, where it cannot. */
async function openTorch(
  network: Network,
  precision: Precision,
  workers: number,
  skipped: string[],
): Promise<Peer | null> {
  const missing = precision === 'bf16' ? bf16Missing() : null
  try {
    if (missing) throw new PeerError(`emulates its products: ${missing}`)
    const args = [
      ...['--widths', REFERENCE_WIDTHS.join(), '--batch', String(REFERENCE_BATCH), '--threads', String(workers)],
      ...['--dropout', '0', '--l2', String(REFERENCE_L2), '--activation', 'gelu', '--precision', precision],
      ...(network === 'gelu' ? [] : ['--norm', 'batch']),
    ]
    return await startPeer({ ...pythonCommand('torch-step.py', args), env: peerEnvironment() })
  } catch (error) {
    if (!(error instanceof PeerError)) throw error
    skipped.push(`PyTorch ${precision}, ${network}: ${error.message}`)
    return null
  }
}

async function measure(
  network: Network,
  variant: Variant,
  { turns, steps, workers }: DenseOptions,
  skipped: string[],
): Promise<Measured> {
  const { precision } = variant
  let probe: Probe | null = null
  let lab: Lab | null = null
  let peer: Peer | null = null
  try {
    probe = await openProbe(variant, workers)
    lab = await openOurs(network, variant, workers)
    peer = await openTorch(network, precision, workers, skipped)
    await lab.run(WARMUP_STEPS)
    const [ours, theirs]: [number[], number[]] = [[], []]
    const samples: ProbeSample[] = []
    for (let turn = 0; turn < turns; turn++) {
      await delay(PAUSE_MS)
      await lab.run(1)
      ours.push(...(await lab.run(1, steps, true)).flatMap(stepSeconds))
      samples.push(await probe.sample(workers))
      if (!peer) continue
      await peer.steps(1)
      theirs.push(...(await peer.steps(steps)))
    }
    const seconds = summarise(ours)
    const roofline = compareWith(seconds, samples, precision)
    if (!roofline) throw new RangeError('dense: turns is 0, expected at least 1')
    return { network, variant, ours: seconds, theirs: peer ? summarise(theirs) : null, roofline }
  } finally {
    await peer?.close()
    await lab?.close()
    await probe?.close()
  }
}

const timesOf = ({ ours, theirs }: Measured): number | null => theirs && theirs.median / ours.median

function barsOf(of: Measured): Bar[] {
  const { network, variant, roofline } = of
  const { label, precision } = variant
  const bars = BARS[precision]
  // The bars are about the network without normalisation.
  if (network !== 'gelu') return []
  return [
    {
      what: `${label}: share of the dense roofline`,
      got: roofline.share,
      want: bars.roofline,
      at: 'least',
      unit: 'percent',
    },
    {
      what: `${label}: speed relative to PyTorch ${precision}`,
      got: timesOf(of),
      want: bars.torch,
      at: 'least',
      unit: 'times',
    },
  ]
}

function table(measured: readonly Measured[]): Table {
  const ms = (seconds: number) => (1000 * seconds).toFixed(0)
  return {
    title: 'gradloom, PyTorch in the same turns, and the roofline',
    words: 2,
    head: [
      ...['network', 'backend', 'steps', 'median ms', 'spread', 'rows/s', 'PyTorch ms', 'its spread', 'ratio'],
      ...['GFLOP/s', 'GB/s', 'roofline ms', 'of the roofline', 'best of best'],
    ],
    rows: measured.map(of => {
      const { network, variant, ours, theirs, roofline } = of
      const times = timesOf(of)
      return [
        ...[network, variant.label, String(ours.count), ms(ours.median), `${(100 * spread(ours)).toFixed(1)} %`],
        (REFERENCE_BATCH / ours.median).toFixed(0),
        ...(theirs ? [ms(theirs.median), `${(100 * spread(theirs)).toFixed(1)} %`] : ['-', '-']),
        times === null ? '-' : `${times.toFixed(2)}x`,
        ...[roofline.peak.median.toFixed(0), roofline.bandwidth.median.toFixed(0), ms(roofline.typical.seconds)],
        ...[roofline.share, roofline.bestShare].map(share => `${(100 * share).toFixed(1)} %`),
      ]
    }),
  }
}

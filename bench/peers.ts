/**
 * `npm run bench -- peers`: a training step of the reference network here and in other software, of a smaller one where the other
 * cannot train it, on the same machine in the same minute. Main thread; our steps run in the workers, theirs in processes. One peer at a time, in turns with us:
 * whoever does not compute sleeps.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { GradloomError } from '../src/errors.js'
import type { BackendChoice } from './backends.js'
import { type CoreTrial, fastestCoreType, tryCoreTypes, unsetOpenBlas, withCoreType } from './core-types.js'
import { bf16Missing } from './cpu.js'
import { type Lab, openLab, type Precision, stepSeconds } from './lab.js'
import { PeerError, type PeerFacts, startPeer } from './peer.js'
import { REFERENCE_BATCH, REFERENCE_DROPOUT, REFERENCE_WIDTHS, referenceLab } from './reference-network.js'
import { type Bar, chartBar, type Report, type Say, type Table, workersText } from './report.js'
import { allRivals, PEER_NAMES, type PeerName, type Rival } from './rivals.js'
import { median, type Summary, spread, summarise } from './stats.js'
import type { Chart } from './svg.js'

export interface PeersOptions {
  readonly peers: readonly PeerName[]
  readonly backend: BackendChoice
  /** Turns of each side, and steps in a turn. */
  readonly turns: number
  readonly steps: number
  /** Turns of one step, of peers that take long for it. */
  readonly slowTurns: number
  readonly workers: number
}
export const PEERS_DEFAULTS: PeersOptions = {
  ...{ peers: PEER_NAMES, backend: 'auto', turns: 5, steps: 8, slowTurns: 2, workers: 2 },
}

const WARMUP_STEPS = 3
/** OpenBLAS's threads look for work for a while after their last, before they sleep. */
const PAUSE_MS = 100

/** One precision of gradloom beside a peer. */
interface Side {
  readonly precision: Precision
  readonly ours: Summary
  /** Speed-up over the peer: ratio of the medians, and lowest and highest ratio of any turn. */
  readonly ratio: { readonly medians: number; readonly lowest: number; readonly highest: number }
}

interface Measured {
  readonly peer: PeerName
  /** OPENBLAS_CORETYPE, "" if it was left to OpenBLAS; null: the peer does not use it. */
  readonly coreType: string | null
  readonly facts: PeerFacts
  /** Seconds of a step. */
  readonly theirs: Summary
  readonly sides: readonly Side[]
}

/** Ours in a precision, or why not. */
type Ours = { readonly precision: Precision } & ({ readonly lab: Lab } | { readonly missing: string })

export async function benchPeers(options: PeersOptions, say: Say): Promise<Report> {
  const { peers, turns, steps, slowTurns, workers } = options
  const rivals = allRivals().filter(({ name }) => peers.includes(name))
  const measured: Measured[] = []
  const skipped: string[] = []
  const ours: Ours[] = []
  let backend: string
  unsetOpenBlas()
  if (rivals.some(({ openBlas }) => openBlas)) say('peers: trying the core types of OpenBLAS')
  const trials = rivals.some(({ openBlas }) => openBlas) ? await tryCoreTypes(workers) : []
  try {
    const f32 = await openLab(referenceLab(workers, options.backend))
    ours.push({ precision: 'f32', lab: f32 })
    backend = f32.session.plan.backend
    if (rivals.some(({ bars }) => bars.bf16 !== undefined)) ours.push(await openBf16(options))
    for (const side of ours) {
      if ('lab' in side) await side.lab.run(WARMUP_STEPS)
      else skipped.push(`gradloom in ${side.precision}, and its bars: ${side.missing}`)
    }
    for (const rival of rivals) {
      try {
        measured.push(await withNetworkOf(rival, ours, options, sides => duel(rival, sides, options, trials, say)))
      } catch (error) {
        if (!(error instanceof PeerError)) throw error
        skipped.push([`${rival.title}: ${error.message}`, rival.note].filter(Boolean).join('; '))
      }
    }
  } finally {
    for (const side of ours) if ('lab' in side) await side.lab.close()
  }
  const charted = measured.filter(({ peer }) => !rivals.find(({ name }) => name === peer)?.hidden)
  return {
    name: 'peers',
    title: `training step of ${REFERENCE_WIDTHS.join('-')}, batch ${REFERENCE_BATCH}, dropout ${REFERENCE_DROPOUT}, Adam`,
    method: [
      `gradloom: ${backend} with ${workersText(workers)}, ${WARMUP_STEPS} steps of warm-up; peers: the same number of threads where they can, 1 to 3 steps.`,
      `In turns, gradloom then the peer: ${turns} turns of ${steps} steps after one that does not count, ${slowTurns} of 1 for ${slowNames(rivals)}; medians.`,
      'A step of gradloom: from its start until the last worker has finished; training calls the workers once for many steps.',
      '"spread": distance of the quartiles as a share of the median. "of any turn": ratio of the medians of one turn.',
      ...coreTypeNote(trials),
      ...measured.flatMap(({ peer }) => rivals.find(({ name }) => name === peer)?.note ?? []),
    ],
    tables: measured.length === 0 ? [] : [peerTable(measured), factTable(measured)],
    charts: charted.length === 0 ? [] : [peerChart(charted, backend, workers)],
    bars: rivals.flatMap(rival => barsOf(rival, measured, backend, workers)),
    skipped,
    numbers: { options, backend, results: measured },
  }
}

const coreTypeNote = (trials: readonly CoreTrial[]): string[] =>
  trials.length === 0
    ? []
    : [
        `OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE are unset; each peer runs with the core type whose product of its number type is the fastest and right: ${trials
          .map(({ name, f32, f64 }) => `${name || 'unset'} ${(1000 * f32).toFixed(1)} / ${(1000 * f64).toFixed(1)} ms`)
          .join(', ')} (f32 / f64).`,
      ]

const slowNames = (rivals: readonly Rival[]): string =>
  rivals
    .filter(({ slow }) => slow)
    .map(({ name }) => name)
    .join(' and ') || 'those that take long'

async function openBf16({ workers, backend }: PeersOptions): Promise<Ours> {
  const precision = 'bf16'
  const missing = bf16Missing()
  if (missing !== null) return { precision, missing }
  try {
    return { precision, lab: await openLab({ ...referenceLab(workers, backend), precision }) }
  } catch (error) {
    if (!(error instanceof GradloomError)) throw error
    return { precision, missing: error.message }
  }
}

function barsOf({ name, title, bars }: Rival, measured: readonly Measured[], backend: string, workers: number): Bar[] {
  const sides = measured.find(({ peer }) => peer === name)?.sides ?? []
  return (['f32', 'bf16'] as const).flatMap(precision => {
    const want = bars[precision]
    if (want === undefined) return []
    const got = sides.find(side => side.precision === precision)?.ratio.medians ?? null
    const what = `${backend} ${precision}, ${workersText(workers)}: speed relative to ${title}`
    return [{ what, got, want, at: 'least', unit: 'times' }]
  })
}

/** Our sides beside a rival: those of the reference network, or one of its own network in f32, which ends with the duel. */
async function withNetworkOf<T>(
  { hidden }: Rival,
  ours: readonly Ours[],
  { workers, backend }: PeersOptions,
  run: (ours: readonly Ours[]) => Promise<T>,
): Promise<T> {
  if (!hidden) return run(ours)
  const lab = await openLab({ ...referenceLab(workers, backend), hidden, dropout: 0 })
  try {
    await lab.run(WARMUP_STEPS)
    return await run([{ precision: 'f32', lab }])
  } finally {
    await lab.close()
  }
}

async function duel(
  rival: Rival,
  ours: readonly Ours[],
  options: PeersOptions,
  trials: readonly CoreTrial[],
  say: Say,
): Promise<Measured> {
  await rival.prepare(say)
  say(`peers: ${rival.title}: starting`)
  const coreType = rival.openBlas ? fastestCoreType(trials, rival.openBlas) : null
  const peer = await startPeer(withCoreType(rival.command(options.workers), coreType ?? ''), rival.patienceMs)
  try {
    const [turns, steps] = rival.slow ? [options.slowTurns, 1] : [options.turns, options.steps]
    say(`peers: ${rival.title}: ${turns} turns of ${steps}`)
    const labs = ours.flatMap(side => ('lab' in side ? [{ ...side, taken: [] as number[][] }] : []))
    const theirs: number[][] = []
    for (let turn = 0; turn < turns; turn++) {
      await delay(PAUSE_MS)
      for (const { lab, taken } of labs) {
        // Others have had the caches: neither side's first step of a turn counts.
        await lab.run(1)
        taken.push((await lab.run(1, options.steps, true)).flatMap(stepSeconds))
      }
      if (!rival.slow) await peer.steps(1)
      theirs.push(await peer.steps(steps))
    }
    const other = summarise(theirs.flat())
    const sides = labs.map(({ precision, taken }): Side => {
      const all = summarise(taken.flat())
      const ratios = summarise(theirs.map((seconds, turn) => median(seconds) / median(taken[turn])))
      return {
        ...{ precision, ours: all },
        ratio: { medians: other.median / all.median, lowest: ratios.min, highest: ratios.max },
      }
    })
    return { peer: rival.name, coreType, facts: peer.facts, theirs: other, sides }
  } finally {
    await peer.close()
  }
}

function peerTable(measured: readonly Measured[]): Table {
  const cells = (of: Summary) => [
    String(of.count),
    (1000 * of.median).toFixed(1),
    `${(100 * spread(of)).toFixed(1)} %`,
    (REFERENCE_BATCH / of.median).toFixed(0),
  ]
  const times = (ratio: number) => `${ratio.toFixed(2)}x`
  return {
    title: 'peers, then gradloom in the same turns',
    words: 2,
    head: [
      ...['peer', 'precision', 'steps', 'median ms', 'spread', 'rows/s'],
      ...['gradloom steps', 'median ms', 'spread', 'rows/s', 'ratio', 'of any turn'],
    ],
    rows: measured.flatMap(({ peer, theirs, sides }) =>
      sides.map(({ precision, ours, ratio }) => [
        ...[peer, precision],
        ...cells(theirs),
        ...cells(ours),
        times(ratio.medians),
        `${times(ratio.lowest)} to ${times(ratio.highest)}`,
      ]),
    ),
  }
}

function factTable(measured: readonly Measured[]): Table {
  return {
    title: 'versions and settings that the peers report',
    words: 5,
    head: ['peer', 'version', 'threads', 'core type', 'products by'],
    rows: measured.map(({ peer, coreType, facts }) => [
      ...[peer, facts.version, String(facts.threads ?? '?')],
      ...[coreType === null ? '-' : coreType || "OpenBLAS's choice", facts.blas],
    ]),
  }
}

/** Rows a second, so that the slowest does not squeeze all others. Our own rows are those beside the first peer. */
function peerChart(measured: readonly Measured[], backend: string, workers: number): Chart {
  const rate = ({ median: middle, low, high }: Summary) =>
    chartBar({ count: 0, min: 0, max: 0, median: 1 / middle, low: 1 / high, high: 1 / low }, REFERENCE_BATCH)
  const bars = [
    ...measured[0].sides.map(({ precision, ours }) => ({ name: `gradloom ${backend} ${precision}`, bar: rate(ours) })),
    ...measured.map(({ peer, theirs }) => ({ name: peer, bar: rate(theirs) })),
  ]
  return {
    title: `Training the reference network, ${workersText(workers)} or threads`,
    axis: 'rows per second',
    better: 'higher',
    groups: bars.map(({ name }) => name),
    series: [{ name: 'rows per second', bars: bars.map(({ bar }) => bar) }],
  }
}

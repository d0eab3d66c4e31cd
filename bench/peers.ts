/**
 * `npm run bench -- peers`: a training step of the reference network here and in other software, on the same machine in
 * the same minute. Main thread; our steps run in the workers, theirs in processes. One peer at a time, in turns with us:
 * whoever does not compute sleeps.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { type Lab, openLab } from './lab.js'
import {
  installTfjs,
  numpyCommand,
  type PeerCommand,
  PeerError,
  type PeerFacts,
  startPeer,
  tfjsCommand,
} from './peer.js'
import {
  REFERENCE_BATCH,
  REFERENCE_DROPOUT,
  REFERENCE_L2,
  REFERENCE_WIDTHS,
  referenceLab,
} from './reference-network.js'
import type { Bar, Report, Say, Table } from './report.js'
import { median, type Summary, spread, summarise } from './stats.js'

export const PEER_NAMES = ['tfjs', 'numpy', 'numpy-blocked'] as const
export type PeerName = (typeof PEER_NAMES)[number]

export interface PeersOptions {
  readonly peers: readonly PeerName[]
  /** Turns of each side, and steps in a turn. */
  readonly turns: number
  readonly steps: number
  /** TensorFlow.js takes a quarter of a minute for a step: so many turns of one. */
  readonly tfjsTurns: number
  readonly workers: number
}
export const PEERS_DEFAULTS: PeersOptions = { peers: PEER_NAMES, turns: 5, steps: 4, tfjsTurns: 2, workers: 2 }

const WARMUP_STEPS = 3
/** OpenBLAS's threads look for work for a while after their last, before they sleep. */
const PAUSE_MS = 100

interface Rival {
  readonly name: PeerName
  readonly title: string
  /** Null: shown, but no promise is made about it. */
  readonly bar: number | null
  prepare(say: Say): Promise<void>
  command(args: readonly string[]): PeerCommand
}

const nothing = async () => {}
const RIVALS: readonly Rival[] = [
  { name: 'tfjs', title: 'tfjs-backend-wasm', bar: 15, prepare: installTfjs, command: tfjsCommand },
  {
    ...{ name: 'numpy', title: 'NumPy float64', bar: 1.35, prepare: nothing },
    command: args => numpyCommand([...args, '--block', '0']),
  },
  {
    name: 'numpy-blocked',
    title: 'NumPy float64, update in blocks',
    bar: null,
    prepare: nothing,
    command: numpyCommand,
  },
]

interface Measured {
  readonly peer: PeerName
  readonly facts: PeerFacts
  /** Seconds of a step. */
  readonly theirs: Summary
  readonly ours: Summary
  /** How many times as fast as the peer: of the medians, and the lowest and highest of any turn. */
  readonly ratio: { readonly medians: number; readonly lowest: number; readonly highest: number }
}

export async function benchPeers(options: PeersOptions, say: Say): Promise<Report> {
  const { peers, turns, steps, tfjsTurns, workers } = options
  const measured: Measured[] = []
  const skipped: string[] = []
  const lab = await openLab(referenceLab(workers))
  try {
    await lab.run(WARMUP_STEPS)
    for (const rival of RIVALS.filter(({ name }) => peers.includes(name))) {
      try {
        measured.push(await duel(rival, lab, options, say))
      } catch (error) {
        if (!(error instanceof PeerError)) throw error
        skipped.push(`${rival.title}: ${error.message}`)
      }
    }
  } finally {
    await lab.close()
  }
  const bars = RIVALS.flatMap(({ name, title, bar }): Bar[] => {
    if (bar === null || !peers.includes(name)) return []
    const got = measured.find(({ peer }) => peer === name)?.ratio.medians ?? null
    return [{ what: `times as fast as ${title}`, got, want: bar, at: 'least', unit: 'times' }]
  })
  return {
    name: 'peers',
    title: `training step of ${REFERENCE_WIDTHS.join('-')}, batch ${REFERENCE_BATCH}, dropout ${REFERENCE_DROPOUT}, Adam`,
    method: [
      `Ours: wasm with ${workers} workers, ${WARMUP_STEPS} steps of warm-up; peers: the same number of threads where they can, 1 step.`,
      `In turns, ours then theirs: ${turns} turns of ${steps} steps, ${tfjsTurns} of 1 for tfjs (which takes long); medians.`,
      '"spread": distance of the quartiles as a share of the median. "of any turn": ratio of the medians of one turn.',
    ],
    tables: measured.length === 0 ? [] : [peerTable(measured), factTable(measured)],
    bars,
    skipped,
    numbers: { options: { peers, turns, steps, tfjsTurns, workers }, results: measured },
  }
}

async function duel(rival: Rival, lab: Lab, options: PeersOptions, say: Say): Promise<Measured> {
  await rival.prepare(say)
  say(`peers: ${rival.title}: starting`)
  const peer = await startPeer(rival.command(peerArguments(options.workers)))
  try {
    const [turns, steps] = rival.name === 'tfjs' ? [options.tfjsTurns, 1] : [options.turns, options.steps]
    say(`peers: ${rival.title}: ${turns} turns of ${steps}`)
    const ours: number[][] = []
    const theirs: number[][] = []
    for (let turn = 0; turn < turns; turn++) {
      await delay(PAUSE_MS)
      ours.push((await lab.run(options.steps)).map(({ seconds }) => seconds))
      theirs.push(await peer.steps(steps))
    }
    const [all, other] = [summarise(ours.flat()), summarise(theirs.flat())]
    const ratios = summarise(theirs.map((taken, turn) => median(taken) / median(ours[turn])))
    return {
      ...{ peer: rival.name, facts: peer.facts, theirs: other, ours: all },
      ratio: { medians: other.median / all.median, lowest: ratios.min, highest: ratios.max },
    }
  } finally {
    await peer.close()
  }
}

const peerArguments = (threads: number): string[] => [
  ...['--widths', REFERENCE_WIDTHS.join(',')],
  ...['--batch', String(REFERENCE_BATCH)],
  ...['--threads', String(threads)],
  ...['--dropout', String(REFERENCE_DROPOUT)],
  ...['--l2', String(REFERENCE_L2)],
  ...['--warmup', '1'],
]

function peerTable(measured: readonly Measured[]): Table {
  const side = (of: Summary) => [
    String(of.count),
    (1000 * of.median).toFixed(0),
    `${(100 * spread(of)).toFixed(1)} %`,
    (REFERENCE_BATCH / of.median).toFixed(0),
  ]
  const times = (ratio: number) => `${ratio.toFixed(2)}x`
  return {
    title: 'theirs, then ours in the same turns',
    words: 1,
    head: [
      ...['peer', 'steps', 'median ms', 'spread', 'rows/s'],
      ...['our steps', 'median ms', 'spread', 'rows/s', 'ratio', 'of any turn'],
    ],
    rows: measured.map(({ peer, theirs, ours, ratio }) => [
      peer,
      ...side(theirs),
      ...side(ours),
      times(ratio.medians),
      `${times(ratio.lowest)} to ${times(ratio.highest)}`,
    ]),
  }
}

function factTable(measured: readonly Measured[]): Table {
  return {
    title: 'what the peers say they are',
    words: 4,
    head: ['peer', 'version', 'threads', 'products by'],
    rows: measured.map(({ peer, facts }) => [peer, facts.version, String(facts.threads ?? '?'), facts.blas]),
  }
}

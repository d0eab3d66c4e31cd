/**
 * `npm run bench -- conv`: a training step of networks with convolutions in every backend, with 1 and 2 workers, beside PyTorch in
 * both of its memory formats and TensorFlow.js. Main thread; our steps run in the workers, theirs in processes, in turns: whoever does not
 * compute sleeps.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { ExperimentInput } from '../src/config/schema.js'
import { type BackendName, backendLine, chooseBackends } from './backends.js'
import { type CoreTrial, fastestCoreType, tryCoreTypes, unsetOpenBlas, withCoreType } from './core-types.js'
import { type Lab, openLab, stepSeconds } from './lab.js'
import { installPeer, type Peer, type PeerCommand, PeerError, pythonCommand, startPeer, tfjsCommand } from './peer.js'
import { type Bar, type Report, type Say, type Table, workersText } from './report.js'
import { type Summary, spread, summarise } from './stats.js'

export interface ConvOptions {
  readonly backends: readonly BackendName[]
  readonly workers: readonly number[]
  /** Turns of each side, and steps in a turn after one that does not count. */
  readonly turns: number
  readonly steps: number
  /** Turns of one step, of TensorFlow.js. */
  readonly slowTurns: number
  readonly peers: readonly ConvPeer[]
}
export const CONV_PEERS = ['torch-nchw', 'torch-nhwc', 'tfjs-wasm', 'tfjs-cpu'] as const
export type ConvPeer = (typeof CONV_PEERS)[number]
export const CONV_DEFAULTS: ConvOptions = {
  ...{ backends: [], workers: [1, 2], turns: 5, steps: 3, slowTurns: 2 },
  peers: CONV_PEERS.filter(peer => peer !== 'tfjs-cpu'),
}

const BATCH = 128
const WARMUP_STEPS = 2
/** OpenBLAS's threads look for work for a while after their last, before they sleep. */
const PAUSE_MS = 100
/** A step of TensorFlow.js in plain JavaScript takes minutes. */
const SLOW_PATIENCE_MS = 900_000
const BARS = { torch: 1.1, tfjs: 20, wasmToTfjs: 8, workers: 1.85 } as const

interface Network {
  readonly name: string
  readonly model: NonNullable<ExperimentInput['model']>
  /** Convolutions as the peers' scripts take them. */
  readonly convolutions: string
  readonly norm: 'none' | 'batch'
  readonly peers: readonly ConvPeer[]
}

const HIDDEN = 128
/** The network that the bars are about, and one with batch normalisation like those of configs, without dropout and augmentation. */
const NETWORKS: readonly Network[] = [
  {
    name: '32-64p',
    model: { convolutions: [{ filters: 32 }, { filters: 64, pool: { size: 2 } }] },
    ...{ convolutions: '32,64p', norm: 'none', peers: CONV_PEERS },
  },
  {
    name: '32-32p-64-64p, batch norm',
    model: {
      convolutions: [
        { filters: 32 },
        { filters: 32, pool: { size: 2 } },
        { filters: 64 },
        { filters: 64, pool: { size: 2 } },
      ],
      norm: 'batch',
    },
    ...{ convolutions: '32,32p,64,64p', norm: 'batch', peers: ['torch-nchw', 'torch-nhwc'] },
  },
]

/** One side of a row: ours with a backend and a number of workers, or a peer. */
interface Side {
  readonly name: string
  readonly backend: BackendName | null
  readonly peer: ConvPeer | null
  readonly workers: number
  readonly seconds: Summary
}
interface Measured {
  readonly network: Network
  readonly sides: readonly Side[]
}

export async function benchConv(options: ConvOptions, say: Say): Promise<Report> {
  const { turns, steps, slowTurns } = options
  const { backends, skipped } = await chooseBackends(options.backends)
  unsetOpenBlas()
  say('conv: trying the core types of OpenBLAS')
  const trials = options.peers.some(isTorch) ? await tryCoreTypes(Math.max(...options.workers)) : []
  const names = backends.map(({ name }) => name)
  const measured: Measured[] = []
  for (const network of NETWORKS) measured.push(await measure(network, names, options, trials, skipped, say))
  return {
    name: 'conv',
    title: `training step of networks with convolutions, 28 x 28 x 1, 3 x 3, ${HIDDEN} hidden units, batch ${BATCH}, f32, Adam`,
    method: [
      `${WARMUP_STEPS} steps of warm-up, then ${turns} turns of ${steps} steps of each side after one that does not count; medians. TensorFlow.js: ${slowTurns} turns of 1.`,
      '32-64p: convolutions of 32 and 64 filters, max pooling of 2 x 2 after the second. gradloom trains on the embedded digits, the others on random pictures.',
      ...backends.map(backendLine),
      `PyTorch: nhwc is torch.channels_last; OPENBLAS_CORETYPE is ${fastestCoreType(trials, 'f32') || 'unset'}, the fastest here.`,
      'TensorFlow.js cannot train convolutions with wasm: it has no kernel Conv2DBackpropFilter. tfjs-wasm has one that is made of its slices, transpositions and products; tfjs-cpu is its backend in JavaScript, as it is (only with --peers).',
    ],
    tables: measured.map(table),
    charts: [],
    bars: barsOf(measured[0]),
    skipped,
    numbers: { options, results: measured },
  }
}

const isTorch = (peer: ConvPeer): boolean => peer.startsWith('torch')

const openOurs = ({ model }: Network, backend: BackendName, workers: number): Promise<Lab> =>
  openLab({
    ...{ hidden: [HIDDEN], batchSize: BATCH, dropout: 0, l2: 0, workers, backend },
    more: { model },
  })

function peerCommand(peer: ConvPeer, { convolutions, norm }: Network, threads: number): PeerCommand {
  const [program, form] = peer.split('-')
  const args = ['--convolutions', convolutions, '--hidden', String(HIDDEN), '--batch', String(BATCH)]
  if (program === 'tfjs') {
    return tfjsCommand([...args, '--backend', form, '--warmup', form === 'cpu' ? '0' : '1'], 'conv.mjs')
  }
  return pythonCommand('torch-conv.py', [...args, '--threads', String(threads), '--memory', form, '--norm', norm])
}

async function openPeer(peer: ConvPeer, network: Network, threads: number, coreType: string, say: Say): Promise<Peer> {
  if (!isTorch(peer)) await installPeer('tfjs', say)
  say(`conv: ${network.name}: ${peer}: starting`)
  const command = peerCommand(peer, network, threads)
  return isTorch(peer) ? startPeer(withCoreType(command, coreType)) : startPeer(command, SLOW_PATIENCE_MS)
}

async function measure(
  network: Network,
  backends: readonly BackendName[],
  options: ConvOptions,
  trials: readonly CoreTrial[],
  skipped: string[],
  say: Say,
): Promise<Measured> {
  const { turns, steps, slowTurns } = options
  const labs: { backend: BackendName; workers: number; lab: Lab; taken: number[] }[] = []
  const peers: { name: ConvPeer; peer: Peer; taken: number[] }[] = []
  const threads = Math.max(...options.workers)
  const coreType = fastestCoreType(trials, 'f32')
  try {
    for (const backend of backends) {
      for (const workers of options.workers) {
        labs.push({ backend, workers, lab: await openOurs(network, backend, workers), taken: [] })
      }
    }
    for (const name of network.peers.filter(peer => options.peers.includes(peer))) {
      try {
        peers.push({ name, peer: await openPeer(name, network, threads, coreType, say), taken: [] })
      } catch (error) {
        if (!(error instanceof PeerError)) throw error
        skipped.push(`${network.name}: ${name}: ${error.message}`)
      }
    }
    for (const { lab } of labs) await lab.run(WARMUP_STEPS)
    for (let turn = 0; turn < turns; turn++) {
      say(`conv: ${network.name}: turn ${turn + 1} of ${turns}`)
      for (const { lab, taken } of labs) {
        await delay(PAUSE_MS)
        await lab.run(1)
        taken.push(...(await lab.run(1, steps, true)).flatMap(stepSeconds))
      }
      for (const { name, peer, taken } of peers) {
        await delay(PAUSE_MS)
        if (!isTorch(name)) {
          if (turn < slowTurns) taken.push(...(await peer.steps(1)))
          continue
        }
        await peer.steps(1)
        taken.push(...(await peer.steps(steps)))
      }
    }
  } finally {
    for (const { peer } of peers) await peer.close()
    for (const { lab } of labs) await lab.close()
  }
  return {
    network,
    sides: [
      ...labs.map(({ backend, workers, taken }) => ({
        ...{ name: `gradloom ${backend}`, backend, peer: null, workers },
        seconds: summarise(taken),
      })),
      ...peers.map(({ name, peer, taken }) => ({
        ...{ name: `${name} ${peer.facts.version}`, backend: null, peer: name, workers: peer.facts.threads ?? 1 },
        seconds: summarise(taken),
      })),
    ],
  }
}

const fastest = (sides: readonly Side[]): Side | null =>
  sides.reduce<Side | null>((best, side) => (best && best.seconds.median <= side.seconds.median ? best : side), null)

/** Ratio of the medians. */
const times = (slow: Side | null | undefined, fast: Side | null | undefined): number | null =>
  slow && fast ? slow.seconds.median / fast.seconds.median : null

function barsOf({ network, sides }: Measured): Bar[] {
  const ours = sides.filter(({ backend }) => backend !== null)
  const most = Math.max(...ours.map(({ workers }) => workers))
  const wide = ours.filter(({ workers }) => workers === most)
  const [best, wasm] = [fastest(wide), wide.find(({ backend }) => backend === 'wasm')]
  const torch = fastest(sides.filter(({ peer }) => peer !== null && isTorch(peer)))
  const tfjs = sides.find(({ peer }) => peer === 'tfjs-wasm')
  const bar = (what: string, got: number | null, want: number): Bar => ({
    ...{ what: `${network.name}: ${what}`, got, want },
    ...{ at: 'least', unit: 'times' },
  })
  const who = `${best!.backend}, ${workersText(most)}`
  return [
    bar(`${who}: speed relative to PyTorch f32`, times(torch, best), BARS.torch),
    bar(`${who}: speed relative to tfjs-wasm`, times(tfjs, best), BARS.tfjs),
    ...(wasm
      ? [bar(`wasm, ${workersText(most)}: speed relative to tfjs-wasm`, times(tfjs, wasm), BARS.wasmToTfjs)]
      : []),
    ...wide.flatMap(side => {
      const one = ours.find(({ backend, workers }) => backend === side.backend && workers === 1)
      return one && most === 2 ? [bar(`${side.backend}: 2 workers relative to 1`, times(one, side), BARS.workers)] : []
    }),
  ]
}

function table({ network, sides }: Measured): Table {
  const torch = fastest(sides.filter(({ peer }) => peer !== null && isTorch(peer)))
  return {
    title: network.name,
    words: 1,
    head: ['', 'threads', 'steps', 'median ms', 'spread', 'rows/s', 'best ms', 'relative to PyTorch'],
    rows: sides.map(side => {
      const { name, workers, seconds } = side
      const ratio = times(torch, side)
      return [
        ...[name, String(workers), String(seconds.count), (1000 * seconds.median).toFixed(1)],
        ...[`${(100 * spread(seconds)).toFixed(1)} %`, (BATCH / seconds.median).toFixed(0)],
        (1000 * seconds.min).toFixed(1),
        ratio === null ? '-' : `${ratio.toFixed(2)}x`,
      ]
    }),
  }
}

/** The peers that `bench peers` can race: how to start each, and what is promised about it. Main thread. */
import { bf16Missing } from './cpu.js'
import type { Precision } from './lab.js'
import { installPeer, type PeerCommand, pythonCommand, tfjsCommand } from './peer.js'
import { REFERENCE_BATCH, REFERENCE_DROPOUT, REFERENCE_L2, REFERENCE_WIDTHS } from './reference-network.js'
import type { Say } from './report.js'

export const PEER_NAMES = ['torch', 'torch-bf16', 'tfjs', 'numpy', 'numpy-blocked', 'sklearn'] as const
export type PeerName = (typeof PEER_NAMES)[number]

export interface Rival {
  readonly name: PeerName
  readonly title: string
  /** Minimum speed-up by gradloom's precision; without one the ratio is shown without a bar. */
  readonly bars: Readonly<Partial<Record<Precision, number>>>
  /** A step takes so long that a turn has one, and there are few turns. */
  readonly slow: boolean
  readonly patienceMs?: number
  /** Hidden units of the network that both train in the reference network's place: ReLU, no dropout. */
  readonly hidden?: readonly number[]
  /** Note about the peer's numbers. */
  readonly note?: string
  /** Number type of its products by OpenBLAS; undefined: it has none. */
  readonly openBlas?: 'f32' | 'f64'
  prepare(say: Say): Promise<void>
  command(threads: number): PeerCommand
}

/** Network that scikit-learn's MLPClassifier trains in a few milliseconds a step; it has no dropout. */
const SMALL_HIDDEN = [512, 256]
const SMALL_WIDTHS = [784, ...SMALL_HIDDEN, 10]
/** An emulated step may take a while, or for ever: a minute is what it gets to start, and for each step. */
const EMULATION_PATIENCE_MS = 60_000

const networkArguments = (threads: number): string[] => [
  ...['--widths', REFERENCE_WIDTHS.join(',')],
  ...['--batch', String(REFERENCE_BATCH)],
  ...['--threads', String(threads)],
  ...['--dropout', String(REFERENCE_DROPOUT)],
  ...['--l2', String(REFERENCE_L2)],
]
const WARM = ['--warmup', '1']
const nothing = async () => {}

/** The quick ones first. */
export function allRivals(): Rival[] {
  const missing = bf16Missing()
  return [
    {
      ...{ name: 'torch', title: 'PyTorch f32', bars: { f32: 2.2, bf16: 6.5 }, slow: false, prepare: nothing },
      openBlas: 'f32',
      command: threads => pythonCommand('torch-step.py', networkArguments(threads)),
    },
    {
      ...{ name: 'torch-bf16', title: 'PyTorch bf16', bars: { bf16: 4.5 }, slow: missing !== null, prepare: nothing },
      openBlas: 'f32',
      ...(missing !== null && {
        patienceMs: EMULATION_PATIENCE_MS,
        note: `PyTorch bf16 emulates its products: ${missing}.`,
      }),
      command(threads) {
        // Measure one form of Adam here: the difference is small beside emulated products, and finding the faster would take minutes.
        const args = missing === null ? [] : ['--adam', 'plain', ...WARM]
        return pythonCommand('torch-step.py', [...networkArguments(threads), '--precision', 'bf16', ...args])
      },
    },
    {
      ...{ name: 'numpy', title: 'NumPy float64', bars: { f32: 1.35 }, slow: false, prepare: nothing },
      openBlas: 'f64',
      command: threads => pythonCommand('numpy-step.py', [...networkArguments(threads), ...WARM, '--block', '0']),
    },
    {
      ...{ name: 'numpy-blocked', title: 'NumPy float64, update in blocks', bars: {}, slow: false, prepare: nothing },
      openBlas: 'f64',
      command: threads => pythonCommand('numpy-step.py', [...networkArguments(threads), ...WARM]),
    },
    {
      ...{ name: 'sklearn', title: "scikit-learn's MLPClassifier", bars: {}, slow: false, prepare: nothing },
      ...{ openBlas: 'f32', hidden: SMALL_HIDDEN },
      note: `scikit-learn, and we beside it, train ${SMALL_WIDTHS.join('-')} without dropout; its steps are an epoch of that many mini-batches, divided by their number.`,
      command: threads =>
        pythonCommand('sklearn-step.py', [
          ...['--widths', SMALL_WIDTHS.join(','), '--batch', String(REFERENCE_BATCH), '--threads', String(threads)],
        ]),
    },
    {
      ...{
        name: 'tfjs',
        title: 'tfjs-backend-wasm',
        bars: { f32: 15 },
        slow: true,
        prepare: say => installPeer('tfjs', say),
      },
      command: threads => tfjsCommand([...networkArguments(threads), ...WARM]),
    },
  ]
}

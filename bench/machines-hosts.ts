/**
 * `npm run bench -- machines --gbits 10 1`: a training step of the reference network over two ranks on two hosts (network namespaces of this
 * machine, as root) whose link is limited, beside the time that the model of docs/machines.md predicts. Main thread.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MOST_WAVES } from '../src/worker/plan/waves.js'
import { copyRuns } from '../src/worker/program/regions.js'
import { TwoHosts } from '../test/helpers/hosts.js'
import { finished, MAIN, type MachinesOptions, Trainings, writeData } from './machines.js'
import { REFERENCE_WIDTHS } from './reference-network.js'
import type { Report, Say } from './report.js'
import { mean, median, spread, summarise } from './stats.js'

export interface HostsOptions extends MachinesOptions {
  /** Gigabits per second that each host may send. */
  readonly gbits: readonly number[]
}

/** Most that a measured step may differ from the predicted one. */
const MOST_DIFFERENCE = 0.15
const RANKS = 2

interface Measured {
  readonly batch: number
  readonly gbits: number
  /** As `doctor` measures it between the ranks. */
  readonly bytesPerMs: number
  /** The same of a link without a limit, where the processors' time is all that counts. */
  readonly processedPerMs: number
  /** Time of an exchange of next to nothing, as workers see it. */
  readonly handOverMs: number
  readonly bytes: number
  /** Share of a step that computes gradients and updates. */
  readonly updateShare: number
  readonly turns: readonly Turn[]
}

/** Measurements made one right after the other: the pace of a machine that others use changes within minutes. */
interface Turn {
  /** A step on a host by itself, divided by the hosts. */
  readonly aloneMs: number
  /** Bytes that a thread copies in a millisecond, as exchanges copy tiles. */
  readonly copiedPerMs: number
  readonly ms: number
}

export async function benchHosts(options: HostsOptions, say: Say): Promise<Report> {
  const { mpi, batches, turns, steps, gbits, backend } = options
  const dir = mkdtempSync(join(tmpdir(), 'gradloom-bench-hosts-'))
  const results: Measured[] = []
  let hosts: TwoHosts | undefined
  try {
    hosts = new TwoHosts()
    writeData(dir, steps * Math.max(...batches))
    const trainings = new Trainings(dir, backend)
    const launcher = hosts.launch(mpi, RANKS)
    const processedPerMs = await bandwidthOf(launcher)
    for (const batch of batches) {
      for (const rate of gbits) {
        hosts.limit(1e9 * rate)
        say(`machines: batch ${batch}, ${rate} Gbit/s, small exchanges`)
        const handOverMs = await handOver(trainings, batch, launcher)
        const bytesPerMs = await bandwidthOf(launcher)
        const measured: Turn[] = []
        const shares: number[] = []
        let bytes = 0
        for (let turn = 0; turn < turns; turn++) {
          say(`machines: batch ${batch}, ${rate} Gbit/s, turn ${turn + 1} of ${turns}`)
          // Both hosts are this machine, and slow each other down: so do these, which exchange nothing.
          const alone = await Promise.all(Array.from({ length: RANKS }, () => trainings.run(batch, 1, [])))
          shares.push(mean(alone.map(({ updateShare }) => updateShare)))
          const over = await trainings.run(batch, 1, launcher)
          bytes = over.bytes
          const aloneMs = mean(alone.map(({ stepMs }) => stepMs)) / RANKS
          measured.push({ aloneMs, copiedPerMs: copySpeed(), ms: over.stepMs })
        }
        const link = { bytesPerMs, processedPerMs, handOverMs }
        results.push({ batch, gbits: rate, ...link, bytes, updateShare: median(shares), turns: measured })
      }
    }
  } finally {
    hosts?.close()
    rmSync(dir, { recursive: true, force: true })
  }
  return reportOf(options, results)
}

/** Bytes that a rank gets in a millisecond of a large exchange, as the ranks themselves measure it. */
async function bandwidthOf(launcher: readonly string[]): Promise<number> {
  const [program, ...args] = [...launcher, process.execPath, MAIN, 'doctor', '--json']
  const report = JSON.parse(await finished(program, args)) as { mpi: { ranks: { bytesPerSecond: number } } }
  return report.mpi.ranks.bytesPerSecond / 1000
}

/** Hidden layers of the network, and exchanges of a step: outputs and deltas of each but the deltas of the last, which come with the loss; loss; weights. */
const HIDDEN = REFERENCE_WIDTHS.length - 2
const EXCHANGES_OF_PASSES = 2 * HIDDEN
/** Widths of a network as deep, whose exchanges take the time of the threads alone: a worker asks, ranks meet, a worker wakes. */
const NARROW = REFERENCE_WIDTHS.map((width, l) => (l === 0 || l > HIDDEN ? width : 16))

async function handOver(trainings: Trainings, batch: number, launcher: readonly string[]): Promise<number> {
  const times = async (of: readonly string[]) => {
    const runs: number[] = []
    for (let i = 0; i < HAND_OVER_RUNS; i++) runs.push((await trainings.run(batch, 1, of, NARROW)).stepMs)
    return median(runs)
  }
  return Math.max(0, (await times(launcher)) - (await times([]))) / (EXCHANGES_OF_PASSES + 1)
}

const HAND_OVER_RUNS = 3

/** Speed of copies of tiles from a matrix that is in no cache. */
function copySpeed(): number {
  const words = COPIED_BYTES / 4
  const memory = new Int32Array(new SharedArrayBuffer(2 * COPIED_BYTES)).fill(1)
  const tiles = words / TILE_SIDE ** 2
  const times = Array.from({ length: COPY_TURNS }, () => {
    const started = performance.now()
    for (let tile = 0; tile < tiles; tile++) {
      const row = Math.floor(tile / TILES_BESIDE) * TILE_SIDE
      const first = (row * TILES_BESIDE + (tile % TILES_BESIDE)) * TILE_SIDE
      copyRuns(memory, [first, TILE_SIDE, TILE_SIDE * TILES_BESIDE, TILE_SIDE], words + tile * TILE_SIDE ** 2, false)
    }
    return performance.now() - started
  })
  return COPIED_BYTES / median(times)
}

const COPIED_BYTES = 2 ** 27
const COPY_TURNS = 5
const TILE_SIDE = 256
const TILES_BESIDE = 8

/**
 * time = T / N + bytes / bandwidth + 2 · bytes / copied + (2 · L + W) · handed - hidden, with
 * hidden = (1 - 1 / W) · min(update, weights / bandwidth - weights / processed): while the processors exchange, they do not compute.
 */
function predictedMs({ batch, updateShare, bytes, ...rates }: Measured, { aloneMs, copiedPerMs }: Turn): number {
  const { bytesPerMs, processedPerMs, handOverMs } = rates
  const units = REFERENCE_WIDTHS.slice(1, -1).reduce((sum, width) => sum + width, 0)
  const rows = 4 * batch * (2 * units + REFERENCE_WIDTHS[HIDDEN + 1]) * (1 - 1 / RANKS)
  const weights = bytes - rows
  const idle = Math.max(0, weights / bytesPerMs - weights / processedPerMs)
  const hidden = (1 - 1 / MOST_WAVES) * Math.min(updateShare * aloneMs, idle)
  const exchanges = (EXCHANGES_OF_PASSES + MOST_WAVES) * handOverMs
  return aloneMs + bytes / bytesPerMs + (2 * bytes) / copiedPerMs + exchanges - hidden
}

/** Measured beside predicted, turn by turn: the median. */
const differenceOf = (result: Measured): number =>
  median(result.turns.map(turn => turn.ms / predictedMs(result, turn))) - 1

function reportOf(options: HostsOptions, results: readonly Measured[]): Report {
  const { mpi, turns, steps, backend } = options
  return {
    name: 'machines-hosts',
    title: `training ${REFERENCE_WIDTHS.join('-')} on two hosts of one worker each (network namespaces, tbf), ${mpi}, f32, ${backend}`,
    method: [
      `${turns} turns of each side, one after the other, each a run of its own of ${steps} steps an epoch, the first epoch a warm-up; medians over the turns, of which each is predicted by itself.`,
      '  Predicted by docs/machines.md: half the step of one process of one worker beside another one, as both hosts are this machine, + bytes that a',
      '  rank got in a step / bandwidth, which the ranks have measured, + two copies of these bytes, + the time of small exchanges, as measured with a',
      '  narrow network, - what travels while weights are updated. "spread": between the quartiles.',
    ],
    tables: [
      {
        title: 'milliseconds of a step',
        words: 0,
        head: [
          'batch',
          'Gbit/s',
          'measured GB/s',
          'no limit GB/s',
          'copies GB/s',
          'hand-over ms',
          'MB',
          'half a step alone',
          'predicted',
          'two hosts',
          'spread',
          'difference',
        ],
        rows: results.map(result => {
          const { batch, gbits, bytesPerMs, processedPerMs, handOverMs, bytes, turns } = result
          const of = (what: (turn: Turn) => number) => turns.map(what)
          const copied = median(of(({ copiedPerMs }) => copiedPerMs))
          const rates = [bytesPerMs / 1e6, processedPerMs / 1e6, copied / 1e6, handOverMs]
          const ms = of(turn => turn.ms)
          const steps = [of(({ aloneMs }) => aloneMs), of(turn => predictedMs(result, turn)), ms].map(median)
          return [
            ...[String(batch), String(gbits)],
            ...rates.map(value => value.toFixed(3)),
            ...[bytes / 1e6, ...steps].map(value => value.toFixed(1)),
            ...[spread(summarise(ms)), differenceOf(result)].map(share => `${(100 * share).toFixed(1)} %`),
          ]
        }),
      },
    ],
    charts: [],
    bars: results.map(result => ({
      what: `batch ${result.batch}, ${result.gbits} Gbit/s: difference from the model of the cost`,
      got: Math.abs(differenceOf(result)),
      want: MOST_DIFFERENCE,
      at: 'most',
      unit: 'percent',
    })),
    skipped: [],
    numbers: { options, results },
  }
}

/**
 * `npm run bench -- machines --gbits 10 1`: a training step of the reference network over two ranks on two hosts (network namespaces of this
 * machine, as root) whose link is limited, beside the time that the model of docs/machines.md predicts. Main thread.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { TwoHosts } from '../test/helpers/hosts.js'
import { finished, MAIN, type MachinesOptions, Trainings, writeData } from './machines.js'
import { REFERENCE_WIDTHS } from './reference-network.js'
import type { Report, Say } from './report.js'
import { median, spread, summarise } from './stats.js'

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
  readonly latencyMs: number
  /** Bytes that a thread copies in a millisecond, from memory to memory. */
  readonly copiedPerMs: number
  readonly bytes: number
  readonly aloneMs: readonly number[]
  readonly ms: readonly number[]
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
    for (const batch of batches) {
      for (const rate of gbits) {
        hosts.limit(1e9 * rate)
        const link = await linkOf(launcher)
        const copiedPerMs = copySpeed()
        const [aloneMs, ms]: [number[], number[]] = [[], []]
        let bytes = 0
        for (let turn = 0; turn < turns; turn++) {
          say(`machines: batch ${batch}, ${rate} Gbit/s, turn ${turn + 1} of ${turns}`)
          aloneMs.push((await trainings.run(batch, RANKS, [])).stepMs)
          const over = await trainings.run(batch, 1, launcher)
          ms.push(over.stepMs)
          bytes = over.bytes
        }
        results.push({ batch, gbits: rate, ...link, copiedPerMs, bytes, aloneMs, ms })
      }
    }
  } finally {
    hosts?.close()
    rmSync(dir, { recursive: true, force: true })
  }
  return reportOf(options, results)
}

/** Bytes that a rank gets in a millisecond of a large exchange, and milliseconds of a small one, as the ranks themselves measure them. */
async function linkOf(launcher: readonly string[]): Promise<Pick<Measured, 'bytesPerMs' | 'latencyMs'>> {
  const [program, ...args] = [...launcher, process.execPath, MAIN, 'doctor', '--json']
  const report = JSON.parse(await finished(program, args)) as {
    mpi: { ranks: { bytesPerSecond: number; latencyUs: number } }
  }
  const { bytesPerSecond, latencyUs } = report.mpi.ranks
  return { bytesPerMs: bytesPerSecond / 1000, latencyMs: latencyUs / 1000 }
}

/** Copies as exchanges make them, between memory that is in no cache. */
function copySpeed(): number {
  const words = COPIED_BYTES / 4
  const memory = new Int32Array(new SharedArrayBuffer(2 * COPIED_BYTES)).fill(1)
  const times = Array.from({ length: COPY_TURNS }, () => {
    const started = performance.now()
    memory.copyWithin(words, 0, words)
    return performance.now() - started
  })
  return COPIED_BYTES / median(times)
}

const COPIED_BYTES = 2 ** 27
const COPY_TURNS = 5

/** Exchanges of a step: the outputs and the deltas of each hidden layer but the deltas of the last, which come with the loss; loss; weights. */
const EXCHANGES = 2 * (REFERENCE_WIDTHS.length - 2) + 1

/** time = T / N + bytes / bandwidth + 2 · bytes / copied + 2 · exchanges · latency */
const predictedMs = ({ aloneMs, bytes, bytesPerMs, copiedPerMs, latencyMs }: Measured): number =>
  median(aloneMs) + bytes / bytesPerMs + (2 * bytes) / copiedPerMs + 2 * EXCHANGES * latencyMs

function reportOf(options: HostsOptions, results: readonly Measured[]): Report {
  const { mpi, turns, steps, backend } = options
  return {
    name: 'machines-hosts',
    title: `training ${REFERENCE_WIDTHS.join('-')} on two hosts of one worker each (network namespaces, tbf), ${mpi}, f32, ${backend}`,
    method: [
      `${turns} turns of each side, one after the other, each a run of its own of ${steps} steps an epoch, the first epoch a warm-up; medians over the turns.`,
      '  Predicted by docs/machines.md: the step of one process with two workers, as both hosts are this machine, + bytes that a rank got in a step',
      '  / bandwidth, which the ranks have measured, + two copies of these bytes, + two small exchanges for each exchange. "spread": between the',
      '  quartiles.',
    ],
    tables: [
      {
        title: 'milliseconds of a step',
        words: 0,
        head: [
          'batch',
          'Gbit/s',
          'measured GB/s',
          'latency ms',
          'copies GB/s',
          'MB',
          'one process',
          'predicted',
          'two hosts',
          'spread',
          'difference',
        ],
        rows: results.map(result => {
          const { batch, gbits, bytesPerMs, latencyMs, copiedPerMs, bytes, aloneMs, ms } = result
          const rates = [bytesPerMs / 1e6, latencyMs, copiedPerMs / 1e6]
          const others = [bytes / 1e6, median(aloneMs), predictedMs(result), median(ms)]
          return [
            ...[String(batch), String(gbits)],
            ...rates.map(value => value.toFixed(3)),
            ...others.map(value => value.toFixed(1)),
            ...[spread(summarise(ms)), median(ms) / predictedMs(result) - 1].map(
              share => `${(100 * share).toFixed(1)} %`,
            ),
          ]
        }),
      },
    ],
    charts: [],
    bars: results.map(result => ({
      what: `batch ${result.batch}, ${result.gbits} Gbit/s: difference from the model of the cost`,
      got: Math.abs(median(result.ms) / predictedMs(result) - 1),
      want: MOST_DIFFERENCE,
      at: 'most',
      unit: 'percent',
    })),
    skipped: [],
    numbers: { options, results },
  }
}

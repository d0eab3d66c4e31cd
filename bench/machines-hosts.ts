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
        const bytesPerMs = await bandwidthOf(launcher)
        const [aloneMs, ms]: [number[], number[]] = [[], []]
        let bytes = 0
        for (let turn = 0; turn < turns; turn++) {
          say(`machines: batch ${batch}, ${rate} Gbit/s, turn ${turn + 1} of ${turns}`)
          aloneMs.push((await trainings.run(batch, RANKS, [])).stepMs)
          const over = await trainings.run(batch, 1, launcher)
          ms.push(over.stepMs)
          bytes = over.bytes
        }
        results.push({ batch, gbits: rate, bytesPerMs, bytes, aloneMs, ms })
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

/** time = T / N + bytes / bandwidth */
const predictedMs = ({ aloneMs, bytes, bytesPerMs }: Measured): number => median(aloneMs) + bytes / bytesPerMs

function reportOf(options: HostsOptions, results: readonly Measured[]): Report {
  const { mpi, turns, steps, backend } = options
  return {
    name: 'machines-hosts',
    title: `training ${REFERENCE_WIDTHS.join('-')} on two hosts of one worker each (network namespaces, tbf), ${mpi}, f32, ${backend}`,
    method: [
      `${turns} turns of each side, one after the other, each a run of its own of ${steps} steps an epoch, the first epoch a warm-up; medians over the turns.`,
      '  Predicted: the step of one process with two workers, as both hosts are this machine, + bytes that a rank got in a step / bandwidth,',
      '  which the ranks have measured. "spread": between the quartiles.',
    ],
    tables: [
      {
        title: 'milliseconds of a step',
        words: 0,
        head: [
          'batch',
          'Gbit/s',
          'measured GB/s',
          'MB',
          'one process',
          'predicted',
          'two hosts',
          'spread',
          'difference',
        ],
        rows: results.map(result => {
          const { batch, gbits, bytesPerMs, bytes, aloneMs, ms } = result
          const numbers = [bytesPerMs / 1e6, bytes / 1e6, median(aloneMs), predictedMs(result), median(ms)]
          const [rate, ...others] = numbers
          return [
            ...[String(batch), String(gbits), rate.toFixed(3), ...others.map(value => value.toFixed(1))],
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

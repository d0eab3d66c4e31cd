/**
 * `npm run bench -- scaling`: training steps of the reference network with ever more workers, also with more than there
 * are cores, and how evenly the step falls on them. Main thread; the steps run in the workers.
 */
import { availableParallelism } from 'node:os'
import type { BackendChoice } from './backends.js'
import { type Balance, countBalance } from './balance.js'
import { type Lab, openLab } from './lab.js'
import { REFERENCE_BATCH, REFERENCE_WIDTHS, referenceLab } from './reference-network.js'
import { chartBar, exactBar, type Report, type Say, type Table, workersText } from './report.js'
import { type Summary, spread, sum, summarise } from './stats.js'

export interface ScalingOptions {
  readonly steps: number
  readonly warmup: number
  readonly workers: readonly number[]
  readonly backend: BackendChoice
}
export const SCALING_DEFAULTS: ScalingOptions = { steps: 10, warmup: 2, workers: [1, 2, 4, 8, 16], backend: 'auto' }

interface Measured {
  readonly workers: number
  readonly stepsPerSecond: Summary
  /** Against the first number of workers. */
  readonly speedUp: number
  /** Tasks that the workers took, over all steps: the fewest and the most of any worker. */
  readonly tasks: { readonly fewest: number; readonly most: number }
  readonly balance: Balance
}

export async function benchScaling(options: ScalingOptions, say: Say): Promise<Report> {
  const { steps, warmup, workers } = options
  const cores = availableParallelism()
  say(`scaling: ${options.backend}: ${warmup} + ${steps} steps each with ${workers.join(', ')} workers`)
  const labs: Lab[] = []
  const rates: number[][] = workers.map(() => [])
  const tasks = workers.map(count => Array<number>(count).fill(0))
  try {
    for (const count of workers) labs.push(await openLab(referenceLab(count, options.backend)))
    for (const lab of labs) await lab.run(warmup)
    for (let turn = 0; turn < steps; turn++) {
      for (const [i, lab] of labs.entries()) {
        const [{ seconds, reports }] = await lab.run(1)
        rates[i].push(1 / seconds)
        for (const [worker, { stages }] of reports.entries()) tasks[i][worker] += sum(stages.map(stage => stage.tasks))
      }
    }
  } finally {
    for (const lab of labs) await lab.close()
  }
  const { backend } = labs[0].session.plan
  const summaries = rates.map(summarise)
  const measured: Measured[] = []
  for (const [i, count] of workers.entries()) {
    measured.push({
      workers: count,
      stepsPerSecond: summaries[i],
      speedUp: summaries[i].median / summaries[0].median,
      tasks: { fewest: Math.min(...tasks[i]), most: Math.max(...tasks[i]) },
      balance: await countBalance(labs[i].session.plan),
    })
  }
  const groups = measured.map(result => workersText(result.workers))
  return {
    name: 'scaling',
    title: `training ${REFERENCE_WIDTHS.join('-')}, batch ${REFERENCE_BATCH}, f32, ${backend}, by number of workers`,
    method: [
      `${warmup} steps of warm-up, then ${steps} steps of each number of workers, in turns; medians. This process may use ${cores} cores:`,
      '  more workers than that show only their cost. "spread": between the quartiles.',
      '"tasks": taken by the worker with the fewest and the most over all steps; where cores are shared, by whoever had one.',
      '"imbalance": by how much the busiest worker of each stage exceeds the mean, counted in FLOPs with all workers equally fast;',
      '  "best speed-up": what that balance alone would allow with as many cores.',
    ],
    tables: [scalingTable(measured)],
    charts: [
      {
        title: `Training the reference network on ${cores} cores, ${backend}`,
        axis: 'steps per second',
        better: 'higher',
        groups,
        series: [{ name: backend, bars: summaries.map(summary => chartBar(summary)) }],
      },
      {
        title: 'Speed-up that the balance of the work would allow, computed from FLOPs',
        axis: 'times one worker',
        better: 'higher',
        groups,
        series: [{ name: backend, bars: measured.map(({ balance }) => exactBar(bestSpeedUp(balance))) }],
      },
    ],
    bars: [],
    skipped: [],
    numbers: { options, backend, cores, results: measured },
  }
}

const bestSpeedUp = ({ workerFlops, imbalance }: Balance): number => workerFlops.length / (1 + imbalance)

function scalingTable(measured: readonly Measured[]): Table {
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`
  const gflop = (flops: number) => (flops / 1e9).toFixed(2)
  return {
    title: `speed-up against ${workersText(measured[0].workers)}`,
    words: 0,
    head: [
      ...['workers', 'steps', 'steps/s', 'spread', 'best', 'speed-up', 'fewest tasks', 'most tasks'],
      ...['least GFLOP', 'most GFLOP', 'imbalance', 'best speed-up'],
    ],
    rows: measured.map(({ workers, stepsPerSecond, speedUp, tasks, balance }) => [
      String(workers),
      String(stepsPerSecond.count),
      stepsPerSecond.median.toFixed(2),
      percent(spread(stepsPerSecond)),
      stepsPerSecond.max.toFixed(2),
      `${speedUp.toFixed(2)}x`,
      ...[tasks.fewest, tasks.most].map(String),
      gflop(Math.min(...balance.workerFlops)),
      gflop(Math.max(...balance.workerFlops)),
      percent(balance.imbalance),
      `${bestSpeedUp(balance).toFixed(2)}x`,
    ]),
  }
}

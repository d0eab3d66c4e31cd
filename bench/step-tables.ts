/** The tables and the chart of `bench step`. Pure; main thread. */
import { chartBar, type Table, workersText } from './report.js'
import { spread } from './stats.js'
import type { StepResult } from './step-result.js'
import type { Chart } from './svg.js'

const CASE_HEAD = ['backend', 'all-reduce', 'shard rows', 'workers']
const caseCells = ({ backend, allReduce, shardRows, workers }: StepResult): string[] => [
  ...[backend, allReduce],
  ...[shardRows, workers].map(String),
]
const times = (value: number) => `${value.toFixed(2)}x`
const ms = (seconds: number) => (1000 * seconds).toFixed(0)
const percent = (share: number) => `${(100 * share).toFixed(1)} %`

export function stepTable(results: readonly StepResult[], base: number): Table {
  return {
    title: `speed-up against ${workersText(base)} of the same backend`,
    words: 2,
    head: [...CASE_HEAD, 'steps', 'median ms', 'spread', 'best ms', 'rows/s', 'speed-up', 'paired', 'best'],
    rows: results.map(result => {
      const { seconds, rowsPerSecond, speedUp } = result
      return [
        ...caseCells(result),
        String(seconds.count),
        ms(seconds.median),
        percent(spread(seconds)),
        ms(seconds.min),
        rowsPerSecond.toFixed(0),
        times(speedUp.medians),
        times(speedUp.paired),
        times(speedUp.best),
      ]
    }),
  }
}

export function phaseTable(results: readonly StepResult[]): Table {
  return {
    title:
      'where each worker spends a step, medians in ms: forward, loss and deltas (1), gradients and update (2), barriers',
    words: 2,
    head: [
      ...CASE_HEAD,
      'worker',
      'stages',
      'forward and backward',
      'its barriers',
      'tasks',
      'update',
      'its barrier',
      'tasks',
    ],
    rows: results.flatMap(result =>
      result.phases.map((phases, worker) => [
        ...caseCells(result),
        String(worker),
        String(result.stages.filter(stage => stage.worker === worker).length),
        ...phases.flatMap(({ workMs, waitMs, tasks }) => [workMs.toFixed(1), waitMs.toFixed(1), tasks.toFixed(0)]),
      ]),
    ),
  }
}

export function rooflineTable(results: readonly StepResult[]): Table {
  return {
    title: 'dense roofline: medians, and "best" of the best samples',
    words: 2,
    head: [
      ...CASE_HEAD,
      ...['GFLOP/s', 'best', 'GB/s', 'best', 'arithmetic ms', 'traffic ms', 'roofline ms', 'one after the other ms'],
      ...['step ms', 'of roofline', 'best of best'],
    ],
    rows: results.flatMap(result => {
      const { roofline, seconds } = result
      if (roofline === null) return []
      const { peak, bandwidth, typical, share, bestShare } = roofline
      return [
        [
          ...caseCells(result),
          ...[peak.median, peak.max, bandwidth.median, bandwidth.max].map(value => value.toFixed(1)),
          ...[typical.arithmeticSeconds, typical.trafficSeconds, typical.seconds, typical.sequentialSeconds].map(ms),
          ms(seconds.median),
          ...[share, bestShare].map(percent),
        ],
      ]
    }),
  }
}

/** A group for each backend and form, a colour for each number of workers. */
export function stepChart(results: readonly StepResult[]): Chart {
  const counts = [...new Set(results.map(({ workers }) => workers))]
  const nameOf = ({ backend, allReduce, shardRows }: StepResult) => {
    const several = (of: (result: StepResult) => unknown) =>
      new Set(results.filter(result => result.backend === backend).map(of)).size > 1
    return [
      backend,
      ...(several(result => result.allReduce) ? [allReduce] : []),
      ...(several(result => result.shardRows) ? [`${shardRows} rows`] : []),
    ].join(', ')
  }
  const groups = [...new Set(results.map(nameOf))]
  return {
    title: 'Training step of the reference network',
    axis: 'step time, ms',
    better: 'lower',
    groups,
    series: counts.map(count => ({
      name: workersText(count),
      bars: groups.map(group => {
        const found = results.find(result => nameOf(result) === group && result.workers === count)
        return found ? chartBar(found.seconds, 1000) : null
      }),
    })),
  }
}

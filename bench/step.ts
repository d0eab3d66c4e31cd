/**
 * `npm run bench -- step`: a training step of the reference network with one worker and with more, through the same
 * session and threads as `gradloom train`. Main thread; the steps run in the workers.
 */
import type { SpanReport } from '../src/worker/protocol.js'
import { openLab } from './lab.js'
import { REFERENCE_BATCH, REFERENCE_DROPOUT, REFERENCE_WIDTHS, referenceLab } from './reference-network.js'
import type { Bar, Report, Say, Table } from './report.js'
import { median, pairedRatio, type Summary, spread, summarise } from './stats.js'

export type AllReduce = 'fused' | 'buffers'

export interface StepOptions {
  readonly steps: number
  readonly warmup: number
  readonly workers: readonly number[]
  readonly allReduce: readonly AllReduce[]
  readonly shardRows: readonly number[]
}
export const STEP_DEFAULTS: StepOptions = {
  steps: 15,
  warmup: 3,
  workers: [1, 2],
  allReduce: ['fused'],
  shardRows: [64],
}

const BAR = 1.85

/** A worker's part in a stage: medians over the steps. */
interface StagePart {
  readonly worker: number
  readonly stage: string
  readonly workMs: number
  readonly waitMs: number
  readonly tasks: number
}

interface Measured {
  readonly allReduce: AllReduce
  readonly shardRows: number
  readonly workers: number
  readonly seconds: Summary
  readonly rowsPerSecond: number
  /** Against the first number of workers: of the medians, of steps side by side, and of the best steps. */
  readonly speedUp: { readonly medians: number; readonly paired: number; readonly best: number }
  readonly stages: readonly StagePart[]
}

export async function benchStep(options: StepOptions, say: Say): Promise<Report> {
  const { steps, warmup, workers, allReduce, shardRows } = options
  const measured: Measured[] = []
  for (const form of allReduce) {
    for (const rows of shardRows) {
      const turns = `${warmup} + ${steps} steps each with ${workers.join(', ')} workers`
      say(`step: ${form}, shards of ${rows} rows; ${turns}`)
      measured.push(...(await measure(form, rows, options)))
    }
  }
  // The bar is about the default form, or the first one that was asked for.
  const judged = workers[0] === 1 ? measured.find(result => result.workers === 2) : undefined
  const bar: Bar = {
    what: `speed-up of 2 workers (${allReduce[0]}, ${shardRows[0]} rows)`,
    got: judged?.speedUp.medians ?? null,
    want: BAR,
    at: 'least',
    unit: 'times',
  }
  return {
    name: 'step',
    title: `training step of ${REFERENCE_WIDTHS.join('-')}, batch ${REFERENCE_BATCH}, dropout ${REFERENCE_DROPOUT}, Adam, wasm`,
    method: [
      `${warmup} steps of warm-up, then ${steps} steps of each number of workers, in turns; medians.`,
      '"spread": distance of the quartiles as a share of the median. "paired": median over steps taken in the same turn.',
    ],
    tables: [stepTable(measured, workers[0]), stageTable(measured)],
    bars: [bar],
    skipped: judged ? [] : ['speed-up of 2 workers: needs --workers 1 2'],
    numbers: { options: { steps, warmup, workers, allReduce, shardRows }, results: measured },
  }
}

async function measure(allReduce: AllReduce, shardRows: number, options: StepOptions): Promise<Measured[]> {
  const open = (workers: number) => openLab({ ...referenceLab(workers), allReduce, shardRows })
  const labs: Awaited<ReturnType<typeof open>>[] = []
  try {
    for (const count of options.workers) labs.push(await open(count))
    const spans = labs.map(() => [] as { seconds: number; reports: SpanReport[] }[])
    for (const lab of labs) await lab.run(options.warmup)
    for (let turn = 0; turn < options.steps; turn++) {
      for (const [i, lab] of labs.entries()) spans[i].push(...(await lab.run(1)))
    }
    const seconds = spans.map(taken => taken.map(span => span.seconds))
    const summaries = seconds.map(summarise)
    return options.workers.map((workers, i) => ({
      ...{ allReduce, shardRows, workers, seconds: summaries[i] },
      rowsPerSecond: REFERENCE_BATCH / summaries[i].median,
      speedUp: {
        medians: summaries[0].median / summaries[i].median,
        paired: pairedRatio(seconds[0], seconds[i]),
        best: summaries[0].min / summaries[i].min,
      },
      stages: stageParts(spans[i].map(({ reports }) => reports)),
    }))
  } finally {
    for (const lab of labs) await lab.close()
  }
}

/** From every worker's report of every step. */
function stageParts(steps: readonly (readonly SpanReport[])[]): StagePart[] {
  return steps[0].flatMap(({ stages }, worker) =>
    stages.map(({ name }, s) => {
      const over = (key: 'workMs' | 'waitMs' | 'tasks') => median(steps.map(reports => reports[worker].stages[s][key]))
      return { worker, stage: name, workMs: over('workMs'), waitMs: over('waitMs'), tasks: over('tasks') }
    }),
  )
}

function stepTable(measured: readonly Measured[], base: number): Table {
  const times = (value: number) => `${value.toFixed(2)}x`
  const ms = (seconds: number) => (1000 * seconds).toFixed(0)
  return {
    title: `speed-up against ${base} ${base === 1 ? 'worker' : 'workers'}`,
    words: 1,
    head: [
      'all-reduce',
      'shard rows',
      'workers',
      'steps',
      'median ms',
      'spread',
      'best ms',
      'rows/s',
      'speed-up',
      'paired',
      'best',
    ],
    rows: measured.map(({ allReduce, shardRows, workers, seconds, rowsPerSecond, speedUp }) => [
      allReduce,
      ...[shardRows, workers, seconds.count].map(String),
      ms(seconds.median),
      `${(100 * spread(seconds)).toFixed(1)} %`,
      ms(seconds.min),
      rowsPerSecond.toFixed(0),
      times(speedUp.medians),
      times(speedUp.paired),
      times(speedUp.best),
    ]),
  }
}

function stageTable(measured: readonly Measured[]): Table {
  return {
    title: 'where each worker spends a step: medians in ms; phase 1 is the first stage, phase 2 the second',
    words: 1,
    head: ['all-reduce', 'shard rows', 'workers', 'worker', 'phase', 'stage', 'work', 'wait at barrier', 'tasks'],
    rows: measured.flatMap(({ allReduce, shardRows, workers, stages }) => {
      const names = [...new Set(stages.map(({ stage }) => stage))]
      return stages.map(({ worker, stage, workMs, waitMs, tasks }) => [
        allReduce,
        ...[shardRows, workers, worker, names.indexOf(stage) + 1].map(String),
        stage,
        workMs.toFixed(1),
        waitMs.toFixed(1),
        tasks.toFixed(0),
      ])
    }),
  }
}

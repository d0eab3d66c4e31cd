/**
 * `npm run bench -- small`: steps per second of a small network, where the cost of a step is what surrounds the
 * arithmetic: claims, barriers, calls. Main thread; the steps run in the workers.
 */
import type { SpanReport } from '../src/worker/threads/protocol.js'
import type { BackendChoice } from './backends.js'
import { type Lab, openLab, type Precision, stepSeconds } from './lab.js'
import { type Bar, chartBar, type Report, type Say, type Table, workersText } from './report.js'
import { median, type Summary, spread, sum, summarise } from './stats.js'

export interface SmallOptions {
  readonly spans: number
  readonly steps: number
  readonly warmup: number
  readonly backend: BackendChoice
  readonly precision: Precision
}
/**
 * 62 steps are an epoch of the digits in whole batches of 128: as in training, a span does not cross epochs. For the first
 * thousand steps V8 still optimizes what surrounds the arithmetic.
 */
export const SMALL_DEFAULTS: SmallOptions = { spans: 30, steps: 62, warmup: 20, backend: 'auto', precision: 'f32' }

const HIDDEN = [128]
const BATCH = 128
const WORKERS = [1, 2] as const
/** Steps a second with 1 and with 2 workers. The last one is for the faster of both precisions. */
const STEPS_BARS: Readonly<Record<string, Readonly<Partial<Record<number, readonly number[]>>>>> = {
  'wasm f32': { 1: [450], 2: [800] },
  'onednn f32': { 2: [2400, 4500] },
}
/** Maximum overhead of the portable backend; the faster the arithmetic, the larger the share of overhead. */
const OVERHEAD_BAR = 0.05
/** Number of spans after one that is not counted. */
const SPANS_OF_TURN = 3

/** Shares of the wall time. */
interface Measured {
  readonly workers: (typeof WORKERS)[number]
  /** Steps per second of the median step: from its start until the last worker finishes. */
  readonly stepsPerSecond: Summary
  /** Steps per second of whole spans, with calls and all stalls of the machine. */
  readonly ofSpans: Summary
  /** Overhead share of the median step: 1 - work of the busiest worker / duration. Barriers, claims, the clock. */
  readonly barriers: number
  /** Share of the median span outside of its steps: the call of the workers and their answers. */
  readonly calls: number
  /** Overhead share of the median span: 1 - work of the busiest worker / wall time; includes stalls of the machine. */
  readonly withStalls: number
}

interface Span {
  readonly seconds: number
  readonly reports: readonly SpanReport[]
}

export async function benchSmall(options: SmallOptions, say: Say): Promise<Report> {
  const { spans, steps, warmup, precision } = options
  say(
    `small: ${options.backend} ${precision}: ${warmup} + ${spans} spans of ${steps} steps each with ${WORKERS.join(' and ')} workers`,
  )
  const labs: Lab[] = []
  const taken: Span[][] = WORKERS.map(() => [])
  try {
    for (const workers of WORKERS) {
      labs.push(
        await openLab({
          hidden: HIDDEN,
          batchSize: BATCH,
          workers,
          dropout: 0,
          l2: 0,
          backend: options.backend,
          precision,
        }),
      )
    }
    for (const lab of labs) await lab.run(warmup, steps)
    for (let turn = 0; turn < spans / SPANS_OF_TURN; turn++) {
      for (const [i, lab] of labs.entries()) {
        // Warm-up again: other work has used the caches, which training does not share.
        await lab.run(1, steps)
        taken[i].push(...(await lab.run(SPANS_OF_TURN, steps, true)))
      }
    }
  } finally {
    for (const lab of labs) await lab.close()
  }
  // Resolves `auto` to what was chosen.
  const { backend } = labs[0].session.plan
  const measured = WORKERS.map((workers, i) => measure(workers, taken[i], steps))
  const bars = measured.flatMap(({ workers, stepsPerSecond, barriers, calls }): Bar[] => {
    const who = `${backend}${precision === 'f32' ? '' : ` ${precision}`}, ${workersText(workers)}`
    const wanted = STEPS_BARS[`${backend} ${precision}`]?.[workers] ?? []
    return [
      ...wanted.map(
        want => ({ what: `steps, ${who}`, got: stepsPerSecond.median, want, at: 'least', unit: 'perSecond' }) as const,
      ),
      ...(backend === 'wasm'
        ? [
            {
              ...{ what: `barriers and calls, ${who}`, got: barriers + calls, want: OVERHEAD_BAR },
              ...({ at: 'below', unit: 'percent' } as const),
            },
          ]
        : []),
    ]
  })
  return {
    name: 'small',
    title: `training 784-${HIDDEN.join('-')}-10, batch ${BATCH}, no dropout, no penalty, Adam, ${precision}, ${backend}`,
    method: [
      `${warmup} spans of warm-up, then ${spans} spans of ${steps} steps of each number of workers, in turns of ${SPANS_OF_TURN} after one that is not counted; medians over spans.`,
      '"steps/s": of the median step, from its start until the last worker has finished. "of spans": with the calls, and with every stall of a core.',
      '"barriers": 1 - work of the busiest worker / time, of the median step. "calls": of the median span, outside its steps.',
      '"with stalls": 1 - work of the busiest worker / wall time of a span, median: every stall of a core counts here.',
      '"spread": between the quartiles.',
    ],
    tables: [smallTable(measured)],
    charts: [
      {
        title: `Training 784-${HIDDEN.join('-')}-10, batch ${BATCH}, ${backend}`,
        axis: 'steps per second',
        better: 'higher',
        groups: measured.map(({ workers }) => workersText(workers)),
        series: [{ name: backend, bars: measured.map(({ stepsPerSecond }) => chartBar(stepsPerSecond)) }],
      },
    ],
    bars,
    skipped: [],
    numbers: { options, backend, results: measured },
  }
}

function measure(workers: Measured['workers'], spans: readonly Span[], steps: number): Measured {
  const ofSteps = spans.flatMap(({ reports }) =>
    Array.from({ length: steps }, (_, step) => {
      const longest = (key: 'totalMs' | 'workMs') => Math.max(...reports.map(report => report.steps![key][step]))
      return 1 - longest('workMs') / longest('totalMs')
    }),
  )
  const ofSpans = (key: 'totalMs' | 'workMs') =>
    1 -
    median(
      spans.map(
        ({ seconds, reports }) =>
          Math.max(...reports.map(report => sum(Array.from(report.steps![key])))) / (1000 * seconds),
      ),
    )
  return {
    workers,
    stepsPerSecond: summarise(spans.flatMap(span => stepSeconds(span).map(seconds => 1 / seconds))),
    ofSpans: summarise(spans.map(({ seconds }) => steps / seconds)),
    barriers: median(ofSteps),
    calls: ofSpans('totalMs'),
    withStalls: ofSpans('workMs'),
  }
}

function smallTable(measured: readonly Measured[]): Table {
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`
  return {
    title: '',
    words: 0,
    head: ['workers', 'steps', 'steps/s', 'spread', 'best', 'rows/s', 'of spans', 'barriers', 'calls', 'with stalls'],
    rows: measured.map(({ workers, stepsPerSecond, ofSpans, barriers, calls, withStalls }) => [
      String(workers),
      String(stepsPerSecond.count),
      stepsPerSecond.median.toFixed(0),
      percent(spread(stepsPerSecond)),
      stepsPerSecond.max.toFixed(0),
      (stepsPerSecond.median * BATCH).toFixed(0),
      ofSpans.median.toFixed(0),
      ...[barriers, calls, withStalls].map(percent),
    ]),
  }
}

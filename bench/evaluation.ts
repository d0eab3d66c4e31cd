/**
 * `npm run bench -- evaluation`: scoring 10,000 rows with the reference network, as after training. Main thread; the
 * workers compute. The samples are the digits that come with gradloom, training and test split together: 10,000.
 */
import { performance } from 'node:perf_hooks'
import { RunError } from '../src/errors.js'
import { loadWeights } from '../src/run/checkpoint-file.js'
import { openRun } from '../src/run/open.js'
import { sizeOf } from '../src/tensor/tensor.js'
import { faultText } from '../src/worker/plan/faults.js'
import { type BackendName, chooseBackends, type Variant, variantLine, variantsOf } from './backends.js'
import { type Lab, openLab } from './lab.js'
import { REFERENCE_WIDTHS, referenceLab } from './reference-network.js'
import { chartBar, type Report, type Say, type Table, workersText } from './report.js'
import { forwardFlops } from './roofline.js'
import { type Summary, spread, summarise } from './stats.js'

export interface EvaluationOptions {
  readonly times: number
  /** Backends to measure; empty: all that work here. */
  readonly backends: readonly BackendName[]
  readonly workers: number
  /** A run of the reference network; null: the weights that training starts with. */
  readonly weights: string | null
}
export const EVALUATION_DEFAULTS: EvaluationOptions = { times: 5, backends: [], workers: 2, weights: null }

const BAR_SECONDS = { f32: 3, bf16: 1 } as const
const SPLITS = ['train', 'test'] as const

interface Measured {
  readonly variant: Variant
  readonly rows: number
  readonly seconds: Summary
}

export async function benchEvaluation(options: EvaluationOptions, say: Say): Promise<Report> {
  const { times, workers, weights } = options
  const { backends, skipped } = await chooseBackends(options.backends)
  const variants = variantsOf(backends, skipped)
  say(`evaluation: ${variants.map(({ label }) => label).join(', ')}: 1 + ${times} times with ${workersText(workers)}`)
  const labs: Lab[] = []
  const seconds: number[][] = variants.map(() => [])
  const rows: number[] = []
  try {
    for (const { name, precision } of variants) {
      labs.push(await openLab({ ...referenceLab(workers, name), precision, purpose: 'evaluate' }))
    }
    for (const lab of labs) {
      if (weights !== null) await loadTrained(lab, weights)
      rows.push(await score(lab))
    }
    for (let time = 0; time < times; time++) {
      for (const [i, lab] of labs.entries()) {
        const started = performance.now()
        await score(lab)
        seconds[i].push((performance.now() - started) / 1000)
      }
    }
  } finally {
    for (const lab of labs) await lab.close()
  }
  const measured = variants.map((variant, i): Measured => ({ variant, rows: rows[i], seconds: summarise(seconds[i]) }))
  return {
    name: 'evaluation',
    title: `scoring ${rows[0].toLocaleString('en')} rows with ${REFERENCE_WIDTHS.join('-')}, ${workersText(workers)}`,
    method: [
      `One warm-up, then ${times} passes over all digits, the backends in turns; medians. Data and weights are in memory.`,
      ...variants.map(variantLine),
      `The weights are ${weights === null ? 'the initial ones' : 'those of a trained run'}. GFLOP/s are dense: multiplications by zero count. "spread": between the quartiles.`,
    ],
    tables: [evaluationTable(measured)],
    charts: [
      {
        title: `Scoring ${rows[0].toLocaleString('en')} rows with the reference network`,
        axis: 'seconds',
        better: 'lower',
        groups: measured.map(({ variant }) => variant.label),
        series: [{ name: 'gradloom', bars: measured.map(of => chartBar(of.seconds)) }],
      },
    ],
    bars: measured.map(({ variant: { name, precision }, seconds: { median } }) => ({
      what: `10,000 rows, ${weights === null ? '' : 'trained, '}${name} ${precision}, ${workersText(workers)}`,
      got: median,
      want: BAR_SECONDS[precision],
      at: 'below',
      unit: 'seconds',
    })),
    skipped,
    numbers: { options, results: measured },
  }
}

/** Option for trained weights, whose activations have more zeros than those of initial weights. */
async function loadTrained({ session }: Lab, run: string): Promise<void> {
  const { checkpoint } = await openRun(run)
  const weights = session
    .parameters()
    .map(({ name, shape }) => ({ name, shape, data: new Float32Array(sizeOf(shape)) }))
  await loadWeights(checkpoint, weights)
  await session.storeParameters(weights)
}

async function score({ session }: Lab): Promise<number> {
  let rows = 0
  for (const split of SPLITS) {
    const result = await session.score(split)
    if (result.kind === 'score-fault') throw new RunError(`bench: ${split}: ${faultText(result.code)}`)
    rows += result.rows
  }
  return rows
}

function evaluationTable(measured: readonly Measured[]): Table {
  return {
    title: '',
    words: 1,
    head: ['backend', 'rows', 'times', 'median s', 'spread', 'best s', 'rows/s', 'GFLOP/s'],
    rows: measured.map(({ variant, rows, seconds }) => [
      variant.label,
      String(rows),
      String(seconds.count),
      seconds.median.toFixed(2),
      `${(100 * spread(seconds)).toFixed(1)} %`,
      seconds.min.toFixed(2),
      (rows / seconds.median).toFixed(0),
      (forwardFlops(REFERENCE_WIDTHS, rows) / seconds.median / 1e9).toFixed(0),
    ]),
  }
}

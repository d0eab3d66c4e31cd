/**
 * `npm run bench -- step`: a training step of the reference network on every backend, with one worker and with more,
 * through the same session and threads as `gradloom train`, beside what the machine could do at best. Main thread; the
 * steps run in the workers.
 */
import { availableParallelism } from 'node:os'
import { bf16SparseObstacle } from '../src/kernels/x64/bf16-sparse.js'
import { type BackendName, chooseBackends, type Variant, variantLine, variantsOf } from './backends.js'
import { type Lab, openLab, type Span, stepSeconds } from './lab.js'
import { openProbe, type Probe } from './probe.js'
import { REFERENCE_BATCH, REFERENCE_DROPOUT, REFERENCE_WIDTHS, referenceLab } from './reference-network.js'
import { type Bar, type Report, type Say, workersText } from './report.js'
import { stepWork } from './roofline.js'
import { median, pairedRatio, sum, summarise } from './stats.js'
import type { AllReduce, StepResult } from './step-result.js'
import { compareWith, type Samples, samplesFor } from './step-roofline.js'
import { phaseTable, rooflineTable, stepChart, stepTable } from './step-tables.js'

export interface StepOptions {
  /** Turns of each backend and number of workers, of STEPS_OF_TURN steps. */
  readonly turns: number
  /** Steps. */
  readonly warmup: number
  /** Backends to measure; empty: all that work here. */
  readonly backends: readonly BackendName[]
  readonly workers: readonly number[]
  readonly allReduce: readonly AllReduce[]
  /** Rows of a shard to try; empty: what `compute.shardRows: "auto"` takes. */
  readonly shardRows: readonly number[]
}
export const STEP_DEFAULTS: StepOptions = {
  turns: 12,
  warmup: 3,
  backends: [],
  workers: [1, 2],
  allReduce: ['fused'],
  shardRows: [],
}

const SPEED_UP_BAR = 1.85
/** Time of a step in bf16 as a share of one in f32. */
const BF16_SHARE = 0.75
const ROOFLINE_BARS = { f32: 0.75, bf16: 0.6 } as const

/** Steps of a turn, in one call to the workers, as in training; before them some that do not count: others have had the caches. */
const STEPS_OF_TURN = 4
const UNCOUNTED = 2

export async function benchStep(options: StepOptions, say: Say): Promise<Report> {
  const { turns, warmup, workers, allReduce, shardRows } = options
  const { backends, skipped } = await chooseBackends(options.backends)
  const variants = variantsOf(backends, skipped)
  const cores = availableParallelism()
  const probed = Math.min(Math.max(...workers), cores)
  const probes: Probe[] = []
  const results: StepResult[] = []
  try {
    for (const variant of variants) probes.push(await openProbe(variant, probed))
    for (const form of allReduce) {
      for (const rows of shardRows.length > 0 ? shardRows : (['auto'] as const)) {
        const labels = variants.map(({ label }) => label).join(', ')
        const steps = `${warmup} + ${turns * STEPS_OF_TURN} steps each with ${workers.join(', ')} workers`
        say(`step: ${labels}; ${form}, shards of ${rows} rows; ${steps}`)
        results.push(...(await measure(variants, probes, form, rows, options)))
      }
    }
  } finally {
    for (const probe of probes) await probe.close()
  }
  const bars = [...variants.flatMap(variant => barsOf(variant, results)), ...bf16Bars(results)]
  if (!(workers[0] === 1 && workers.includes(2))) skipped.push('speed-up of 2 workers: needs --workers 1 2')
  if (results.every(({ roofline }) => roofline === null)) skipped.push(`roofline: needs --workers of at most ${cores}`)
  return {
    name: 'step',
    title: `training step of ${REFERENCE_WIDTHS.join('-')}, batch ${REFERENCE_BATCH}, dropout ${REFERENCE_DROPOUT}, Adam`,
    method: [
      `${warmup} steps of warm-up, then ${turns} turns of ${STEPS_OF_TURN} steps, after ${UNCOUNTED} that do not count, of each backend and number of workers; medians over steps.`,
      'A step: from its start until the last worker has finished. The call that starts a turn does not count: training calls the workers once for many steps.',
      ...variants.map(variantLine),
      '"spread": distance of the quartiles as a share of the median. "paired": median over steps taken in the same turn.',
      'Roofline: the longer of "arithmetic" (FLOPs of the three products at peak) and "traffic" (24 bytes a parameter for Adam, weights read twice), both dense and overlapping.',
      '"one after the other" is their sum: what a step takes where they do not overlap. In f32 products with zeros are left out, which two thirds of the activations are (by wasm everywhere, beside a library with AVX-512), so that a step can pass its dense roofline.',
      ...variants.map(
        ({ label }, i) => `Peak of ${label}: ${probes[i].what.gflops}; all workers at once, a sample after each turn.`,
      ),
      `Memory: ${probes[0].what.gbytes}, counted as two reads and a write.`,
    ],
    tables: [stepTable(results, workers[0]), phaseTable(results), rooflineTable(results)],
    charts: [stepChart(results)],
    bars,
    skipped,
    numbers: { options, work: stepWork(REFERENCE_WIDTHS, REFERENCE_BATCH), results },
  }
}

/** The bars are about the first requested form. */
function barsOf({ label, precision }: Variant, results: readonly StepResult[]): Bar[] {
  const all = results.filter(of => of.backend === label)
  if (all.length === 0) return []
  const [{ allReduce, shardRows }] = all
  const own = all.filter(of => of.allReduce === allReduce && of.shardRows === shardRows)
  const two = own[0].workers === 1 ? own.find(({ workers }) => workers === 2) : undefined
  const most = own.findLast(({ roofline }) => roofline !== null)
  const who = `${label}${precision === 'f32' ? ' f32' : ''}${most ? `, ${workersText(most.workers)}` : ''}`
  const ofRoofline = (what: string, got: number | undefined): Bar => ({
    what: `share of the dense roofline, ${who}${what}`,
    got: got ?? null,
    want: ROOFLINE_BARS[precision],
    at: 'least',
    unit: 'percent',
  })
  return [
    {
      what: `speed-up of 2 workers, ${label}, ${allReduce}`,
      got: two?.speedUp.medians ?? null,
      want: SPEED_UP_BAR,
      at: 'least',
      unit: 'times',
    },
    ofRoofline('', most?.roofline?.share),
    ofRoofline(', best samples', most?.roofline?.bestShare),
  ]
}

/** bf16 beside f32 of the same library, where bf16 leaves out zeros as f32 does. */
function bf16Bars(results: readonly StepResult[]): Bar[] {
  if (bf16SparseObstacle() !== null) return []
  const most = results.filter(({ backend }) => backend === 'onednn bf16').at(-1)
  const beside = results.find(
    of => of.backend === 'onednn' && of.workers === most?.workers && of.allReduce === most.allReduce,
  )
  if (!most || !beside) return []
  const what = `onednn bf16, ${workersText(most.workers)}: a step as a share of one in f32`
  return [{ what, got: most.seconds.median / beside.seconds.median, want: BF16_SHARE, at: 'most', unit: 'percent' }]
}

/** Steps of all backends and numbers of workers in turns, each turn followed by a sample of what the machine can do. */
async function measure(
  variants: readonly Variant[],
  probes: readonly Probe[],
  allReduce: AllReduce,
  shardRows: number | 'auto',
  options: StepOptions,
): Promise<StepResult[]> {
  // The other form of all-reduce is f32's alone.
  const forms = variants.filter(({ precision }) => precision === 'f32' || allReduce === 'fused')
  const cases = forms.flatMap(variant => options.workers.map(workers => ({ variant, workers })))
  const labs: Lab[] = []
  try {
    for (const { variant, workers } of cases) {
      const { name, precision } = variant
      labs.push(await openLab({ ...referenceLab(workers, name), precision, allReduce, shardRows }))
    }
    for (const lab of labs) await lab.run(options.warmup)
    const spans: Span[][] = cases.map(() => [])
    const cores = availableParallelism()
    const samples: Samples = new Map()
    for (let turn = 0; turn < options.turns; turn++) {
      for (const [i, lab] of labs.entries()) {
        await lab.run(1, UNCOUNTED)
        spans[i].push(...(await lab.run(1, STEPS_OF_TURN, true)))
      }
      for (const [v, { label }] of variants.entries()) {
        for (const workers of options.workers.filter(count => count <= cores)) {
          const key = `${label} ${workers}` as const
          samples.set(key, [...(samples.get(key) ?? []), await probes[v].sample(workers)])
        }
      }
    }
    const seconds = spans.map(taken => taken.flatMap(stepSeconds))
    return cases.map(({ variant, workers }, i) => {
      const base = cases.findIndex(other => other.variant === variant)
      const [of, one] = [summarise(seconds[i]), summarise(seconds[base])]
      const { stages, phases } = partsOf(spans[i])
      return {
        ...{ backend: variant.label, allReduce, shardRows: labs[i].session.plan.shardRows, workers, seconds: of },
        rowsPerSecond: REFERENCE_BATCH / of.median,
        speedUp: {
          medians: one.median / of.median,
          paired: pairedRatio(seconds[base], seconds[i]),
          best: one.min / of.min,
        },
        ...{ stages, phases },
        roofline: compareWith(of, samplesFor(samples, variants, variant, workers), variant.precision),
      }
    })
  } finally {
    for (const lab of labs) await lab.close()
  }
}

/** Parts of a step, from every worker's report of every turn. */
function partsOf(spans: readonly Span[]): Pick<StepResult, 'stages' | 'phases'> {
  const keys = ['workMs', 'waitMs', 'tasks'] as const
  const medians = (of: (span: Span, key: (typeof keys)[number]) => number) => {
    const [workMs, waitMs, tasks] = keys.map(key => median(spans.map(span => of(span, key) / STEPS_OF_TURN)))
    return { workMs, waitMs, tasks }
  }
  const { reports } = spans[0]
  const last = reports[0].stages.length - 1
  return {
    stages: reports.flatMap(({ stages }, worker) =>
      stages.map(({ name }, s) => ({
        worker,
        stage: name,
        ...medians((span, key) => span.reports[worker].stages[s][key]),
      })),
    ),
    phases: reports.map((_, worker) => [
      medians((span, key) => sum(span.reports[worker].stages.slice(0, last).map(stage => stage[key]))),
      medians((span, key) => span.reports[worker].stages[last][key]),
    ]),
  }
}

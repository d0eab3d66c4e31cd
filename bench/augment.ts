/**
 * `npm run bench -- augment`: what changing every image costs a step of a network of three layers of 1024 units, as the
 * recipes train them. Main thread; the steps run in the workers.
 */
import type { ExperimentInput } from '../src/config/schema.js'
import { type BackendName, chooseBackends } from './backends.js'
import { type Lab, openLab } from './lab.js'
import { chartBar, type Report, type Say, workersText } from './report.js'
import { type Summary, spread, summarise } from './stats.js'

export interface AugmentOptions {
  /** []: all that work here. */
  readonly backends: readonly BackendName[]
  readonly steps: number
  readonly warmup: number
  readonly workers: number
}
export const AUGMENT_DEFAULTS: AugmentOptions = { backends: [], steps: 30, warmup: 5, workers: 2 }

const HIDDEN = [1024, 1024, 1024]
const BATCH = 512
const OVERHEAD_BAR = 0.15

const FORMS: Readonly<Record<'plain' | 'affine' | 'elastic', ExperimentInput['augment']>> = {
  plain: {},
  affine: { shift: 2, rotate: 15, scale: 0.15, shear: 0.2 },
  elastic: { shift: 2, rotate: 15, scale: 0.15, shear: 0.2, elastic: { alpha: 30, sigma: 5 } },
}
const NAMES = Object.keys(FORMS) as Form[]

export async function benchAugment(options: AugmentOptions, say: Say): Promise<Report> {
  const { steps, warmup, workers } = options
  const { backends, skipped } = await chooseBackends(options.backends)
  const results: ({ backend: BackendName } & Measured)[] = []
  for (const { name: backend } of backends) {
    say(`augment: ${backend}: ${warmup} + ${steps} steps of each form with ${workersText(workers)}`)
    results.push({ backend, ...(await measure(backend, options)) })
  }
  return {
    name: 'augment',
    title: `augmentation while training 784-${HIDDEN.join('-')}-10, batch norm, batch ${BATCH}, AdamW, f32, ${workersText(workers)}`,
    method: [
      `${warmup} steps of warm-up, then ${steps} of each form, in turns; medians. "cost": of steps side by side.`,
      '"affine": shift, rotation, scale and shear; "elastic": these and smoothed random fields (sigma 5).',
    ],
    tables: [
      {
        title: '',
        words: 2,
        head: ['backend', 'images', 'step ms', 'spread', 'cost'],
        rows: results.flatMap(({ backend, times, costs }) =>
          NAMES.map(name => [
            backend,
            name,
            times[name].median.toFixed(1),
            `${(100 * spread(times[name])).toFixed(1)} %`,
            name === 'plain' ? '' : `${(100 * costs[name].median).toFixed(1)} %`,
          ]),
        ),
      },
    ],
    charts: [
      {
        title: `A step of 784-${HIDDEN.join('-')}-10, batch ${BATCH}`,
        axis: 'milliseconds',
        better: 'lower',
        groups: results.map(({ backend }) => backend),
        series: NAMES.map(name => ({ name, bars: results.map(({ times }) => chartBar(times[name])) })),
      },
    ],
    bars: results.map(({ backend, costs }) => ({
      what: `affine and elastic deformation, ${backend}, ${workersText(workers)}`,
      got: costs.elastic.median,
      want: OVERHEAD_BAR,
      at: 'most',
      unit: 'percent',
    })),
    skipped,
    numbers: { options, results },
  }
}

type Form = keyof typeof FORMS

interface Measured {
  /** Milliseconds of a step. */
  readonly times: Readonly<Record<Form, Summary>>
  /** Extra time of a step over the plain one beside it. */
  readonly costs: Readonly<Record<Form, Summary>>
}

async function measure(backend: BackendName, { steps, warmup, workers }: AugmentOptions): Promise<Measured> {
  const labs: Lab[] = []
  const taken = { plain: [] as number[], affine: [] as number[], elastic: [] as number[] }
  try {
    for (const name of NAMES) {
      labs.push(
        await openLab({
          ...{ hidden: HIDDEN, batchSize: BATCH, workers, dropout: 0.2, l2: 0, backend },
          more: { augment: FORMS[name], model: { norm: 'batch' }, optimizer: { type: 'adamw' } },
        }),
      )
    }
    for (const lab of labs) await lab.run(warmup)
    for (let turn = 0; turn < steps; turn++) {
      for (const [i, lab] of labs.entries()) taken[NAMES[i]].push(1000 * (await lab.run(1))[0].seconds)
    }
  } finally {
    for (const lab of labs) await lab.close()
  }
  const costOf = (name: Form) => summarise(taken[name].map((ms, i) => ms / taken.plain[i] - 1))
  return {
    times: { plain: summarise(taken.plain), affine: summarise(taken.affine), elastic: summarise(taken.elastic) },
    costs: { plain: costOf('plain'), affine: costOf('affine'), elastic: costOf('elastic') },
  }
}

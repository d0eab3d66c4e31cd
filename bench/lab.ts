/**
 * Runs training steps of any network under the clock, through the same session, pool and workers as `gradloom train`.
 * Main thread. Data: the embedded digits, so that nothing needs to be fetched.
 */
import { performance } from 'node:perf_hooks'
import { resolveExperiment } from '../src/config/load.js'
import type { ExperimentInput } from '../src/config/schema.js'
import { prepareSession } from '../src/coordinator/prepare.js'
import { Session } from '../src/coordinator/session.js'
import { RunError } from '../src/errors.js'
import type { Precision } from '../src/kernels/backend.js'
import { initialRows } from '../src/model/init.js'
import { initialOrthogonal } from '../src/model/orthogonal.js'
import type { NamedWeights } from '../src/run/checkpoint-file.js'
import { sizeOf } from '../src/tensor/tensor.js'
import { faultText } from '../src/worker/plan/faults.js'
import type { SpanReport } from '../src/worker/threads/protocol.js'
import type { BackendChoice } from './backends.js'

/** Hidden widths of the reference network, 784-3000-...-10. */
export const REFERENCE_HIDDEN = [3000, 2500, 2000, 1500, 1000, 500]

export type { Precision }

export interface LabOptions {
  readonly hidden: readonly number[]
  readonly batchSize: number
  readonly workers: number
  readonly dropout: number
  readonly l2?: number
  readonly allReduce?: 'fused' | 'buffers'
  readonly shardRows?: number | 'auto'
  readonly backend?: BackendChoice
  readonly precision?: Precision
  /** Default: to train. To evaluate takes less memory, and no steps. */
  readonly purpose?: 'train' | 'evaluate'
  /** Other settings; those of `model` are added. */
  readonly more?: Pick<ExperimentInput, 'augment' | 'model' | 'optimizer'>
}

export interface Span {
  /** Wall time, with the calls to the workers. */
  readonly seconds: number
  /** Reports of every worker. */
  readonly reports: readonly SpanReport[]
}

/** Duration of each step of a traced span: until the last worker finished, without the call that began the span. */
export const stepSeconds = ({ reports }: Pick<Span, 'reports'>): number[] =>
  Array.from(
    reports[0].steps!.totalMs,
    (_, step) => Math.max(...reports.map(report => report.steps!.totalMs[step])) / 1000,
  )

export interface Lab {
  readonly session: Session
  /** Full mini-batches of an epoch: a span has at most this many steps, as in training, where it never crosses epochs. */
  readonly wholeSteps: number
  /** Trains `count` spans of `stepsEach` steps; wall seconds of each, and every worker's report of it, with `trace` of every step. */
  run(count: number, stepsEach?: number, trace?: boolean): Promise<Span[]>
  close(): Promise<void>
}

export async function openLab(options: LabOptions): Promise<Lab> {
  const { hidden, batchSize, workers, dropout } = options
  const { experiment, baseDir } = resolveExperiment({
    ...options.more,
    name: 'bench',
    data: { dataset: 'digits' },
    model: { hidden, dropout, ...options.more?.model },
    train: { batchSize, l2: options.l2 ?? 0.05 },
    compute: {
      workers,
      backend: options.backend ?? 'auto',
      precision: options.precision ?? 'f32',
      allReduce: options.allReduce ?? 'fused',
      shardRows: options.shardRows ?? 'auto',
    },
  })
  const { purpose = 'train' } = options
  const prepared = await prepareSession(experiment, baseDir, { purpose, splits: ['train', 'test'] })
  const session = await Session.start(prepared, experiment)
  if (purpose === 'train') await session.pool.all('initialise', worker => worker.initialise())
  else await session.storeParameters(initialWeights(session))
  const wholeSteps = Math.floor(session.plan.rows.train / batchSize)
  const perEpoch = Math.ceil(session.plan.rows.train / batchSize)
  let step = 0

  return {
    session,
    wholeSteps,
    async run(count, stepsEach = 1, trace = false) {
      if (stepsEach > wholeSteps) throw new RangeError(`lab: steps are ${stepsEach}, expected at most ${wholeSteps}`)
      const spans: Span[] = []
      while (spans.length < count) {
        // The last, partial batch of an epoch would make its step look fast.
        if ((step % perEpoch) + stepsEach > wholeSteps) step = Math.ceil(step / perEpoch) * perEpoch
        const from = step
        const started = performance.now()
        const reports = await session.pool.all('bench', worker => worker.run(from, from + stepsEach, { trace }))
        // A step that stops half way would look fast.
        const stopped = reports.find(({ fault }) => fault !== 0)
        if (stopped) throw new RunError(`bench: step ${stopped.step}: ${faultText(stopped.fault)}`)
        spans.push({ seconds: (performance.now() - started) / 1000, reports })
        step += stepsEach
      }
      return spans
    },
    close: () => session.close(),
  }
}

/** Initial weights of training; a session that only evaluates does not draw any. */
function initialWeights({ layout, plan }: Session): NamedWeights[] {
  return layout.parameters.map(({ parameter: { name, kind, layer, dims } }) => {
    const data = new Float32Array(sizeOf(dims))
    if (kind !== 'weight') return { name, shape: dims, data }
    if (plan.init === 'orthogonal') return { name, shape: dims, data: initialOrthogonal(plan, layer) }
    const [inputs, outputs] = dims
    const draw = initialRows(plan.init, plan.seed, layer, inputs, outputs)
    for (let i = 0; i < inputs; i++) draw(data.subarray(i * outputs, (i + 1) * outputs), i)
    return { name, shape: dims, data }
  })
}

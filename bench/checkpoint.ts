/**
 * `npm run bench -- checkpoint`: what a checkpoint of the reference network costs its training: the pause for the
 * snapshot, and what steps lose while it is written. Main thread; the steps run in the workers.
 */
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import type { Precision } from '../src/kernels/backend.js'
import { CheckpointStore } from '../src/run/checkpoints.js'
import type { BackendChoice } from './backends.js'
import { type Lab, openLab } from './lab.js'
import { REFERENCE_WIDTHS, referenceLab } from './reference-network.js'
import { chartBar, type Report, type Say, workersText } from './report.js'
import { median, type Summary, sum, summarise } from './stats.js'

export interface CheckpointOptions {
  readonly backend: BackendChoice
  readonly checkpoints: number
  readonly steps: number
  readonly workers: number
  readonly precision: Precision
}
export const CHECKPOINT_DEFAULTS: CheckpointOptions = {
  backend: 'auto',
  checkpoints: 7,
  steps: 6,
  workers: 2,
  precision: 'f32',
}

/** Mini-batches of an epoch of 60,000 rows, after each of which there is one checkpoint. */
const STEPS_PER_EPOCH = Math.ceil(60_000 / 256)
const OVERHEAD_BAR = 0.03
const WARMUP = 3

interface Sample {
  /** Pause between two steps in which the workers copy the state. */
  readonly snapshotMs: number
  /** Time from the snapshot to a complete file, with digests. */
  readonly writeSeconds: number
  /** Steps meanwhile, and how much longer they took together than as many undisturbed ones just before and after. */
  readonly steps: number
  readonly lostMs: number
  readonly quietStepMs: number
}

export async function benchCheckpoint(options: CheckpointOptions, say: Say): Promise<Report> {
  const { checkpoints, steps, workers, precision } = options
  say(`checkpoint: ${checkpoints} checkpoints with ${workersText(workers)}, ${steps} undisturbed steps around each`)
  const folder = await mkdtemp(join(tmpdir(), 'gradloom-bench-'))
  const lab = await openLab({ ...referenceLab(workers, options.backend), precision })
  const samples: Sample[] = []
  let bytes = 0
  try {
    const store = new CheckpointStore(folder, 1)
    await stepTimes(lab, WARMUP)
    // The first one makes the buffer for snapshots, and is not counted.
    for (let taken = -1; taken < checkpoints; taken++) {
      const sample = await sampleOf(lab, store, taken + 1, steps)
      if (taken >= 0) samples.push(sample)
    }
    bytes = (await stat(store.file(checkpoints))).size
  } finally {
    await lab.close()
    await rm(folder, { recursive: true })
  }
  const { backend } = lab.session.plan
  const overheads = summarise(
    samples.map(({ snapshotMs, lostMs, quietStepMs }) => (snapshotMs + lostMs) / (STEPS_PER_EPOCH * quietStepMs)),
  )
  const of = (key: keyof Sample): Summary => summarise(samples.map(sample => sample[key]))
  return {
    name: 'checkpoint',
    title: `a checkpoint of ${REFERENCE_WIDTHS.join('-')} with Adam, ${backend}, ${precision}, ${workersText(workers)}`,
    method: [
      'The workers copy the state between two steps; then the file is hashed and written while they train on.',
      `"lost": time of the steps during the write, less that of as many undisturbed ones (${steps} before and ${steps} after); medians.`,
      `Overhead: snapshot and lost time over the ${STEPS_PER_EPOCH} steps of an epoch of 60,000 rows. The snapshot takes as much memory as the file, once.`,
    ],
    tables: [
      {
        title: '',
        words: 0,
        head: ['checkpoints', 'MB', 'snapshot ms', 'write s', 'steps meanwhile', 'lost ms', 'step ms', 'of an epoch'],
        rows: [
          [
            String(checkpoints),
            (bytes / 1e6).toFixed(0),
            of('snapshotMs').median.toFixed(0),
            of('writeSeconds').median.toFixed(2),
            of('steps').median.toFixed(0),
            of('lostMs').median.toFixed(0),
            of('quietStepMs').median.toFixed(0),
            `${(100 * overheads.median).toFixed(2)} %`,
          ],
        ],
      },
    ],
    charts: [
      {
        title: `Cost of a checkpoint of ${(bytes / 1e6).toFixed(0)} MB after each epoch of 60,000 rows, ${backend}`,
        axis: 'percent of the epoch',
        better: 'lower',
        groups: [workersText(workers)],
        series: [{ name: backend, bars: [chartBar(overheads, 100)] }],
      },
    ],
    bars: [
      {
        what: `a checkpoint after every epoch, ${backend}, ${workersText(workers)}`,
        got: overheads.median,
        want: OVERHEAD_BAR,
        at: 'below',
        unit: 'percent',
      },
    ],
    skipped: [],
    numbers: { options, backend, bytes, samples, overheads },
  }
}

async function stepTimes(lab: Lab, count: number): Promise<number[]> {
  return (await lab.run(count)).map(({ seconds }) => 1000 * seconds)
}

async function sampleOf(lab: Lab, store: CheckpointStore, step: number, steps: number): Promise<Sample> {
  const quiet = await stepTimes(lab, steps)
  const started = performance.now()
  const { parameters, moments } = await lab.session.snapshot()
  const copied = performance.now()
  let writing = true
  const state = { step, epoch: 0, rowsSeen: 0, experiment: {}, training: {} }
  const written = store.save(parameters, moments, state, null).finally(() => {
    writing = false
  })
  const disturbed: number[] = []
  while (writing) disturbed.push(...(await stepTimes(lab, 1)))
  await written
  const writeSeconds = (performance.now() - copied) / 1000
  quiet.push(...(await stepTimes(lab, steps)))
  const quietStepMs = median(quiet)
  return {
    snapshotMs: copied - started,
    writeSeconds,
    steps: disturbed.length,
    lostMs: sum(disturbed) - disturbed.length * quietStepMs,
    quietStepMs,
  }
}

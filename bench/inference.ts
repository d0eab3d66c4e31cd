/**
 * `npm run bench -- inference`: predictions of the reference network by `Predictor`, in one thread and in several, beside
 * onnxruntime-node with the same network as ONNX, in turns. Main thread; onnxruntime is a process of its own.
 *
 * The network is trained for some epochs on the digits that come with gradloom: the more it has learned, the more activations are 0.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { resolveExperiment } from '../src/config/load.js'
import { train } from '../src/coordinator/new-run.js'
import { exportWeights } from '../src/export/export.js'
import { loadTestSamples } from '../src/inference/examples.js'
import { Predictor } from '../src/inference/predictor.js'
import type { BackendChoice } from './backends.js'
import { REFERENCE_HIDDEN } from './lab.js'
import { installPeer, ortCommand, type Peer, PeerError, startPeer } from './peer.js'
import { REFERENCE_BATCH, REFERENCE_DROPOUT, REFERENCE_L2, REFERENCE_WIDTHS } from './reference-network.js'
import { type Bar, chartBar, type Report, type Say } from './report.js'
import { type Summary, spread, summarise } from './stats.js'

export interface InferenceOptions {
  readonly backend: BackendChoice
  readonly turns: number
}
export const INFERENCE_DEFAULTS: InferenceOptions = { backend: 'auto', turns: 7 }

const PIXELS = 784
/** Few activations of a trained network are not 0: an epoch would leave more of them. */
const EPOCHS = 3
const MS_PER_TURN = 150
/** Cases, and how many times as fast as onnxruntime we promise to be. */
const CASES: readonly Case[] = [
  { threads: 1, batch: 1, want: 1.2 },
  { threads: 1, batch: 64, want: 2 },
  { threads: 1, batch: 256, want: 2 },
  { threads: 1, batch: 1000, want: 2 },
  { threads: 2, batch: 256, want: 2 },
  { threads: 2, batch: 1000, want: null },
]

interface Case {
  readonly threads: number
  readonly batch: number
  /** null: no promise. */
  readonly want: number | null
}

interface Measured extends Case {
  /** Seconds of a mini-batch. */
  readonly ours: Summary
  readonly theirs: Summary | null
}

export async function benchInference(options: InferenceOptions, say: Say): Promise<Report> {
  const folder = await mkdtemp(join(tmpdir(), 'gradloom-bench-'))
  const skipped: string[] = []
  const measured: Measured[] = []
  let version = ''
  let computedIn = ''
  try {
    const run = join(folder, 'run')
    say('inference: training the reference network')
    await train(experimentOf(options), { runDir: run })
    const predictor = await Predictor.open(run, { backend: options.backend, threads: 2 })
    computedIn = `${predictor.backend.name}: ${predictor.backend.reason}`
    const { features, rows } = await loadTestSamples(predictor)
    const model = join(folder, 'model.onnx')
    const samples = join(folder, 'samples.f32')
    await exportWeights(run, model)
    await writeFile(
      samples,
      Float32Array.from(features, pixel => pixel / 255),
    )
    const peerOf = async ({ threads, batch }: Case): Promise<Peer | null> => {
      try {
        await installPeer('ort', say)
        const args = { model, samples, features: PIXELS, batch, threads }
        return await startPeer(
          ortCommand(Object.entries(args).flatMap(([name, value]) => [`--${name}`, String(value)])),
        )
      } catch (error) {
        if (!(error instanceof PeerError)) throw error
        skipped.push(`onnxruntime-node, batch ${batch}: ${error.message}`)
        return null
      }
    }
    for (const each of CASES) {
      say(`inference: batch ${each.batch}, threads ${each.threads}: ${options.turns} turns`)
      const peer = await peerOf(each)
      version = peer?.facts.version ?? version
      try {
        measured.push(await measure(each, predictor, features as Uint8Array, rows, peer, options.turns))
      } finally {
        await peer?.close()
      }
    }
    await predictor.close()
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
  return reportOf(options, measured, skipped, { version, computedIn })
}

const experimentOf = ({ backend }: InferenceOptions) =>
  resolveExperiment({
    name: 'bench',
    data: { dataset: 'digits' },
    model: { hidden: REFERENCE_HIDDEN, dropout: REFERENCE_DROPOUT },
    train: { epochs: EPOCHS, batchSize: REFERENCE_BATCH, l2: REFERENCE_L2 },
    compute: { backend, precision: 'f32' },
  })

/** Medians of the turns, which begin with ours and theirs alternately. */
async function measure(
  each: Case,
  predictor: Predictor,
  features: Uint8Array,
  rows: number,
  peer: Peer | null,
  turns: number,
): Promise<Measured> {
  const { batch, threads } = each
  const batches = Math.floor(rows / batch)
  let next = 0
  const step = async (): Promise<number> => {
    const first = (next++ % batches) * batch * PIXELS
    const part = features.subarray(first, first + batch * PIXELS)
    const started = performance.now()
    if (threads === 1) predictor.predict(part)
    else await predictor.predictAsync(part)
    return (performance.now() - started) / 1000
  }
  for (let i = 0; i < 5; i++) await step()
  const steps = Math.max(3, Math.ceil(MS_PER_TURN / (1000 * (await step()))))
  const [ours, theirs]: number[][] = [[], []]
  const turnOf = {
    ours: async () => {
      const seconds: number[] = []
      for (let i = 0; i < steps; i++) seconds.push(await step())
      ours.push(summarise(seconds).median)
    },
    theirs: async () => {
      if (peer !== null) theirs.push(summarise(await peer.steps(steps)).median)
    },
  }
  for (let turn = 0; turn < turns; turn++) {
    for (const side of turn % 2 === 0 ? (['ours', 'theirs'] as const) : (['theirs', 'ours'] as const)) {
      await turnOf[side]()
    }
  }
  return { ...each, ours: summarise(ours), theirs: peer === null ? null : summarise(theirs) }
}

function reportOf(
  options: InferenceOptions,
  measured: readonly Measured[],
  skipped: readonly string[],
  { version, computedIn }: { readonly version: string; readonly computedIn: string },
): Report {
  const title = ({ batch, threads }: Case) => `batch ${batch}, ${threads === 1 ? '1 thread' : `${threads} threads`}`
  const rate = (batch: number, seconds: Summary | null) =>
    seconds === null ? '-' : (batch / seconds.median).toFixed(0)
  const factor = ({ ours, theirs }: Measured) => (theirs === null ? null : theirs.median / ours.median)
  return {
    name: 'inference',
    title: `predictions of ${REFERENCE_WIDTHS.join('-')}`,
    method: [
      `Each side warms up, then ${options.turns} turns of at least ${MS_PER_TURN} ms, gradloom and onnxruntime in turns; medians of turns. One thread: predict; two: predictAsync.`,
      `gradloom: ${computedIn}.`,
      `onnxruntime-node ${version || '(not measured)'}: the same network exported as ONNX, all graph optimizations, pixels as f32; gradloom takes bytes.`,
    ],
    tables: [
      {
        title: 'Samples per second',
        words: 1,
        head: ['case', 'gradloom', 'spread', 'onnxruntime', 'spread', 'times'],
        rows: measured.map(each => [
          title(each),
          rate(each.batch, each.ours),
          `${(100 * spread(each.ours)).toFixed(0)} %`,
          rate(each.batch, each.theirs),
          each.theirs === null ? '-' : `${(100 * spread(each.theirs)).toFixed(0)} %`,
          factor(each)?.toFixed(2) ?? '-',
        ]),
      },
    ],
    charts: [
      {
        title: 'Time of a sample with the reference network',
        axis: 'milliseconds',
        better: 'lower',
        groups: measured.map(title),
        series: [
          { name: 'gradloom', bars: measured.map(({ ours, batch }) => chartBar(ours, 1000 / batch)) },
          {
            name: 'onnxruntime-node',
            bars: measured.map(({ theirs, batch }) => (theirs === null ? null : chartBar(theirs, 1000 / batch))),
          },
        ],
      },
    ],
    bars: measured.flatMap((each): Bar[] =>
      each.want === null
        ? []
        : [
            {
              what: `speed relative to onnxruntime, ${title(each)}`,
              got: factor(each),
              want: each.want,
              at: 'least',
              unit: 'times',
            },
          ],
    ),
    skipped,
    numbers: { options, results: measured },
  }
}

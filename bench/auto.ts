/**
 * `npm run bench -- auto`: the trial that decides what `"auto"` is, beside longer measurements of the same backends in turns, for
 * networks of several kinds. Main thread; steps run in the workers.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { resolveExperiment } from '../src/config/load.js'
import type { ExperimentInput } from '../src/config/schema.js'
import { autoCompute, type DecidedRun } from '../src/coordinator/auto-compute.js'
import { prepareSession } from '../src/coordinator/prepare.js'
import { Session } from '../src/coordinator/session.js'
import { measureSteps } from '../src/coordinator/trial.js'
import { type Contender, isPair, type StepTime } from '../src/coordinator/trial-choice.js'
import type { TrainingData } from '../src/data/memory.js'
import { RunError } from '../src/errors.js'
import { pairName } from '../src/kernels/choose-compute.js'
import { REFERENCE_HIDDEN, stepSeconds } from './lab.js'
import { REFERENCE_BATCH, REFERENCE_L2 } from './reference-network.js'
import { type Bar, type Report, type Say, type Table, workersText } from './report.js'
import { summarise } from './stats.js'

export interface AutoOptions {
  /** Turns of each backend, of `milliseconds` or a step each. */
  readonly turns: number
  readonly milliseconds: number
}
export const AUTO_DEFAULTS: AutoOptions = { turns: 9, milliseconds: 40 }

/** Most times as long as the fastest's that a step of the choice may take. */
const MOST_SLOWER = 1.05
const OPTIONS = { purpose: 'train', splits: ['train', 'test'] } as const
const COLUMNS = 30

const DIGITS = { data: { dataset: 'digits' } } as const
const NETWORKS: Readonly<Record<string, ExperimentInput>> = {
  reference: {
    ...DIGITS,
    model: { hidden: REFERENCE_HIDDEN, dropout: 0.3 },
    train: { batchSize: REFERENCE_BATCH, l2: REFERENCE_L2 },
  },
  'reference, gelu, no dropout': {
    ...DIGITS,
    model: { hidden: REFERENCE_HIDDEN, activation: 'gelu', dropout: 0 },
    train: { batchSize: REFERENCE_BATCH, l2: REFERENCE_L2 },
  },
  '784-128-10': { ...DIGITS, model: { hidden: [128] } },
  'table of 30 columns': { data: { dataset: 'memory' }, model: { hidden: [64, 64] }, train: { batchSize: 1000 } },
}
const NAMES = Object.keys(NETWORKS)

interface Result {
  readonly network: string
  /** Seconds that the trial took. */
  readonly seconds: number
  readonly chosen: Contender
  readonly trial: readonly StepTime[]
  /** Milliseconds of a step of each of the trial's contenders, measured for longer. */
  readonly longer: readonly number[]
}

export async function benchAuto(options: AutoOptions, say: Say): Promise<Report> {
  const cache = await mkdtemp(join(tmpdir(), 'gradloom-auto-'))
  const before = process.env.GRADLOOM_CACHE
  process.env.GRADLOOM_CACHE = cache // so that no earlier trial decides
  try {
    const results: Result[] = []
    for (const network of NAMES) {
      for (const precision of ['f32', 'auto'] as const) {
        say(`auto: ${network}, precision ${precision}`)
        results.push(await measure(network, precision, options))
      }
    }
    return reportOf(results, options)
  } finally {
    if (before === undefined) delete process.env.GRADLOOM_CACHE
    else process.env.GRADLOOM_CACHE = before
    await rm(cache, { recursive: true, force: true })
  }
}

async function measure(network: string, precision: 'f32' | 'auto', options: AutoOptions): Promise<Result> {
  const start = async (compute: ExperimentInput['compute']) => {
    const { experiment, baseDir } = resolveExperiment({ ...NETWORKS[network], compute })
    const samples = experiment.data.dataset === 'memory' ? table() : undefined
    return prepareSession(experiment, baseDir, OPTIONS, samples)
  }
  const prepared = await start({ precision })
  let seconds = 0
  const { decide } = await autoCompute(prepared, {
    async measure(...of) {
      const started = performance.now()
      const times = await measureSteps(...of)
      seconds = (performance.now() - started) / 1000
      return times
    },
  })
  if (decide === null) throw new RunError('auto: one backend works on this machine, expected several to choose from')
  let decided: DecidedRun = prepared
  const session = await Session.start(prepared, prepared.experiment, null, undefined, async (...of) => {
    decided = await decide(...of)
    return decided
  })
  await session.close()
  const { times } = decided.trial!
  const sessions: Session[] = []
  try {
    for (const { backend, precision, workers } of times) {
      const of = await start({ backend, precision, workers })
      sessions.push(await Session.start(of, of.experiment))
      await sessions.at(-1)!.initialise()
    }
    const { backend, precision, workers } = decided.plan
    return {
      network,
      seconds,
      chosen: { backend, precision, workers },
      trial: times,
      longer: await inTurns(sessions, options),
    }
  } finally {
    for (const session of sessions) await session.close()
  }
}

/** Median milliseconds of a step of each, by turns; the first turn does not count. */
async function inTurns(sessions: readonly Session[], { turns, milliseconds }: AutoOptions): Promise<number[]> {
  const samples = sessions.map((): number[] => [])
  const next = sessions.map(() => 0)
  const run = async (i: number, count: number) => {
    const { pool, plan } = sessions[i]
    const perEpoch = Math.floor(plan.rows.train / plan.batchSize)
    const ms: number[] = []
    while (ms.length < count) {
      const at = next[i] >= perEpoch ? 0 : next[i] // a partial batch at the end of an epoch is left out
      const to = Math.min(perEpoch, at + count - ms.length)
      const reports = await pool.all('bench', worker => worker.run(at, to, { trace: true, rateFactor: 0 }))
      if (reports.some(({ fault }) => fault !== 0)) throw new RunError('auto: a step has a fault')
      ms.push(...stepSeconds({ reports }).map(seconds => 1000 * seconds))
      next[i] = to
    }
    return ms
  }
  for (let turn = 0; turn <= turns; turn++) {
    for (const i of sessions.keys()) {
      const ms = summarise(await run(i, turn === 0 ? 8 : 1)).median
      const measured = await run(i, Math.max(1, Math.min(1000, Math.round(milliseconds / ms))))
      if (turn > 0) samples[i].push(...measured)
    }
  }
  return samples.map(values => summarise(values).median)
}

/** Numbers of no pattern, and classes that depend on them. */
function table(): TrainingData {
  const rows = 20_000
  const features = Float32Array.from({ length: rows * COLUMNS }, (_, i) => ((i * 7_919) % 2_003) / 1000 - 1)
  const labels = Int32Array.from({ length: rows }, (_, row) =>
    features[row * COLUMNS] > features[row * COLUMNS + 1] ? 1 : 0,
  )
  return { features: { data: features, shape: [rows, COLUMNS] }, labels }
}

const isChosen = (time: Contender, { chosen }: Result): boolean =>
  isPair(time, chosen) && time.workers === chosen.workers

/** Times as long as the fastest's that a step of the choice takes. */
function slower(result: Result): number {
  const chosen = result.longer[result.trial.findIndex(time => isChosen(time, result))]
  return chosen / Math.min(...result.longer)
}

function reportOf(results: readonly Result[], { turns, milliseconds }: AutoOptions): Report {
  const name = (result: Result) =>
    `${result.network}, ${result.trial.some(({ precision }) => precision === 'bf16') ? 'bf16 allowed' : 'f32'}`
  return {
    name: 'auto',
    title: `what "auto" takes, of ${workersText(availableParallelism())} or 1`,
    method: [
      '"trial": medians of the trial that `train` makes before its first step, without an earlier one.',
      `"longer": medians of ${turns} turns of ${milliseconds} ms, or of a step, after a turn that does not count.`,
    ],
    tables: [tableOf(results, name)],
    charts: [],
    bars: results.map(
      (result): Bar => ({
        what: `${name(result)}: choice relative to the fastest`,
        got: slower(result),
        want: MOST_SLOWER,
        at: 'most',
        unit: 'times',
      }),
    ),
    skipped: [],
    numbers: { results },
  }
}

const tableOf = (results: readonly Result[], name: (result: Result) => string): Table => ({
  title: 'milliseconds of a step',
  words: 3,
  head: ['network', 'backend', 'choice', 'workers', 'trial ms', 'longer ms', 'trial s'],
  rows: results.flatMap(result =>
    result.trial.map((time, i) => [
      ...[i === 0 ? name(result) : '', pairName(time), isChosen(time, result) ? 'chosen' : ''],
      ...[String(time.workers), time.ms.toPrecision(3), result.longer[i].toPrecision(3)],
      i === 0 ? result.seconds.toFixed(2) : '',
    ]),
  ),
})

/**
 * `npm run bench -- startup`: from the start of the process to the first step, of `gradloom train` as users call it.
 * Main thread; each run is a process of its own, whose metrics.jsonl says when it got where.
 */
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { RunError } from '../src/errors.js'
import type { BackendChoice } from './backends.js'
import { chartBar, type Report, type Say, type Table } from './report.js'
import { type Summary, spread, summarise } from './stats.js'

export interface StartupOptions {
  readonly times: number
  readonly backend: BackendChoice
}
export const STARTUP_DEFAULTS: StartupOptions = { times: 5, backend: 'auto' }

const BAR_SECONDS = 1.5
const HIDDEN = [128]
const BATCH = 128
/**
 * Events are written after a span of steps, and a span ends with its epoch: with this few training rows, after the second step. All rows
 * are loaded nevertheless.
 */
const VALIDATION = 0.98

/** Path from dist/bench to the program. */
const PROGRAM = fileURLToPath(new URL('../../bin/gradloom.js', import.meta.url))

/** Seconds from the start of the process. */
interface Start {
  /** Data loaded, threads running, weights drawn. */
  readonly ready: number
  /** The first steps are done. */
  readonly stepped: number
  readonly steps: number
  readonly backend: string
}

export async function benchStartup({ times, backend }: StartupOptions, say: Say): Promise<Report> {
  say(`startup: ${backend}: 1 + ${times} runs`)
  await start(backend)
  const starts: Start[] = []
  while (starts.length < times) starts.push(await start(backend))
  const ready = summarise(starts.map(taken => taken.ready))
  const stepped = summarise(starts.map(taken => taken.stepped))
  const [{ steps, backend: found }] = starts
  return {
    name: 'startup',
    title: `from the start of the process to the first step of 784-${HIDDEN.join('-')}-10 on digits, batch ${BATCH}, ${found}`,
    method: [
      `\`node bin/gradloom.js train\`, once to warm the file cache, then ${times} times; medians.`,
      `"ready": data loaded, threads running, weights drawn. "first step": the first line of metrics, after ${steps} steps.`,
    ],
    tables: [startupTable({ ready, 'first step': stepped })],
    charts: [
      {
        title: `Start-up of \`gradloom train\`, ${found}`,
        axis: 'seconds since the start of the process',
        better: 'lower',
        groups: ['ready', 'first step'],
        series: [{ name: found, bars: [chartBar(ready), chartBar(stepped)] }],
      },
    ],
    bars: [
      {
        what: `start to the first step, ${found}`,
        got: stepped.median,
        want: BAR_SECONDS,
        at: 'most',
        unit: 'seconds',
      },
    ],
    skipped: [],
    numbers: { options: { times, backend }, backend: found, ready, firstStep: stepped },
  }
}

async function start(backend: BackendChoice): Promise<Start> {
  const folder = await mkdtemp(join(tmpdir(), 'gradloom-startup-'))
  try {
    const experiment = join(folder, 'startup.json')
    const runDir = join(folder, 'run')
    const content = {
      data: { dataset: 'digits', validation: VALIDATION },
      model: { hidden: HIDDEN, dropout: 0.3 },
      train: { epochs: 1, batchSize: BATCH, l2: 0.05 },
      compute: { backend },
    }
    await writeFile(experiment, JSON.stringify(content))
    const from = Date.now()
    const args = [PROGRAM, 'train', experiment, '--run-dir', runDir, '--quiet', '--json']
    const { stdout } = await promisify(execFile)(process.execPath, args).catch((error: Error & { stderr?: string }) => {
      throw new RunError(`startup: gradloom train failed: ${error.stderr?.trim() || error.message}`)
    })
    const events = await eventsOf(runDir)
    const seconds = (type: string) => {
      const event = events.find(candidate => candidate.type === type)
      if (!event) throw new RunError(`startup: metrics.jsonl has no event '${type}'`)
      return { at: (Date.parse(event.time) - from) / 1000, step: event.step ?? 0 }
    }
    const first = seconds('steps')
    return { ready: seconds('start').at, stepped: first.at, steps: first.step, backend: JSON.parse(stdout).backend }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

interface RunEvent {
  readonly type: string
  readonly time: string
  readonly step?: number
  readonly samplesPerSecond?: number
}

/** Events of a run that is over. */
export async function eventsOf(runDir: string): Promise<RunEvent[]> {
  const lines = (await readFile(join(runDir, 'metrics.jsonl'), 'utf8')).trim().split('\n')
  return lines.map(line => JSON.parse(line) as RunEvent)
}

function startupTable(rows: Readonly<Record<string, Summary>>): Table {
  return {
    title: '',
    words: 1,
    head: ['until', 'runs', 'median s', 'spread', 'best s', 'worst s'],
    rows: Object.entries(rows).map(([what, seconds]) => [
      what,
      String(seconds.count),
      seconds.median.toFixed(2),
      `${(100 * spread(seconds)).toFixed(1)} %`,
      seconds.min.toFixed(2),
      seconds.max.toFixed(2),
    ]),
  }
}

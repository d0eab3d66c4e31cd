/** `gradloom sweep`: many variants of an experiment, a few at a time. Main thread. */
import { relative } from 'node:path'
import { MultiBar, type SingleBar } from 'cli-progress'
import type { Argv, CommandModule } from 'yargs'
import type { SharedRun } from '../coordinator/ranks.js'
import { ConfigError } from '../errors.js'
import { formatCount, formatCounted, shellWord } from '../format.js'
import { compareRuns, comparisonTable } from '../report/comparison.js'
import { loadSweep } from '../sweep/file.js'
import type { SweepResult, SweepRun } from '../sweep/result.js'
import { runSweep } from '../sweep/sweep.js'
import { aligned } from './compare.js'
import { watchInterrupts } from './interrupt.js'
import { overMachines } from './machines.js'

interface SweepArguments {
  sweep: string
  runDir?: string
  parallel?: number
  keepFailed: boolean
  json: boolean
  quiet: boolean
}

export const sweepCommand: CommandModule<object, SweepArguments> = {
  command: 'sweep <sweep>',
  describe: 'Train many variants of an experiment; the same command continues a stopped sweep',
  builder: yargs =>
    yargs
      .positional('sweep', { describe: 'Sweep file (JSON), see docs/sweeps.md', type: 'string', demandOption: true })
      .option('run-dir', {
        describe: 'Directory of the sweep',
        type: 'string',
        requiresArg: true,
        defaultDescription: "runs/<the file's name>",
      })
      .option('parallel', { describe: 'Runs at a time', type: 'number', requiresArg: true })
      .option('keep-failed', {
        describe: 'Do not retry runs that failed',
        type: 'boolean',
        default: false,
      })
      .option('json', { describe: 'Print the result as one JSON object on stdout', type: 'boolean', default: false })
      .option('quiet', { describe: 'No progress on stderr', type: 'boolean', default: false })
      .example('$0 sweep configs/sweeps/quickstart.json', 'all runs; after Ctrl-C the same command continues')
      .example(
        '$0 sweep configs/sweeps/quickstart.json --parallel 2',
        'two at a time, each with half of the cores',
      ) as unknown as Argv<SweepArguments>,
  handler: args => overMachines({ machines: 'auto' }, ranks => sweepOver(ranks, args), followSweep),
}

async function followSweep(ranks: SharedRun, signal: AbortSignal): Promise<number> {
  return (await import('../sweep/ranks.js')).followSweep(ranks, signal)
}

async function sweepOver(
  ranks: SharedRun | undefined,
  { sweep, runDir, parallel, keepFailed, json, quiet }: SweepArguments,
): Promise<void> {
  if (ranks && parallel !== undefined) {
    throw new ConfigError(
      `--parallel is ${parallel}, expected none: each of ${ranks.size} ranks takes one run at a time`,
    )
  }
  const loaded = await loadSweep(sweep)
  const stop = new AbortController()
  ranks?.stopSignal.addEventListener('abort', () => stop.abort())
  const view = new SweepView(quiet)
  const interrupt = watchInterrupts(
    signal => {
      view.line(`${signal}: saving the current runs; the same command continues the sweep`)
      stop.abort()
    },
    () => view.close(),
  )
  let result: SweepResult
  try {
    result = await runSweep(loaded, {
      ...{ dir: runDir, parallel, keepFailed, ranks, signal: stop.signal },
      onRun: run => view.finished(run),
      onEvent: (index, event) => {
        if (event.type === 'progress') view.progress(index, event.step, event.stepsPerEpoch * event.epochs)
      },
      onWarning: message => view.line(`warning: ${message}`),
    })
  } finally {
    view.close()
    interrupt.dispose()
  }
  process.stdout.write(json ? `${JSON.stringify(result)}\n` : `${(await resultLines(result)).join('\n')}\n`)
  const failed = result.runs.some(({ status }) => status === 'failed')
  const open = result.runs.some(({ status }) => status === 'waiting')
  process.exitCode = open ? (interrupt.exitCode() ?? 1) : failed ? 1 : 0
}

async function resultLines({ dir, runs, best }: SweepResult): Promise<string[]> {
  const shown = (path: string) => shellWord(relative(process.cwd(), path) || '.')
  const finished = runs.filter(({ status }) => status === 'completed' || status === 'dropped')
  const count = (wanted: SweepRun['status']) => runs.filter(({ status }) => status === wanted).length
  const counts = (['completed', 'dropped', 'failed', 'waiting'] as const)
    .filter(status => count(status) > 0)
    .map(status => `${formatCount(count(status))} ${status}`)
  const table = finished.length > 0 ? comparisonTable(await compareRuns(finished.map(({ dir }) => dir))) : null
  return [
    ...(table ? aligned(table) : []),
    '',
    `${formatCounted(runs.length, 'run')} in ${shown(dir)}: ${counts.join(', ')}`,
    ...runs.flatMap(({ status, error, dir }) => (status === 'failed' ? [`failed: ${shown(dir)}: ${error}`] : [])),
    ...(best ? [`best by ${best.score!.metric}: ${shown(best.dir)}`] : []),
  ]
}

/** A bar for each run in progress if there is a terminal, a line for each that ended. */
class SweepView {
  readonly #quiet: boolean
  readonly #bars: MultiBar | null
  readonly #running = new Map<number, SingleBar>()

  constructor(quiet: boolean) {
    this.#quiet = quiet
    this.#bars =
      quiet || !process.stderr.isTTY
        ? null
        : new MultiBar({
            stream: process.stderr,
            format: 'run {index} {bar} {value}/{total} steps',
            barsize: 30,
            hideCursor: true,
            clearOnComplete: true,
          })
  }

  progress(index: number, step: number, total: number): void {
    if (!this.#bars) return
    const bar = this.#running.get(index) ?? this.#bars.create(total, 0, { index })
    this.#running.set(index, bar)
    bar.setTotal(total)
    bar.update(step)
  }

  finished({ point, status, epochs, score }: SweepRun): void {
    const bar = this.#running.get(point.index)
    if (bar) this.#bars!.remove(bar)
    this.#running.delete(point.index)
    const settings = Object.entries(point.settings).map(([path, value]) => `${path}=${JSON.stringify(value)}`)
    const result = score ? `, ${score.metric} ${score.value.toPrecision(5)}` : ''
    this.line(`run ${point.index} ${status} (${formatCounted(epochs, 'epoch')}${result})  ${settings.join(' ')}`)
  }

  line(text: string): void {
    if (this.#quiet) return
    if (this.#bars) this.#bars.log(`${text}\n`)
    else process.stderr.write(`${text}\n`)
  }

  close(): void {
    this.#bars?.stop()
  }
}

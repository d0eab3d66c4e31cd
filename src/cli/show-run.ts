/**
 * Shows a run in progress: progress lines, signals, the result, the exit code. Shared by the commands that train. Main
 * thread.
 */
import { TrainControl } from '../coordinator/control.js'
import type { TrainOptions } from '../coordinator/training-loop.js'
import type { RunSummary } from '../run/events.js'
import type { LivePage } from '../serve/live.js'
import { watchInterrupts } from './interrupt.js'
import { paintFor } from './paint.js'
import { ProgressView } from './progress.js'
import { endLines, shown } from './train-lines.js'

export interface ShowOptions {
  /** The summary as one JSON object on stdout. */
  readonly json: boolean
  readonly quiet: boolean
  /** Show a live page in the browser during training. */
  readonly live?: boolean
  /** Port of the live page; null: the default port, or any that is free. */
  readonly port?: number | null
}

/** Runs `train` with its callbacks and signals connected; `experimentPath` is the file as the user named it, if any. */
export async function showRun(
  { json, quiet, live = false, port = null }: ShowOptions,
  experimentPath: string | null,
  train: (options: TrainOptions) => Promise<RunSummary>,
): Promise<void> {
  const cwd = process.cwd()
  const view = new ProgressView({ stream: process.stderr, cwd })
  const stop = new AbortController()
  const control = new TrainControl()
  const interrupt = watchInterrupts(
    signal => {
      view.note(`${signal}: finishing the current step and saving; press again to quit at once`)
      stop.abort()
    },
    () => view.close(),
  )
  const onSave = () => {
    view.note('SIGUSR1: writing a checkpoint; training continues', '')
    control.requestCheckpoint()
  }
  // Windows has no such signal, and Node.js refuses to listen for it.
  if (process.platform !== 'win32') process.on('SIGUSR1', onSave)

  let runDir: string | null = null
  let ofImages = true
  let summary: RunSummary
  let page: LivePage | null = null
  try {
    page = live ? await openPage(port, message => view.note(`warning: ${message}`)) : null
    if (page) view.note(`live     ${page.url}`, '')
    summary = await train({
      signal: stop.signal,
      control,
      onWarning: message => view.note(`warning: ${message}`),
      onEvent: event => {
        if (event.type === 'start') {
          runDir = event.runDir
          const { dataset, task } = event.experiment.data
          ofImages = dataset !== 'table' && task === 'classification'
        }
        page?.show(event)
        if (!quiet) view.show(event)
      },
    })
  } catch (error) {
    if (runDir !== null) view.note(`run      ${shown(runDir, cwd)} has what was saved`, '')
    throw error
  } finally {
    view.close()
    await page?.close()
    interrupt.dispose()
    process.off('SIGUSR1', onSave)
  }

  if (json) process.stdout.write(`${JSON.stringify(summary)}\n`)
  if (!quiet) {
    // Progress goes to stderr with --json: stdout is for the summary alone.
    const out = json ? process.stderr : process.stdout
    const lines = endLines(summary, { runDir, experimentPath, cwd, paint: paintFor(out), ofImages })
    out.write(`\n${lines.join('\n')}\n`)
  }
  process.exitCode = exitCodeOf(summary, interrupt.exitCode())
}

async function openPage(port: number | null, onWarning: (message: string) => void): Promise<LivePage> {
  const { LivePage } = await import('../serve/live.js')
  return LivePage.open(port, onWarning)
}

/** Exit code of a run. A signal after the last step does not make it a failure; a result that is lost does. Exported for tests. */
export function exitCodeOf(
  { status, notSaved }: Pick<RunSummary, 'status' | 'notSaved'>,
  signalled: number | undefined,
): number {
  if (status === 'completed') return notSaved === undefined ? 0 : 1
  return status === 'interrupted' ? (signalled ?? 130) : 1
}

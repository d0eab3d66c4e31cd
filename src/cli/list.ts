/** `gradloom list`: the runs of a folder, one per line. Main thread; reads, never writes. */
import { existsSync } from 'node:fs'
import type { CommandModule } from 'yargs'
import { formatBytes, formatCount, formatDuration, formatLoss, formatPercent } from '../format.js'
import type { Score } from '../run/events.js'
import type { ListedRun } from '../run/list.js'
import { jsonObject } from './options.js'

const USUAL = 'runs'

export const listCommand: CommandModule<object, { folder: string; json: boolean }> = {
  command: 'list [folder]',
  describe: 'List runs: status, epochs, scores, time and size',
  builder: yargs =>
    yargs
      .positional('folder', { describe: 'Folder with runs', type: 'string', default: USUAL })
      .option('json', jsonObject)
      .example('$0 list', 'the runs under runs/, including those of sweeps')
      .example('$0 list elsewhere --json', 'for scripts'),
  handler: async ({ folder, json }) => {
    const { listRuns } = await import('../run/list.js')
    // The default folder does not exist before the first run: an empty list, not an error.
    const runs = folder === USUAL && !existsSync(folder) ? [] : await listRuns(folder)
    process.stdout.write(json ? `${JSON.stringify({ runs })}\n` : listText(runs, folder))
  },
}

/** Exported for tests. */
export function listText(runs: readonly ListedRun[], folder: string): string {
  if (runs.length === 0) return `no runs in ${folder}\n`
  const header = ['run', 'name', 'status', 'epochs', 'test', 'validation', 'time', 'size']
  const rows = runs.map(({ dir, name, status, epochs, test, validation, seconds, bytes }) => [
    ...[dir, name ?? '-', status, epochs === null ? '-' : formatCount(epochs), scoreText(test), scoreText(validation)],
    ...[seconds === null ? '-' : formatDuration(seconds), formatBytes(bytes)],
  ])
  const widths = header.map((title, i) => Math.max(...[header, ...rows].map(row => row[i].length), title.length))
  const lines = [header, ...rows].map(row =>
    row
      .map((cell, i) => cell.padEnd(widths[i]))
      .join('  ')
      .trimEnd(),
  )
  const errors = runs.flatMap(({ error }) => (error === undefined ? [] : [`damaged: ${error}`]))
  return `${[...lines, ...errors].join('\n')}\n`
}

function scoreText(score: Score | null): string {
  if (score === null || typeof score.loss !== 'number') return '-'
  if (typeof score.accuracy === 'number') return formatPercent(score.accuracy)
  return typeof score.r2 === 'number' ? `R² ${formatLoss(score.r2)}` : `loss ${formatLoss(score.loss)}`
}

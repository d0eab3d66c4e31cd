/**
 * Runs side by side: the settings in which they differ, their results, and means over seeds. Main thread; reads run
 * directories, never writes.
 */
import { createHash } from 'node:crypto'
import { basename, resolve } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { valueAt } from '../config/problems.js'
import type { Experiment } from '../config/schema.js'
import { SCORE_NAMES, SCORES, type ScoreName } from '../config/scores.js'
import { settings } from '../config/settings.js'
import { formatNumber } from '../format.js'
import type { RunSummary } from '../run/events.js'
import { isInUse } from '../run/lock.js'
import { readSavedRun, type SavedRun } from '../run/saved-run.js'

const SPLITS = ['test', 'validation', 'train'] as const
type SplitName = (typeof SPLITS)[number]
type QualityTitle = 'accuracy' | 'loss' | (typeof SCORES)[ScoreName]['title']
export type ResultName = `${SplitName} ${QualityTitle}` | 'epochs' | 'seconds' | 'samples/s'

/** Scores that stand before the loss; all others follow it. */
const FIRST: readonly ScoreName[] = ['r2']
const OTHERS = SCORE_NAMES.filter(name => !FIRST.includes(name))

const resultsOfSplit = (split: SplitName): ResultName[] => [
  `${split} accuracy`,
  ...FIRST.map((name): ResultName => `${split} ${SCORES[name].title}`),
  `${split} loss`,
  ...OTHERS.map((name): ResultName => `${split} ${SCORES[name].title}`),
]

/** Results that a run may have. Shares from 0 to 1, losses in nats, seconds of training. */
export const RESULTS: readonly ResultName[] = [...SPLITS.flatMap(resultsOfSplit), 'epochs', 'seconds', 'samples/s']

/** Results that a table of text leaves out, for its width: of the test split it has every score, of others the first few. */
const WIDE = new Set<ResultName>(
  OTHERS.flatMap(name => [`validation ${SCORES[name].title}`, `train ${SCORES[name].title}`] as const),
)

export interface ComparedRun {
  readonly run: string
  /** `completed` and so on; without a summary `running` where a process has the run, else `stopped`, as `list` says it. */
  readonly status: RunSummary['status'] | 'running' | 'stopped'
  readonly settings: Readonly<Record<string, unknown>>
  readonly results: Readonly<Partial<Record<ResultName, number>>>
}

/** Runs on the same data that differ in nothing but their seeds. */
export interface ComparedGroup {
  readonly runs: readonly string[]
  readonly settings: Readonly<Record<string, unknown>>
  /** Over the runs that have the result; the standard deviation is the sample's (n - 1), null for one run. */
  readonly results: Readonly<Partial<Record<ResultName, { readonly mean: number; readonly deviation: number | null }>>>
}

export interface Comparison {
  /**
   * Settings that are not the same in all runs, by path, in the schema's order; `seed` is one of them. Before them `data`,
   * a digest, where runs were trained on different data.
   */
  readonly differing: readonly string[]
  readonly runs: readonly ComparedRun[]
  /** Groups of runs that share everything but their seed. */
  readonly groups: readonly ComparedGroup[]
}

/** Rejects with ConfigError where a path is no run. */
export async function compareRuns(paths: readonly string[]): Promise<Comparison> {
  const runs: SavedRun[] = []
  for (const path of paths) runs.push(await readSavedRun(resolve(path)))
  const data = runs.map(dataOf)
  const known = [...new Set(settings().map(({ path }) => path))].filter(path => path !== 'name' && path !== '$schema')
  const table = runs.map(({ loaded }, i) => settingsOf(loaded.experiment, known, data[i]))
  const differing = [DATA, ...known].filter(path => table.some(row => !isDeepStrictEqual(row[path], table[0][path])))
  const inUse = await Promise.all(runs.map(({ path }) => isInUse(path)))
  const compared = runs.map(
    ({ path, summary }, i): ComparedRun => ({
      run: basename(path),
      status: summary?.status ?? (inUse[i] ? 'running' : 'stopped'),
      settings: Object.fromEntries(differing.map(path => [path, table[i][path] ?? null])),
      results: summary ? resultsOf(summary) : {},
    }),
  )
  return { differing, runs: compared, groups: groupsOf(compared) }
}

/** Column of what the data are, by digest, where runs were trained on different ones. */
const DATA = 'data'

/** Digest of a run's data in 8 digits: the same files give the same, wherever they are. Null: not recorded. */
function dataOf({ manifest }: SavedRun): string | null {
  const files = manifest?.data?.files
  if (!Array.isArray(files) || files.length === 0) return null
  return createHash('sha256')
    .update(files.map(file => String(file?.md5)).join('\n'))
    .digest('hex')
    .slice(0, 8)
}

/** Settings of a run and its data. Paths count only where no digest says what was there. */
function settingsOf(experiment: Experiment, known: readonly string[], data: string | null): Record<string, unknown> {
  const rows = known.map(path => [path, settingOf(experiment, path)] as const)
  const isPlace = (path: string) => path === 'data.path' || path === 'data.testPath'
  return { [DATA]: data, ...Object.fromEntries(rows.filter(([path]) => data === null || !isPlace(path))) }
}

const settingOf = (experiment: Experiment, path: string): unknown => valueAt(experiment, path.split('.'))

function resultsOf(summary: RunSummary): ComparedRun['results'] {
  const { epochs, seconds, samplesPerSecond } = summary
  const scores = SPLITS.flatMap((split): [ResultName, number | null | undefined][] => {
    const score = summary[split]
    return [
      [`${split} accuracy`, score?.accuracy],
      [`${split} loss`, score?.loss],
      ...SCORE_NAMES.map((name): [ResultName, number | null | undefined] => [
        `${split} ${SCORES[name].title}`,
        score?.[name],
      ]),
    ]
  })
  const all = new Map<ResultName, number | null | undefined>([
    ...scores,
    ...([
      ['epochs', epochs],
      ['seconds', seconds],
      ['samples/s', samplesPerSecond],
    ] as const),
  ])
  return Object.fromEntries(
    RESULTS.flatMap((name): [ResultName, number][] => {
      const value = all.get(name)
      return typeof value === 'number' ? [[name, value]] : []
    }),
  )
}

function groupsOf(runs: readonly ComparedRun[]): ComparedGroup[] {
  const groups = new Map<string, { settings: Record<string, unknown>; runs: ComparedRun[] }>()
  for (const run of runs) {
    const { seed: _, ...settings } = run.settings
    const key = JSON.stringify(settings)
    const group = groups.get(key) ?? { settings, runs: [] }
    group.runs.push(run)
    groups.set(key, group)
  }
  if (groups.size === runs.length) return []
  return [...groups.values()].map(({ settings, runs }) => ({
    runs: runs.map(({ run }) => run),
    settings,
    results: Object.fromEntries(
      RESULTS.flatMap(name => {
        const values = runs.flatMap(({ results }) => results[name] ?? [])
        return values.length === 0 ? [] : [[name, statisticsOf(values)]]
      }),
    ),
  }))
}

function statisticsOf(values: readonly number[]): { mean: number; deviation: number | null } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0)
  return { mean, deviation: values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : null }
}

/** A table of text: one row a run, then one a group of several. Columns in which nothing stands are left out. */
export function comparisonTable({ differing, runs, groups }: Comparison): string[][] {
  const shown = RESULTS.filter(name => !WIDE.has(name) && runs.some(({ results }) => results[name] !== undefined))
  // Empty for a setting that only another type of optimizer or schedule has.
  const setting = (value: unknown) => (typeof value === 'string' ? value : value === null ? '' : JSON.stringify(value))
  return [
    ['run', 'status', ...differing, ...shown],
    ...runs.map(({ run, status, settings, results }) => [
      run,
      status,
      ...differing.map(path => setting(settings[path])),
      ...shown.map(name => (results[name] === undefined ? '' : resultText(name, results[name]))),
    ]),
    ...groups
      .filter(({ runs: members }) => members.length > 1)
      .map(({ runs: members, settings, results }) => [
        `mean of ${members.length}`,
        '',
        ...differing.map(path => (path === 'seed' ? '' : setting(settings[path]))),
        ...shown.map(name => {
          const found = results[name]
          if (found === undefined) return ''
          const { mean, deviation } = found
          return deviation === null
            ? resultText(name, mean)
            : `${resultText(name, mean)} ± ${resultText(name, deviation)}`
        }),
      ]),
  ]
}

const PERCENTS: ReadonlySet<string> = new Set([
  'accuracy',
  ...SCORE_NAMES.filter(name => SCORES[name].form === 'percent').map(name => SCORES[name].title),
])

function resultText(name: ResultName, value: number): string {
  if (name === 'seconds') return value.toFixed(1)
  if (name === 'epochs' || name === 'samples/s') return value.toFixed(0)
  const title = name.slice(name.indexOf(' ') + 1)
  if (PERCENTS.has(title)) return `${(100 * value).toFixed(2)} %`
  return title === 'RMSE' || title === 'MAE' ? formatNumber(value) : value.toFixed(4)
}

/** Numbers in full, no units: for programs. RFC 4180. */
export function comparisonCsv({ differing, runs }: Comparison): string {
  const rows = [
    ['run', 'status', ...differing, ...RESULTS],
    ...runs.map(({ run, status, settings, results }) => [
      run,
      status,
      ...differing.map(path => settings[path]),
      ...RESULTS.map(name => results[name]),
    ]),
  ]
  return rows.map(row => `${row.map(csvCell).join(',')}\r\n`).join('')
}

function csvCell(value: unknown): string {
  const text = value === undefined || value === null ? '' : typeof value === 'string' ? value : JSON.stringify(value)
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

export function comparisonMarkdown(comparison: Comparison): string {
  const [head, ...rows] = comparisonTable(comparison)
  const line = (cells: readonly string[]) => `| ${cells.map(cell => cell.replaceAll('|', '\\|')).join(' | ')} |\n`
  return line(head) + line(head.map((_, column) => (column < 2 ? '---' : '---:'))) + rows.map(line).join('')
}

/** Result of a benchmark, and its two forms: a page for people, an object for programs. Pure; any thread. */
import type { MachineFacts } from '../src/run/machine.js'
import type { Summary } from './stats.js'
import type { Chart, ChartBar } from './svg.js'

/** A bar that the product promises to pass. */
export interface Bar {
  readonly what: string
  /** Null: it could not be measured; the report's `skipped` says why. */
  readonly got: number | null
  readonly want: number
  readonly at: 'least' | 'most' | 'below'
  readonly unit: 'times' | 'percent' | 'perSecond' | 'megabytes' | 'seconds'
}

export interface Table {
  readonly title: string
  readonly head: readonly string[]
  readonly rows: readonly (readonly string[])[]
  /** Columns, from the first, that hold words. */
  readonly words: number
}

export interface Report {
  readonly name: string
  readonly title: string
  /** Method: warm-up, samples, what is compared with what. One sentence each. */
  readonly method: readonly string[]
  readonly tables: readonly Table[]
  /** Pictures, for `--svg`. */
  readonly charts: readonly Chart[]
  readonly bars: readonly Bar[]
  /** Measurements that were not possible, and why. */
  readonly skipped: readonly string[]
  /** Values of the tables, and more, for `--json`. */
  readonly numbers: object
}

/** Null where the bar could not be measured. */
export function isMet({ got, want, at }: Bar): boolean | null {
  if (got === null) return null
  return at === 'least' ? got >= want : at === 'most' ? got <= want : got < want
}

const UNITS: Readonly<Record<Bar['unit'], (value: number) => string>> = {
  times: value => `${value.toFixed(2)}x`,
  percent: value => `${(100 * value).toFixed(1)} %`,
  perSecond: value => `${value.toFixed(0)} /s`,
  megabytes: value => `${value.toFixed(0)} MB`,
  seconds: value => `${value.toFixed(2)} s`,
}

/** A summary as a bar of a chart, in another unit. */
export const chartBar = ({ median, low, high }: Summary, factor = 1): ChartBar => ({
  value: median * factor,
  low: low * factor,
  high: high * factor,
})

/** Single value without samples. */
export const exactBar = (value: number): ChartBar => ({ value, low: value, high: value })

export const workersText = (count: number): string => (count === 1 ? '1 worker' : `${count} workers`)

/** Cells of `met  GEMM of the peak  86.1 %  >= 80.0 %` */
export function barCells(bar: Bar): string[] {
  const met = isMet(bar)
  const sign = bar.at === 'least' ? '>=' : bar.at === 'most' ? '<=' : '<'
  const format = UNITS[bar.unit]
  return [
    met === null ? 'not measured' : met ? 'met' : 'MISSED',
    bar.what,
    bar.got === null ? '-' : format(bar.got),
    `${sign} ${format(bar.want)}`,
  ]
}

/** Lines of columns: words to the left, numbers to the right, two spaces between. */
export function alignColumns(rows: readonly (readonly string[])[], words: number): string[] {
  const widths: number[] = []
  for (const row of rows) {
    row.forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, cell.length)
    })
  }
  return rows.map(row =>
    row
      .map((cell, column) => (column < words ? cell.padEnd(widths[column]) : cell.padStart(widths[column])))
      .join('  ')
      .trimEnd(),
  )
}

function tableLines({ title, head, rows, words }: Table): string[] {
  const [first, ...others] = alignColumns([head, ...rows], words)
  const width = Math.max(first.length, ...others.map(({ length }) => length))
  return ['', ...(title === '' ? [] : [title]), first, '-'.repeat(width), ...others]
}

export function reportLines({ name, title, method, tables, bars, skipped }: Report): string[] {
  return [
    `${name}: ${title}`,
    ...method.map(sentence => `  ${sentence}`),
    ...tables.flatMap(tableLines),
    ...(skipped.length === 0 ? [] : ['', ...skipped.map(reason => `skipped: ${reason}`)]),
    ...(bars.length === 0 ? [] : ['', ...alignColumns([['bar', '', 'got', 'want'], ...bars.map(barCells)], 2)]),
    '',
  ]
}

/** The machine and its load, without which numbers mean little. */
export interface BenchMachine extends MachineFacts {
  /** Threads that ran or waited for a core in the minute before, by the system's count; 0 where it keeps none. */
  readonly loadBefore: number
}

export function machineLine({ cpu, node, v8, os, loadBefore }: BenchMachine): string {
  const cores = `${cpu.available} of ${cpu.cores} cores`
  return `${cpu.model}, ${cores}; Node ${node}, V8 ${v8}; ${os}; load before ${loadBefore.toFixed(2)}`
}

/** A report, and the command that repeats it. */
export interface Ran {
  readonly command: string
  readonly report: Report
}

export function reportJson(machine: BenchMachine, ran: readonly Ran[]): object {
  return {
    machine,
    benchmarks: ran.map(({ command, report: { name, title, method, bars, skipped, numbers } }) => ({
      name,
      command,
      title,
      method,
      ...numbers,
      bars: bars.map(bar => ({ ...bar, met: isMet(bar) })),
      skipped,
    })),
  }
}

/** Shows progress on stderr. */
export type Say = (what: string) => void

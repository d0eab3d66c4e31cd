/**
 * A page of results as Markdown: what was measured, on which machine, with which command, and which bars were met. Pure;
 * any thread. Test: node dist/test/bench/markdown.test.js
 */
import { type Bar, type BenchMachine, barCells, isMet, machineLine, type Ran, type Table } from './report.js'

export interface PageOptions {
  /** The command that writes this page. */
  readonly command: string
  /** Date of the measurement, such as 2026-11-23. */
  readonly date: string
  /** Picture beside the page, if there is one. */
  readonly picture: string | null
}

export function pageOf(machine: BenchMachine, ran: readonly Ran[], { command, date, picture }: PageOptions): string {
  const bars = ran.flatMap(({ report }) => report.bars.map(bar => ({ name: report.name, bar })))
  return [
    '# Benchmarks',
    '',
    '<!-- Written by the command below. Do not edit: run it again. -->',
    '',
    'Every number on this page is from one run of',
    '',
    ...fenced('sh', [command]),
    '',
    `on ${date}, on this machine: ${machineLine(machine)}. Each section has the command that repeats it alone.`,
    '',
    'Numbers depend on the machine and on what else it does. Values are medians, with the distance of the quartiles as',
    '"spread"; what is compared runs in turns in the same minutes. "load before" is the number of runnable threads in the',
    'minute before: where it is well below the number of cores, the machine was quiet.',
    '',
    ...(picture === null ? [] : [`![All charts of this page](${picture})`, '']),
    '## Bars',
    '',
    'What gradloom promises to reach, and whether this run reached it. A missed bar stays on this page.',
    '',
    ...markdownTable(
      ['benchmark', 'bar', 'got', 'wanted', ''],
      bars.map(({ name, bar }) => [name, ...barRow(bar)]),
      2,
    ),
    '',
    ...ran.flatMap(sectionOf),
  ].join('\n')
}

function barRow(bar: Bar): string[] {
  const [verdict, what, got, want] = barCells(bar)
  return [what, got, want, isMet(bar) === false ? `**${verdict}**` : verdict]
}

function sectionOf({ command, report }: Ran): string[] {
  const { name, title, method, tables, skipped } = report
  return [
    `## ${name}: ${inline(title)}`,
    '',
    ...fenced('sh', [command]),
    '',
    ...method.map(sentence => `${inline(sentence.trim())}  `),
    '',
    ...tables.flatMap(tableLines),
    ...(skipped.length === 0 ? [] : ['Not measured:', '', ...skipped.map(reason => `- ${inline(reason)}`), '']),
  ]
}

const tableLines = ({ title, head, rows, words }: Table): string[] => [
  ...(title === '' ? [] : [`${inline(title)}:`, '']),
  ...markdownTable(head, rows, words),
  '',
]

/** Columns from the first that hold words to the left, the others to the right. */
function markdownTable(head: readonly string[], rows: readonly (readonly string[])[], words: number): string[] {
  const line = (cells: readonly string[]) => `| ${cells.map(inline).join(' | ')} |`
  return [line(head), `|${head.map((_, column) => (column < words ? '---' : '---:')).join('|')}|`, ...rows.map(line)]
}

const fenced = (language: string, lines: readonly string[]): string[] => [`\`\`\`${language}`, ...lines, '```']

/** Text that is no markup: `<` begins no tag, `|` ends no cell, `~` strikes nothing out. */
const inline = (text: string): string => text.replace(/[<|~]/g, found => (found === '<' ? '&lt;' : `\\${found}`))

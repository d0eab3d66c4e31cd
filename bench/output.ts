/** Runs benchmarks and writes their results: pages on stdout, and files with numbers, pages and pictures. Main thread. */
import { writeFile } from 'node:fs/promises'
import { loadavg } from 'node:os'
import { dirname, relative, sep } from 'node:path'
import { machineFacts } from '../src/run/machine.js'
import { pageOf } from './markdown.js'
import { type BenchMachine, machineLine, type Ran, type Report, reportJson, reportLines, type Say } from './report.js'
import { svgOf } from './svg.js'

export interface Run {
  /** Arguments after `npm run bench --` that repeat it alone. */
  readonly args: string
  run(say: Say): Promise<Report>
}

export interface Outputs {
  /** File for one JSON object; `-`: stdout, in place of the pages. */
  readonly json?: string | undefined
  readonly svg?: string | undefined
  readonly markdown?: string | undefined
}
export const OUTPUTS = ['json', 'svg', 'markdown'] as const

/** `args`: of the whole, for the page. */
export async function runAll(runs: readonly Run[], { json, svg, markdown }: Outputs, args: string): Promise<void> {
  const machine: BenchMachine = { ...machineFacts(), loadBefore: loadavg()[0] }
  const date = new Date().toISOString().slice(0, 10)
  const say: Say = what => process.stderr.write(`${what}\n`)
  const print = (lines: readonly string[]) => {
    if (json !== '-') process.stdout.write(`${lines.join('\n')}\n`)
  }
  print([machineLine(machine), ''])
  const ran: Ran[] = []
  for (const { args: alone, run } of runs) {
    const report = await run(say)
    ran.push({ command: commandOf(alone), report })
    print(reportLines(report))
  }

  const written = `${JSON.stringify(reportJson(machine, ran), null, 2)}\n`
  if (json === '-') process.stdout.write(written)
  else if (json !== undefined) await writeFile(json, written)
  if (svg !== undefined) await writeFile(svg, svgOf(ran.flatMap(({ report }) => report.charts)))
  if (markdown !== undefined) {
    const picture = svg === undefined ? null : relative(dirname(markdown), svg).split(sep).join('/')
    await writeFile(markdown, pageOf(machine, ran, { command: commandOf(args), date, picture }))
  }
}

const commandOf = (args: string): string => `npm run bench -- ${args}`.trim()

/** Exported for tests. The arguments without those that say where results go. */
export function withoutOutputs(args: readonly string[]): string[] {
  const names = OUTPUTS.map(name => `--${name}`)
  return args.filter(
    (arg, i) =>
      !names.some(name => arg === name || arg.startsWith(`${name}=`)) && !names.includes(args[i - 1] as never),
  )
}

/** `gradloom compare`: runs side by side. Main thread. */
import type { CommandModule } from 'yargs'
import { compareRuns, comparisonCsv, comparisonMarkdown, comparisonTable } from '../report/comparison.js'

const FORMATS = ['table', 'csv', 'json', 'md'] as const

interface CompareArguments {
  runs: string[]
  format: (typeof FORMATS)[number]
  json: boolean
}

export const compareCommand: CommandModule<object, CompareArguments> = {
  command: 'compare <runs..>',
  describe: 'Show runs side by side, with the settings in which they differ',
  builder: yargs =>
    yargs
      .positional('runs', { describe: 'Run directories', type: 'string', array: true, demandOption: true })
      .option('format', {
        describe:
          'csv and json have full precision; table, md and json add means over runs that differ only in their seeds',
        choices: FORMATS,
        default: 'table' as const,
      })
      .option('json', { describe: 'Short for --format json', type: 'boolean', default: false })
      .example('$0 compare runs/a runs/b', 'one row per run')
      .example('$0 compare runs/sweep-* --format md', 'a table for a README'),
  handler: async ({ runs, format, json }) => {
    const comparison = await compareRuns(runs)
    const texts = {
      table: () => `${aligned(comparisonTable(comparison)).join('\n')}\n`,
      csv: () => comparisonCsv(comparison),
      json: () => `${JSON.stringify(comparison)}\n`,
      md: () => comparisonMarkdown(comparison),
    }
    process.stdout.write(texts[json ? 'json' : format]())
  },
}

/** Lines of a comparison's table: the run and its status left-aligned, everything else right-aligned. */
export function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0].map((_, column) => Math.max(...rows.map(row => row[column].length)))
  const pad = (cell: string, column: number) =>
    column < 2 ? cell.padEnd(widths[column]) : cell.padStart(widths[column])
  return rows.map(row => row.map(pad).join('  ').trimEnd())
}

/** `gradloom report`: writes a report about runs. Main thread; the engine is loaded when it runs. */
import { join } from 'node:path'
import type { Argv, CommandModule } from 'yargs'
import { ConfigError } from '../errors.js'
import type { BackendName } from '../inference/model.js'
import type { Report } from '../report/report.js'
import { backendOption, movedData, movedTestData, single } from './options.js'

const FORMATS = ['html', 'md', 'json'] as const

interface ReportArguments {
  runs: string[]
  format: (typeof FORMATS)[number]
  out?: string
  data?: string
  testData?: string
  backend?: BackendName
}

export const reportCommand: CommandModule<object, ReportArguments> = {
  command: 'report <runs..>',
  describe: 'Write a report about a run, or a comparison of several',
  builder: yargs =>
    yargs
      .positional('runs', { describe: 'Run directories', type: 'string', array: true, demandOption: true })
      .option('format', {
        describe: 'html: one page with charts and pictures; md: tables; json: everything, in full precision',
        choices: FORMATS,
        default: 'html' as const,
      })
      .option('out', {
        describe: 'File to write; - for stdout',
        defaultDescription: 'html: report.html, in the run directory if there is one run; else stdout',
        ...single('out'),
      })
      .option('data', movedData)
      .option('test-data', movedTestData)
      .option('backend', backendOption)
      .example('$0 report runs/mine', 'writes runs/mine/report.html')
      .example('$0 report runs/a runs/b --out comparison.html', 'a comparison')
      .example('$0 report runs/mine --format json | jq .runs[0].test.accuracy', 'for scripts')
      .epilogue(
        'The page needs no network and contains no scripts. Predictions for the test split are computed by the\n' +
          'first report of a run and kept in its directory; --backend computes them anew.',
      ) as Argv<ReportArguments>,
  handler: runReport,
}

async function runReport({ runs, format, out, data, testData, backend }: ReportArguments): Promise<void> {
  const { readReport } = await import('../report/report.js')
  const report = await readReport(runs, {
    ...{ dataPath: data, testDataPath: testData, backend },
    onComputing: (run, found) => process.stderr.write(`${run}: predictions are computed in ${found}\n`),
    onWarning: text => process.stderr.write(`warning: ${text}\n`),
  })
  const file = out ?? (format === 'html' ? join(runs.length === 1 ? runs[0] : '.', 'report.html') : undefined)
  const text = await render(report, format)
  if (file === undefined || file === '-') {
    process.stdout.write(text)
    return
  }
  const { writeTextAtomically } = await import('../files/atomic.js')
  try {
    await writeTextAtomically(file, text)
  } catch (cause) {
    throw new ConfigError(`--out ${file}: cannot be written: ${(cause as Error).message}`, { cause })
  }
  process.stdout.write(`report   ${file}\n`)
}

async function render(report: Report, format: ReportArguments['format']): Promise<string> {
  switch (format) {
    case 'html':
      return (await import('../report/page.js')).reportPage(report)
    case 'md':
      return (await import('../report/markdown.js')).reportMarkdown(report)
    case 'json':
      return (await import('../report/json.js')).reportJson(report)
    default:
      return format satisfies never
  }
}

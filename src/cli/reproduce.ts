/** `gradloom reproduce`: trains a saved run again and compares the bits. Main thread. */
import { stat } from 'node:fs/promises'
import type { Argv, CommandModule } from 'yargs'
import type { Reproduction } from '../coordinator/reproduce.js'
import { formatCount, formatCounted } from '../format.js'
import { watchInterrupts } from './interrupt.js'
import { movedData, movedStart, movedTestData, single } from './options.js'
import { ProgressView } from './progress.js'

interface ReproduceArguments {
  run: string
  workers?: string
  backend?: string
  data?: string
  testData?: string
  from?: string
  json: boolean
  quiet: boolean
}

export const reproduceCommand: CommandModule<object, ReproduceArguments> = {
  command: 'reproduce <run>',
  describe: 'Train a run again and compare the bits',
  builder: yargs =>
    yargs
      .positional('run', {
        describe: 'Run directory (nothing in it is changed), exported model, or a model that comes with gradloom',
        ...{ type: 'string', demandOption: true },
      })
      .option('data', movedData)
      .option('test-data', movedTestData)
      .option('from', movedStart)
      .option('workers', { describe: 'Worker threads: auto or a number', ...single('workers') })
      .option('backend', { describe: 'Kernels to use instead of those of the run', ...single('backend') })
      .option('json', { describe: 'Print the result as one JSON object', type: 'boolean', default: false })
      .option('quiet', { describe: 'No progress on stderr', type: 'boolean', default: false })
      .example('$0 reproduce runs/mnist-2026-01-01T12-00-00', 'exit code 0 if all bits are the same, else 1')
      .example('$0 reproduce runs/mine --backend reference', 'the first step at which another backend differs')
      .example(
        '$0 reproduce mnist',
        'train the model that comes with gradloom again',
      ) as unknown as Argv<ReproduceArguments>,
  handler: async ({ run, workers, backend, data, testData, from, json, quiet }) => {
    const reproduce = await reproducerFor(run)
    const view = new ProgressView({ stream: process.stderr, cwd: process.cwd() })
    const stop = new AbortController()
    const interrupt = watchInterrupts(
      () => stop.abort(),
      () => view.close(),
    )
    try {
      const found = await reproduce(run, {
        overrides: [
          ...(workers === undefined ? [] : [`compute.workers=${workers}`]),
          ...(backend === undefined ? [] : [`compute.backend=${backend}`]),
        ],
        dataPath: data,
        testDataPath: testData,
        fromPath: from,
        signal: stop.signal,
        onWarning: message => view.note(`warning: ${message}`),
        onEvent: event => {
          if (!quiet && (event.type === 'progress' || event.type === 'epoch')) view.show(event)
        },
      })
      view.close()
      process.stdout.write(json ? `${JSON.stringify(found)}\n` : `${reproductionLines(found).join('\n')}\n`)
      process.exitCode = found.identical ? 0 : (interrupt.exitCode() ?? 1)
    } finally {
      view.close()
      interrupt.dispose()
    }
  },
}

/** A directory is a run; anything else must be a model. */
async function reproducerFor(target: string) {
  const isDirectory = await stat(target).then(
    found => found.isDirectory(),
    () => false,
  )
  if (isDirectory) return (await import('../coordinator/reproduce.js')).reproduce
  return (await import('../export/reproduce-model.js')).reproduceModel
}

/** Exported for tests. */
export function reproductionLines(found: Reproduction): string[] {
  const { identical, identicalUpTo, difference, compared, recorded, environment } = found
  const steps = `${formatCount(compared)} of ${formatCounted(recorded, 'recorded step')} compared`
  const upTo = identicalUpTo === null ? 'nothing recorded before it' : `identical up to step ${identicalUpTo}`
  return [
    ...(identical ? [`identical: the same bits at every recorded step (${formatCount(recorded)})`] : []),
    ...(difference
      ? [
          `differs at step ${difference.step}, ${upTo}; ${steps}`,
          `  ${difference.what}`,
          `  recorded ${difference.recorded}`,
          `  got      ${difference.got}`,
        ]
      : []),
    ...(!identical && !difference ? [`stopped: ${upTo}; ${steps}`] : []),
    ...(environment.length === 0 ? [] : [`changed since the run: ${environment.join('; ')}`]),
  ]
}

/** `gradloom resume`: continues a run that was stopped, or extends a finished one. Main thread. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Argv, CommandModule } from 'yargs'
import { fromCurrentFolder } from '../config/paths.js'
import type { Experiment } from '../config/schema.js'
import { launchedBy } from '../ffi/mpi/launcher.js'
import { formatCounted } from '../format.js'
import { FILES } from '../run/manifest.js'
import { overMachines, type StartSettings, startSettingsOf } from './machines.js'
import { liveOption, livePortOption, movedData, movedStart, movedTestData, portOption, single } from './options.js'
import { showRun } from './show-run.js'

interface ResumeArguments {
  run: string
  set: string[]
  workers?: string
  data?: string
  testData?: string
  from?: string
  allowChange: boolean
  live: boolean
  port?: string
  json: boolean
  quiet: boolean
}

export const resumeCommand: CommandModule<object, ResumeArguments> = {
  command: 'resume <run>',
  describe: 'Continue a run from its newest checkpoint',
  builder: yargs =>
    yargs
      .positional('run', { describe: 'Run directory', type: 'string', demandOption: true })
      .option('set', {
        describe: 'Change a setting, as in --set train.epochs=30; may be repeated',
        type: 'string',
        array: true,
        nargs: 1,
        default: [] as string[],
        defaultDescription: 'none',
      })
      .option('workers', {
        describe: 'Worker threads: auto or a number (compute.workers)',
        ...single('workers'),
      })
      .option('data', movedData)
      .option('test-data', movedTestData)
      .option('from', movedStart)
      .option('allow-change', {
        describe: 'Allow settings to change that would change the results of completed steps',
        type: 'boolean',
        default: false,
      })
      .option('live', liveOption)
      .option('port', livePortOption)
      .option('json', { describe: 'Print the summary as one JSON object on stdout', type: 'boolean', default: false })
      .option('quiet', { describe: 'No progress on stderr', type: 'boolean', default: false })
      .example('$0 resume runs/mnist-2026-01-01T12-00-00', 'as if it had never been stopped')
      .example('$0 resume runs/mine --set train.epochs=30', 'longer than planned')
      .example('$0 resume runs/mine --data moved/iris.csv', 'its data have moved') as unknown as Argv<ResumeArguments>,
  handler: async args => {
    const { resume } = await import('../coordinator/resume.js')
    const overrides = [
      ...args.set.map(text => fromCurrentFolder(text)),
      ...(args.workers === undefined ? [] : [`compute.workers=${args.workers}`]),
    ]
    await overMachines(await settingsOf(args.run, overrides), ranks =>
      showRun({ ...args, port: portOption('resume', args.port) }, null, async options => {
        const { trained, summary } = await resume(args.run, {
          ...{ ...options, ranks, overrides, allowChange: args.allowChange },
          ...{ dataPath: args.data, testDataPath: args.testData, fromPath: args.from },
        })
        if (!trained && !args.quiet) {
          process.stderr.write(
            `${args.run} is finished: ${formatCounted(summary.epochs, 'epoch')}; --set train.epochs=${2 * summary.epochs} extends it\n`,
          )
        }
        return summary
      }),
    )
  },
}

/** Settings of the command line, or else those of the run, where this process sees it: ranks but the first need not. */
async function settingsOf(run: string, overrides: readonly string[]): Promise<StartSettings> {
  const given = startSettingsOf(overrides)
  if (given.machines === 'off' || given.machinesTimeout !== undefined || launchedBy(process.env) === null) return given
  try {
    const { compute } = JSON.parse(await readFile(join(run, FILES.resolved), 'utf8')) as Experiment
    return { ...given, machinesTimeout: compute.machinesTimeout }
  } catch {
    return given // the run is opened later, by rank 0, which then says what is wrong with it
  }
}

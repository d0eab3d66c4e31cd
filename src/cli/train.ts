/** `gradloom train`: parses options, calls `train`, sets the exit code. Main thread; the engine is loaded when it runs. */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Argv, CommandModule } from 'yargs'
import type { LoadedExperiment } from '../config/load.js'
import { fromCurrentFolder } from '../config/paths.js'
import type { SharedRun } from '../coordinator/ranks.js'
import { launchedBy } from '../ffi/mpi/launcher.js'
import type { WeightLayout } from '../import/assign.js'
import { overMachines, startSettingsOf } from './machines.js'
import { liveOption, livePortOption, portOption, setOption, single } from './options.js'
import { showRun } from './show-run.js'

/** Options that are another spelling of `--set`. Their values are checked with the experiment. */
const OVERRIDES = {
  workers: { path: 'compute.workers', describe: 'Worker threads: auto or a number' },
  backend: { path: 'compute.backend', describe: 'Kernels to use: auto, onednn, blas, wasm or reference' },
  precision: { path: 'compute.precision', describe: 'Precision of products: f32, bf16 or auto' },
  seed: { path: 'seed', describe: 'Seed of all random numbers' },
  epochs: { path: 'train.epochs', describe: 'Passes over the training split' },
} as const
type OverrideName = keyof typeof OVERRIDES
const OVERRIDE_NAMES = Object.keys(OVERRIDES) as OverrideName[]

const LAYOUTS = ['in-out', 'out-in'] as const satisfies readonly WeightLayout[]

interface TrainArguments extends Partial<Record<OverrideName, string>> {
  experiment: string
  set: string[]
  runDir?: string
  from?: string
  fromLayout?: WeightLayout
  fromOrder?: string
  fromInput?: 'kept' | 'new'
  live: boolean
  port?: string
  tensorboard: boolean
  dryRun?: boolean
  json: boolean
  quiet: boolean
}

export const trainCommand: CommandModule<object, TrainArguments> = {
  command: 'train <experiment>',
  describe: 'Train the network of an experiment file',
  builder: yargs => {
    const command = yargs
      .positional('experiment', { describe: 'Experiment file, JSON', type: 'string', demandOption: true })
      .option('set', setOption)
      .option('run-dir', {
        describe: 'Directory to save the run in, new or empty',
        defaultDescription: 'runs/<name>-<time>',
        ...single('run-dir'),
      })
      .option('from', {
        describe: 'Start from the weights of this checkpoint, run, .npz or .safetensors file instead of random ones',
        ...single('from'),
      })
      .option('from-layout', {
        describe: 'Orientation of weight matrices in a file of another program: (inputs, outputs) or (outputs, inputs)',
        choices: LAYOUTS,
        defaultDescription: 'detected from names and shapes',
      })
      .option('from-order', {
        describe: 'Names of the layers in a file of another program, in order: fc1,fc2,out',
        defaultDescription: 'detected from names and shapes',
        ...single('from-order'),
      })
      .option('from-input', {
        describe: "Columns, classes and scales of the run: the model's (kept) or those of its own data (new)",
        choices: ['kept', 'new'] as const,
        defaultDescription: 'kept',
      })
      .option('live', liveOption)
      .option('port', livePortOption)
      .option('tensorboard', {
        describe: 'Also write events for TensorBoard (log.tensorboard)',
        type: 'boolean',
        default: false,
      })
      .option('dry-run', {
        describe: 'Print what would be trained (data, layers, memory, backend, settings) without training',
        type: 'boolean',
        default: false,
      })
      .option('json', { describe: 'Print the summary as one JSON object on stdout', type: 'boolean', default: false })
      .option('quiet', { describe: 'No progress on stderr', type: 'boolean', default: false })
      .example('$0 train configs/quickstart.json', 'real digits, in a minute')
      .example('$0 train mine.json --epochs 3 --workers 2', 'options override the file')
      .example("$0 train mine.json --set 'model.hidden=[100,50]'", 'any setting of the experiment')
      .example('$0 train mine.json --dry-run', 'data, layers, memory, backend and settings')
      .example('$0 train mine.json --json --quiet | jq .test', 'for scripts') as Argv<TrainArguments>
    for (const name of OVERRIDE_NAMES) {
      const { path, describe } = OVERRIDES[name]
      command.option(name, { describe: `${describe} (${path})`, ...single(name) })
    }
    return command
  },
  handler: runTrain,
}

/** The `--set` form of all overrides, named options last. Exported for tests. */
export function overridesOf(args: Pick<TrainArguments, 'set' | OverrideName> & { tensorboard?: boolean }): string[] {
  const named = OVERRIDE_NAMES.flatMap(name =>
    args[name] === undefined ? [] : `${OVERRIDES[name].path}=${args[name]}`,
  )
  return [
    ...args.set.map(text => fromCurrentFolder(text)),
    ...named,
    ...(args.tensorboard ? ['log.tensorboard=true'] : []),
  ]
}

async function runTrain(args: TrainArguments): Promise<void> {
  if (follows(args)) return overMachines(startSettingsOf(overridesOf(args)), () => Promise.resolve())
  // Find mistakes in the experiment before the engine is even loaded.
  const { loadExperiment } = await import('../config/load.js')
  const loaded = await loadExperiment(args.experiment, overridesOf(args))
  if (args.dryRun) {
    const { dryRunLines, planDryRun } = await import('./dry-run.js')
    const run = await planDryRun(loaded)
    if (!args.json) for (const warning of run.warnings) process.stderr.write(`warning: ${warning}\n`)
    process.stdout.write(args.json ? `${JSON.stringify(run)}\n` : `${dryRunLines(run).join('\n')}\n`)
    return
  }
  const isAhead = args.from === undefined && (await beginReading(loaded))
  try {
    await trainAndShow(args, loaded)
  } finally {
    if (isAhead) await (await import('../data/table/open-reader.js')).closeAhead()
  }
}

/** True for another rank than 0 whose machine has no such file: rank 0 says what it trains. */
function follows(args: TrainArguments): boolean {
  const rank = launchedBy(process.env)?.rank ?? 0
  return (
    rank > 0 && !args.dryRun && !existsSync(args.experiment) && startSettingsOf(overridesOf(args)).machines !== 'off'
  )
}

/** Begins to read the table of an experiment, so that other threads do that while the engine is loaded. False: it has none. */
async function beginReading({ experiment: { data }, baseDir }: LoadedExperiment): Promise<boolean> {
  if (data.dataset !== 'table' || data.path === null) return false
  if (data.from === 'rank0' && (launchedBy(process.env)?.rank ?? 0) > 0) return false
  const [{ openAhead }, { formatOf }] = await Promise.all([
    import('../data/table/open-reader.js'),
    import('../data/table/format.js'),
  ])
  void openAhead(resolve(baseDir, data.path), formatOf(data, null))
  return true
}

async function trainAndShow(args: TrainArguments, loaded: LoadedExperiment): Promise<void> {
  await overMachines(loaded.experiment.compute, ranks => trainOver(ranks, args, loaded))
}

async function trainOver(ranks: SharedRun | undefined, args: TrainArguments, loaded: LoadedExperiment): Promise<void> {
  const { train } = await import('../coordinator/new-run.js')
  await showRun({ ...args, port: portOption('train', args.port) }, args.experiment, options =>
    train(loaded, {
      ...options,
      ranks,
      ...(args.runDir !== undefined && { runDir: args.runDir }),
      ...(args.from !== undefined && { from: args.from }),
      ...(args.fromLayout !== undefined && { fromLayout: args.fromLayout }),
      ...(args.fromInput !== undefined && { fromInput: args.fromInput }),
      ...(args.fromOrder !== undefined && { fromOrder: args.fromOrder.split(',').map(name => name.trim()) }),
    }),
  )
}

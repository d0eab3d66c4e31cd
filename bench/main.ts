/**
 * `npm run bench -- [what] [options]`: what the speed and memory claims rest on. Main thread. A missed bar is a result
 * and exits with 0; 1 is for what broke, 2 for wrong usage.
 */
import { existsSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import yargs, { type Argv } from 'yargs'
import { GradloomError } from '../src/errors.js'
import { AUGMENT_DEFAULTS, benchAugment } from './augment.js'
import { AUTO_DEFAULTS, benchAuto } from './auto.js'
import {
  BACKEND_CHOICES,
  BACKENDS,
  type BackendChoice,
  type BackendName,
  chooseBackends,
  variantsOf,
} from './backends.js'
import { benchCheckpoint, CHECKPOINT_DEFAULTS } from './checkpoint.js'
import { benchConv, CONV_DEFAULTS, CONV_PEERS } from './conv.js'
import { benchDense, DENSE_DEFAULTS } from './dense.js'
import { benchEvaluation, EVALUATION_DEFAULTS } from './evaluation.js'
import { benchGemm, GEMM_DEFAULTS } from './gemm.js'
import { benchInference, INFERENCE_DEFAULTS } from './inference.js'
import { benchMachines, MACHINES_DEFAULTS } from './machines.js'
import { benchHosts } from './machines-hosts.js'
import { benchMemory, MEMORY_DEFAULTS } from './memory.js'
import { OUTPUTS, type Outputs, type Run, runAll, withoutOutputs } from './output.js'
import { benchPeers, PEERS_DEFAULTS } from './peers.js'
import type { Report, Say } from './report.js'
import { PEER_NAMES } from './rivals.js'
import { benchScaling, SCALING_DEFAULTS } from './scaling.js'
import { benchServe, SERVE_DEFAULTS } from './serve.js'
import { benchSmall, SMALL_DEFAULTS } from './small.js'
import { benchStartup, STARTUP_DEFAULTS } from './startup.js'
import { benchStep, STEP_DEFAULTS } from './step.js'
import { benchTable, TABLE_DEFAULTS } from './table.js'

/** Option of benchmarks that can take trained weights. */
const TRAINED = {
  type: 'string',
  requiresArg: true,
  nargs: 1,
} as const

/** All of them, the quick ones first; those that take one backend, for each that works here. */
async function allRuns(weights: string | undefined): Promise<Run[]> {
  const { backends } = await chooseBackends([])
  const names = backends.map(({ name }) => name)
  const hasBf16 = variantsOf(backends, []).some(({ precision }) => precision === 'bf16')
  const each = (args: string, run: (backend: BackendName, say: Say) => Promise<Report>): Run[] =>
    names.map(backend => ({ args: `${args} --backend ${backend}`, run: say => run(backend, say) }))
  return [
    { args: 'gemm', run: say => benchGemm(GEMM_DEFAULTS, say) },
    { args: 'step', run: say => benchStep(STEP_DEFAULTS, say) },
    ...each('dense', (backend, say) => benchDense({ ...DENSE_DEFAULTS, backend }, say)),
    { args: 'conv', run: say => benchConv(CONV_DEFAULTS, say) },
    ...each('scaling', (backend, say) => benchScaling({ ...SCALING_DEFAULTS, backend }, say)),
    ...each('small', (backend, say) => benchSmall({ ...SMALL_DEFAULTS, backend }, say)),
    ...(hasBf16
      ? [
          {
            args: 'small --backend onednn --precision bf16',
            run: (say: Say) => benchSmall({ ...SMALL_DEFAULTS, backend: 'onednn', precision: 'bf16' }, say),
          },
        ]
      : []),
    { args: 'evaluation', run: say => benchEvaluation(EVALUATION_DEFAULTS, say) },
    ...(weights === undefined
      ? []
      : [
          {
            args: `evaluation --weights ${weights}`,
            run: (say: Say) => benchEvaluation({ ...EVALUATION_DEFAULTS, weights }, say),
          },
        ]),
    { args: 'inference', run: say => benchInference(INFERENCE_DEFAULTS, say) },
    ...each('startup', (backend, say) => benchStartup({ ...STARTUP_DEFAULTS, backend }, say)),
    { args: 'checkpoint', run: say => benchCheckpoint(CHECKPOINT_DEFAULTS, say) },
    { args: 'auto', run: say => benchAuto(AUTO_DEFAULTS, say) },
    { args: 'table', run: say => benchTable(TABLE_DEFAULTS, say) },
    { args: 'augment', run: say => benchAugment(AUGMENT_DEFAULTS, say) },
    { args: 'memory', run: say => benchMemory(MEMORY_DEFAULTS, say) },
    ...each('peers', (backend, say) => benchPeers({ ...PEERS_DEFAULTS, backend }, say)),
  ]
}

interface UsageError extends Error {
  readonly name: 'YError'
}
const usageError = (message: string): UsageError => Object.assign(new Error(message), { name: 'YError' as const })
const isUsage = (error: unknown): error is UsageError => error instanceof Error && error.name === 'YError'

/** Every number that can be given counts something. */
function checkCounts(argv: object): true {
  for (const [name, value] of Object.entries(argv)) {
    for (const item of [value].flat()) {
      if (typeof item === 'number' && !(Number.isInteger(item) && item >= 1)) {
        throw usageError(`--${name} is ${item}, expected a whole number of at least 1`)
      }
    }
  }
  return true
}

/** A benchmark of minutes should not fail where it writes its results. */
function checkOutputs(argv: Outputs): true {
  for (const name of OUTPUTS) {
    const file = argv[name]
    if (file !== undefined && !existsSync(dirname(resolve(file)))) {
      throw usageError(`--${name} is ${file}, expected a file in a folder that exists`)
    }
  }
  return true
}

const number = (value: number, describe: string) =>
  ({ type: 'number', default: value, describe, requiresArg: true }) as const
const numbers = (values: readonly number[], describe: string) =>
  ({ type: 'number', array: true, default: values, describe, requiresArg: true }) as const
const file = (describe: string) => ({ type: 'string', describe, requiresArg: true, nargs: 1 }) as const
const oneBackend = (value: BackendChoice) =>
  ({ choices: BACKEND_CHOICES, default: value, describe: 'Our kernels', requiresArg: true }) as const
const someBackends = {
  choices: BACKENDS,
  array: true,
  default: [] as readonly BackendName[],
  defaultDescription: 'all that work on this machine',
  describe: 'Our kernels',
  requiresArg: true,
} as const

function createProgram(args: readonly string[]): Argv {
  const command = withoutOutputs(args).join(' ')
  const show = (outputs: Outputs, run: Run['run']) => runAll([{ args: command, run }], outputs, args.join(' '))
  return yargs([...args])
    .scriptName('npm run bench --')
    .usage('$0 [what] [options]\n\nMeasures gradloom on this machine, and says which bars it meets.')
    .option('json', file('Write all numbers to this file, as one JSON object; -: to stdout'))
    .option('svg', file('Draw the medians as bar charts into this file'))
    .option('markdown', file('Write a page with all results to this file'))
    .command(
      ['all', '$0'],
      'All benchmarks, with their defaults',
      argv => argv.option('weights', { ...TRAINED, describe: 'A run of the reference network, to score with it too' }),
      async ({ weights, ...outputs }) => runAll(await allRuns(weights), outputs, args.join(' ')),
    )
    .command(
      'gemm',
      'Matrix products of the reference network, relative to the peak of the same code',
      argv =>
        argv
          .option('backends', someBackends)
          .option('rounds', number(GEMM_DEFAULTS.rounds, 'Rounds over the products of a step'))
          .option('warmup', number(GEMM_DEFAULTS.warmup, 'Rounds of warm-up')),
      ({ backends, rounds, warmup, ...outputs }) => show(outputs, say => benchGemm({ backends, rounds, warmup }, say)),
    )
    .command(
      'step',
      'Training step of the reference network, by backend and number of workers, beside the roofline',
      argv =>
        argv
          .option('backends', someBackends)
          .option('turns', number(STEP_DEFAULTS.turns, 'Turns of each backend and number of workers, of 3 steps'))
          .option('warmup', number(STEP_DEFAULTS.warmup, 'Steps of warm-up'))
          .option('workers', numbers(STEP_DEFAULTS.workers, 'Numbers of workers'))
          .option('shard-rows', { ...numbers([], 'Rows of a shard'), defaultDescription: 'auto' })
          .option('all-reduce', {
            choices: ['fused', 'buffers'] as const,
            array: true,
            default: STEP_DEFAULTS.allReduce,
            describe: 'Forms of allReduce',
          }),
      ({ backends, turns, warmup, workers, shardRows, allReduce, ...outputs }) =>
        show(outputs, say => benchStep({ backends, turns, warmup, workers, shardRows, allReduce }, say)),
    )
    .command(
      'dense',
      'Training step of networks without zeros, beside the roofline and PyTorch',
      argv =>
        argv
          .option('backend', { choices: BACKENDS, default: DENSE_DEFAULTS.backend, describe: 'Our kernels' })
          .option('turns', number(DENSE_DEFAULTS.turns, 'Turns of each side'))
          .option('steps', number(DENSE_DEFAULTS.steps, 'Steps of a turn'))
          .option('workers', number(DENSE_DEFAULTS.workers, 'Workers, and threads of PyTorch')),
      ({ backend, turns, steps, workers, ...outputs }) =>
        show(outputs, say => benchDense({ backend, turns, steps, workers }, say)),
    )
    .command(
      'conv',
      'Training step of networks with convolutions, beside PyTorch and TensorFlow.js',
      argv =>
        argv
          .option('backends', someBackends)
          .option('peers', { choices: CONV_PEERS, array: true, default: CONV_DEFAULTS.peers, describe: 'Which ones' })
          .option('turns', number(CONV_DEFAULTS.turns, 'Turns of each side'))
          .option('steps', number(CONV_DEFAULTS.steps, 'Steps of a turn'))
          .option('slow-turns', number(CONV_DEFAULTS.slowTurns, 'Turns of TensorFlow.js, one step each'))
          .option('workers', numbers(CONV_DEFAULTS.workers, 'Numbers of workers')),
      ({ backends, peers, turns, steps, slowTurns, workers, ...outputs }) =>
        show(outputs, say => benchConv({ backends, peers, turns, steps, slowTurns, workers }, say)),
    )
    .command(
      'inference',
      'Predictions of the reference network by batch and threads, beside onnxruntime-node',
      argv =>
        argv
          .option('backend', oneBackend(INFERENCE_DEFAULTS.backend))
          .option('turns', number(INFERENCE_DEFAULTS.turns, 'Turns of each side')),
      ({ backend, turns, ...outputs }) => show(outputs, say => benchInference({ backend, turns }, say)),
    )
    .command(
      'scaling',
      'Training step by number of workers, also above the number of cores, and the balance of the work',
      argv =>
        argv
          .option('backend', oneBackend(SCALING_DEFAULTS.backend))
          .option('steps', number(SCALING_DEFAULTS.steps, 'Steps of each number of workers'))
          .option('warmup', number(SCALING_DEFAULTS.warmup, 'Steps of warm-up'))
          .option('workers', numbers(SCALING_DEFAULTS.workers, 'Numbers of workers')),
      ({ backend, steps, warmup, workers, ...outputs }) =>
        show(outputs, say => benchScaling({ backend, steps, warmup, workers }, say)),
    )
    .command(
      'machines',
      'Training step over several ranks of MPI on this machine, beside one process and PyTorch over gloo',
      argv =>
        argv
          .option('backend', { choices: BACKENDS, default: MACHINES_DEFAULTS.backend, describe: 'Our kernels' })
          .option('mpi', {
            choices: ['openmpi', 'mpich'] as const,
            default: MACHINES_DEFAULTS.mpi,
            describe: 'Launcher',
          })
          .option('ranks', number(MACHINES_DEFAULTS.ranks, 'Ranks, and workers of the one process'))
          .option('batches', numbers(MACHINES_DEFAULTS.batches, 'Rows of the mini-batch'))
          .option('turns', number(MACHINES_DEFAULTS.turns, 'Turns of each side'))
          .option('steps', number(MACHINES_DEFAULTS.steps, 'Steps of an epoch, of which each turn has three'))
          .option(
            'gbits',
            numbers(
              [],
              'Two hosts (network namespaces, as root) and links of so many Gbit/s, beside the model of the cost',
            ),
          ),
      ({ backend, mpi, ranks, batches, turns, steps, gbits, ...outputs }) => {
        const options = { backend, mpi, ranks, batches, turns, steps }
        return show(outputs, say =>
          gbits.length > 0 ? benchHosts({ ...options, gbits }, say) : benchMachines(options, say),
        )
      },
    )
    .command(
      'small',
      'Steps per second of a small network, and the cost of its barriers',
      argv =>
        argv
          .option('backend', oneBackend(SMALL_DEFAULTS.backend))
          .option('precision', {
            choices: ['f32', 'bf16'] as const,
            default: SMALL_DEFAULTS.precision,
            describe: 'Number format of matrix products',
            requiresArg: true,
          })
          .option('spans', number(SMALL_DEFAULTS.spans, 'Spans of each number of workers'))
          .option('steps', number(SMALL_DEFAULTS.steps, 'Steps of a span, at most 62'))
          .option('warmup', number(SMALL_DEFAULTS.warmup, 'Spans of warm-up'))
          .check(({ steps }) => {
            if (steps <= SMALL_DEFAULTS.steps) return true
            throw usageError(`--steps is ${steps}, expected at most ${SMALL_DEFAULTS.steps}: a span is within an epoch`)
          }),
      ({ backend, precision, spans, steps, warmup, ...outputs }) =>
        show(outputs, say => benchSmall({ backend, precision, spans, steps, warmup }, say)),
    )
    .command(
      'evaluation',
      'Time to score 10,000 rows with the reference network',
      argv =>
        argv
          .option('backends', someBackends)
          .option('times', number(EVALUATION_DEFAULTS.times, 'Passes over the rows'))
          .option('workers', number(EVALUATION_DEFAULTS.workers, 'Workers'))
          .option('weights', {
            ...TRAINED,
            describe: 'A run of the reference network. Default: the weights that training starts with',
          }),
      ({ backends, times, workers, weights = null, ...outputs }) =>
        show(outputs, say => benchEvaluation({ backends, times, workers, weights }, say)),
    )
    .command(
      'checkpoint',
      'Cost of a checkpoint during training of the reference network',
      argv =>
        argv
          .option('backend', oneBackend(CHECKPOINT_DEFAULTS.backend))
          .option('checkpoints', number(CHECKPOINT_DEFAULTS.checkpoints, 'Checkpoints to write'))
          .option('steps', number(CHECKPOINT_DEFAULTS.steps, 'Undisturbed steps before and after each'))
          .option('workers', number(CHECKPOINT_DEFAULTS.workers, 'Workers'))
          .option('precision', {
            choices: ['f32', 'bf16'] as const,
            default: CHECKPOINT_DEFAULTS.precision,
            describe: 'Precision of training',
          }),
      ({ backend, checkpoints, steps, workers, precision, ...outputs }) =>
        show(outputs, say => benchCheckpoint({ backend, checkpoints, steps, workers, precision }, say)),
    )
    .command(
      'serve',
      'Requests per second of `gradloom serve`, relative to another build',
      argv =>
        argv
          .option('against', {
            type: 'string',
            describe: 'Folder of another build of gradloom, measured in turns. Default: none',
          })
          .option('model', {
            type: 'string',
            default: SERVE_DEFAULTS.model,
            describe: 'A run, or a shipped model',
          })
          .option('turns', number(SERVE_DEFAULTS.turns, 'Turns of each build'))
          .option('seconds', number(SERVE_DEFAULTS.seconds, 'Seconds of a turn'))
          .option('connections', number(SERVE_DEFAULTS.connections, 'Concurrent connections')),
      ({ against = null, model, turns, seconds, connections, ...outputs }) =>
        show(outputs, say => benchServe({ against, model, turns, seconds, connections }, say)),
    )
    .command(
      'augment',
      'Cost of augmentation per step',
      argv =>
        argv
          .option('backends', someBackends)
          .option('steps', number(AUGMENT_DEFAULTS.steps, 'Steps of each form'))
          .option('warmup', number(AUGMENT_DEFAULTS.warmup, 'Steps of warm-up'))
          .option('workers', number(AUGMENT_DEFAULTS.workers, 'Workers')),
      ({ backends, steps, warmup, workers, ...outputs }) =>
        show(outputs, say => benchAugment({ backends, steps, warmup, workers }, say)),
    )
    .command(
      'auto',
      'What "auto" takes for networks of several kinds, beside longer measurements of every backend',
      argv =>
        argv
          .option('turns', number(AUTO_DEFAULTS.turns, 'Turns of each backend'))
          .option('milliseconds', number(AUTO_DEFAULTS.milliseconds, 'Time of a turn')),
      ({ turns, milliseconds, ...outputs }) => show(outputs, say => benchAuto({ turns, milliseconds }, say)),
    )
    .command(
      'startup',
      'From the start of `gradloom train` to its first step',
      argv =>
        argv
          .option('backend', oneBackend(STARTUP_DEFAULTS.backend))
          .option('times', number(STARTUP_DEFAULTS.times, 'Runs')),
      ({ backend, times, ...outputs }) => show(outputs, say => benchStartup({ backend, times }, say)),
    )
    .command(
      'table',
      'Tables: from CSV and Parquet to the first step, rows in windows, predictions for a file',
      argv =>
        argv
          .option('rows', number(TABLE_DEFAULTS.rows, 'Rows of the table'))
          .option('times', number(TABLE_DEFAULTS.times, 'Runs of each')),
      ({ rows, times, ...outputs }) => show(outputs, say => benchTable({ rows, times }, say)),
    )
    .command(
      'memory',
      'Resident size of training the reference network',
      argv =>
        argv
          .option('steps', number(MEMORY_DEFAULTS.steps, 'Steps to train'))
          .option('workers', numbers(MEMORY_DEFAULTS.workers, 'Numbers of workers')),
      ({ steps, workers, ...outputs }) => show(outputs, say => benchMemory({ steps, workers }, say)),
    )
    .command(
      'peers',
      'The same training step in PyTorch, NumPy and TensorFlow.js',
      argv =>
        argv
          .option('peers', {
            choices: PEER_NAMES,
            array: true,
            default: PEERS_DEFAULTS.peers,
            describe: 'Which ones',
          })
          .option('backend', oneBackend(PEERS_DEFAULTS.backend))
          .option('turns', number(PEERS_DEFAULTS.turns, 'Turns of each side'))
          .option('steps', number(PEERS_DEFAULTS.steps, 'Steps in a turn'))
          .option('slow-turns', number(PEERS_DEFAULTS.slowTurns, 'Turns of slow peers, one step each'))
          .option('workers', number(PEERS_DEFAULTS.workers, 'Our workers, and threads of the peers')),
      ({ peers, backend, turns, steps, slowTurns, workers, ...outputs }) =>
        show(outputs, say => benchPeers({ peers, backend, turns, steps, slowTurns, workers }, say)),
    )
    .check(checkCounts)
    .check(checkOutputs)
    .strict()
    .locale('en')
    .wrap(110)
    .version(false)
    .exitProcess(false)
    .fail((message: string | null, error: Error | undefined) => {
      throw error ?? usageError(message ?? '')
    })
}

try {
  await createProgram(process.argv.slice(2)).parseAsync()
} catch (error) {
  const usage = isUsage(error)
  const known = usage || error instanceof GradloomError
  process.stderr.write(`bench: ${known ? error.message : (error as Error).stack}\n`)
  if (usage) process.stderr.write('hint: npm run bench -- --help\n')
  process.exitCode = usage ? 2 : 1
}

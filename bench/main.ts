/**
 * `npm run bench -- [what] [--json] [options]`: what the speed and memory claims rest on. Main thread. A missed bar is a
 * result and exits with 0; 1 is for what broke, 2 for wrong usage.
 */
import { loadavg } from 'node:os'
import yargs, { type Argv } from 'yargs'
import { GradloomError } from '../src/errors.js'
import { machineFacts } from '../src/run/machine.js'
import { benchGemm, GEMM_DEFAULTS } from './gemm.js'
import { benchMemory, MEMORY_DEFAULTS } from './memory.js'
import { benchPeers, PEER_NAMES, PEERS_DEFAULTS } from './peers.js'
import { type BenchMachine, machineLine, type Report, reportJson, reportLines, type Say } from './report.js'
import { benchSmall, SMALL_DEFAULTS } from './small.js'
import { benchStep, STEP_DEFAULTS } from './step.js'

type Benchmark = (say: Say) => Promise<Report>

/** The quick ones first. */
const ALL: readonly Benchmark[] = [
  say => benchGemm(GEMM_DEFAULTS, say),
  say => benchStep(STEP_DEFAULTS, say),
  say => benchSmall(SMALL_DEFAULTS, say),
  say => benchMemory(MEMORY_DEFAULTS, say),
  say => benchPeers(PEERS_DEFAULTS, say),
]

async function show(json: boolean, benchmarks: readonly Benchmark[]): Promise<void> {
  const machine: BenchMachine = { ...machineFacts(), loadBefore: loadavg()[0] }
  const say: Say = what => process.stderr.write(`${what}\n`)
  if (!json) process.stdout.write(`${machineLine(machine)}\n\n`)
  const reports: Report[] = []
  for (const benchmark of benchmarks) {
    const report = await benchmark(say)
    reports.push(report)
    if (!json) process.stdout.write(`${reportLines(report).join('\n')}\n`)
  }
  if (json) process.stdout.write(`${JSON.stringify(reportJson(machine, reports), null, 2)}\n`)
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

const number = (value: number, describe: string) =>
  ({ type: 'number', default: value, describe, requiresArg: true }) as const
const numbers = (values: readonly number[], describe: string) =>
  ({ type: 'number', array: true, default: values, describe, requiresArg: true }) as const

function createProgram(args: readonly string[]): Argv {
  return yargs([...args])
    .scriptName('npm run bench --')
    .usage('$0 [what] [options]\n\nMeasures gradloom on this machine, and says which bars it meets.')
    .option('json', { type: 'boolean', default: false, describe: 'Print one JSON object' })
    .command(
      '$0',
      'All of them, with their defaults',
      argv => argv,
      ({ json }) => show(json, ALL),
    )
    .command(
      'gemm',
      'Matrix products of the reference network beside the bare micro-kernel',
      argv =>
        argv
          .option('rounds', number(GEMM_DEFAULTS.rounds, 'Times through the products of a step'))
          .option('warmup', number(GEMM_DEFAULTS.warmup, 'Rounds that do not count')),
      ({ json, ...options }) => show(json, [say => benchGemm(options, say)]),
    )
    .command(
      'step',
      'Training step of the reference network, by number of workers',
      argv =>
        argv
          .option('steps', number(STEP_DEFAULTS.steps, 'Steps of each number of workers'))
          .option('warmup', number(STEP_DEFAULTS.warmup, 'Steps that do not count'))
          .option('workers', numbers(STEP_DEFAULTS.workers, 'Numbers of workers'))
          .option('shard-rows', numbers(STEP_DEFAULTS.shardRows, 'Rows of a shard'))
          .option('all-reduce', {
            choices: ['fused', 'buffers'] as const,
            array: true,
            default: STEP_DEFAULTS.allReduce,
            describe: 'Forms of the reduction',
          }),
      ({ json, ...options }) => show(json, [say => benchStep(options, say)]),
    )
    .command(
      'small',
      'Steps per second of a small network, and what its barriers cost',
      argv =>
        argv
          .option('spans', number(SMALL_DEFAULTS.spans, 'Spans of each number of workers'))
          .option('steps', number(SMALL_DEFAULTS.steps, 'Steps of a span, at most 62'))
          .option('warmup', number(SMALL_DEFAULTS.warmup, 'Spans that do not count'))
          .check(({ steps }) => {
            if (steps <= SMALL_DEFAULTS.steps) return true
            throw usageError(`--steps is ${steps}, expected at most ${SMALL_DEFAULTS.steps}: a span is within an epoch`)
          }),
      ({ json, ...options }) => show(json, [say => benchSmall(options, say)]),
    )
    .command(
      'memory',
      'Resident size of training the reference network',
      argv =>
        argv
          .option('steps', number(MEMORY_DEFAULTS.steps, 'Steps to train'))
          .option('workers', numbers(MEMORY_DEFAULTS.workers, 'Numbers of workers')),
      ({ json, ...options }) => show(json, [say => benchMemory(options, say)]),
    )
    .command(
      'peers',
      'The same training step in TensorFlow.js and NumPy',
      argv =>
        argv
          .option('peers', {
            choices: PEER_NAMES,
            array: true,
            default: PEERS_DEFAULTS.peers,
            describe: 'Which ones',
          })
          .option('turns', number(PEERS_DEFAULTS.turns, 'Turns of each side'))
          .option('steps', number(PEERS_DEFAULTS.steps, 'Steps in a turn'))
          .option('tfjs-turns', number(PEERS_DEFAULTS.tfjsTurns, 'Turns of TensorFlow.js, of one step'))
          .option('workers', number(PEERS_DEFAULTS.workers, 'Our workers, and threads of the peers')),
      ({ json, ...options }) => show(json, [say => benchPeers(options, say)]),
    )
    .check(checkCounts)
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

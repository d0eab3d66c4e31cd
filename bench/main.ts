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

/** Whole numbers only: options that count. */
TODO
  return (given: number | number[]) => {
    for (const value of read([given].flat())) {
      if (!Number.isInteger(value) || value < least) {
        throw new UsageError(`--${option} is ${value}, expected a whole number of at least ${least}`)
      }
    }
    return given
  }
}

class UsageError extends Error {
  override name = 'YError'
}

/** One number, at least `least`. */
const one = <Key extends string>(argv: Argv, name: Key, value: number, describe: string, least = 1) =>
  argv.option(name, { describe, type: 'number', default: value, requiresArg: true, coerce: count(name, least) })


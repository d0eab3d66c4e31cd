/**
 * The core type of OpenBLAS that peers run with: an old OpenBLAS does not know a new CPU, and an environment may force a type
 * that is slow there, so each that the CPU can run is tried, and the fastest with right products is taken. Main thread.
 */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { cpuFlags, hasFlags } from '../src/kernels/cpu.js'
import { CORE_TYPE_FLAGS } from '../src/kernels/native/core-type.js'
import { type PeerCommand, pythonCommand } from './peer.js'

/** Core types that peers are tried with; "" leaves the choice to OpenBLAS. */
const CORE_TYPES: readonly (readonly [name: string, flags: readonly string[]])[] = [
  ['', []],
  ...Object.entries(CORE_TYPE_FLAGS),
]
/** Largest error of a sum in units of its precision, over the sum of the absolute terms; right kernels stay below 1. */
const MOST_ERROR = 10
/** Margin by which a forced type must be faster than OpenBLAS's own choice: less is noise. */
const MARGIN = 1.02
const TRIAL_MS = 60_000

/** Measurement of a core type: seconds of a product, and the error of its results. */
export interface CoreTrial {
  /** Value of OPENBLAS_CORETYPE; "": it is not set. */
  readonly name: string
  readonly f32: number
  readonly f64: number
  readonly error: number
}

/** Names of the core types that a CPU with these flags can run. */
export const coreTypesFor = (flags: string): string[] =>
  CORE_TYPES.filter(([, needed]) => needed.length === 0 || (flags !== '' && hasFlags(needed, flags))).map(
    ([name]) => name,
  )

/** The fastest in a number type whose products are right; OpenBLAS's own choice, "", if it is as fast, or if none was measured. */
export function fastestCoreType(trials: readonly CoreTrial[], of: 'f32' | 'f64'): string {
  const right = trials.filter(({ error }) => error <= MOST_ERROR)
  const own = right.find(({ name }) => name === '')
  const [best] = [...right].sort((a, b) => a[of] - b[of])
  if (!best || (own && own[of] <= best[of] * MARGIN)) return ''
  return best.name
}

/** Tries every core type that this CPU can run, one after the other. One that does not run is left out. */
export async function tryCoreTypes(threads: number, flags: string = cpuFlags()): Promise<CoreTrial[]> {
  const trials: CoreTrial[] = []
  for (const name of coreTypesFor(flags)) {
    const { file, args } = pythonCommand('core-type.py', [String(threads)])
    try {
      const { stdout } = await promisify(execFile)(file, [...args], {
        env: peerEnvironment(name),
        timeout: TRIAL_MS,
      })
      trials.push({ name, ...(JSON.parse(stdout) as Omit<CoreTrial, 'name'>) })
    } catch {
      // No NumPy, or an illegal instruction: a peer that cannot run says so itself.
    }
  }
  return trials
}

/** The environment without settings that would slow down OpenBLAS, and with a core type if one is given. */
export function peerEnvironment(coreType = '', env: NodeJS.ProcessEnv = process.env): NodeJS.ProcessEnv {
  const { OPENBLAS_CORETYPE: _, OPENBLAS_L2_SIZE: __, ...rest } = env
  return coreType === '' ? rest : { ...rest, OPENBLAS_CORETYPE: coreType }
}

/** Takes the same settings from this process, before a library is loaded that reads them. */
export function unsetOpenBlas(): void {
  delete process.env.OPENBLAS_CORETYPE
  delete process.env.OPENBLAS_L2_SIZE
}

/** The command with the environment for a core type. */
export const withCoreType = (command: PeerCommand, coreType: string): PeerCommand => ({
  ...command,
  env: peerEnvironment(coreType),
})

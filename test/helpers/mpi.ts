/**
 * The launchers of MPI that tests start. Where one is missing, a test fails on CI and is skipped with the reason elsewhere. Debian:
 * openmpi-bin and libopenmpi3, mpich and libmpich12.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Test } from 'tap'
import type { CliResult } from '../cli/run-cli.js'
import { CEILING_MS } from './until.js'

export type MpiName = 'openmpi' | 'mpich'

const MAIN = resolve('dist/src/cli/main.js')

/** False after having failed (CI) or skipped (elsewhere) the test. */
export function hasMpi(t: Test, name: MpiName): boolean {
  if (spawnSync(`mpirun.${name}`, ['--version']).status === 0) return true
  const message = `mpirun.${name} is not installed`
  if (process.env.CI) t.fail(message)
  else t.pass(message, { skip: message })
  return false
}

/** What a launcher needs to start several ranks on this machine, whoever calls it, with more ranks than cores. */
const OPTIONS: Readonly<Record<MpiName, readonly string[]>> = {
  openmpi: ['--allow-run-as-root', '--oversubscribe', '--bind-to', 'none', '--mca', 'plm', 'isolated'],
  mpich: [],
}

/** Command that starts so many ranks of the program that follows it. */
export const launcherOf = (name: MpiName, ranks: number): [string, ...string[]] => [
  `mpirun.${name}`,
  ...['-n', String(ranks)],
  ...OPTIONS[name],
]

export interface MpiOptions {
  /** Sees all output so far whenever there is more. */
  readonly onOutput?: (output: string, child: ChildProcess) => void
  readonly env?: NodeJS.ProcessEnv
  /** Program in place of gradloom's, with its arguments. */
  readonly command?: readonly string[]
}

/** Runs gradloom in several ranks. */
export function gradloomRanks(
  name: MpiName,
  ranks: number,
  args: readonly string[],
  { onOutput, env: more = {}, command = [process.execPath, MAIN] }: MpiOptions = {},
): Promise<CliResult> {
  return new Promise((resolve, reject) => {
    // tap's NODE_OPTIONS load a module of its own into every process.
    const { FORCE_COLOR: _, NODE_OPTIONS: __, ...env } = process.env
    const [launcher, ...options] = launcherOf(name, ranks)
    const child = spawn(launcher, [...options, ...command, ...args], {
      env: { ...env, ...more },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const timer = setTimeout(() => child.kill('SIGKILL'), CEILING_MS)
    const text = { stdout: '', stderr: '' }
    for (const stream of ['stdout', 'stderr'] as const) {
      child[stream].setEncoding('utf8').on('data', (chunk: string) => {
        text[stream] += chunk
        onOutput?.(text.stdout + text.stderr, child)
      })
    }
    child.on('error', reject).on('close', (code, signal) => {
      clearTimeout(timer)
      resolve({ code, signal, ...text })
    })
  })
}

/** Programs of ranks, of which only rank 0 sees what is in `folder`. Undefined after having failed (CI) or skipped (elsewhere) the test. */
export function seenByRank0(t: Test, folder: string): Pick<MpiOptions, 'command' | 'env'> | undefined {
  const mounts = ['unshare', '-m', 'sh', '-c']
  if (spawnSync(mounts[0], [...mounts.slice(1), 'mount -t tmpfs none /mnt']).status !== 0) {
    const message = 'a mount of its own for each rank needs root'
    if (process.env.CI) t.fail(message)
    else t.pass(message, { skip: message })
    return undefined
  }
  const hide = '[ "$OMPI_COMM_WORLD_RANK$PMI_RANK" = 0 ] || mount -t tmpfs none "$HIDDEN"; exec "$@"'
  return { command: [...mounts, hide, 'sh', process.execPath, MAIN], env: { HIDDEN: folder } }
}

/** Process of a rank that trains into this directory; undefined: there is none. Linux. */
export function pidOfRank(rank: number, runDir: string): number | undefined {
  const found = spawnSync('pgrep', ['-f', `main.js train .*${runDir}`], { encoding: 'utf8' })
  for (const pid of found.stdout.split('\n').filter(Boolean).map(Number)) {
    try {
      const variables = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0')
      if (variables.includes(`OMPI_COMM_WORLD_RANK=${rank}`) || variables.includes(`PMI_RANK=${rank}`)) return pid
    } catch {
      // It has ended.
    }
  }
  return undefined
}

/** Runs the built command line in a process of its own, as a user would. */
import { type ChildProcess, spawn } from 'node:child_process'
import { resolve } from 'node:path'
import { CEILING_MS } from '../helpers/until.js'

export interface CliResult {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

const MAIN = resolve('dist/src/cli/main.js')

/** `onOutput` sees all output so far, stdout and stderr together, whenever there is more. */
export function gradloom(
  args: readonly string[],
  {
    cwd = '.',
    onOutput,
    env: more = {},
  }: {
    cwd?: string
    onOutput?: (output: string, child: ChildProcess) => void
    /** On top of this process's. */
    env?: NodeJS.ProcessEnv
  } = {},
): Promise<CliResult> {
  return new Promise((resolve, reject) => {
    // tap's NODE_OPTIONS load a module of its own into every process.
    const { FORCE_COLOR: _, NODE_OPTIONS: __, ...env } = process.env
    Object.assign(env, more)
    const child = spawn(process.execPath, [MAIN, ...args], { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] })
    const timer = setTimeout(() => child.kill('SIGKILL'), CEILING_MS)
    const text = { stdout: '', stderr: '' }
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8').on('data', (chunk: string) => {
        text[name] += chunk
        onOutput?.(text.stdout + text.stderr, child)
      })
    }
    child.on('error', reject).on('close', (code, signal) => {
      clearTimeout(timer)
      resolve({ code, signal, ...text })
    })
  })
}

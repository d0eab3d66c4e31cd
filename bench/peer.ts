/**
 * A program of bench/peers: started, warmed up by itself, then asked for steps over its stdin, one JSON object a line
 * (the protocol is in numpy-step.py). Main thread. A peer that cannot run is a result, not a failure:
 * whatever goes wrong becomes a PeerError with the reason.
 */
import { type ChildProcessWithoutNullStreams, execFile, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

/** Path from dist/bench to the sources of the peers, which are not compiled. */
const PEERS = new URL('../../bench/peers/', import.meta.url)
/** TensorFlow.js takes a minute to warm up and a quarter of one for a step. */
const PATIENCE_MS = 300_000
const FAREWELL_MS = 5000
const STDERR_KEPT = 4000

export class PeerError extends Error {
  override name = 'PeerError'
}

export interface PeerCommand {
  readonly file: string
  readonly args: readonly string[]
  /** Environment; undefined: that of this process. */
  readonly env?: NodeJS.ProcessEnv
}

/** Facts that a peer reports after its warm-up. */
export interface PeerFacts {
  readonly version: string
  readonly threads: number | null
  readonly blas: string
}

export interface Peer {
  readonly facts: PeerFacts
  /** Seconds of each step, by the peer's own clock. */
  steps(count: number): Promise<number[]>
  /** Waits until the process has ended. */
  close(): Promise<void>
}

/** A script of bench/peers. Debian's packages belong to this Python, even if another one comes first in PATH. */
export function pythonCommand(
  script: 'core-type.py' | 'numpy-step.py' | 'sklearn-step.py' | 'torch-step.py' | 'torch-conv.py',
  args: readonly string[],
): PeerCommand {
  const debian = '/usr/bin/python3'
  return { file: existsSync(debian) ? debian : 'python3', args: [inPeers(script), ...args] }
}

export function tfjsCommand(args: readonly string[], script: 'step.mjs' | 'conv.mjs' = 'step.mjs'): PeerCommand {
  return { file: process.execPath, args: [inPeers(`tfjs/${script}`), ...args] }
}

export function ortCommand(args: readonly string[]): PeerCommand {
  return { file: process.execPath, args: [inPeers('ort/infer.mjs'), ...args] }
}

/** Packages of peers, which are dependencies of nothing but this benchmark, and why scripts of a package are left out. */
const INSTALLS = {
  tfjs: { title: 'TensorFlow.js', args: [] },
  // The package's install script downloads a library for GPUs.
  ort: { title: 'onnxruntime', args: ['--ignore-scripts'] },
} as const

/** Installs a peer where it is not yet. Throws PeerError. */
export async function installPeer(name: keyof typeof INSTALLS, say: (what: string) => void): Promise<void> {
  // npm writes this file last.
  if (existsSync(inPeers(`${name}/node_modules/.package-lock.json`))) return
  const { title, args: more } = INSTALLS[name]
  say(`peers: installing ${title}: npm ci --prefix bench/peers/${name}`)
  const args = ['ci', '--prefix', inPeers(name), '--no-audit', '--no-fund', '--fetch-retries=1', ...more]
  // Resolves npm itself under `npm run`; alone, `npm` could be a script that needs a shell.
  const npm = process.env.npm_execpath
  const [file, all] = npm ? [process.execPath, [npm, ...args]] : ['npm', args]
  try {
    await promisify(execFile)(file, all, { timeout: PATIENCE_MS })
  } catch (error) {
    const { stderr = '', message } = error as Error & { stderr?: string }
    // npm prints what is wrong first, then at length what could be done about it.
    const [reason] = /^npm (?:error|ERR!) .*$/m.exec(stderr) ?? [message]
    throw new PeerError(`npm ci failed: ${reason}`)
  }
}

/** `patienceMs`: how long it may take to start, and for what is asked of it at once. */
export async function startPeer({ file, args, env }: PeerCommand, patienceMs = PATIENCE_MS): Promise<Peer> {
  const link = new PeerLink(spawn(file, args, { stdio: 'pipe', ...(env && { env }) }), patienceMs)
  const facts = await link.next().catch(async error => {
    await link.end()
    throw error
  })
  if (facts.ready !== true) {
    await link.end()
    throw new PeerError([facts.error, facts.hint && `hint: ${facts.hint}`].filter(Boolean).join('; '))
  }
  return {
    facts: {
      version: String(facts.version),
      threads: (facts.threads as number | null) ?? null,
      blas: String(facts.blas),
    },
    async steps(count) {
      link.send({ steps: count })
      const { seconds } = await link.next()
      if (!Array.isArray(seconds) || seconds.length !== count) {
        throw new PeerError(`answered ${JSON.stringify(seconds)}, expected ${count} times`)
      }
      return seconds as number[]
    },
    close: () => link.end(),
  }
}

/** Lines in, lines out, and the end of the process as an error for a waiting caller. */
class PeerLink {
  readonly #child: ChildProcessWithoutNullStreams
  readonly #lines: AsyncIterator<string>
  readonly #patienceMs: number
  /** Settles with the reason, once the process is gone. */
  readonly #ended: Promise<string>
  #stderr = ''

  constructor(child: ChildProcessWithoutNullStreams, patienceMs: number) {
    this.#child = child
    this.#patienceMs = patienceMs
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
    this.#ended = new Promise(resolve => {
      child.once('error', error => resolve(error.message))
      child.once('close', (code, signal) => resolve(`ended with ${signal ?? `exit code ${code}`}`))
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-STDERR_KEPT)
    })
    // A peer that is gone cannot be written to; `next` says why.
    child.stdin.on('error', () => {})
  }

  send(message: object): void {
    this.#child.stdin.write(`${JSON.stringify(message)}\n`)
  }

  async next(): Promise<Record<string, unknown>> {
    const answer = await within(this.#patienceMs, this.#lines.next())
    if (answer === 'late') throw new PeerError(`no answer within ${this.#patienceMs / 1000} s`)
    if (answer.done) throw new PeerError([await this.#ended, lastLine(this.#stderr)].filter(Boolean).join('; '))
    try {
      return JSON.parse(answer.value)
    } catch {
      throw new PeerError(`answered ${JSON.stringify(answer.value)}, expected JSON`)
    }
  }

  /** Nobody waits long for a process that does not end with its input. */
  async end(): Promise<void> {
    this.#child.stdin.end()
    if ((await within(FAREWELL_MS, this.#ended)) !== 'late') return
    this.#child.kill('SIGKILL')
    await this.#ended
  }
}

async function within<T>(ms: number, promise: Promise<T>): Promise<T | 'late'> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<'late'>(resolve => {
    timer = setTimeout(() => resolve('late'), ms)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

const inPeers = (path: string): string => fileURLToPath(new URL(path, PEERS))

const lastLine = (text: string): string | undefined => text.trim().split('\n').at(-1) || undefined

/**
 * Probes libraries in a process of their own, so that one that is broken, of another ABI or not what its name says
 * can end this one. Main thread.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { readProcessStat } from '../../files/process-stat.js'
import { cpuFlags } from '../cpu.js'
import type { Bf16Support, NativeLibrary } from '../products.js'
import type { Speed } from './check.js'
import { betterCoreType, isCoreType, withCoreType } from './core-type.js'
import type { LibraryFacts } from './library.js'
import { SINGLE_THREADED } from './open.js'

/** Progress that the child reports, in this order for each library. */
export type Progress =
  | { readonly now: 'loading'; readonly library: string }
  | { readonly now: 'not loaded'; readonly reason: string }
  | { readonly now: 'calling' }
  | { readonly now: 'opened'; readonly file: string | null }
  | { readonly now: 'refused'; readonly reason: string }
  | {
      readonly now: 'accepted'
      readonly facts: LibraryFacts
      readonly slow: string | null
      readonly speed: Speed
    }
  | { readonly now: 'tried bf16'; readonly bf16: Bf16Support }

/** Result of probing one library. */
export interface ProbeResult {
  /** Requested name. */
  readonly library: string
  /** The file that was loaded; null if none was, or if the system does not report it. */
  readonly file: string | null
  readonly outcome: Outcome
}

export type Outcome =
  | {
      readonly is: 'accepted'
      readonly facts: LibraryFacts & Pick<NativeLibrary, 'bf16'>
      /** Kernel that it is to be loaded with, see core-type.ts; null: as it chooses. */
      readonly coreType: string | null
      readonly speed: Speed
      /** Reason why `auto` should pass over it; null: it should not. */
      readonly slow: string | null
    }
  | { readonly is: 'not loaded'; readonly reason: string }
  /** `lasting`: the same file will be refused again; else it was out of time, which may not happen again. */
  | { readonly is: 'refused'; readonly reason: string; readonly lasting: boolean }

/**
 * CPU time of the child from one report of progress to the next; a good library takes a tenth of a second. Not wall time:
 * which library is accepted decides the bits of a run, so it must not depend on what else the machine is doing.
 */
const TIME_LIMIT_MS = 20_000
/** Wall time, in units of the CPU limit, that counts as a hang of a library that waits and computes nothing. */
const WAITING_LIMITS = 10
const WATCH_MS = 100
/**
 * Minimum speed against plain loops: a library below it is not an optimized one (netlib's own BLAS: 1 to 3 times), and
 * slower than gradloom's WASM kernels. Wide of both, so that the same machine always gets the same answer.
 */
const TIMES_PLAIN_AT_LEAST = 8
const CHILD = fileURLToPath(new URL('./probe-child.js', import.meta.url))

/** Results in the order of `libraries`, up to the first that is accepted. Never rejects for what a library does. */
export async function probe(
  backend: NativeLibrary['backend'],
  libraries: readonly string[],
  limitMs = TIME_LIMIT_MS,
): Promise<ProbeResult[]> {
  const results: ProbeResult[] = []
  // A library that ends the child leaves those after it to the next one.
  while (results.length < libraries.length && results.at(-1)?.outcome.is !== 'accepted') {
    const rest = libraries.slice(results.length)
    const { progress, ending } = await runChild(backend, rest, limitMs)
    const found = resultsOf(progress, ending)
    results.push(...(found.length > 0 ? found : [unstarted(rest[0], ending)]))
  }
  const last = results.at(-1)
  return last ? [...results.slice(0, -1), await withKernel(backend, last, limitMs)] : results
}

/** The result with a kernel that suits the CPU, if the library did not choose such a one and passes its probe with it. */
async function withKernel(backend: NativeLibrary['backend'], own: ProbeResult, limitMs: number): Promise<ProbeResult> {
  const coreType = own.outcome.is === 'accepted' ? betterCoreType(own.outcome.facts, cpuFlags()) : null
  if (coreType === null) return own
  const { progress, ending } = await runChild(backend, [own.library], limitMs, coreType)
  const result = resultsOf(progress, ending).at(-1)
  const outcome = result?.outcome
  // A build without that kernel takes another, or none.
  if (outcome?.is !== 'accepted' || !isCoreType(outcome.facts, coreType)) return own
  return { ...result!, outcome: { ...outcome, coreType } }
}

interface Ending {
  readonly text: string
  readonly timedOut: boolean
}

function runChild(
  backend: string,
  libraries: readonly string[],
  limitMs: number,
  coreType: string | null = null,
): Promise<{ progress: Progress[]; ending: Ending }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [CHILD, backend, ...libraries], {
      env: { ...process.env, ...SINGLE_THREADED, ...withCoreType(coreType) },
      stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
    })
    let timedOut = false
    const watch = watchProgress(child, limitMs, () => {
      timedOut = true
      child.kill('SIGKILL')
    })
    const text = { report: '', errors: '' }
    child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
      text.errors = (text.errors + chunk).slice(0, 1000)
    })
    ;(child.stdio[3] as Readable).setEncoding('utf8').on('data', (chunk: string) => {
      text.report += chunk
      watch.restart()
    })
    child.on('error', error => {
      watch.end()
      reject(error)
    })
    child.on('close', (code, signal) => {
      watch.end()
      const lines = text.report.split('\n').slice(0, -1) // the last is empty, or was cut off by the end
      const firstError = text.errors.trim().split('\n')[0]
      const how = timedOut ? `took more than ${limitMs / 1000} s` : `ended with ${signal ?? `exit code ${code}`}`
      resolve({
        progress: lines.map(line => JSON.parse(line) as Progress),
        ending: { timedOut, text: firstError ? `${how} (${firstError})` : how },
      })
    })
  })
}

/** Calls `onHang` if a child makes no progress for too long; `restart` at each progress. */
function watchProgress(child: ChildProcess, limitMs: number, onHang: () => void) {
  let since = { wallMs: performance.now(), cpuMs: cpuMsOf(child) }
  const timer = setInterval(() => {
    const cpuMs = cpuMsOf(child)
    const waitedMs = performance.now() - since.wallMs
    const isHanging =
      cpuMs === null || since.cpuMs === null
        ? waitedMs > limitMs
        : cpuMs - since.cpuMs > limitMs || waitedMs > WAITING_LIMITS * limitMs
    if (isHanging) onHang()
  }, WATCH_MS)
  return {
    restart: () => {
      since = { wallMs: performance.now(), cpuMs: cpuMsOf(child) }
    },
    end: () => clearInterval(timer),
  }
}

/** Time of a tick of `ProcessStat.cpuTicks`. */
const TICK_MS = 10

/** CPU time that a process has used; null if the system does not list it, or the process has ended. */
function cpuMsOf({ pid }: ChildProcess): number | null {
  const stat = pid === undefined ? null : readProcessStat(pid)
  return stat && stat.cpuTicks * TICK_MS
}

/** A result for each library that the child reached: its progress on one begins with 'loading'. */
function resultsOf(progress: readonly Progress[], ending: Ending): ProbeResult[] {
  const starts = progress.flatMap(({ now }, i) => (now === 'loading' ? [i] : []))
  return starts.map((start, i) => resultOf(progress.slice(start, starts[i + 1] ?? progress.length), ending))
}

/** The result for one library. Where the progress ends without an outcome, the library ended the child. */
function resultOf(progress: readonly Progress[], ending: Ending): ProbeResult {
  const find = <N extends Progress['now']>(now: N) =>
    progress.find((event): event is Extract<Progress, { now: N }> => event.now === now)
  const library = find('loading')!.library
  const file = find('opened')?.file ?? null
  const [notLoaded, refused, accepted] = [find('not loaded'), find('refused'), find('accepted')]
  if (notLoaded) return { library, file, outcome: { is: 'not loaded', reason: notLoaded.reason } }
  if (refused) return { library, file, outcome: { is: 'refused', reason: refused.reason, lasting: true } }
  if (accepted) {
    const { facts, speed, slow } = accepted
    const bf16 = find('tried bf16')?.bf16 ?? { obstacle: `its probe ${ending.text} when it multiplied bf16` }
    return {
      library,
      file,
      outcome: { is: 'accepted', facts: { ...facts, bf16 }, coreType: null, speed, slow: slowness(slow, speed) },
    }
  }
  const [calling, opened] = [find('calling'), find('opened')]
  const during = opened ? 'when it was called' : calling ? 'when it was asked for its version' : 'when it was loaded'
  return { library, file, outcome: { is: 'refused', reason: `${ending.text} ${during}`, lasting: !ending.timedOut } }
}

function slowness(reported: string | null, { timesPlain }: Speed): string | null {
  if (timesPlain >= TIMES_PLAIN_AT_LEAST) return reported
  return `only ${timesPlain.toFixed(1)} times as fast as plain JavaScript`
}

/** The child ended before the first library: no library did that. */
function unstarted(library: string, { text }: Ending): ProbeResult {
  return { library, file: null, outcome: { is: 'refused', reason: `its probe ${text}`, lasting: false } }
}

/**
 * Tries libraries out in a process of their own, so that none that is broken, of another ABI or not what its name says
 * can end this one. Main thread.
 */
import { spawn } from 'node:child_process'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import type { Bf16Support, NativeLibrary } from '../products.js'
import type { Speed } from './check.js'
import type { LibraryFacts } from './library.js'
import { SINGLE_THREADED } from './open.js'

/** What the child tells, in this order for each library. */
export type Told =
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

export interface Verdict {
  /** As it was asked for. */
  readonly library: string
  /** The file that it turned out to be; null where it was not loaded, or nobody can tell. */
  readonly file: string | null
  readonly outcome: Outcome
}

export type Outcome =
  | {
      readonly is: 'accepted'
      readonly facts: LibraryFacts & Pick<NativeLibrary, 'bf16'>
      readonly speed: Speed
      /** Why `auto` should pass over it; null: it should not. */
      readonly slow: string | null
    }
  | { readonly is: 'not loaded'; readonly reason: string }
  /** `lasting`: the same file will be refused again; else it was out of time, which may not happen again. */
  | { readonly is: 'refused'; readonly reason: string; readonly lasting: boolean }

/** A good library takes a tenth of a second; a machine may be busy. */
const TIME_LIMIT_MS = 20_000
/**
 * A library that is not this much faster than plain loops is no optimized one (netlib's own BLAS: 1 to 3 times), and
 * slower than gradloom's WASM kernels. Wide of both, so that the same machine always comes to the same answer.
 */
const TIMES_PLAIN_AT_LEAST = 8
const CHILD = fileURLToPath(new URL('./probe-child.js', import.meta.url))

/** Verdicts in the order of `libraries`, up to the first that is accepted. Never rejects for what a library does. */
export async function probe(
  backend: NativeLibrary['backend'],
  libraries: readonly string[],
  limitMs = TIME_LIMIT_MS,
): Promise<Verdict[]> {
  const verdicts: Verdict[] = []
  // A library that ends the child leaves those after it to the next one.
  while (verdicts.length < libraries.length && verdicts.at(-1)?.outcome.is !== 'accepted') {
    const rest = libraries.slice(verdicts.length)
    const { told, ending } = await runChild(backend, rest, limitMs)
    const found = verdictsOf(told, ending)
    verdicts.push(...(found.length > 0 ? found : [unstarted(rest[0], ending)]))
  }
  return verdicts
}

interface Ending {
  readonly text: string
  readonly timedOut: boolean
}

function runChild(
  backend: string,
  libraries: readonly string[],
  limitMs: number,
): Promise<{ told: Told[]; ending: Ending }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [CHILD, backend, ...libraries], {
      env: { ...process.env, ...SINGLE_THREADED },
      stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
    })
    let timedOut = false
    const timer = setTimeout(() => {
      timedOut = true
      child.kill('SIGKILL')
    }, limitMs)
    const text = { report: '', errors: '' }
    child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
      text.errors = (text.errors + chunk).slice(0, 1000)
    })
    ;(child.stdio[3] as Readable).setEncoding('utf8').on('data', (chunk: string) => {
      text.report += chunk
    })
    child.on('error', error => {
      clearTimeout(timer)
      reject(error)
    })
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      const lines = text.report.split('\n').slice(0, -1) // the last is empty, or was cut off by the end
      const said = text.errors.trim().split('\n')[0]
      const how = timedOut ? `took more than ${limitMs / 1000} s` : `ended with ${signal ?? `exit code ${code}`}`
      resolve({
        told: lines.map(line => JSON.parse(line) as Told),
        ending: { timedOut, text: said ? `${how} (${said})` : how },
      })
    })
  })
}

/** A verdict for each library that the child came to. */
function verdictsOf(told: readonly Told[], ending: Ending): Verdict[] {
  const verdicts: Verdict[] = []
  let library: string | null = null
  let file: string | null = null
  let doing = ''
  const conclude = (outcome: Outcome) => {
    if (library !== null) verdicts.push({ library, file, outcome })
    library = null
  }
  for (const event of told) {
    if (event.now === 'loading') {
      library = event.library
      file = null
      doing = 'when it was loaded'
    } else if (event.now === 'calling') doing = 'when it was asked what it is'
    else if (event.now === 'opened') {
      file = event.file
      doing = 'when it was called'
    } else if (event.now === 'not loaded') conclude({ is: 'not loaded', reason: event.reason })
    else if (event.now === 'refused') conclude({ is: 'refused', reason: event.reason, lasting: true })
    else if (event.now === 'accepted') {
      const { facts, speed, slow } = event
      const bf16 = { obstacle: `its probe ${ending.text} when it multiplied bf16` }
      conclude({ is: 'accepted', facts: { ...facts, bf16 }, speed, slow: slowness(slow, speed) })
    } else {
      const last = verdicts.pop()
      if (last?.outcome.is !== 'accepted') throw new Error('probe: tried bf16 of a library that it has not accepted')
      const { outcome } = last
      verdicts.push({ ...last, outcome: { ...outcome, facts: { ...outcome.facts, bf16: event.bf16 } } })
    }
  }
  conclude({ is: 'refused', reason: `${ending.text} ${doing}`, lasting: !ending.timedOut })
  return verdicts
}

function slowness(said: string | null, { timesPlain }: Speed): string | null {
  if (timesPlain >= TIMES_PLAIN_AT_LEAST) return said
  return `only ${timesPlain.toFixed(1)} times as fast as plain JavaScript`
}

/** The child did not come as far as the first library: nothing that a library did. */
function unstarted(library: string, { text }: Ending): Verdict {
  return { library, file: null, outcome: { is: 'refused', reason: `its probe ${text}`, lasting: false } }
}

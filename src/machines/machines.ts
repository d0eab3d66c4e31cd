/**
 * The ranks of a run, as the main thread of each sees them: it starts the communication thread, sends and receives small messages, and
 * ends the process where a rank has failed. Main thread.
 *
 * Rank 0 decides, writes and prints; the others do what it tells them (coordinator/follow.ts). So nothing that depends on time, signals or
 * files has to be agreed on, and all ranks run the same programs in the same order.
 *
 * A failure ends all ranks: no process is left in a call that nobody answers. `process.exit` does not end a process whose communication
 * thread is inside a native call, so the end is MPI_Abort, which this thread may call at any time, then `_exit`, and an alarm before both.
 */
import { once } from 'node:events'
import { availableParallelism, cpus, hostname } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { ConfigError, RunError } from '../errors.js'
import { bindsRanks, coresOfRank, HOW_TO_START_MPICH, type Launched, lostLauncher } from '../ffi/mpi/launcher.js'
import { gradloomVersion } from '../version.js'
import { watchLauncher } from './ancestors.js'
import { type Exits, exitsOf, launcherGone, libcOf, START_MS, watchStart } from './exit.js'
import {
  type Attachment,
  type CommStart,
  type FromComm,
  type MeasuredLink,
  type Place,
  secondNow,
  type ToComm,
} from './protocol.js'
import { receivedOf, waitsOf } from './words.js'

/** Facts that ranks tell each other when they have met. */
export interface RankFacts {
  readonly rank: number
  readonly host: string
  /** Cores for its workers. */
  readonly cores: number
  readonly gradloom: string
  readonly node: string
  readonly arch: string
  /** True if its launcher left it fewer cores than the host has. */
  readonly isBound: boolean
}

/** Message of a rank that was asked to stop. */
const STOP = '"stop"'
/** Before the experiment is known. */
const TIMEOUT_MS = 8000
/** Time for a process to end by itself after the run has failed. */
const LAST_MS = 6000
const WATCH_MS = 250
/** Time for MPI_Finalize, where a launcher waits for it. */
const FINALIZE_MS = 2000
/** Time in which a failure of another rank is known, after it has ended an exchange here. */
const FAILURE_MS = 500

/** The library does not reach the launcher of this process, and so none of the other ranks; nor do they. */
export class OtherLauncherError extends ConfigError {}

export class Machines {
  readonly rank: number
  readonly size: number
  /** Name and version of the library, for people. */
  readonly library: string
  readonly launcher: string
  /** Facts of all ranks, on rank 0; on others of rank 0 and itself. */
  readonly facts: RankFacts[] = []
  readonly #comm: Worker
  #deadlineMs: number
  #words: Int32Array | undefined
  #failure: RunError | undefined
  #isOver = false
  #hasEnded = false
  #isOutOfStep = false
  #memoryFile: number | null = null
  readonly #stop = new AbortController()
  readonly #onFailure = new Set<(failure: RunError) => void>()
  readonly #inbox: { from: number; text: string }[] = []
  #wake: (() => void) | undefined
  /** The call that the communication thread has to answer. */
  #asked: { resolve(answer: FromComm): void; reject(failure: RunError): void } | undefined

  private constructor(
    comm: Worker,
    joined: Joined,
    launcher: string,
    die: Exits,
    start: CommStart,
    isLauncherGone: () => boolean,
  ) {
    this.#comm = comm
    this.rank = joined.rank
    this.size = joined.size
    this.library = joined.version
    this.launcher = launcher
    this.#deadlineMs = start.deadlineMs
    comm.on('message', (message: FromComm) => this.#take(message))
    comm.on('error', error => this.#fail(null, `communication thread: ${error.message}`))
    const entered = new Int32Array(start.entered)
    const watch = setInterval(() => {
      if (this.#isOver) return
      if (isLauncherGone()) this.#fail(null, launcherGone(launcher))
      this.#watch(entered)
    }, WATCH_MS)
    watch.unref()
    comm.on('exit', () => {
      this.#hasEnded = true
      clearInterval(watch)
    })
    process.on('exit', code => {
      if (!this.#isOver) die.all(code === 0 ? 1 : code)
      else if (!this.#hasEnded) die.alone(code)
    })
  }

  /** Joins the ranks that the launcher started. Throws ConfigError where that cannot work. */
  static async join(launched: Launched, startMs = START_MS): Promise<Machines> {
    const lost = lostLauncher(process.env)
    if (lost !== null) throw new OtherLauncherError(lost, { hint: HOW_TO_START_MPICH })
    // UCX replaces V8's handler of traps, and its hooks on memory made Node.js 20 unstable (1 to 2 % of starts).
    process.env.UCX_ERROR_SIGNALS ??= ''
    process.env.UCX_MEM_MMAP_HOOK_MODE ??= 'none'
    const start: CommStart = {
      family: launched.family,
      size: launched.size,
      deadlineMs: TIMEOUT_MS,
      entered: new SharedArrayBuffer(4),
    }
    // The end of a rank comes before Node.js would print why.
    process.on('uncaughtExceptionMonitor', error => {
      process.stderr.write(`machines: rank ${launched.rank}: ${error instanceof Error ? error.stack : String(error)}\n`)
    })
    const isLauncherGone = watchLauncher()
    const libc = await libcOf()
    const comm = new Worker(new URL('./comm-thread.js', import.meta.url), { workerData: start, execArgv: [] })
    const watch = watchStart(startMs, launched, libc, new Int32Array(start.entered), isLauncherGone)
    let machines: Machines
    try {
      const joined = await joinedOf(comm, launched).finally(() => watch.started())
      machines = new Machines(comm, joined, launched.launcher, await exitsOf(launched), start, isLauncherGone)
    } finally {
      watch.end()
    }
    await machines.#introduce(launched)
    return machines
  }

  /** Why the run over ranks has failed; undefined: it has not. */
  get failure(): RunError | undefined {
    return this.#failure
  }

  /** True if the ranks can no longer meet: one has failed, or this one inside a call that all make together. */
  get isBroken(): boolean {
    return this.#failure !== undefined || this.#isOutOfStep
  }

  /** Calls `act` when the run over ranks fails, or at once if it has. */
  whenFailed(act: (failure: RunError) => void): void {
    if (this.#failure) act(this.#failure)
    else this.#onFailure.add(act)
  }

  /** Silence after which a rank counts as gone. */
  setTimeout(seconds: number): void {
    this.#deadlineMs = 1000 * seconds
    this.#post({ kind: 'timeout', ms: this.#deadlineMs })
  }

  /** Measures the link between the ranks, which all call this at the same place. */
  async measure(): Promise<MeasuredLink> {
    return (await this.#ask({ kind: 'measure' })) as FromComm & { readonly kind: 'measured' }
  }

  /** Keeps an open file of memory that ranks of one host may share (ffi/host-memory.ts) until it is mapped; null: there is none. */
  keepMemory(fd: number | null): void {
    this.#memoryFile = fd
  }

  /** The file that was kept, once. */
  takeMemory(): number | null {
    const fd = this.#memoryFile
    this.#memoryFile = null
    return fd
  }

  /** Exchanges use this memory when it resolves, before which no worker may run. */
  async attach(to: Attachment): Promise<void> {
    this.#words = new Int32Array(to.memory.buffer, to.words.byteOffset, to.words.bytes / 4)
    await this.#ask({ kind: 'attach', to })
  }

  /** Microseconds that the workers of each rank have waited in exchanges since this memory was attached; they wrap around at 2^32. */
  waits(): Uint32Array {
    if (!this.#words) return new Uint32Array(this.size)
    return Uint32Array.from(waitsOf(this.#words, this.size), us => us >>> 0)
  }

  /** Words of 4 bytes that each rank has got in exchanges since it joined, but for the last one; they wrap around at 2^32. */
  received(): Uint32Array {
    if (!this.#words) return new Uint32Array(this.size)
    return Uint32Array.from(receivedOf(this.#words, this.size), words => words >>> 0)
  }

  /** Sends a message: rank 0 to all others, or to one; others to rank 0. Throws the failure if there is one. */
  tell(message: unknown, to?: number): void {
    if (this.#failure) throw this.#failure
    const text = JSON.stringify(message)
    const peers = this.rank === 0 ? Array.from({ length: this.size - 1 }, (_, i) => i + 1) : [0]
    for (const peer of to === undefined ? peers : [to]) this.#post({ kind: 'send', to: peer, text })
  }

  /** Sends memory of rank 0 to all. All ranks call it, one call after the other, while no worker runs. */
  async broadcast(memory: ArrayBufferLike, place: Place): Promise<void> {
    await this.#ask({ kind: 'broadcast', memory, place })
  }

  #ask(order: ToComm): Promise<FromComm> {
    if (this.#failure) return Promise.reject(this.#failure)
    return new Promise((resolve, reject) => {
      this.#asked = { resolve, reject }
      this.#post(order)
    })
  }

  /** Aborted when another rank was asked to stop; rank 0. */
  get stopSignal(): AbortSignal {
    return this.#stop.signal
  }

  /** Tells rank 0 that this one was asked to stop. */
  tellStop(): void {
    if (!this.#failure) this.#post({ kind: 'send', to: 0, text: STOP })
  }

  /** Tells rank 0 that this one cannot go on. */
  tellError(error: Error): void {
    this.#post({ kind: 'send', to: 0, text: error.message, isError: true })
  }

  /** The next message. Rejects if the run over ranks fails. */
  async next(): Promise<{ readonly from: number; readonly message: unknown }> {
    for (;;) {
      if (this.#failure) throw this.#failure
      const first = this.#inbox.shift()
      if (first) return { from: first.from, message: JSON.parse(first.text) }
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    }
  }

  /** One message of each other rank, by rank; rank 0. */
  async nextOfAll(): Promise<unknown[]> {
    const messages: unknown[] = []
    for (let count = 1; count < this.size; count++) {
      const { from, message } = await this.next()
      messages[from] = message
    }
    return messages
  }

  /** Runs `act`; where it fails because another rank has failed, that failure is the error. */
  async guard<T>(act: () => Promise<T>): Promise<T> {
    if (this.#failure) throw this.#failure
    try {
      return await act()
    } catch (error) {
      // The communication thread's message may be on its way.
      await Promise.race([
        new Promise<void>(resolve => this.whenFailed(() => resolve())),
        delay(FAILURE_MS, undefined, { ref: false }),
      ])
      this.#isOutOfStep = true
      throw this.#failure ?? error
    }
  }

  /** Name of a rank in messages. */
  nameOf(rank: number): string {
    const host = this.facts[rank]?.host
    return host === undefined ? `rank ${rank}` : `rank ${rank} (${host})`
  }

  /** Meets all ranks and ends MPI; rejects if a rank fails meanwhile. */
  async end(): Promise<void> {
    await this.#ask({ kind: 'finish' })
    this.#isOver = true
    // After a failure rank 0 has something left to say, and a launcher may end all with the first. Else all leave together: MPICH's launcher
    // ends with an error where one talks to it after another has gone.
    const isLater = this.rank > 0 && Number(process.exitCode ?? 0) !== 0
    const patience = delay(FINALIZE_MS * (isLater ? 2 : 1), undefined, { ref: false })
    if (!this.#hasEnded) await Promise.race([once(this.#comm, 'exit'), patience])
    this.release()
  }

  /** The process may end although the communication thread is still there: all ranks end with it. */
  release(): void {
    this.#comm.unref()
  }

  #post(message: ToComm): void {
    this.#comm.postMessage(message)
  }

  #take(message: FromComm): void {
    if (message.kind === 'message' && message.text === STOP) this.#stop.abort()
    else if (message.kind === 'message') {
      this.#inbox.push(message)
      this.#wake?.()
    } else if (message.kind === 'failed') this.#fail(message.rank, message.cause)
    else this.#asked?.resolve(message)
  }

  #watch(entered: Int32Array): void {
    const since = Atomics.load(entered, 0)
    if (since === 0 || 1000 * (secondNow() - since) <= this.#deadlineMs) return
    this.#fail(
      null,
      `an exchange has not ended after ${this.#deadlineMs / 1000} s: a rank, its host or the link to it is gone`,
    )
  }

  #fail(rank: number | null, cause: string): void {
    if (this.#failure) return
    const who = rank === null || rank === this.rank ? '' : `${this.nameOf(rank)}: `
    this.#failure = new RunError(`machines: ${who}${cause}`)
    this.#wake?.()
    this.#asked?.reject(this.#failure)
    for (const act of this.#onFailure) act(this.#failure)
    // Whatever else hangs, a file system perhaps: all ranks end.
    const { message } = this.#failure
    setTimeout(() => {
      process.stderr.write(`${message}\n`)
      process.exit(1)
    }, LAST_MS).unref()
  }

  /** Ranks exchange their facts. */
  async #introduce({ localSize }: Launched): Promise<void> {
    const available = availableParallelism()
    const isBound = bindsRanks(process.env) && available < cpus().length
    const own: RankFacts = {
      ...{ rank: this.rank, host: hostname(), cores: coresOfRank(available, isBound, localSize) },
      ...{ gradloom: gradloomVersion(), node: process.versions.node, arch: process.arch, isBound },
    }
    this.facts[this.rank] = own
    this.tell(own)
    if (this.rank > 0) {
      this.facts[0] = (await this.next()).message as RankFacts
      return
    }
    for (const facts of (await this.nextOfAll()) as RankFacts[]) if (facts) this.facts[facts.rank] = facts
    for (const facts of this.facts) {
      for (const what of ['gradloom', 'arch'] as const) {
        if (facts[what] === own[what]) continue
        throw new ConfigError(
          `machines: ${this.nameOf(facts.rank)} runs ${what} ${facts[what]}, expected ${own[what]} as rank 0 (${own.host})`,
        )
      }
    }
  }
}

type Joined = Extract<FromComm, { kind: 'joined' }>

/** Waits until MPI has started in the communication thread. */
async function joinedOf(comm: Worker, launched: Launched): Promise<Joined> {
  const first = await new Promise<FromComm>((resolve, reject) => {
    comm.once('message', resolve)
    comm.once('error', reject)
  })
  if (first.kind !== 'joined') {
    const cause = first.kind === 'failed' ? first.cause : `the communication thread said ${first.kind}`
    throw new ConfigError(`machines: ${launched.launcher} started this process, but its MPI cannot be used: ${cause}`, {
      hint: '--set compute.machines=off trains without the other ranks; npx gradloom doctor reports what is there',
    })
  }
  if (launched.size !== null && first.size !== launched.size) {
    throw new OtherLauncherError(
      `machines: ${launched.launcher} started ${launched.size} ranks, but ${first.version} sees ${first.size}: it belongs to another launcher`,
      { hint: 'use the mpirun of the library that is installed, or install the one of this mpirun' },
    )
  }
  return first
}

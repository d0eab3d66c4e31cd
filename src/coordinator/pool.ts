/**
 * The workers of a run: piscina owns the threads, one long task in each; comlink carries the calls. Main thread.
 *
 * A call goes to all workers at once. The first real failure (link.ts notices a thread that ended) raises the abort flag, which
 * leaves no task to claim and releases the others from their barrier, and becomes the error of the call; nobody waits for a worker
 * that does not answer.
 *
 * Threads are terminated where they wait in JavaScript, for their next call: a thread that ends inside a native library
 * can take the process with it, because koffi cannot throw into a thread that is ending (seen on Node 26). What cannot be
 * avoided: a thread that is still inside a native call when the wait for it is over, one that other code terminates, and
 * one that ends with the process.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Remote } from 'comlink'
import { Piscina } from 'piscina'
import { RunError, WorkerError } from '../errors.js'
import { PROTOCOL, type RunPlan } from '../worker/plan/run-plan.js'
import { CONTROL_STRIDE, Control } from '../worker/plan/words.js'
import { raiseAbort } from '../worker/threads/barrier.js'
import type { TrainWorker } from '../worker/threads/protocol.js'
import { idleThreads } from './idle-threads.js'
import { LinkError, WorkerLink } from './link.js'

/** Time for the other workers to leave their barrier after a failure, before their threads are terminated. */
const LEAVE_MS = 2000
/** Time for workers to finish opening the plan: a thread must not end while it loads an addon. */
const OPEN_MS = 20_000
/** Time for threads of a failed pool to return from their calls, before they are terminated in them. */
const RETURN_MS = 5000
/** Largest memory of a run whose threads are used again. */
const REUSED_BYTES = 16 * 1024 * 1024

export class WorkerPool {
  /** Used by tests that end threads. */
  readonly piscina: Piscina
  readonly #links: readonly WorkerLink[]
  #control: Int32Array
  /** Workers that are called: those of the opened plan. */
  #active: number
  #failed = false
  /** Settles when every worker has answered the last call, or is gone. */
  #answered: Promise<unknown> = Promise.resolve()
  #calling = false
  /** Bytes of the memory that the threads opened; a thread releases it at its next garbage collection. */
  #bytes = 0

  private constructor(piscina: Piscina, links: readonly WorkerLink[], control: Int32Array) {
    this.piscina = piscina
    this.#links = links
    this.#control = control
    this.#active = links.length
  }

  /**
   * Starts threads, which load their code while the caller does something else; `open` comes next, or `close`.
   * `control` are the control words in the memory of the run.
   */
  static boot(workers: number, control: Int32Array): WorkerPool {
    const piscina = idleThreads.take(workers) ?? idleThreads.started(startThreads(workers))
    const links = Array.from(
      { length: workers },
      (_, id) => new WorkerLink(id, (task, transferList) => piscina.run(task, { transferList })),
    )
    return new WorkerPool(piscina, links, control)
  }

  /** True for as many threads as `workers` that nothing of note is left in: another plan can be opened there. */
  servesAgain(workers: number): boolean {
    return !this.#failed && this.#links.length === workers && this.#bytes <= REUSED_BYTES
  }

  /**
   * Opens a plan in the place of all that were open before. It has at most as many workers as there are threads; others stay idle.
   * `control` are the control words in its memory, if that is not what the pool began with. With a `name`, the plans that were opened
   * with other names are kept, and `use` goes back to them.
   */
  async open(
    plan: RunPlan,
    memory: WebAssembly.Memory,
    module: WebAssembly.Module | null,
    { control = this.#control, name }: { control?: Int32Array; name?: string } = {},
  ): Promise<void> {
    this.#control = control
    this.#active = plan.workers
    this.#bytes = Math.max(this.#bytes, memory.buffer.byteLength)
    const answers = await this.all('open', (worker, id) => worker.open(plan, memory, module, id, name), OPEN_MS)
    const stale = answers.findIndex(({ protocol }) => protocol !== PROTOCOL)
    if (stale < 0) return
    throw new RunError(`worker ${stale}: protocol is ${answers[stale].protocol}, expected ${PROTOCOL}`, {
      hint: 'npm run build',
    })
  }

  /** Goes back to a plan that was opened with a name. */
  async use(name: string, { workers }: RunPlan, control: Int32Array): Promise<void> {
    this.#control = control
    this.#active = workers
    await this.all('use', worker => worker.use(name))
  }

  /** Calls every worker; answers in order of id. Throws WorkerError naming the worker, its step and the cause. */
  async all<T>(
    what: string,
    send: (worker: Remote<TrainWorker>, id: number) => PromiseLike<T>,
    leaveMs = LEAVE_MS,
  ): Promise<T[]> {
    const failures: LinkError[] = []
    const calls = this.#links.slice(0, this.#active).map(async link => {
      try {
        return await link.call(what, worker => send(worker, link.id))
      } catch (error) {
        if (!(error instanceof LinkError)) throw error
        failures.push(error)
        raiseAbort(this.#control)
        return undefined
      }
    })
    const answers = Promise.all(calls)
    this.#calling = true
    this.#answered = answers.then(
      () => {
        this.#calling = false
      },
      () => {},
    )
    // The rest leave at their next barrier after a failure; a worker that is stuck elsewhere is not waited for.
    await Promise.race([answers, this.#firstFailure(calls, failures, leaveMs)])
    if (failures.length === 0) return (await answers) as T[]
    this.#failed = true
    throw this.#explain(failures.find(({ aborted }) => !aborted) ?? failures[0])
  }

  async #firstFailure(
    calls: readonly Promise<unknown>[],
    failures: readonly LinkError[],
    leaveMs: number,
  ): Promise<void> {
    await Promise.race(calls.map(call => call.then(() => (failures.length > 0 ? undefined : new Promise(() => {})))))
    await delay(leaveMs, undefined, { ref: false })
  }

  #explain(error: LinkError): WorkerError {
    const step = Atomics.load(this.#control, Control.workerStep + CONTROL_STRIDE * error.worker)
    return new WorkerError(`${error.message}; at step ${step}`, { cause: error.cause })
  }

  /** Ends the threads, each when it has returned from its call; the current span stops after its step. */
  async close(): Promise<void> {
    if (this.#failed) {
      raiseAbort(this.#control)
      await Promise.race([this.#answered, delay(RETURN_MS, undefined, { ref: false })])
    } else {
      if (this.#calling) Atomics.store(this.#control, Control.stop, 1)
      await Promise.all(this.#links.map(link => link.close()))
    }
    if (!this.#failed && this.#bytes > 0 && this.#bytes <= REUSED_BYTES && idleThreads.keep(this.piscina)) return
    await this.piscina.destroy()
    if (this.#failed) await Promise.all(this.#links.map(link => link.close()))
  }
}

/** Starts `workers` threads, which load the code of worker/threads/main.ts. */
function startThreads(workers: number): Piscina {
  return new Piscina({
    // worker/threads/main.ts and what it imports, in a few files: see scripts/bundle.mjs.
    filename: new URL('../worker/bundle/main.mjs', import.meta.url).href,
    minThreads: workers,
    maxThreads: workers,
    // An idle thread must not sleep in Atomics.wait, where comlink cannot reach it.
    atomics: 'disabled',
    recordTiming: false,
    // Drop the options that the program was started with, such as a TypeScript loader or a debugger: our compiled
    // threads do not need them, and the hooks of a test runner make each start five times slower.
    execArgv: [],
    // Workers keep next to nothing on their heaps: all large data lie in the shared memory. Without limits V8
    // lets each heap grow before it collects, which costs several MB per worker.
    resourceLimits: { maxYoungGenerationSizeMb: 1, maxOldGenerationSizeMb: 32 },
  })
}

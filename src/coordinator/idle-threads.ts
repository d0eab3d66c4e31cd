/**
 * Threads of a run that has ended well, kept for a moment for the next run of this process: to start a thread takes longer
 * than to train a small network, and sweeps, searches and tests train many. Main thread.
 *
 * A thread has nothing left of its last run but garbage, and what it keeps of the process: loaded libraries, and a copy of the
 * environment. So threads are used again only under the same environment, and only some times.
 */
import type { Piscina } from 'piscina'

/** Idle time after which threads are ended, in milliseconds. They never keep the process from ending. */
const KEPT_MS = 5000
const MOST_THREADS = 16
/** Number of runs that the same threads serve: each may leave its memory behind until garbage is collected there. */
const MOST_RUNS = 20

interface Idle {
  readonly pool: Piscina
  readonly environment: string
  readonly timer: NodeJS.Timeout
}

class IdleThreads {
  #idle: Idle[] = []
  readonly #runs = new WeakMap<Piscina, { count: number; readonly environment: string }>()

  /** Takes idle threads, exactly `workers` of them, or returns undefined where there are none. */
  take(workers: number): Piscina | undefined {
    const environment = currentEnvironment()
    const found = this.#idle.find(({ pool, ...idle }) => isWhole(pool, workers) && idle.environment === environment)
    if (!found) return undefined
    this.#forget(found)
    return found.pool
  }

  /** Notes the environment that new threads have copied. */
  started(pool: Piscina): Piscina {
    this.#runs.set(pool, { count: 0, environment: currentEnvironment() })
    return pool
  }

  /** Keeps threads whose tasks have ended. False where they have to be destroyed instead. */
  keep(pool: Piscina): boolean {
    const runs = this.#runs.get(pool)
    if (!runs || ++runs.count >= MOST_RUNS || !isWhole(pool, pool.options.maxThreads)) return false
    const threads = this.#idle.reduce((sum, idle) => sum + idle.pool.threads.length, pool.threads.length)
    if (threads > MOST_THREADS) {
      const oldest = this.#idle.at(0)
      if (!oldest) return false
      this.#end(oldest)
    }
    const idle: Idle = {
      pool,
      environment: runs.environment,
      timer: setTimeout(() => this.#end(idle), KEPT_MS).unref(),
    }
    this.#idle.push(idle)
    return true
  }

  #forget(idle: Idle): void {
    clearTimeout(idle.timer)
    this.#idle = this.#idle.filter(other => other !== idle)
  }

  #end(idle: Idle): void {
    this.#forget(idle)
    void idle.pool.destroy()
  }
}

export const idleThreads = new IdleThreads()

const isWhole = (pool: Piscina, workers: number): boolean =>
  pool.options.maxThreads === workers && pool.threads.length === workers && pool.queueSize === 0

const currentEnvironment = (): string => JSON.stringify(process.env)

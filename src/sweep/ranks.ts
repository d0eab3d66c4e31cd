/**
 * A sweep over several ranks: each takes one run at a time, whole, in the run directories that all of them see. Rank 0 has the list, and
 * takes runs too. Main thread.
 */
import type { Machines } from '../machines/machines.js'
import { DataOfRuns } from './data-of-runs.js'
import type { SweepOptions, SweepRun } from './result.js'
import { runTo, type Variant } from './variant.js'

/** Message of rank 0 to another: a run to train up to some epochs, that all runs should stop, or that the sweep has ended. */
type Told =
  | { readonly call: 'variant'; readonly variant: Variant; readonly epochs: number; readonly keepFailed: boolean }
  | { readonly call: 'stop' }
  | { readonly call: 'end'; readonly exitCode: number }

type Settle = { resolve(run: SweepRun): void; reject(error: unknown): void }

/** The other ranks, as rank 0 gives them runs. */
export class RankLanes {
  readonly #ranks: Machines
  /** The run that each rank has, by rank. */
  readonly #running = new Map<number, Settle>()

  constructor(ranks: Machines, signal: AbortSignal | undefined) {
    this.#ranks = ranks
    signal?.addEventListener('abort', () => {
      if (!ranks.failure) ranks.tell({ call: 'stop' } satisfies Told)
    })
    void this.#listen()
  }

  /** Lanes of the sweep: one for each rank. */
  get count(): number {
    return this.#ranks.size
  }

  /** Cores of rank 0. */
  get cores(): number {
    return this.#ranks.facts[0].cores
  }

  /** Has a rank train a variant. Rejects if a rank fails. */
  run(rank: number, variant: Variant, epochs: number, { keepFailed = false }: SweepOptions): Promise<SweepRun> {
    return new Promise((resolve, reject) => {
      this.#running.set(rank, { resolve, reject })
      this.#ranks.tell({ call: 'variant', variant, epochs, keepFailed } satisfies Told, rank)
    })
  }

  async #listen(): Promise<void> {
    try {
      for (;;) {
        const { from, message } = await this.#ranks.next()
        this.#running.get(from)?.resolve(message as SweepRun)
      }
    } catch (error) {
      for (const { reject } of this.#running.values()) reject(error)
    }
  }
}

/** Trains the runs that rank 0 gives to this rank, until it says that the sweep has ended. Returns the exit code. */
export async function followSweep(ranks: Machines, signal: AbortSignal): Promise<number> {
  signal.addEventListener('abort', () => ranks.tellStop())
  const stop = new AbortController()
  const data = new DataOfRuns()
  const { cores } = ranks.facts[ranks.rank]
  let running: Promise<void> = Promise.resolve()
  try {
    for (;;) {
      const told = (await ranks.next()).message as Told
      if (told.call === 'end') {
        await running
        return told.exitCode
      }
      if (told.call === 'stop') stop.abort()
      else {
        const { variant, epochs, keepFailed } = told
        running = runTo(variant, epochs, { cores, data, keepFailed, signal: stop.signal }).then(
          run => ranks.tell(run),
          error => ranks.tellError(error),
        )
      }
    }
  } catch (error) {
    if (!ranks.failure) ranks.tellError(error as Error)
    throw error
  }
}

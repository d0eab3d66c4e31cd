/** Options and result of a sweep. Types only. */
import type { Machines } from '../machines/machines.js'
import type { TrainEvent } from '../run/events.js'
import type { SweepPoint } from './plan.js'

export interface SweepOptions {
  /** Default: `runs/<the file's name>`. The same directory again continues the sweep. */
  readonly dir?: string | undefined
  /** Default: the file's. */
  readonly parallel?: number | undefined
  /** Aborting it ends runs after their current step, saved; the sweep resolves with the results so far. */
  readonly signal?: AbortSignal | undefined
  readonly onRun?: ((run: SweepRun) => void) | undefined
  /** Events of the runs, with the index of the run. */
  readonly onEvent?: ((index: number, event: TrainEvent) => void) | undefined
  readonly onWarning?: ((message: string) => void) | undefined
  /** Ranks that share the runs; this process is rank 0. Absent: it trains them all. */
  readonly ranks?: Machines | undefined
  /** Leave runs that failed as they are. Default: they are tried again. */
  readonly keepFailed?: boolean | undefined
}

export interface SweepRun {
  readonly point: SweepPoint
  /** Absolute. */
  readonly dir: string
  /** `waiting`: not trained to its end, or in use by another process; `dropped`: by successive halving. */
  readonly status: 'waiting' | 'completed' | 'failed' | 'dropped'
  readonly epochs: number
  /** Larger is better; never that of the test split. Null until there is one. */
  readonly score: { readonly metric: string; readonly value: number } | null
  readonly error?: string
}

export interface SweepResult {
  /** Absolute. */
  readonly dir: string
  readonly runs: readonly SweepRun[]
  /** The completed run with the best score. */
  readonly best: SweepRun | null
}

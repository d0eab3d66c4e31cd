/** Results of a session, and the error of a state that is not finite. Types, but for that error; main thread. */
import { RunError } from '../errors.js'
import type { NamedWeights } from '../run/checkpoint-file.js'
import type { RankTraffic, WorkerTime } from '../run/events.js'
import { faultText } from '../worker/plan/faults.js'
import type { PlannedRun } from '../worker/plan/plan.js'
import type { WorkerPool } from './pool.js'
import type { Loaded } from './trial-rows.js'

/** Error for a snapshot whose weights or moments are not finite. */
export class NonFiniteError extends RunError {
  /** Fault code; see worker/plan/faults.ts. */
  readonly fault: number

  constructor(where: string, fault: number) {
    super(`${where}: ${faultText(fault)}`)
    this.fault = fault
  }
}

/** Sums over scored rows, as the workers keep them. */
export interface Sums {
  readonly step: number
  readonly loss: number
  readonly correct: number
  readonly rows: number
}

export interface StepsRun {
  readonly step: number
  readonly fault: number
  readonly workers: WorkerTime[]
  /** Exchanges of each rank, in a run over several. */
  readonly ranks?: readonly RankTraffic[]
}

/** All state that training changes, between two steps: row-major, in table order. */
export interface StateSnapshot {
  readonly parameters: readonly NamedWeights[]
  readonly moments: readonly NamedWeights[]
}

/** Decides, with the data in memory and threads that have opened nothing, what the session runs in: the prepared plan or another one. */
export type Decide = (loaded: Loaded, pool: WorkerPool) => Promise<PlannedRun>

/** The calls of the coordinator to its workers, and what they report. Types only; imported by both threads. */
import type { MessagePort } from 'node:worker_threads'
import type { RunPlan, Split } from '../plan/run-plan.js'
import type { Gathered } from '../program/shared-state.js'
import type { Phase } from '../program/stage.js'

export interface StageTime {
  readonly name: string
  readonly phase: Phase
  /** Milliseconds this worker computed, waited at the stage's barrier, and tasks it took. */
  readonly workMs: number
  readonly waitMs: number
  readonly tasks: number
}

export interface SpanOptions {
  /** Multiplies the learning rate of the schedule. Default: 1. */
  readonly rateFactor?: number
  /** Report each step's times. */
  readonly trace?: boolean
}

export interface SpanReport {
  /** One past the last completed step: `toStep`, unless stopped. */
  readonly step: number
  readonly stages: readonly StageTime[]
  /** Nonzero: the step `step` found this fault and changed nothing. */
  readonly fault: number
  /** Milliseconds of each step, whole and computing, where the call asked for them. */
  readonly steps?: { readonly totalMs: Float64Array; readonly workMs: Float64Array }
}

/** Calls of the coordinator, to every worker at the same time. Each call blocks its thread until it is done. */
export interface TrainWorker {
  /** Maps the memory and builds the programs. A plan that is opened with a name is kept until one is opened without. */
  open(
    plan: RunPlan,
    memory: WebAssembly.Memory,
    module: WebAssembly.Module | null,
    id: number,
    name?: string,
  ): Promise<{ protocol: number }>
  /** Goes back to the plan that was opened with that name. */
  use(name: string): void
  /** Draws the initial weights. */
  initialise(): void
  /** Writes the forms of the weights that products read, after weights were stored from outside. */
  derive(): void
  /**
   * Copies all state to or from a snapshot: f32, in the order of the state table (model/state.ts). `snapshot` returns 0, or the
   * code of a fault if a number is not finite.
   */
  snapshot(to: SharedArrayBuffer): number
  restore(from: SharedArrayBuffer): void
  /** Over ranks: brings what only its owner has to rank 0, for a snapshot or a score. `into`: the snapshot on rank 0, else null. */
  gather(what: Gathered, into: SharedArrayBuffer | null): void
  /** Over ranks: sends the whole state of rank 0 to the others, moments from the snapshot that it has; null on others. */
  share(from: SharedArrayBuffer | null): void
  /** Trains steps [fromStep, toStep); ends early through `Control.stop`. */
  run(fromStep: number, toStep: number, options?: SpanOptions): SpanReport
  /**
   * Scores the rows of a split, or those of `range`; the sums, from row 0 on, are in the stats. `outputs` gets the outputs of each row:
   * f32, (rows, K).
   */
  evaluate(
    split: Split,
    outputs?: SharedArrayBuffer,
    range?: { readonly from: number; readonly to: number },
  ): SpanReport
}

/** Argument of the task that hosts a worker. */
export interface HostTask {
  readonly port: MessagePort
}

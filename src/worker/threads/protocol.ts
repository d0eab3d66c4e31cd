/** The calls of the coordinator to its workers, and what they report. Types only; imported by both threads. */
import type { MessagePort } from 'node:worker_threads'
import type { RunPlan, Split } from '../plan/run-plan.js'
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
  /** The step after the last one done: `toStep`, unless stopped. */
  readonly step: number
  readonly stages: readonly StageTime[]
  /** Not 0: the step `step` found this fault and changed nothing. */
  readonly fault: number
  /** Of each step, where the call asked for it: milliseconds from its begin to its end, and of these computing. */
  readonly steps?: { readonly totalMs: Float64Array; readonly workMs: Float64Array }
}

/** What the coordinator calls in every worker, all at the same time. Each call blocks its thread until it is done. */
export interface TrainWorker {
  /** Maps the memory and builds the programs. */
  open(
    plan: RunPlan,
    memory: WebAssembly.Memory,
    module: WebAssembly.Module | null,
    id: number,
  ): Promise<{ protocol: number }>
  /** Draws the initial weights. */
  initialise(): void
  /** Writes what a backend derives from the weights, after they were stored from outside. */
  derive(): void
  /**
   * Copies all state to or from a snapshot: f32, as the state table of model/state.ts says. `snapshot` returns 0, or the
   * code of a fault if a number is not finite.
   */
  snapshot(to: SharedArrayBuffer): number
  restore(from: SharedArrayBuffer): void
  /** Trains steps [fromStep, toStep); ends early through `Control.stop`. */
  run(fromStep: number, toStep: number, options?: SpanOptions): SpanReport
  /** Scores all rows of a split; the sums are in the stats. */
  evaluate(split: Split): SpanReport
}

/** What piscina hands to the hosting task. */
export interface HostTask {
  readonly port: MessagePort
}

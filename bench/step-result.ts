/** Types of what `npm run bench -- step` measures. Any thread. */
import type { Summary } from './stats.js'
import type { RooflineResult } from './step-roofline.js'

export type AllReduce = 'fused' | 'buffers'

/** A worker's part in a stage: medians over the steps. */
export interface StagePart {
  readonly worker: number
  readonly stage: string
  readonly workMs: number
  readonly waitMs: number
  readonly tasks: number
}

/** A worker's part in all stages of a phase: the update is the last stage, forward and backward pass all before it. */
export interface PhasePart {
  readonly workMs: number
  /** Time at the barriers. */
  readonly waitMs: number
  readonly tasks: number
}

export interface StepResult {
  /** Label, with the precision where that is not f32. */
  readonly backend: string
  readonly allReduce: AllReduce
  readonly shardRows: number
  readonly workers: number
  readonly seconds: Summary
  readonly rowsPerSecond: number
  /** Against the first number of workers: of the medians, of steps side by side, and of the best steps. */
  readonly speedUp: { readonly medians: number; readonly paired: number; readonly best: number }
  /** Parts of each worker. */
  readonly phases: readonly (readonly [PhasePart, PhasePart])[]
  readonly stages: readonly StagePart[]
  /** Null with more workers than cores. */
  readonly roofline: RooflineResult | null
}

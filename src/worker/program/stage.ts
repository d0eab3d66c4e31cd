/** Stages and tasks, which programs are made of. Types and small helpers; runs in workers. */
import type { Backend } from '../../kernels/backend.js'
import type { FloatTensor, IntTensor } from '../../tensor/tensor.js'
import type { Network } from '../network/network.js'
import type { StepContext } from '../plan/clock.js'
import type { RunPlan } from '../plan/run-plan.js'

/** `compute`: passes over the batch; `update`: gradients of parameters, and their updates. */
export type Phase = 'compute' | 'update'

export interface Stage<C> {
  /** Name for people: nothing depends on it. */
  readonly name: string
  readonly phase: Phase
  /** `dynamic`: a free worker claims the next task; `static`: task t goes to worker t mod W, where bits depend on who does it. */
  readonly scheduling: 'dynamic' | 'static'
  /** True if the stage changes what a snapshot holds: nothing before it does, and no fault comes from it. */
  readonly changesState?: true
  /** Number of tasks. */
  tasks(context: C): number
  /** Returns 0, or the code of a fault (see plan/faults.ts). */
  run(task: number, context: C, worker: number): number
  /** Multiplications and additions of a task's matrix products, counted by bench/balance.ts; absent: next to none. */
  flops?(task: number, context: C): number
}

/** A task that has nothing to report. */
export type PlainTask = (context: StepContext) => void

export const runPlain = (tasks: readonly PlainTask[]) => (task: number, context: StepContext) => {
  tasks[task](context)
  return 0
}

export interface ProgramParts {
  readonly plan: RunPlan
  readonly backend: Backend
  readonly network: Network
  /** Sample index of each row of a split. */
  readonly sampleIndices: Readonly<Record<'train' | 'validation' | 'test', IntTensor>>
  /** Weights of the training samples; null: all count the same. */
  readonly weights: FloatTensor | null // (N)
  readonly stats: FloatTensor
  /** Sums of squares of the gradient's parts; see whole-gradient.ts. */
  readonly squares: FloatTensor
}

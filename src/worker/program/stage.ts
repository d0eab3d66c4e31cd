/** What programs are made of. Runs in workers. */
import type { StepContext } from '../plan/clock.js'

export interface Stage<C> {
  readonly name: string
  /** `claimed`: whoever comes first; `dealt`: task t goes to worker t mod W, where bits depend on who does it. */
  readonly deal: 'claimed' | 'dealt'
  /** Whether it changes what a snapshot holds: nothing before such a stage does, and no fault comes from one. */
  readonly changesState?: true
  /** Number of tasks. */
  tasks(context: C): number
  /** Returns 0, or the code of a fault (see protocol.ts). */
  run(task: number, context: C, worker: number): number
  /** Multiplications and additions of a task's matrix products, for balance.ts; none: nothing to speak of. */
  flops?(task: number, context: C): number
}

/** A task that has nothing to report. */
export type PlainTask = (context: StepContext) => void

export const runPlain = (tasks: readonly PlainTask[]) => (task: number, context: StepContext) => {
  tasks[task](context)
  return 0
}

/**
 * The inner loop of a worker: stages of tasks, a barrier after each, with times. Runs in workers.
 *
 * A fault, such as a loss that is not finite, ends the step for all workers at the barrier of its stage, before anything has
 * changed; span.ts reports it, and coordinator/non-finite.ts decides what follows.
 */
import { performance } from 'node:perf_hooks'
import type { Stage } from '../program/stage.js'
import { AbortedError, type ThreadTeam } from './barrier.js'
import type { StageTime } from './protocol.js'

/** A stage with what this worker spent in it since the last report, in milliseconds and tasks. */
export interface TimedStage<C> {
  readonly stage: Stage<C>
  workMs: number
  waitMs: number
  tasks: number
}

export const timed = <C>(stage: Stage<C>): TimedStage<C> => ({ stage, workMs: 0, waitMs: 0, tasks: 0 })

/** Reports the times of a stage and begins them anew. */
export function takeTimes<C>(from: TimedStage<C>): StageTime {
  const { workMs, waitMs, tasks } = from
  Object.assign(from, { workMs: 0, waitMs: 0, tasks: 0 })
  return { name: from.stage.name, phase: from.stage.phase, workMs, waitMs, tasks }
}

/**
 * Runs stages in order. `atBarrier` runs in each stage's barrier, in one worker, while the others wait. A fault ends the
 * program at the barrier of its stage, before anything that follows is changed; all workers then return the same code.
 */
export function runStages<C>(
  stages: readonly TimedStage<C>[],
  context: C,
  team: ThreadTeam,
  atBarrier?: (stage: number) => void,
): number {
  for (let s = 0; s < stages.length; s++) {
    const of = stages[s]
    const { stage } = of
    const started = performance.now()
    const tasks = stage.tasks(context)
    const isStatic = stage.scheduling === 'static'
    let done = 0
    for (
      let task = isStatic ? team.id : team.claim();
      task < tasks;
      task = isStatic ? task + team.size : team.claim()
    ) {
      const fault = stage.run(task, context, team.id)
      if (fault !== 0) team.reportFault(fault)
      done++
    }
    const arrived = performance.now()
    team.barrier(atBarrier && (() => atBarrier(s)), s)
    of.workMs += arrived - started
    of.waitMs += performance.now() - arrived
    of.tasks += done
    if (team.fault !== 0) return team.fault
  }
  return 0
}

/** Runs `work`; whatever goes wrong in it frees the others from their barrier. */
export function guarded<T>(team: ThreadTeam, work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (!(error instanceof AbortedError)) team.abort()
    throw error
  }
}

/** A span of training steps, from one event that the coordinator handles to the next. Runs in workers. */
import { performance } from 'node:perf_hooks'
import type { StepContext, startClock } from '../plan/clock.js'
import type { ThreadTeam } from './barrier.js'
import type { SpanOptions, SpanReport } from './protocol.js'
import { runStages, type TimedStage, takeTimes } from './run-stages.js'

export interface SpanParts {
  readonly team: ThreadTeam
  readonly clock: ReturnType<typeof startClock>
  readonly train: readonly TimedStage<StepContext>[]
}

/** Trains steps [fromStep, toStep); ends early after a step if a stop is requested, and in one that finds a fault. */
export function runSpan(
  parts: SpanParts,
  fromStep: number,
  toStep: number,
  { rateFactor = 1, trace = false }: SpanOptions,
): SpanReport {
  const { team, train } = parts
  const runStep = stepRunner(parts, rateFactor)
  const traced = trace ? toStep - fromStep : 0
  const steps = { totalMs: new Float64Array(traced), workMs: new Float64Array(traced) }
  const worked = () => train.reduce((total, { workMs }) => total + workMs, 0)
  const report = (step: number, fault = 0): SpanReport => ({
    step,
    stages: train.map(takeTimes),
    fault,
    ...(trace ? { steps } : {}),
  })
  for (let step = fromStep; step < toStep; step++) {
    const before = trace ? { at: performance.now(), workMs: worked() } : null
    team.enterStep(step)
    const fault = runStep(step)
    if (before) {
      steps.totalMs[step - fromStep] = performance.now() - before.at
      steps.workMs[step - fromStep] = worked() - before.workMs
    }
    if (fault !== 0) return report(step, fault)
    if (team.stopped) return report(step + 1)
  }
  return report(toStep)
}

/** Returns what runs all mini-batches of a step; only with the last of them does it change anything. */
function stepRunner({ team, clock, train }: SpanParts, rateFactor: number): (step: number) => number {
  // Only the last stages change the state, and the sums with it.
  const unchanging = train.filter(({ stage }) => !stage.changesState)
  const atBarrier = (stage: number) => {
    team.markUpdating(train[stage + 1]?.stage.changesState ?? false)
    if (stage === train.length - 1) team.latchStop()
  }
  return step => {
    for (let miniBatch = 0; ; miniBatch++) {
      const context = clock(step, rateFactor, miniBatch)
      if (context.isLast) return runStages(train, context, team, atBarrier)
      const fault = runStages(unchanging, context, team)
      if (fault !== 0) return fault
    }
  }
}

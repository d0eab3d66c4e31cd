/** Times of a span of steps for each worker and phase, from what the workers report for each stage. Pure; main thread. */
import type { WorkerTime } from '../run/events.js'
import type { SpanReport } from '../worker/threads/protocol.js'

export function workerTimes(reports: readonly Pick<SpanReport, 'stages'>[]): WorkerTime[] {
  return reports.map(({ stages }) => {
    const time = { phase1Ms: 0, phase2Ms: 0, waitMs: 0 }
    for (const { phase, workMs, waitMs } of stages) {
      time[phase === 'update' ? 'phase2Ms' : 'phase1Ms'] += workMs
      time.waitMs += waitMs
    }
    const [{ tasks }] = stages
    return { phase1Ms: round(time.phase1Ms), phase2Ms: round(time.phase2Ms), waitMs: round(time.waitMs), tasks }
  })
}

/** To a microsecond, which is what the clock resolves. */
const round = (ms: number): number => Math.round(1000 * ms) / 1000

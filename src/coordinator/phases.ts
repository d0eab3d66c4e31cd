/** Times of a span of steps for each worker and phase, from the workers' times of each stage. Pure; main thread. */
import type { WorkerTime } from '../run/events.js'
import type { SpanReport } from '../worker/threads/protocol.js'

export function workerTimes(reports: readonly Pick<SpanReport, 'stages'>[]): WorkerTime[] {
  return reports.map(({ stages }) => {
    const time = { computeMs: 0, updateMs: 0, waitMs: 0 }
    for (const { phase, workMs, waitMs } of stages) {
      time[phase === 'update' ? 'updateMs' : 'computeMs'] += workMs
      time.waitMs += waitMs
    }
    const [{ tasks }] = stages
    return { computeMs: round(time.computeMs), updateMs: round(time.updateMs), waitMs: round(time.waitMs), tasks }
  })
}

/** Rounds to a microsecond, the resolution of the clock. */
const round = (ms: number): number => Math.round(1000 * ms) / 1000

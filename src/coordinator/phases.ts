/** Times of a span of steps for each worker and phase, from what the workers report for each stage. Pure; main thread. */
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

/** To a microsecond, which is what the clock resolves. */
const round = (ms: number): number => Math.round(1000 * ms) / 1000

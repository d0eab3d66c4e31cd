/** What a span of steps cost each worker, by phase, of what the workers report by stage. Pure; main thread. */
import type { WorkerTime } from '../run/events.js'
import type { SpanReport } from '../worker/threads/protocol.js'

/** The stages that sum gradients and update weights; see worker/program.ts. All others make a pass over the batch. */
const PHASE_2: ReadonlySet<string> = new Set(['tiles', 'gradient', 'update', 'reduce', 'limit weights'])

export function workerTimes(reports: readonly Pick<SpanReport, 'stages'>[]): WorkerTime[] {
  return reports.map(({ stages }) => {
    const time = { phase1Ms: 0, phase2Ms: 0, waitMs: 0 }
    for (const { name, workMs, waitMs } of stages) {
      time[PHASE_2.has(name) ? 'phase2Ms' : 'phase1Ms'] += workMs
      time.waitMs += waitMs
    }
    const [{ tasks }] = stages
    return { phase1Ms: round(time.phase1Ms), phase2Ms: round(time.phase2Ms), waitMs: round(time.waitMs), tasks }
  })
}

/** To a microsecond, which is what the clock resolves. */
const round = (ms: number): number => Math.round(1000 * ms) / 1000

/** Times of the workers, from a run's events. Pure; any thread. */
import type { WorkerTime } from '../run/events.js'
import { numberOf } from '../run/numbers.js'
import type { StoredEvent } from './run-files.js'

export type PhaseTimes = Omit<WorkerTime, 'tasks'>

/** Steps (from, to], and each worker's time over them. */
export interface TimelinePiece {
  readonly from: number
  readonly to: number
  readonly workers: readonly PhaseTimes[]
}

export interface Timeline {
  /** Totals of the whole run, by worker. */
  readonly workers: readonly PhaseTimes[]
  /** The run in pieces of about the same number of steps, at most {@link PIECES}. */
  readonly pieces: readonly TimelinePiece[]
}

export const PIECES = 60
const NONE: PhaseTimes = { computeMs: 0, updateMs: 0, waitMs: 0 }

/** Reads the times; null where the events have none, as in runs of older versions. */
export function timelineOf(events: readonly StoredEvent[]): Timeline | null {
  const spans = events.flatMap(event => spanOf(event) ?? [])
  const last = spans.at(-1)
  if (!last) return null
  const each = Math.max(1, Math.ceil(last.to / PIECES))
  const pieces: TimelinePiece[] = []
  for (const span of spans) {
    const before = pieces.at(-1)
    const joins = before && Math.ceil(span.to / each) === Math.ceil(before.to / each)
    if (joins) pieces.pop()
    pieces.push(joins ? { from: before.from, to: span.to, workers: added(before.workers, span.workers) } : span)
  }
  return { workers: spans.map(({ workers }) => workers).reduce(added), pieces }
}

function spanOf({ type, from, step, workers }: StoredEvent): TimelinePiece | undefined {
  if (type !== 'steps' || !Array.isArray(workers)) return undefined
  const times = workers.map((time: Partial<Record<keyof PhaseTimes, unknown>> | null) => ({
    computeMs: numberOf(time?.computeMs),
    updateMs: numberOf(time?.updateMs),
    waitMs: numberOf(time?.waitMs),
  }))
  const whole = times.every(time => Object.values(time).every(ms => Number.isFinite(ms) && ms >= 0))
  return whole ? { from: numberOf(from), to: numberOf(step), workers: times } : undefined
}

/** Adds times worker by worker; a run that was resumed with more workers has some that were not there before. */
function added(a: readonly PhaseTimes[], b: readonly PhaseTimes[]): PhaseTimes[] {
  return Array.from({ length: Math.max(a.length, b.length) }, (_, worker) => {
    const [x, y] = [a[worker] ?? NONE, b[worker] ?? NONE]
    return { computeMs: x.computeMs + y.computeMs, updateMs: x.updateMs + y.updateMs, waitMs: x.waitMs + y.waitMs }
  })
}

/** Shares of a worker's time, from 0 to 1; null where it has no time. */
export function sharesOf({ computeMs, updateMs, waitMs }: PhaseTimes): [number, number, number] | null {
  const total = computeMs + updateMs + waitMs
  return total > 0 ? [computeMs / total, updateMs / total, waitMs / total] : null
}

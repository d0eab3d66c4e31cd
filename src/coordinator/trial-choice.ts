/** Decides by the times of a trial, and says why. Pure; the times come from trial.ts. */
import { formatCounted } from '../format.js'
import { pairName } from '../kernels/choose-compute.js'
import type { TrialRecord } from '../run/manifest.js'

/** Median milliseconds of a training step of a contender. */
export type StepTime = TrialRecord['times'][number]
/** A backend in a precision with a number of workers: what a trial compares. */
export type Contender = Omit<StepTime, 'ms'>

type Pair = Pick<Contender, 'backend' | 'precision'>

/** Advantage that another pair must have over the preferred one: less is noise, and would change bits from trial to trial. */
export const MARGIN = 0.05

/**
 * The fastest of the times, of which there is at least one; with the backend and precision of `preferred` where none is more than
 * MARGIN faster. The pair is decided first, each by its best number of workers; then the number of workers, the largest preferred.
 */
export function chooseByTimes(times: readonly StepTime[], preferred: Contender): StepTime {
  const of = (pair: Contender) => times.filter(time => isPair(time, pair))
  const fastest = bestOf(times)
  const usual = of(preferred)
  const chosen = usual.length > 0 && !isFaster(fastest, bestOf(usual)) ? usual : of(fastest)
  const most = chosen.reduce((a, b) => (b.workers > a.workers ? b : a))
  return isFaster(bestOf(chosen), most) ? bestOf(chosen) : most
}

const bestOf = (times: readonly StepTime[]): StepTime => times.reduce((a, b) => (b.ms < a.ms ? b : a))
const isFaster = (a: StepTime, b: StepTime): boolean => a.ms * (1 + MARGIN) < b.ms
export const isPair = (a: Pair, b: Pair): boolean => a.backend === b.backend && a.precision === b.precision

/** The times as one line, that of the chosen one first: `onednn bf16 57 ms a step, blas 71, wasm 194 (measured)`. */
export function timesText(times: readonly StepTime[], chosen: StepTime, when: 'measured' | 'measured before'): string {
  const others = times.filter(time => time !== chosen).sort((a, b) => a.ms - b.ms)
  const sameWorkers = others.every(({ workers }) => workers === chosen.workers)
  const text = (time: StepTime, unit: string) =>
    `${pairName(time)} ${Number(time.ms.toPrecision(3))}${unit}` +
    (sameWorkers ? '' : ` with ${formatCounted(time.workers, 'worker')}`)
  const close = others.some(other => other.ms < chosen.ms) ? `; less than ${100 * MARGIN} % apart` : ''
  return `${[text(chosen, ' ms a step'), ...others.map(time => text(time, ''))].join(', ')} (${when}${close})`
}

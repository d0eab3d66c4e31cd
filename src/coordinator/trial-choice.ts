/** Decides by the times of a trial, and says why. Pure; the times come from trial.ts. */
import { formatCounted } from '../format.js'
import { pairName } from '../kernels/choose-compute.js'
import type { TrialRecord } from '../run/manifest.js'

/** Median milliseconds of a training step of a contender. */
export type StepTime = TrialRecord['times'][number]
/** A backend in a precision with a number of workers: what a trial compares. */
export type Contender = Omit<StepTime, 'ms'>

type Pair = Pick<Contender, 'backend' | 'precision'>

/**
 * How much slower than the fastest the choice may be, so that the preferred pair is taken where times are close: a smaller difference
 * is noise, and would change bits from trial to trial.
 */
export const MARGIN = 0.03

/**
 * The fastest of the times, of which there is at least one, or one that is hardly slower: those within MARGIN of the fastest with the
 * backend and precision of `preferred`, else with those of the fastest; of these the one with the most workers.
 */
export function chooseByTimes(times: readonly StepTime[], preferred: Contender): StepTime {
  const fastest = times.reduce((a, b) => (b.ms < a.ms ? b : a))
  const near = times.filter(({ ms }) => ms <= fastest.ms * (1 + MARGIN))
  const usual = near.filter(time => isPair(time, preferred))
  const chosen = usual.length > 0 ? usual : near.filter(time => isPair(time, fastest))
  return chosen.reduce((a, b) => (b.workers > a.workers ? b : a))
}

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

/**
 * Decides what `compute.backend`, `precision` and `workers` are for a run that leaves them to `"auto"`: by the times of a trial, kept
 * from an earlier run or measured when the data are loaded. Main thread. Without a trial, a run takes what kernels/choose-compute.ts
 * chooses by the kind of CPU and network.
 */
import { GradloomError } from '../errors.js'
import { titleOf } from '../kernels/choose.js'
import { admissiblePairs, type ComputePair, pairName } from '../kernels/choose-compute.js'
import { multiplications } from '../model/parameters.js'
import type { TrialRecord } from '../run/manifest.js'
import { rowsPerStep } from '../worker/plan/clock.js'
import { type PlannedRun, planRun } from '../worker/plan/plan.js'
import type { PreparedSession } from './load.js'
import type { Decide } from './session.js'
import type { measureSteps } from './trial.js'
import { keepTimes, readTimes, trialFile } from './trial-cache.js'
import { chooseByTimes, isPair, type StepTime, timesText } from './trial-choice.js'

/** Environment variable: `0` turns trials off, and what earlier ones measured is not read. */
export const TRIAL_VARIABLE = 'GRADLOOM_TRIAL'

/** Multiplications of a step up to which one worker may be faster than several, which wait for each other at barriers. */
const SMALL_STEP = 3e7

/** A run whose backend, precision and workers are decided. */
export interface DecidedRun extends PreparedSession {
  readonly trial?: TrialRecord
}

export interface AutoOptions {
  /** Stands in for the clock; tests give times that are made up. */
  readonly measure?: typeof measureSteps | undefined
  readonly onWarning?: ((message: string) => void) | undefined
}

export interface AutoCompute {
  /** The run by what is known before its data are loaded. */
  readonly run: DecidedRun
  /** Makes the trial; null: nothing is left to decide. `trial` of the decided run is undefined where the trial could not be made. */
  readonly decide: ((...of: Parameters<Decide>) => Promise<DecidedRun>) | null
}

export async function autoCompute(prepared: PreparedSession, options: AutoOptions = {}): Promise<AutoCompute> {
  const { compute } = prepared.experiment
  const isNamed = compute.backend !== 'auto' && compute.precision !== 'auto'
  if (isNamed || process.env[TRIAL_VARIABLE] === '0') return { run: prepared, decide: null }
  const inF32 = prepared.plan.convolutions.length > 0 // which are computed in f32 alone
  const pairs = (await admissiblePairs(compute)).filter(({ precision }) => !inF32 || precision === 'f32')
  const candidates = await candidatesOf(prepared, pairs)
  if (candidates.length < 2) return { run: prepared, decide: null }
  const file = await trialFile(prepared.plan, prepared.experiment.data.dataset, pairs)
  const decidedBy = (times: readonly StepTime[], remembered: boolean) =>
    decided(prepared, candidates, times, remembered)
  const known = await readTimes(file)
  if (known) return { run: decidedBy(known, true), decide: null }
  return {
    run: prepared,
    decide: (loaded, pool) =>
      inTurn(async () => {
        const meanwhile = await readTimes(file) // another run of this process, or another process
        if (meanwhile) return decidedBy(meanwhile, true)
        try {
          const measure = options.measure ?? (await import('./trial.js')).measureSteps
          const times = await measure(candidates, loaded, pool)
          const kept = await keepTimes(file, times)
          return decidedBy(kept, kept !== times)
        } catch (error) {
          if (!(error instanceof GradloomError)) throw error
          const { plan } = prepared
          options.onWarning?.(`trial of backends: ${error.message}; the run takes ${pairName(plan)}`)
          return prepared
        }
      }),
  }
}

/** The prepared run, then those with another pair or with one worker that may take its place. */
async function candidatesOf(prepared: PreparedSession, pairs: readonly ComputePair[]): Promise<PlannedRun[]> {
  const { experiment, data, plan } = prepared
  const all = [{ backend: plan.backend, precision: plan.precision }, ...pairs.filter(pair => !isPair(pair, plan))]
  const work = multiplications(plan) * Math.min(rowsPerStep(plan), plan.images.train)
  const isSmall = work <= SMALL_STEP && plan.allReduce === 'fused'
  const counts =
    experiment.compute.workers === 'auto' && plan.workers > 1 && isSmall ? [plan.workers, 1] : [plan.workers]
  const candidates: PlannedRun[] = []
  for (const workers of counts) {
    for (const { backend, precision } of all) {
      if (candidates.length === 0) candidates.push(prepared)
      else {
        const compute = { ...experiment.compute, workers, backend, precision }
        const options = { purpose: plan.purpose, splits: SPLITS }
        candidates.push(await planRun({ ...experiment, compute }, data, options))
      }
    }
  }
  return candidates
}

const SPLITS = ['train', 'validation', 'test'] as const

/** The candidate that the times decide for. */
function decided(
  prepared: PreparedSession,
  candidates: readonly PlannedRun[],
  times: readonly StepTime[],
  remembered: boolean,
): DecidedRun {
  const chosen = chooseByTimes(times, prepared.plan)
  // Times with other workers say nothing about their number where no contender had as many as this run would take.
  const isCompared = times.some(time => time.workers === prepared.plan.workers)
  const workers = isCompared ? chosen.workers : prepared.plan.workers
  const run = candidates.find(({ plan }) => isPair(plan, chosen) && plan.workers === workers) ?? prepared
  const { library, precision } = run.plan
  const text = timesText(times, chosen, remembered ? 'measured before' : 'measured')
  return {
    ...prepared,
    plan: run.plan,
    layout: run.layout,
    backendReason: library ? `${titleOf(library, precision)}: ${text}` : text,
    backendAdvice: library ? null : prepared.backendAdvice,
    trial: { times, remembered },
  }
}

let last: Promise<unknown> = Promise.resolve()

/** Runs one after another: trials that run at the same time would measure each other. */
function inTurn<T>(act: () => Promise<T>): Promise<T> {
  const result = last.then(act)
  last = result.catch(() => {})
  return result
}

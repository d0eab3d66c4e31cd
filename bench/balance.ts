/**
 * How evenly a step of the reference network falls on any number of workers, by counting FLOPs of the very program that
 * the workers run. Pure but for loading the backend; any thread.
 */
import { loadBackend } from '../src/kernels/backends.js'
import { imbalanceOf, loadsOf, type StageLoad } from '../src/worker/balance.js'
import type { Network } from '../src/worker/network/bind.js'
import type { StepContext } from '../src/worker/plan/clock.js'
import { type ProgramParts, trainProgram } from '../src/worker/program/train.js'
import type { RunPlan } from '../src/worker/threads/protocol.js'
import { sum } from './stats.js'

export interface Balance {
  /** FLOPs of each worker over all stages, as if all were equally fast. */
  readonly workerFlops: readonly number[]
  /** By how much the busiest workers of the stages exceed the mean: 0 is perfect. */
  readonly imbalance: number
  readonly stages: readonly StageLoad[]
}

/** The plan is a real one: what it is cut by decides the count. */
export async function countBalance(plan: RunPlan): Promise<Balance> {
  const backend = await loadBackend(plan.backend, plan.precision)
  // Programs are counted, not run: of the network they need the number of layers, of the step the number of rows.
  const layers = plan.widths.length - 1
  const network = { hiddenLayers: layers - 1, layers: Array(layers).fill(null) } as unknown as Network
  const context = { rows: plan.batchSize } as unknown as StepContext
  const program = trainProgram({ plan, backend, network } as unknown as ProgramParts)
  const stages = loadsOf(program, context, plan.workers)
  const workerFlops = Array.from({ length: plan.workers }, (_, worker) => sum(stages.map(({ loads }) => loads[worker])))
  return { workerFlops, imbalance: imbalanceOf(stages), stages }
}

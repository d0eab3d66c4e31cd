/**
 * Balance of a training step over any number of workers, by counting the FLOPs of the very program that the workers run:
 * each task goes to the worker that has the least work of its stage so far, as dynamic scheduling does where all are
 * equally fast. Benchmarks cannot time more workers than there are cores. Pure but for loading the backend; any thread.
 */
import type { Backend, Kernels, Tile } from '../src/kernels/backend.js'
import { loadBackend } from '../src/kernels/backends.js'
import { createArena } from '../src/tensor/arena.js'
import { bytesPerElement } from '../src/tensor/tensor.js'
import { bindNetwork } from '../src/worker/network/bind.js'
import type { StepContext } from '../src/worker/plan/clock.js'
import { planLayout } from '../src/worker/plan/layout.js'
import type { RunPlan } from '../src/worker/plan/run-plan.js'
import { areaOf } from '../src/worker/plan/tiles.js'
import type { ProgramParts, Stage } from '../src/worker/program/stage.js'
import { trainProgram } from '../src/worker/program/train.js'
import { rankTeam, stateTensors } from '../src/worker/threads/rank-team.js'
import { mean, sum } from './stats.js'

/** FLOPs of each worker in each stage. */
export interface StageLoad {
  readonly stage: string
  readonly loads: readonly number[]
}

export function loadsOf<C>(stages: readonly Stage<C>[], context: C, workers: number): StageLoad[] {
  return stages.map(stage => {
    const loads = Array<number>(workers).fill(0)
    for (let task = 0; task < stage.tasks(context); task++) {
      loads[loads.indexOf(Math.min(...loads))] += stage.flops?.(task, context) ?? 0
    }
    return { stage: stage.name, loads }
  })
}

/**
 * Excess of the busiest workers over the mean: Σ max / Σ mean - 1 over the stages, because each stage ends with its
 * busiest worker. 0 is perfect balance.
 */
export function imbalanceOf(loads: readonly StageLoad[]): number {
  const sum = (of: (loads: readonly number[]) => number) => loads.reduce((total, { loads }) => total + of(loads), 0)
  return sum(loads => Math.max(...loads)) / sum(mean) - 1
}

export interface Balance {
  /** FLOPs of each worker over all stages, as if all were equally fast. */
  readonly workerFlops: readonly number[]
  /** Excess of the busiest workers over the mean, summed over stages: 0 is perfect. */
  readonly imbalance: number
  readonly stages: readonly StageLoad[]
}

/** Counts the program of a plan. */
export async function countBalance(plan: RunPlan): Promise<Balance> {
  const backend = await loadBackend(plan.backend, plan.precision)
  const stages = loadsOf(countedProgram(plan, backend), { rows: plan.batchSize } as StepContext, plan.workers)
  const workerFlops = Array.from({ length: plan.workers }, (_, worker) => sum(stages.map(({ loads }) => loads[worker])))
  return { workerFlops, imbalance: imbalanceOf(stages), stages }
}

/** The program of a training step, to be counted and not run: its kernels do nothing, its memory is never touched. */
export function countedProgram(plan: RunPlan, backend: Backend): Stage<StepContext>[] {
  const kernel = () => () => true
  const layout = planLayout(plan, backend)
  const bytesOf = (tile: Tile) => bytesPerElement[backend.dtype] * areaOf(tile)
  const update = () => ({ tiles: { bytes: bytesOf } })
  const maps = new Proxy({}, { get: (_, name) => (name === 'convolutionUpdate' ? update : kernel) })
  const known: Partial<Record<string | symbol, unknown>> = { weightUpdate: update, maps }
  const kernels = new Proxy({}, { get: (_, name) => known[name] ?? kernel }) as Kernels
  const memory = arenaOf(layout.bytes)
  const network = bindNetwork(plan, layout, memory, kernels)
  const state = stateTensors(layout, memory)
  const ranks = plan.ranks && layout.exchange && rankTeam(plan, layout, memory)
  return trainProgram({ plan, backend, network, state, ranks } as ProgramParts)
}

let arena: WebAssembly.Memory | undefined

/** An arena of at least so many bytes: programs that are only counted may share one. */
function arenaOf(bytes: number): WebAssembly.Memory {
  if (!arena || arena.buffer.byteLength < bytes) arena = createArena(bytes)
  return arena
}

/**
 * How evenly a program's work falls on its workers, by counting: each task goes to the worker that has the least work
 * of its stage so far, as claiming does where speed is equal. Pure; for tests and benchmarks, which cannot time more
 * workers than there are cores.
 */
import type { Stage } from './program/train.js'

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
 * By how much the busiest workers exceed the mean: Σ max / Σ mean - 1 over the stages, because each stage ends with its
 * busiest worker. 0 is perfect balance.
 */
export function imbalanceOf(loads: readonly StageLoad[]): number {
  const sum = (of: (loads: readonly number[]) => number) => loads.reduce((total, { loads }) => total + of(loads), 0)
  const mean = (loads: readonly number[]) => loads.reduce((total, load) => total + load, 0) / loads.length
  return sum(loads => Math.max(...loads)) / sum(mean) - 1
}

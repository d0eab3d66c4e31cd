/** Stages that update the parameters from their gradient. Runs in workers. */
import type { StepContext } from '../plan/clock.js'
import { wavesOf } from '../plan/waves.js'
import { sharedTiles } from './shared-state.js'
import { type PlainTask, type ProgramParts, runPlain, type Stage } from './stage.js'

export function updateStage(name: string, tasks: readonly PlainTask[]): Stage<StepContext> {
  return {
    name,
    phase: 'update',
    changesState: true,
    scheduling: 'dynamic',
    tasks: () => tasks.length,
    run: runPlain(tasks),
  }
}

/**
 * [tiles, others]; over ranks, wave by wave (../plan/waves.ts), so that the weights of one travel while the next is computed: [tiles of a wave]
 * … [tiles of the last wave, others]. `others` belong to every rank.
 */
export function updateStages(
  parts: ProgramParts,
  name: string,
  tiles: readonly PlainTask[],
  others: readonly PlainTask[],
  flops?: (tile: number, context: StepContext) => number,
): Stage<StepContext>[] {
  const waves = wavesOf(parts.plan, parts.backend)
  return waves.map((wave, w): Stage<StepContext> => {
    const isLast = w === waves.length - 1
    return {
      ...updateStage(name, [...wave.map(t => tiles[t]), ...(isLast ? others : [])]),
      shared: { ...sharedTiles(parts, true, wave), chain: name },
      ...(flops && { flops: (task, context) => (task < wave.length ? flops(wave[task], context) : 0) }),
    }
  })
}

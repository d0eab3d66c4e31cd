/** Evaluation of a split as a program. Runs in workers. */
import { type PassSource, passStages } from './passes.js'
import type { ProgramParts, Stage } from './stage.js'
import { addRows, addSquares, DONE } from './sums.js'

/** A piece of evaluation: rows [first, first + rows) of a split. */
export interface ScoreContext {
  readonly split: 'train' | 'validation' | 'test'
  readonly first: number
  readonly rows: number
}

/** [passes without deltas] [sum in row order]. */
export function scoreProgram(parts: ProgramParts): Stage<ScoreContext>[] {
  const { network, sampleIndices, stats } = parts
  const source: PassSource<ScoreContext> = {
    rows: ({ rows }) => rows,
    pass: ({ split }) => ({ images: split === 'test' ? 'test' : 'train', epoch: 0, deltaScale: 0 }),
    sampleIndex: ({ split, first }, batchRow) => sampleIndices[split].data[first + batchRow],
  }
  const sum: Stage<ScoreContext> = {
    name: 'sum',
    phase: 'compute',
    scheduling: 'dynamic',
    tasks: () => 1,
    run(_task, { split, first, rows }) {
      addRows(network, stats.data, rows, first === 0 ? null : DONE, DONE)
      if (parts.plan.loss === 'mean-squared-error') {
        addSquares(network, stats.data, rows, split === 'test' ? 'test' : 'train', first === 0)
      }
      return 0
    },
  }
  return [...passStages({ ...parts, trains: false }, source), sum]
}

/** Evaluation of a split as a program. Runs in workers. */
import { copyRow } from '../network/copy-rows.js'
import { placeOfKept } from '../plan/windows.js'
import { type PassSource, passStages } from './passes.js'
import type { ProgramParts, Stage } from './stage.js'
import { addRows, addSquares, DONE } from './sums.js'

/** A piece of evaluation: rows [first, first + rows) of a split. */
export interface ScoreContext {
  readonly split: 'train' | 'validation' | 'test'
  readonly first: number
  readonly rows: number
}

/** Rows whose outputs one task copies. */
const COPIED_ROWS = 64

/**
 * [passes without deltas] [sum in row order, and the rows' outputs copied]. `outputs`: memory for the outputs of all rows of the split,
 * (rows, K) in the order of its rows; null: they are not kept.
 */
export function scoreProgram(parts: ProgramParts, outputs: Float32Array | null = null): Stage<ScoreContext>[] {
  const { network, sampleIndices, stats } = parts
  const source: PassSource<ScoreContext> = {
    rows: ({ rows }) => rows,
    pass: ({ split }) => ({ images: split === 'test' ? 'test' : 'train', epoch: 0, rows: 0, deltaScale: 0 }),
    sampleIndex: ({ split, first }, batchRow) => sampleIndices[split].data[first + batchRow],
    place: scoredPlace(parts),
  }
  const sum: Stage<ScoreContext> = {
    name: 'sum',
    phase: 'compute',
    scheduling: 'dynamic',
    tasks: ({ rows }) => 1 + (outputs === null ? 0 : Math.ceil(rows / COPIED_ROWS)),
    run(task, { split, first, rows }) {
      if (task > 0) {
        const end = Math.min(task * COPIED_ROWS, rows)
        for (let row = (task - 1) * COPIED_ROWS; row < end; row++) {
          copyRow(outputs!, (first + row) * network.outputs.cols, network.outputs, row)
        }
        return 0
      }
      addRows(network, stats.data, rows, first === 0 ? null : DONE, DONE)
      if (parts.plan.loss === 'mean-squared-error') {
        addSquares(network, stats.data, rows, split === 'test' ? 'test' : 'train', first === 0)
      }
      return 0
    },
  }
  return [...passStages({ ...parts, trains: false }, source), sum]
}

/** Place of a row whose features are in windows: training rows are scored window by window, from the first place on. */
function scoredPlace({ plan }: ProgramParts): PassSource<ScoreContext>['place'] {
  const { windows } = plan
  if (windows === null) return () => 0
  return ({ split, first }, batchRow) =>
    split === 'validation' ? placeOfKept(windows) + first + batchRow : (first + batchRow) % windows.rows
}

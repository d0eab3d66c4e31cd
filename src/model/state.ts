/**
 * The state table: every tensor that training changes, parameters first, then their moments, then their averages, as
 * checkpoints and snapshots hold them: row-major f32, one after the other. Pure; any thread.
 */
import { sizeOf } from '../tensor/tensor.js'
import { momentCount, type OptimizerType } from './optimizer.js'
import { isLearned, type Parameter } from './parameters.js'

export interface StateTensor {
  /** The parameter's name, for a moment with `.moment<i>` behind it, for an average with `.average`. */
  readonly name: string
  readonly shape: readonly number[]
  readonly parameter: Parameter
  /** Index of the parameter's moment, the average being the one after the last; null: the parameter itself. */
  readonly moment: number | null
  /** Range of its elements in a snapshot: [start, end). */
  readonly start: number
  readonly end: number
}

/** Settings that decide which tensors a run keeps beside each learned parameter. */
export interface Companions {
  readonly optimizer: { readonly type: OptimizerType }
  readonly ema: number | null
}

/** Number of those tensors: the optimizer's moments, and the average, which is the last. */
export const companionCount = ({ optimizer, ema }: Companions): number =>
  momentCount[optimizer.type] + (ema === null ? 0 : 1)

/** Index of the average among them; null: there is none. */
export const averageIndex = ({ optimizer, ema }: Companions): number | null =>
  ema === null ? null : momentCount[optimizer.type]

/** Share of the weights in their averages after a step, given the number of earlier steps. */
export function averageShare(decay: number, stepsBefore: number): number {
  return 1 - Math.min(decay, (1 + stepsBefore) / (10 + stepsBefore))
}

export function stateTable(parameters: readonly Parameter[], run: Companions): StateTensor[] {
  const average = averageIndex(run)
  let end = 0
  const tensorsOf = (moment: number | null) =>
    (moment === null ? parameters : parameters.filter(isLearned)).map((parameter): StateTensor => {
      const start = end
      end += sizeOf(parameter.dims)
      const name =
        moment === null ? parameter.name : `${parameter.name}.${moment === average ? 'average' : `moment${moment}`}`
      return { name, shape: parameter.dims, parameter, moment, start, end }
    })
  return [null, ...Array.from({ length: companionCount(run) }, (_, i) => i)].flatMap(tensorsOf)
}

/** Elements of a snapshot. */
export const stateSize = (table: readonly StateTensor[]): number => table.at(-1)?.end ?? 0

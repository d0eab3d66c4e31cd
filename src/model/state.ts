/**
 * The state table: every tensor that training changes, parameters first, then their moments, as checkpoints and
 * snapshots hold them: row-major f32, one after the other. Pure; runs on any thread.
 */
import { sizeOf } from '../tensor/tensor.js'
import { isLearned, type Parameter } from './parameters.js'

export interface StateTensor {
  /** The parameter's name, for a moment with `.moment<i>` behind it. */
  readonly name: string
  readonly shape: readonly number[]
  readonly parameter: Parameter
  /** Which moment of the parameter; null: the parameter itself. */
  readonly moment: number | null
  /** Its elements in a snapshot: [start, end). */
  readonly start: number
  readonly end: number
}

export function stateTable(parameters: readonly Parameter[], moments: number): StateTensor[] {
  let end = 0
  const tensorsOf = (moment: number | null) =>
    (moment === null ? parameters : parameters.filter(isLearned)).map((parameter): StateTensor => {
      const start = end
      end += sizeOf(parameter.dims)
      const name = moment === null ? parameter.name : `${parameter.name}.moment${moment}`
      return { name, shape: parameter.dims, parameter, moment, start, end }
    })
  return [null, ...Array.from({ length: moments }, (_, i) => i)].flatMap(tensorsOf)
}

/** Elements of a snapshot. */
export const stateSize = (table: readonly StateTensor[]): number => table.at(-1)?.end ?? 0

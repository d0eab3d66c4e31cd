/**
 * The parameter table: every tensor that a model learns, and the running statistics that its answers depend on as well.
 * Derived from the layers' declarations; offsets, views, tiles, checkpoint headers, optimizer state and summaries derive
 * from it. Pure; any thread.
 */
import { sizeOf } from '../tensor/tensor.js'
import { layerDeclarations, type NormType, networkLayers } from './layers/kinds.js'
import type { Parameter } from './layers/layer.js'

export type { NormType } from './layers/kinds.js'
export type { Parameter, VectorKind } from './layers/layer.js'

/** Units of every layer boundary: inputs, hidden layers, classes. */
export function layerWidths(inputs: number, hidden: readonly number[], classes: number): number[] {
  return [inputs, ...hidden, classes]
}

/** True if gradients change a parameter; else it is a running statistic. */
export const isLearned = ({ kind }: Pick<Parameter, 'kind'>): boolean => kind !== 'mean' && kind !== 'variance'

/** Parameters of a multilayer perceptron, layer by layer, in the order of files. */
export function parameterTable(widths: readonly number[], norm: NormType = 'none'): Parameter[] {
  return networkLayers(widths, norm).flatMap(layer => layerDeclarations[layer.type].parameters(layer))
}

/** Number of weights of the blocks from `first` on, biases left out. */
export function weightCount(widths: readonly number[], first = 0): number {
  return widths.slice(first + 1).reduce((sum, width, i) => sum + widths[first + i] * width, 0)
}

/** Number of scalars that the model learns. */
export function parameterCount(table: readonly Parameter[]): number {
  return table.filter(isLearned).reduce((count, { dims }) => count + sizeOf(dims), 0)
}

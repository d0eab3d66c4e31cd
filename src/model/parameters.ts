/**
 * The parameter table: every tensor that a model learns, and the running statistics that its answers depend on as well.
 * Derived from the layers' declarations; offsets, views, tiles, checkpoint headers, optimizer state and summaries derive
 * from it. Pure; any thread.
 */
import { sizeOf } from '../tensor/tensor.js'
import { type EmbeddingShape, embeddingParameters } from './embedding.js'
import { layerDeclarations, type NormType, networkLayers } from './layers/kinds.js'
import type { Parameter } from './layers/layer.js'

export type { NormType } from './layers/kinds.js'
export type { Parameter, VectorKind } from './layers/layer.js'

/** Units of every layer boundary: inputs, of which embedded features are several each, hidden layers, classes. */
export function layerWidths(inputs: number, hidden: readonly number[], classes: number): number[] {
  return [inputs, ...hidden, classes]
}

/** True if gradients change a parameter; else it is a running statistic. */
export const isLearned = ({ kind }: Pick<Parameter, 'kind'>): boolean => kind !== 'mean' && kind !== 'variance'

/** Parameters of a multilayer perceptron in the order of files: embeddings, then layer by layer. */
export function parameterTable(
  widths: readonly number[],
  norm: NormType = 'none',
  embeddings: readonly EmbeddingShape[] = [],
): Parameter[] {
  const layers = networkLayers(widths, norm).flatMap(layer => layerDeclarations[layer.type].parameters(layer))
  return [...embeddingParameters(embeddings), ...layers]
}

/** Parameters of the network of a plan. */
export const parametersOf = (plan: {
  readonly widths: readonly number[]
  readonly norm: { readonly type: NormType }
  readonly embeddings: readonly EmbeddingShape[]
}): Parameter[] => parameterTable(plan.widths, plan.norm.type, plan.embeddings)

/** Number of weights of the blocks from `first` on, biases left out. */
export function weightCount(widths: readonly number[], first = 0): number {
  return widths.slice(first + 1).reduce((sum, width, i) => sum + widths[first + i] * width, 0)
}

/** Number of scalars that the model learns. */
export function parameterCount(table: readonly Parameter[]): number {
  return table.filter(isLearned).reduce((count, { dims }) => count + sizeOf(dims), 0)
}

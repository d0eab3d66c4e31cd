/**
 * The parameter table: every tensor that a model learns, and the running statistics that its answers depend on as well.
 * Derived from the layers' declarations; offsets, views, tiles, checkpoint headers, optimizer state and summaries derive
 * from it. Pure; any thread.
 */
import { sizeOf } from '../tensor/tensor.js'
import { type Convolution, outputOf, unitsOf } from './convolution.js'
import { type EmbeddingShape, embeddingParameters } from './embedding.js'
import { layerDeclarations, type NetworkShape, networkLayers } from './layers/kinds.js'
import type { Parameter } from './layers/layer.js'

export { multiplications, type NetworkShape, type NormType, weightDims } from './layers/kinds.js'
export type { Parameter, VectorKind } from './layers/layer.js'

/**
 * Units of every boundary of blocks: inputs, of which embedded features are several each, values after each convolution, hidden layers,
 * classes.
 */
export function layerWidths(
  inputs: number,
  hidden: readonly number[],
  classes: number,
  convolutions: readonly Convolution[] = [],
): number[] {
  return [inputs, ...convolutions.map(convolution => unitsOf(outputOf(convolution))), ...hidden, classes]
}

/** True if gradients change a parameter; else it is a running statistic. */
export const isLearned = ({ kind }: Pick<Parameter, 'kind'>): boolean => kind !== 'mean' && kind !== 'variance'

/** Parameters of a network in the order of files: embeddings, then layer by layer. */
export function parameterTable(
  widths: readonly number[],
  norm: NetworkShape['norm'] = 'none',
  embeddings: readonly EmbeddingShape[] = [],
  convolutions: readonly Convolution[] = [],
): Parameter[] {
  const layers = networkLayers({ widths, norm, convolutions })
  return [
    ...embeddingParameters(embeddings),
    ...layers.flatMap(layer => layerDeclarations[layer.type].parameters(layer)),
  ]
}

/** Settings of a plan that decide the parameters of its network. */
export interface PlannedShape extends Pick<NetworkShape, 'widths' | 'convolutions'> {
  readonly norm: { readonly type: NetworkShape['norm'] }
}

export const shapeOf = ({ widths, norm, convolutions }: PlannedShape): NetworkShape => ({
  ...{ widths, convolutions },
  norm: norm.type,
})

/** Parameters of the network of a plan. */
export const parametersOf = (plan: PlannedShape & { readonly embeddings: readonly EmbeddingShape[] }): Parameter[] =>
  parameterTable(plan.widths, plan.norm.type, plan.embeddings, plan.convolutions)

/** Number of scalars that the model learns. */
export function parameterCount(table: readonly Parameter[]): number {
  return table.filter(isLearned).reduce((count, { dims }) => count + sizeOf(dims), 0)
}

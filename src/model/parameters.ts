/**
 * The parameter table: the one place that declares what a model learns. Offsets, views, tiles, checkpoint headers,
 * optimizer state and summaries are derived from it. Pure; runs on any thread.
 */

/** One learned tensor. Dims are logical: weights (in, out), biases (out). */
export interface Parameter {
  /** `layers.<i>.weight` or `layers.<i>.bias`, as in files. */
  readonly name: string
  readonly kind: 'weight' | 'bias'
  readonly layer: number
  readonly dims: readonly number[]
  /** `random`: as `model.init` says. */
  readonly init: 'random' | 'zeros'
}

/** Units of every layer boundary: inputs, hidden layers, classes. */
export function layerWidths(inputs: number, hidden: readonly number[], classes: number): number[] {
  return [inputs, ...hidden, classes]
}

/** Parameters of a multilayer perceptron, layer by layer, weight before bias. */
export function parameterTable(widths: readonly number[]): Parameter[] {
  return widths.slice(1).flatMap((outputs, layer): Parameter[] => [
    { name: `layers.${layer}.weight`, kind: 'weight', layer, dims: [widths[layer], outputs], init: 'random' },
    { name: `layers.${layer}.bias`, kind: 'bias', layer, dims: [outputs], init: 'zeros' },
  ])
}

/** Weights of the layers from `first` on, biases left out. */
export function weightCount(widths: readonly number[], first = 0): number {
  return widths.slice(first + 1).reduce((sum, width, i) => sum + widths[first + i] * width, 0)
}

/** How many numbers the model learns. */
export function parameterCount(table: readonly Parameter[]): number {
  return table.reduce((count, { dims }) => count + dims.reduce((size, dim) => size * dim, 1), 0)
}

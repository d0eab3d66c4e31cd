/**
 * The parameter table: the one place that declares what a model learns, and the running statistics that its answers
 * depend on as well. Offsets, views, tiles, checkpoint headers, optimizer state and summaries are derived from it. Pure;
 * runs on any thread.
 */
import type { Experiment } from '../config/schema.js'
import { sizeOf } from '../tensor/tensor.js'

export type NormType = Experiment['model']['norm']

/** One tensor. Dims are logical: weights (in, out), all others (out). */
export interface Parameter {
  /** `layers.<i>.weight`, `layers.<i>.bias`, or `layers.<i>.norm.` and its kind, as in files. */
  readonly name: string
  /** scale and shift of a normalised layer are learned; mean and variance are running statistics. */
  readonly kind: 'weight' | VectorKind
  readonly layer: number
  readonly dims: readonly number[]
  /** `random`: as `model.init` says. */
  readonly init: 'random' | 'zeros' | 'ones'
}

export type VectorKind = 'bias' | 'scale' | 'shift' | 'mean' | 'variance'

/** Units of every layer boundary: inputs, hidden layers, classes. */
export function layerWidths(inputs: number, hidden: readonly number[], classes: number): number[] {
  return [inputs, ...hidden, classes]
}

/** Whether gradients change it. */
export const isLearned = ({ kind }: Pick<Parameter, 'kind'>): boolean => kind !== 'mean' && kind !== 'variance'

/** Parameters of a multilayer perceptron, layer by layer: weight, bias, and what the normalisation of a hidden one has. */
export function parameterTable(widths: readonly number[], norm: NormType = 'none'): Parameter[] {
  return widths.slice(1).flatMap((outputs, layer): Parameter[] => {
    const ofNorm = (kind: VectorKind, init: Parameter['init']): Parameter => {
      return { name: `layers.${layer}.norm.${kind}`, kind, layer, dims: [outputs], init }
    }
    const normed = norm !== 'none' && layer < widths.length - 2
    return [
      { name: `layers.${layer}.weight`, kind: 'weight', layer, dims: [widths[layer], outputs], init: 'random' },
      { name: `layers.${layer}.bias`, kind: 'bias', layer, dims: [outputs], init: 'zeros' },
      ...(normed ? [ofNorm('scale', 'ones'), ofNorm('shift', 'zeros')] : []),
      ...(normed && norm === 'batch' ? [ofNorm('mean', 'zeros'), ofNorm('variance', 'ones')] : []),
    ]
  })
}

/** Weights of the layers from `first` on, biases left out. */
export function weightCount(widths: readonly number[], first = 0): number {
  return widths.slice(first + 1).reduce((sum, width, i) => sum + widths[first + i] * width, 0)
}

/** How many numbers the model learns. */
export function parameterCount(table: readonly Parameter[]): number {
  return table.filter(isLearned).reduce((count, { dims }) => count + sizeOf(dims), 0)
}

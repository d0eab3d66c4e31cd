/**
 * Scalars of an optimizer at one step, computed in f64 once per step and worker; the kernels apply them per element.
 * Pure; runs in workers.
 *
 * - adam: Kingma and Ba 2015, "Adam: a method for stochastic optimization" (arXiv 1412.6980), algorithm 1:
 *   m = β1·m + (1-β1)·g, v = β2·v + (1-β2)·g², w -= lr · m̂ / (√v̂ + ε), with m̂ = m/(1-β1^t), v̂ = v/(1-β2^t).
 * - adamw: Loshchilov and Hutter 2019, "Decoupled weight decay regularization" (arXiv 1711.05101), in PyTorch's form:
 *   adam's change, and w -= lr · weightDecay · w beside it, both from the same w.
 * - momentum: v = β·v + (1-β)·g, w -= lr · v/(1-β^t).
 * - nesterov: Sutskever et al. 2013 in the form of PyTorch's SGD, dampening 0: v = μ·v + g, w -= lr · (g + μ·v). Unlike
 *   momentum, it sums gradients: its steps are 1/(1-μ) times as long at the same rate.
 * - rmsprop: Tieleman and Hinton 2012, lecture 6.5, in PyTorch's form: v = β2·v + (1-β2)·g², w -= lr · g / (√v + ε).
 * - lion: Chen et al. 2023, "Symbolic discovery of optimization algorithms" (arXiv 2302.06675):
 *   w -= lr · sign(β1·m + (1-β1)·g), m = β2·m + (1-β2)·g.
 * - sgd: w -= lr · g.
 * g is the gradient of the loss, each element limited to ±clip, plus the L2 term λ/m·w (m: rows of the batch). All but
 * adam may also decay weights by themselves, as adamw does. Biases take neither L2 nor decay.
 */
import type { Experiment } from '../config/schema.js'
import { power } from '../tensor/exact-math.js'

type Asked = Experiment['optimizer']
type Settle<T> = T extends { weightDecay: number | 'auto' } ? Omit<T, 'weightDecay'> & { weightDecay: number } : T

/** Optimizer of an experiment without "auto". */
export type SettledOptimizer = Settle<Asked>
export type OptimizerType = Asked['type']

/**
 * The optimizer with the weight decay that "auto" stands for: 2 / classes, and 1 for numbers and labels. A class has fewer rows of a
 * mini-batch the more classes there are, so that its gradient, which Adam divides by its root mean square, pulls less against the decay.
 * `classes`: null for other tasks than classification.
 */
export function settledOptimizer(optimizer: Asked, classes: number | null): SettledOptimizer {
  if (optimizer.type !== 'adamw') return optimizer
  const { weightDecay } = optimizer
  return { ...optimizer, weightDecay: weightDecay === 'auto' ? Math.min(1, 2 / (classes ?? 2)) : weightDecay }
}

/** Moment tensors each parameter carries. */
export const momentCount: Readonly<Record<OptimizerType, number>> = {
  adam: 2,
  adamw: 2,
  momentum: 1,
  nesterov: 1,
  rmsprop: 1,
  lion: 1,
  sgd: 0,
}

export interface OptimizerStep {
  readonly type: OptimizerType
  /** Learning rate; of an optimizer that corrects its first moment's bias, lr / (1 - β1^t). */
  readonly stepSize: number
  /** Nesterov's μ too. */
  readonly beta1: number
  readonly beta2: number
  /** 1 / (1 - β2^t). */
  readonly secondCorrection: number
  readonly epsilon: number
  /** λ / m, for weights. */
  readonly l2: number
  /** lr · weightDecay, for weights. */
  readonly decoupledDecay: number
  /** Limit of each element of the gradient, before L2; Infinity: none. */
  readonly clip: number
}

/** The scalars of step `t`, counted from 1. `l2`: λ / m. */
export function optimizerStep(
  optimizer: SettledOptimizer,
  t: number,
  learningRate: number,
  l2: number,
  clip = Number.POSITIVE_INFINITY,
): OptimizerStep {
  const plain: OptimizerStep = {
    type: optimizer.type,
    stepSize: learningRate,
    beta1: 0,
    beta2: 0,
    secondCorrection: 1,
    epsilon: 0,
    l2,
    decoupledDecay: optimizer.type === 'adam' ? 0 : learningRate * optimizer.weightDecay,
    clip,
  }
  switch (optimizer.type) {
    case 'adam':
    case 'adamw': {
      const { beta1, beta2, epsilon } = optimizer
      const stepSize = learningRate / (1 - power(beta1, t))
      return { ...plain, stepSize, beta1, beta2, secondCorrection: 1 / (1 - power(beta2, t)), epsilon }
    }
    case 'momentum': {
      const { beta1 } = optimizer
      return { ...plain, stepSize: learningRate / (1 - power(beta1, t)), beta1 }
    }
    case 'nesterov':
      return { ...plain, beta1: optimizer.momentum }
    case 'rmsprop':
      return { ...plain, beta2: optimizer.beta2, epsilon: optimizer.epsilon }
    case 'lion':
      return { ...plain, beta1: optimizer.beta1, beta2: optimizer.beta2 }
    case 'sgd':
      return plain
    default:
      return optimizer satisfies never
  }
}

/**
 * What an optimizer needs at one step, computed in f64 once per step and worker; the kernels apply it per element.
 * Pure; runs in workers.
 *
 * - adam: Kingma and Ba 2015, "Adam: a method for stochastic optimization" (arXiv 1412.6980), algorithm 1:
 *   m = β1·m + (1-β1)·g, v = β2·v + (1-β2)·g², w -= lr · m̂ / (√v̂ + ε), with m̂ = m/(1-β1^t), v̂ = v/(1-β2^t).
 * - momentum: v = β·v + (1-β)·g, w -= lr · v/(1-β^t).
 * - sgd: w -= lr · g.
 * g includes the L2 term λ/m·w for weights (m: rows of the batch), not for biases.
 */
import type { Experiment } from '../config/schema.js'

export type OptimizerType = Experiment['optimizer']['type']

/** Moment tensors each parameter carries. */
export const momentCount: Readonly<Record<OptimizerType, number>> = { adam: 2, momentum: 1, sgd: 0 }

export interface OptimizerStep {
  readonly type: OptimizerType
  /** Learning rate with the first moment's bias correction in it: lr / (1 - β1^t). */
  readonly stepSize: number
  readonly beta1: number
  readonly beta2: number
  /** 1 / (1 - β2^t). */
  readonly secondCorrection: number
  readonly epsilon: number
  /** λ / m, for weights. */
  readonly decay: number
}

/** The numbers of step `t`, counted from 1. */
export function optimizerStep(
  optimizer: Experiment['optimizer'],
  t: number,
  learningRate: number,
  decay: number,
): OptimizerStep {
  const beta1 = optimizer.type === 'sgd' ? 0 : optimizer.beta1
  const beta2 = optimizer.type === 'adam' ? optimizer.beta2 : 0
  return {
    type: optimizer.type,
    stepSize: learningRate / (1 - power(beta1, t)),
    beta1,
    beta2,
    secondCorrection: 1 / (1 - power(beta2, t)),
    epsilon: optimizer.type === 'adam' ? optimizer.epsilon : 0,
    decay,
  }
}

/** base^n for a whole n >= 0 by squaring: `Math.pow` may round differently from engine to engine. */
export function power(base: number, n: number): number {
  let result = 1
  for (let square = base, rest = n; rest > 0; rest = Math.floor(rest / 2), square *= square) {
    if (rest % 2 === 1) result *= square
  }
  return result
}

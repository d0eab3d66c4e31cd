/**
 * The optimizer steps that sweeps take, and how far rounding may carry their results from the exact ones: first-order
 * error analysis of the formulas in src/model/optimizer.ts, every constant and every operation rounded once.
 */
import {
  type OptimizerStep,
  type OptimizerType,
  optimizerStep,
  type SettledOptimizer,
} from '../../src/model/optimizer.js'
import type { Check, Precision } from './tally.js'

export const OPTIMIZERS = ['adam', 'adamw', 'momentum', 'nesterov', 'rmsprop', 'lion', 'sgd'] as const

/** Step 3, with decays, so that every number of a step counts; clipped for a sweep's every other case. */
export function stepOf(type: OptimizerType, n = 0): OptimizerStep {
  const common = { learningRate: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-3, weightDecay: 0.3 }
  const optimizer = { ...common, momentum: 0.9, type } as SettledOptimizer
  return optimizerStep(optimizer, 3, 0.01, 0.07, n % 2 === 0 ? Number.POSITIVE_INFINITY : 0.3)
}

/** Kinds of an optimizer's moments: means of gradients, or, never negative, of their squares. */
export const momentsOf = {
  ...{ adam: ['m', 'v'], adamw: ['m', 'v'], momentum: ['m'], nesterov: ['m'], rmsprop: ['v'], lion: ['m'], sgd: [] },
} as const satisfies Record<OptimizerType, readonly ('m' | 'v')[]>

/** Arrays w, m and v, as many as the optimizer has. */
type Arrays = readonly Float64Array[]

/** Parameters after a step compared with the reference's; gradients may differ by `gradientError`. */
export function checkUpdate(
  check: Check,
  got: Arrays,
  want: { readonly before: Arrays; readonly after: Arrays; readonly gradient: Float64Array },
  gradientError: (i: number) => number,
  step: OptimizerStep,
  precision: Precision,
): void {
  const names: readonly (keyof Element)[] = ['w', ...momentsOf[step.type]]
  const at = (arrays: Arrays, i: number): Element => {
    const part = (name: keyof Element) => arrays[names.indexOf(name)]?.[i] ?? 0
    return { w: part('w'), m: part('m'), v: part('v') }
  }
  const bounds = Array.from(want.gradient, (g, i) =>
    updateBound(step, at(want.before, i), at(want.after, i), g, gradientError(i), precision),
  )
  want.after.forEach((values, part) => {
    const name = names[part]
    check.near(name, got[part], values, i => bounds[i][name])
  })
}

/** One parameter with its moments, 0 where the optimizer has none; or the bound of each. */
interface Element {
  readonly w: number
  readonly m: number
  readonly v: number
}

/** Covers what first order leaves out: relative errors stay below a thousandth here. */
const SLACK = 1.01

/** Bounds on the errors after a step from exact inputs, but for a gradient that is off by up to `gradientError`. */
function updateBound(
  { type, stepSize, beta1, beta2, secondCorrection, epsilon, l2, decoupledDecay, clip }: OptimizerStep,
  before: Element,
  after: Element,
  gradient: number,
  gradientError: number,
  { u, tiny }: Precision,
): Element {
  const signed = Math.max(-clip, Math.min(clip, gradient)) + l2 * before.w
  const g = Math.abs(signed)
  // The limit, L2 and its product, and the sum.
  const clipError = clip < Number.POSITIVE_INFINITY ? u * clip : 0
  const gError = SLACK * (gradientError + clipError + 2 * u * Math.abs(l2 * before.w) + u * g)
  if (type === 'sgd') return { w: changeBound(stepSize * g, stepSize * gError), m: 0, v: 0 }

  if (type === 'lion') {
    const c = beta1 * before.m + (1 - beta1) * signed
    const cError = SLACK * averageBound(beta1, before.m, g, gError, c)
    const mError = SLACK * averageBound(beta2, before.m, g, gError, after.m)
    // A sign that rounding may turn is a step the other way.
    return { w: changeBound(stepSize, Math.abs(c) > cError ? 0 : 2 * stepSize), m: mError, v: 0 }
  }
  if (type === 'nesterov') {
    const v = Math.abs(after.m)
    const vError = SLACK * (gError + 2 * u * beta1 * Math.abs(before.m) + u * v + tiny)
    const sum = g + beta1 * v
    const sumError = gError + beta1 * vError + 2 * u * beta1 * v + u * sum
    return { w: changeBound(stepSize * sum, stepSize * sumError), m: vError, v: 0 }
  }
  if (type === 'rmsprop') {
    const { change, error, vError } = quotient(g, gError)
    return { w: changeBound(change, error), m: 0, v: vError }
  }

  const mError = SLACK * averageBound(beta1, before.m, g, gError, after.m)
  if (type === 'momentum') return { w: changeBound(stepSize * Math.abs(after.m), stepSize * mError), m: mError, v: 0 }

  const { change, error, vError } = quotient(Math.abs(after.m), mError)
  return { w: changeBound(change, error), m: mError, v: vError }

  /** stepSize · x / (√(v · secondCorrection) + ε), for an x off by up to xError. */
  function quotient(x: number, xError: number) {
    const squareError = 2 * g * gError + gError ** 2 + u * g * g
    const vError = SLACK * averageBound(beta2, before.v, g * g, squareError, after.v)
    // Half of the relative error under the root, then root, epsilon, sum and quotient.
    const divisor = Math.sqrt(after.v * secondCorrection) + epsilon
    const divisorShare = vError / after.v / 2 + 5 * u
    const change = (stepSize * x) / divisor
    return { change, error: change * divisorShare + (stepSize * xError) / divisor, vError }
  }

  /** mean = beta · mean + (1 - beta) · x. */
  function averageBound(beta: number, mean: number, x: number, xError: number, result: number): number {
    const rounding = 2 * u * (beta * Math.abs(mean) + (1 - beta) * Math.abs(x)) + u * Math.abs(result)
    return (1 - beta) * xError + rounding + tiny
  }

  /** w - (change + decoupledDecay · w): step size, decay and their products rounded, then the sum and the difference. */
  function changeBound(change: number, changeError: number): number {
    const decayed = Math.abs(decoupledDecay * before.w)
    return SLACK * (changeError + 2 * u * change + 2 * u * decayed + u * (change + decayed)) + u * Math.abs(after.w)
  }
}

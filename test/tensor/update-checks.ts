/**
 * The optimizer steps that sweeps take, and how far rounding may carry their results from the exact ones: first-order
 * error analysis of the formulas in src/model/optimizer.ts, every constant and every operation rounded once.
 */
import { type OptimizerStep, type OptimizerType, optimizerStep } from '../../src/model/optimizer.js'
import type { Check, Precision } from './tally.js'

export const OPTIMIZERS = ['adam', 'momentum', 'sgd'] as const

/** Step 3, with a decay, so that every number of a step counts. */
export function stepOf(type: OptimizerType): OptimizerStep {
  const common = { learningRate: 0.01, beta1: 0.9 }
  const optimizer = {
    adam: { type: 'adam', ...common, beta2: 0.999, epsilon: 1e-3 } as const,
    momentum: { type: 'momentum', ...common } as const,
    sgd: { type: 'sgd', learningRate: 0.01 } as const,
  }[type]
  return optimizerStep(optimizer, 3, 0.01, 0.07)
}

/** Arrays w, m and v, as many as the optimizer has. */
type Arrays = readonly Float64Array[]

/** Parameters after a step against the truth's, whose gradient the candidate may have missed by `gradientError`. */
export function checkUpdate(
  check: Check,
  got: Arrays,
  want: { readonly before: Arrays; readonly after: Arrays; readonly gradient: Float64Array },
  gradientError: (i: number) => number,
  step: OptimizerStep,
  precision: Precision,
): void {
  const at = ([w, m, v]: Arrays, i: number): Element => ({ w: w[i], m: m?.[i] ?? 0, v: v?.[i] ?? 0 })
  const bounds = Array.from(want.gradient, (g, i) =>
    updateBound(step, at(want.before, i), at(want.after, i), g, gradientError(i), precision),
  )
  want.after.forEach((values, part) => {
    const name = (['w', 'm', 'v'] as const)[part]
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
  { type, stepSize, beta1, beta2, secondCorrection, epsilon, decay }: OptimizerStep,
  before: Element,
  after: Element,
  gradient: number,
  gradientError: number,
  { u, tiny }: Precision,
): Element {
  const g = Math.abs(gradient + decay * before.w)
  // decay and its product, and the sum.
  const gError = SLACK * (gradientError + 2 * u * Math.abs(decay * before.w) + u * g)
  if (type === 'sgd') return { w: changeBound(stepSize * g, stepSize * gError), m: 0, v: 0 }

  const mError = SLACK * averageBound(beta1, before.m, g, gError, after.m)
  if (type === 'momentum') return { w: changeBound(stepSize * Math.abs(after.m), stepSize * mError), m: mError, v: 0 }

  const squareError = 2 * g * gError + gError ** 2 + u * g * g
  const vError = SLACK * averageBound(beta2, before.v, g * g, squareError, after.v)
  // Half of the relative error under the root, then root, epsilon, sum and quotient.
  const divisor = Math.sqrt(after.v * secondCorrection) + epsilon
  const divisorShare = vError / after.v / 2 + 5 * u
  const change = (stepSize * Math.abs(after.m)) / divisor
  return { w: changeBound(change, change * divisorShare + (stepSize * mError) / divisor), m: mError, v: vError }

  /** mean = beta · mean + (1 - beta) · x. */
  function averageBound(beta: number, mean: number, x: number, xError: number, result: number): number {
    const rounding = 2 * u * (beta * Math.abs(mean) + (1 - beta) * Math.abs(x)) + u * Math.abs(result)
    return (1 - beta) * xError + rounding + tiny
  }

  /** w - change: the step size and its product rounded, then the difference. */
  function changeBound(change: number, changeError: number): number {
    return SLACK * (changeError + 2 * u * change) + u * Math.abs(after.w)
  }
}

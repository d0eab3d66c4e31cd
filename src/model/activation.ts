/**
 * The activations and their derivatives in float64, straight from their formulas: what the reference backend computes
 * and what the others are tested against. Pure; runs on any thread.
 *
 * A new activation is a formula here, a name in src/config/schema/model.ts, a code in kernels/module/activations.ts, its
 * kernel in kernels/module/assembly/activations.ts, and its form in export/onnx.ts and export/tfjs.ts.
 *
 * gelu: Hendrycks and Gimpel 2016 (arXiv 1606.08415), the form with tanh. silu: Elfwing et al. 2017 (arXiv 1702.03118).
 * elu: Clevert et al. 2015 (arXiv 1511.07289), α = 1. scaled-tanh: LeCun et al. 1998, "Efficient backprop".
 */
import type { Experiment } from '../config/schema.js'

export type Activation = Experiment['model']['activation']

interface Formula {
  of(x: number): number
  slope(x: number): number
}

/** Slope of leaky-relu below 0. */
const LEAK = 0.01
const GELU = Math.sqrt(2 / Math.PI)
const HEIGHT = 1.7159

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x))
const geluTanh = (x: number): number => Math.tanh(GELU * (x + 0.044715 * x ** 3))

export const activations: Readonly<Record<Activation, Formula>> = {
  relu: { of: x => Math.max(x, 0), slope: x => (x > 0 ? 1 : 0) },
  'leaky-relu': { of: x => (x > 0 ? x : LEAK * x), slope: x => (x > 0 ? 1 : LEAK) },
  elu: { of: x => (x > 0 ? x : Math.expm1(x)), slope: x => (x > 0 ? 1 : Math.exp(x)) },
  gelu: {
    of: x => (x / 2) * (1 + geluTanh(x)),
    slope(x) {
      const t = geluTanh(x)
      return (1 + t) / 2 + (x / 2) * (1 - t * t) * GELU * (1 + 3 * 0.044715 * x * x)
    },
  },
  silu: { of: x => x * sigmoid(x), slope: x => sigmoid(x) * (1 + x * (1 - sigmoid(x))) },
  tanh: { of: x => Math.tanh(x), slope: x => 1 - Math.tanh(x) ** 2 },
  'scaled-tanh': {
    of: x => HEIGHT * Math.tanh((2 * x) / 3),
    slope: x => ((HEIGHT * 2) / 3) * (1 - Math.tanh((2 * x) / 3) ** 2),
  },
  sigmoid: { of: sigmoid, slope: x => sigmoid(x) * (1 - sigmoid(x)) },
  identity: { of: x => x, slope: () => 1 },
}

/** True if the backward pass needs more than the outputs: all activations but ReLU store their derivatives in a matrix. */
export const keepsDerivatives = (activation: Activation): boolean => activation !== 'relu'

const HALVES: Readonly<Record<Activation, boolean>> = {
  ...{ relu: true, 'leaky-relu': true, elu: true, gelu: true, silu: true },
  ...{ tanh: false, 'scaled-tanh': false, sigmoid: false, identity: false },
}

/** True if an activation removes about half of the mean square of its inputs, which initial weights compensate. */
export const halvesMeanSquare = (activation: Activation): boolean => HALVES[activation]

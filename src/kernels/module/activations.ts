/** Codes by which assembly/activations.ts knows an activation; ReLU has kernels of its own. Data only; any thread. */
import type { Activation } from '../../model/activation.js'

export const activationCode: Readonly<Record<Exclude<Activation, 'relu'>, number>> = {
  'leaky-relu': 1,
  elu: 2,
  gelu: 3,
  silu: 4,
  tanh: 5,
  'scaled-tanh': 6,
  sigmoid: 7,
  identity: 8,
}

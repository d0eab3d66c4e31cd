/** The section `model`: layers, activations, normalisation, dropout, initial weights. Types and data only; any thread. */
import * as z from 'zod'
import { count, fraction, help, positive } from './fields.js'

export const model = z
  .strictObject({
    hidden: z
      .array(count())
      .default([256, 128])
      .meta(help('Units of each hidden layer, from the input to the output. Empty: logistic regression.')),
    activation: z
      .enum(['relu', 'leaky-relu', 'elu', 'gelu', 'silu', 'tanh', 'scaled-tanh', 'sigmoid', 'identity'])
      .default('relu')
      .meta(
        help(
          'What follows each hidden layer. `leaky-relu`: slope 0.01 below 0. `gelu`: the form with tanh. `scaled-tanh`: ' +
            '1.7159·tanh(2x/3). All but `relu` keep one more matrix a layer in training.',
        ),
      ),
    norm: z
      .enum(['none', 'batch', 'layer'])
      .default('none')
      .meta(
        help(
          'Normalisation between product and activation of every hidden layer, with a learned scale and shift of each ' +
            'unit. `batch`: by mean and variance over the whole mini-batch, and running ones when scoring. `layer`: over ' +
            'the units of each row.',
        ),
      ),
    normMomentum: z
      .number()
      .gt(0)
      .max(1)
      .default(0.1)
      .meta(
        help(
          "Of batch normalisation, as in PyTorch: running = (1 - normMomentum)·running + normMomentum·mini-batch's, the " +
            'variance unbiased. A mini-batch of one row, which may be the last of an epoch, leaves them alone.',
        ),
      ),
    normEpsilon: positive().default(1e-5).meta(help('Added to the variance that a normalisation divides by.')),
    inputDropout: fraction()
      .default(0)
      .meta(help('Fraction of the inputs that is dropped in training, the rest scaled up to make up for it.')),
    dropout: z
      .union([fraction(), z.array(fraction())])
      .default(0.1)
      .meta(
        help(
          'Fraction of each hidden layer that is dropped in training, the rest scaled up to make up for it. An array has ' +
            'one entry for each hidden layer.',
        ),
      ),
    init: z
      .enum([
        ...['he-normal', 'he-uniform', 'glorot-normal', 'glorot-uniform', 'lecun-normal', 'lecun-uniform'],
        'orthogonal',
      ] as const)
      .default('he-normal')
      .meta(
        help(
          'Initial weights, normal or uniform, with the variance 2 / inputs (he), 2 / (inputs + outputs) (glorot) or ' +
            '1 / inputs (lecun). `orthogonal`: a random orthogonal matrix, times `initGain`; layers of thousands of units ' +
            'take seconds. Biases start at zero.',
        ),
      ),
    initGain: positive()
      .nullable()
      .default(null)
      .meta(
        help(
          'What the matrices of `orthogonal` are multiplied by. null: √2 before `relu`, `leaky-relu`, `elu`, `gelu` and ' +
            '`silu`, else 1.',
        ),
      ),
  })
  .check(dropoutFits(), gainFits())
  .prefault({})
  .meta({ title: 'Model', description: 'A fully connected classifier; the data decides its inputs and classes.' })

/** An array of fractions has as many as there are hidden layers. */
function dropoutFits() {
  return z.superRefine<{ hidden: number[]; dropout: number | number[] }>(({ hidden, dropout }, context) => {
    if (typeof dropout === 'number' || dropout.length === hidden.length) return
    context.addIssue({
      code: 'custom',
      path: ['dropout'],
      message: `a number, or ${hidden.length} of them, because model.hidden has ${hidden.length} layers`,
      input: dropout,
    })
  })
}

/** Only one initialisation has a gain. */
function gainFits() {
  return z.superRefine<{ init: string; initGain: number | null }>(({ init, initGain }, context) => {
    if (init === 'orthogonal' || initGain === null) return
    const message = `null, because model.init is "${init}"`
    context.addIssue({ code: 'custom', path: ['initGain'], message, input: initGain })
  })
}

/** The section `model`: layers, activations, normalisation, dropout, initial weights. Types and data only; any thread. */
import * as z from 'zod'
import { formatCounted } from '../../format.js'
import { count, fraction, help, positive } from './fields.js'

/** One convolution of `model.convolutions`, with what follows it. */
const convolution = z.strictObject({
  filters: count().meta(help('Feature maps that it puts out.')),
  size: count().default(3).meta(help('Height and width of its filters.')),
  stride: count().default(1).meta(help('Step of the filters over rows and columns.')),
  padding: z
    .enum(['same', 'valid'])
    .default('same')
    .meta(
      help(
        '`same`: zeros around the picture, so that height and width stay as they are (with a stride: are divided by it, rounded up); ' +
          '`valid`: none, so that every filter lies inside.',
      ),
    ),
  pool: z
    .strictObject({
      size: z.int().min(2).meta(help('Height and width of the squares that become one value.')),
      type: z.enum(['max', 'average']).default('max').meta(help('Value of a square: the largest, or the mean.')),
    })
    .nullable()
    .default(null)
    .meta(
      help('Pooling after the activation: squares that do not overlap; rows and columns that fill none are left out.'),
    ),
  norm: z
    .enum(['none', 'batch'])
    .nullable()
    .default(null)
    .meta(help('Normalisation of each feature map between product and activation. null: as `model.norm`.')),
  dropout: fraction().default(0).meta(help('Fraction of its outputs that is dropped in training, after the pooling.')),
})

export const model = z
  .strictObject({
    convolutions: z
      .array(convolution)
      .default([])
      .meta(
        help(
          'Convolutions over pictures in front of `hidden`, each an object: `filters` (required), `size` (3), `stride` (1), `padding` ' +
            '(`"same"` or `"valid"`), `pool` (null, or `size` and `type`, `"max"` or `"average"`), `norm` (null: as `norm`; `"none"` or ' +
            '`"batch"`), `dropout` (0). Activation and initial weights are those of the hidden layers.',
        ),
      ),
    hidden: z
      .array(count())
      .default([256, 128])
      .meta(help('Units of each hidden layer, from the input to the output. Empty: logistic regression.')),
    activation: z
      .enum(['relu', 'leaky-relu', 'elu', 'gelu', 'silu', 'tanh', 'scaled-tanh', 'sigmoid', 'identity'])
      .default('relu')
      .meta(
        help(
          'Activation function of the hidden layers. `leaky-relu`: slope 0.01 below 0. `gelu`: the tanh approximation. `scaled-tanh`: ' +
            '1.7159·tanh(2x/3). All but `relu` keep one more matrix per layer in training.',
        ),
      ),
    norm: z
      .enum(['none', 'batch', 'layer'])
      .default('none')
      .meta(
        help(
          'Normalisation between product and activation of every hidden layer, with a learned scale and shift of each ' +
            'unit. `batch`: by mean and variance over the whole mini-batch, and by running ones for scores. `layer`: over ' +
            'the units of each sample.',
        ),
      ),
    normMomentum: z
      .number()
      .gt(0)
      .max(1)
      .default(0.1)
      .meta(
        help(
          "Momentum of batch normalisation, as in PyTorch: running = (1 - normMomentum)·running + normMomentum·mini-batch's, with " +
            'unbiased variance. A mini-batch of one sample, which may be the last of an epoch, does not update them.',
        ),
      ),
    normEpsilon: positive().default(1e-5).meta(help('Added to the variance before its square root is taken.')),
    inputDropout: fraction()
      .default(0)
      .meta(help('Fraction of the inputs that is dropped in training; the others are scaled up to compensate.')),
    dropout: z
      .union([fraction(), z.array(fraction())])
      .default(0.1)
      .meta(
        help(
          'Fraction of the units of each hidden layer that is dropped in training; the others are scaled up to compensate. An array has ' +
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
          'Initial weights, normal or uniform, with variance 2 / inputs (he), 2 / (inputs + outputs) (glorot) or ' +
            '1 / inputs (lecun). `orthogonal`: a random orthogonal matrix, times `initGain`; layers of thousands of units ' +
            'take seconds. Biases start at zero.',
        ),
      ),
    initGain: positive()
      .nullable()
      .default(null)
      .meta(
        help(
          'Factor on the matrices of `orthogonal`. null: √2 before `relu`, `leaky-relu`, `elu`, `gelu` and ' +
            '`silu`, else 1.',
        ),
      ),
  })
  .check(dropoutFits(), gainFits())
  .prefault({})
  .meta({
    title: 'Model',
    description: 'A network of convolutions and fully connected layers; the data determine its inputs and outputs.',
  })

/** Requires an array of fractions to have one entry per hidden layer. */
function dropoutFits() {
  return z.superRefine<{ hidden: number[]; dropout: number | number[] }>(({ hidden, dropout }, context) => {
    if (typeof dropout === 'number' || dropout.length === hidden.length) return
    context.addIssue({
      code: 'custom',
      path: ['dropout'],
      message: `a number, or an array of ${hidden.length}, because model.hidden has ${formatCounted(hidden.length, 'layer')}`,
      input: dropout,
    })
  })
}

/** Restricts the gain to the initialisation that has one. */
function gainFits() {
  return z.superRefine<{ init: string; initGain: number | null }>(({ init, initGain }, context) => {
    if (init === 'orthogonal' || initGain === null) return
    const message = `null, because model.init is "${init}"`
    context.addIssue({ code: 'custom', path: ['initGain'], message, input: initGain })
  })
}

/** The section `optimizer`: one variant for each kind of update. Types and data only; any thread. */
import * as z from 'zod'
import { fraction, help, positive } from './fields.js'

const LEARNING_RATE = 'Step size before the schedule scales it.'
const WEIGHT_DECAY =
  'Decoupled weight decay: every step subtracts learningRate · weightDecay · W from the weights, in addition to the ' +
  'gradient update; biases are exempt. It adds to `train.l2`.'
const weightDecay = (value: number) => z.number().min(0).default(value).meta(help(WEIGHT_DECAY))
// Default rates: 0.001 is Adam's own. A plain gradient is not normalised as Adam's is, and momentum here averages
// gradients, (1-β)g, rather than summing them, so both want steps a hundred times as large; nesterov sums them, ten in
// effect. RMSProp's gradient is normalised too. Lion moves each weight by the whole rate: its paper takes a tenth of Adam's.
const adam = z
  .strictObject({
    type: z.literal('adam').default('adam').meta(help('Adam, with bias correction by the global step.')),
    learningRate: positive().default(0.001).meta(help(LEARNING_RATE)),
    beta1: fraction().default(0.9).meta(help('Decay of the running mean of gradients.')),
    beta2: fraction().default(0.999).meta(help('Decay of the running mean of squared gradients.')),
    epsilon: positive().default(1e-8).meta(help('Added to the divisor, so that it is never zero.')),
  })
  .meta({ title: 'Adam' })
const adamw = z
  .strictObject({
    type: z
      .literal('adamw')
      .meta(help('Adam with decoupled weight decay, as in PyTorch and Keras; leave `train.l2` at 0 with it.')),
    ...{ learningRate: adam.shape.learningRate, beta1: adam.shape.beta1, beta2: adam.shape.beta2 },
    epsilon: adam.shape.epsilon,
    weightDecay: z
      .union([z.literal('auto'), z.number().min(0)])
      .default(0.01)
      .meta(help(`${WEIGHT_DECAY} \`auto\`: 2 / classes, and 1 for other tasks than classification (docs/tables.md).`)),
  })
  .meta({ title: 'AdamW' })
const momentum = z
  .strictObject({
    type: z
      .literal('momentum')
      .meta(
        help(
          'Gradient descent along the running mean of gradients v = βv + (1-β)g, bias-corrected. PyTorch and Keras sum ' +
            'gradients instead, v = βv + g: their learning rate corresponds to rate / (1-β) here, ten times theirs at 0.9.',
        ),
      ),
    learningRate: positive().default(0.1).meta(help(LEARNING_RATE)),
    beta1: fraction().default(0.9).meta(help('β of the running mean v = βv + (1-β)g.')),
    weightDecay: weightDecay(0),
  })
  .meta({ title: 'Momentum' })
const nesterov = z
  .strictObject({
    type: z
      .literal('nesterov')
      .meta(help("Nesterov's momentum as in PyTorch's SGD: gradients are summed, v = μv + g, and W -= rate·(g + μv).")),
    learningRate: positive().default(0.01).meta(help(LEARNING_RATE)),
    momentum: fraction().default(0.9).meta(help('μ, the fraction of the sum that is kept in every step.')),
    weightDecay: weightDecay(0),
  })
  .meta({ title: 'Nesterov momentum' })
const rmsprop = z
  .strictObject({
    type: z.literal('rmsprop').meta(help('Gradients divided by the root of their running mean square.')),
    learningRate: positive().default(0.001).meta(help(LEARNING_RATE)),
    beta2: fraction().default(0.99).meta(help('Decay of the running mean of squared gradients.')),
    epsilon: positive().default(1e-8).meta(help('Added to the divisor, so that it is never zero.')),
    weightDecay: weightDecay(0),
  })
  .meta({ title: 'RMSProp' })
const lion = z
  .strictObject({
    type: z
      .literal('lion')
      .meta(help('Update by the sign of a mean of gradients: every weight moves by the same amount.')),
    learningRate: positive().default(0.0001).meta(help(LEARNING_RATE)),
    beta1: fraction().default(0.9).meta(help('Weight of the running mean in the sum whose sign is taken.')),
    beta2: fraction().default(0.99).meta(help('Decay of the running mean of gradients.')),
    weightDecay: weightDecay(0),
  })
  .meta({ title: 'Lion' })
const sgd = z
  .strictObject({
    type: z.literal('sgd').meta(help('Plain gradient descent.')),
    learningRate: positive().default(0.1).meta(help(LEARNING_RATE)),
    weightDecay: weightDecay(0),
  })
  .meta({ title: 'Gradient descent' })
export const optimizer = z
  .discriminatedUnion('type', [adam, adamw, momentum, nesterov, rmsprop, lion, sgd])
  .prefault({})
  .meta({ title: 'Optimizer', description: 'The update of the weights by their gradients.' })

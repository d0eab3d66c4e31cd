/** The section `schedule`: one variant for each learning rate schedule. Types and data only; any thread. */
import * as z from 'zod'
import { count, fraction, help, positive } from './fields.js'

const warmup = z
  .strictObject({
    epochs: z.int().min(0).default(0).meta(help('Length of the warm-up in epochs.')),
    steps: z.int().min(0).default(0).meta(help('Length in steps; with both, they add up. 0 and 0: no warm-up.')),
    from: fraction()
      .default(0.1)
      .meta(help("Fraction of the schedule's initial learning rate that the warm-up begins with.")),
  })
  .prefault({})
  .meta({
    title: 'Warm-up',
    description:
      "Steps before the schedule begins, in which the learning rate rises linearly to the schedule's initial value.",
  })
const per = (value: 'epoch' | 'step', description: string) =>
  z.enum(['epoch', 'step']).default(value).meta(help(description))
const rateFactor = (value: number, description: string) =>
  z.number().positive().max(1).default(value).meta(help(description))
const BY_STEP = 'Whether the learning rate changes with every step or with every epoch.'
export const schedule = z
  .discriminatedUnion('type', [
    z
      .strictObject({
        type: z
          .literal('inverse-sqrt')
          .default('inverse-sqrt')
          .meta(help('learningRate / √(epoch + 1) / decayRate, epochs counted from 0.')),
        decayRate: positive().default(1).meta(help('Divisor of the learning rate in every epoch.')),
        per: per('epoch', `${BY_STEP} With \`step\`, fractions of an epoch count too.`),
        warmup,
      })
      .meta({ title: 'Inverse square root' }),
    z
      .strictObject({ type: z.literal('constant').meta(help('The same learning rate in every epoch.')), warmup })
      .meta({ title: 'Constant' }),
    z
      .strictObject({
        type: z.literal('step').meta(help('learningRate · factor^⌊epoch / everyEpochs⌋.')),
        everyEpochs: count().default(10).meta(help('Epochs between two reductions of the learning rate.')),
        factor: rateFactor(0.1, 'Factor on the learning rate at each reduction.'),
        warmup,
      })
      .meta({ title: 'Step' }),
    z
      .strictObject({
        type: z.literal('exponential').meta(help('learningRate · factor^epoch.')),
        factor: rateFactor(0.95, 'Factor on the learning rate per epoch.'),
        per: per('epoch', `${BY_STEP} With \`step\`, fractions of an epoch count too.`),
        warmup,
      })
      .meta({ title: 'Exponential' }),
    z
      .strictObject({
        type: z
          .literal('cosine')
          .meta(
            help(
              'Half a cosine from the learning rate down to its minimum, over the whole run: resume then refuses another `train.epochs`.',
            ),
          ),
        minimum: z
          .number()
          .min(0)
          .max(1)
          .default(0)
          .meta(help('Final learning rate, as a fraction of `learningRate`.')),
        per: per('step', BY_STEP),
        warmup,
      })
      .meta({ title: 'Cosine' }),
    z
      .strictObject({
        type: z
          .literal('one-cycle')
          .meta(
            help(
              'Up half a cosine from learningRate / divFactor to learningRate, then down another to ' +
                'learningRate / divFactor / finalDivFactor, over the whole run: resume then refuses another `train.epochs`.',
            ),
          ),
        pctStart: z
          .number()
          .min(0)
          .max(1)
          .default(0.3)
          .meta(help('Fraction of the run in which the learning rate rises.')),
        divFactor: z.number().min(1).default(25).meta(help('Ratio of learningRate to the initial learning rate.')),
        finalDivFactor: z
          .number()
          .min(1)
          .default(10000)
          .meta(help('Ratio of the initial learning rate to the final one.')),
        per: per('step', BY_STEP),
        warmup,
      })
      .meta({ title: 'One cycle' }),
    z
      .strictObject({
        type: z
          .literal('plateau')
          .meta(
            help('learningRate, multiplied by `factor` whenever the score has not improved for `patience` epochs.'),
          ),
        factor: rateFactor(0.1, 'Factor on the learning rate at each reduction.'),
        patience: count()
          .default(5)
          .meta(help('Epochs without a better score (`checkpoint.bestMetric`) before a reduction.')),
        minimum: z
          .number()
          .min(0)
          .max(1)
          .default(0)
          .meta(help('Smallest learning rate, as a fraction of `learningRate`.')),
        warmup,
      })
      .meta({ title: 'Plateau' }),
  ])
  .prefault({})
  .meta({ title: 'Schedule', description: 'The learning rate over the course of the run.' })

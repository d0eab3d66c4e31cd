/** The section `train`: epochs, mini-batches, loss, limits, early stopping. Types and data only; any thread. */
import * as z from 'zod'
import { count, fraction, help, positive } from './fields.js'

const LOSSES = ['cross-entropy', 'mean-squared-error'] as const
export type Loss = (typeof LOSSES)[number]

/** The loss of an experiment that names none. */
export const lossOfTask = (task: string): Loss => (task === 'regression' ? 'mean-squared-error' : 'cross-entropy')

export const train = z
  .strictObject({
    epochs: z
      .int()
      .min(0)
      .default(40)
      .meta(help('Passes over the training rows. 0 writes the initial weights and stops.')),
    batchSize: count()
      .default(32)
      .meta(
        help(
          'Rows of a mini-batch, counted over all workers: an optimizer step, unless `accumulateSteps` says otherwise. The ' +
            'last one of an epoch may be smaller.',
        ),
      ),
    accumulateSteps: count()
      .default(1)
      .meta(
        help(
          'Mini-batches of an optimizer step, which sums their gradients: the same as a `batchSize` so many times as ' +
            'large, but that only one mini-batch has to fit in memory, beside one gradient, 4 bytes a parameter; and that ' +
            'statistics of batch normalisation are those of each mini-batch. There is room for 256 rows in any case, so ' +
            'smaller mini-batches save none.',
        ),
      ),
    l2: z
      .number()
      .min(0)
      .default(0)
      .meta(
        help(
          'λ of the penalty λ/(2m)·Σ‖W‖², m being the samples of the step: λ/m·W is added to the gradient; biases are exempt. ' +
            "PyTorch's `weight_decay` w corresponds to λ = w·m, Keras' `L2(k)` to λ = 2·k·m.",
        ),
      ),
    loss: z
      .enum(LOSSES)
      .nullable()
      .default(null)
      .meta(
        help(
          'What training minimises. `cross-entropy`: of the softmax of the outputs. `mean-squared-error`: the mean over ' +
            'the outputs of (output - target)², with 1 as the target of the right class and 0 of the others. null: ' +
            '`cross-entropy` for classification, `mean-squared-error` for regression.',
        ),
      ),
    labelSmoothing: fraction()
      .default(0)
      .meta(
        help(
          'ε: learns (1-ε)·label + ε/classes in place of the label. The loss reported while training is that of the ' +
            'smoothed labels; scores are plain.',
        ),
      ),
    clipValue: positive()
      .nullable()
      .default(null)
      .meta(
        help(
          'Limits every number of the gradient to ±clipValue, before the L2 term is added; null: no limit. A gradient ' +
            'that overflows is then limited, not an error.',
        ),
      ),
    maxNorm: positive()
      .nullable()
      .default(null)
      .meta(
        help(
          'Scales the incoming weights of every hidden unit down to this Euclidean norm after an update that made them ' +
            'longer, as Srivastava et al. 2014 advise with dropout; biases do not count. null: no limit.',
        ),
      ),
    clipNorm: positive()
      .nullable()
      .default(null)
      .meta(
        help(
          'Scales the gradient of all parameters together down to this Euclidean norm where it is longer, before ' +
            '`clipValue` and the L2 term; null: never. Gradients then lie in memory, and a step has one more barrier.',
        ),
      ),
    ema: z
      .strictObject({
        decay: fraction()
          .gt(0)
          .nullable()
          .default(null)
          .meta(
            help(
              'Keeps a running average of every weight, average = d·average + (1 - d)·weight after each step, with d = ' +
                'min(decay, (1 + t) / (10 + t)) after t steps. Scores are then those of the averages, while training goes ' +
                'on with the weights, whose digest is `weightsSha256`. null: none.',
            ),
          ),
      })
      .prefault({})
      .meta({ title: 'Average', description: 'An exponential moving average of the weights.' }),
    earlyStopping: z
      .strictObject({
        patience: count()
          .nullable()
          .default(null)
          .meta(help('Epochs without a better score (`checkpoint.bestMetric`) after which the run ends; null: never.')),
        minDelta: z.number().min(0).default(0).meta(help('How much better a score must be to count.')),
        restoreBest: z
          .boolean()
          .default(true)
          .meta(help('Whether the final weights are those of the best epoch, if patience is set; else of the last.')),
      })
      .prefault({})
      .meta({ title: 'Early stopping', description: 'Ends a run that no longer gets better.' }),
    evaluateEverySteps: count()
      .nullable()
      .default(null)
      .meta(help('Steps between two scores of the validation rows, beside that after each epoch; null: only that.')),
    stopAfterSeconds: positive()
      .nullable()
      .default(null)
      .meta(help('Ends the run after so many seconds of training, at the end of a span of steps; null: never.')),
    onNonFinite: z
      .enum(['stop', 'skip', 'rollback'])
      .default('stop')
      .meta(
        help(
          'What to do with a mini-batch whose loss or gradient is not finite; it never changes the weights. `skip`: continue ' +
            'with the next one. `rollback`: continue from the last checkpoint with a smaller learning rate. A score that is ' +
            'not finite is left empty in any case, and training continues.',
        ),
      ),
    rollbackFactor: fraction().gt(0).default(0.5).meta(help('Multiplies the learning rate at every rollback.')),
    maxNonFinite: count().default(10).meta(help('How many skips or rollbacks a run may need; one more ends it.')),
  })
  .prefault({})
  .meta({ title: 'Training', description: 'How long, and on how much at a time.' })

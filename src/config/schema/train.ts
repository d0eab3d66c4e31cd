/** The section `train`: epochs, mini-batches, loss, limits, early stopping. Types and data only; any thread. */
import * as z from 'zod'
import { LOSSES } from '../tasks.js'
import { count, fraction, help, positive } from './fields.js'

export const train = z
  .strictObject({
    epochs: z
      .int()
      .min(0)
      .default(40)
      .meta(help('Passes over the training split. 0 writes the initial weights and stops.')),
    batchSize: count()
      .default(32)
      .meta(
        help(
          'Samples of a mini-batch, counted over all workers: one optimizer step, unless `accumulateSteps` is above 1. The ' +
            'last mini-batch of an epoch may be smaller.',
        ),
      ),
    accumulateSteps: count()
      .default(1)
      .meta(
        help(
          'Mini-batches per optimizer step, whose gradients are summed: as with a `batchSize` that many times as ' +
            'large, except that only one mini-batch has to fit in memory (besides one gradient, 4 bytes per parameter), and that ' +
            'batch normalisation takes its statistics from each mini-batch. Memory holds at least 256 samples in any case, so ' +
            'smaller mini-batches save none.',
        ),
      ),
    l2: z
      .number()
      .min(0)
      .default(0)
      .meta(
        help(
          'λ of the penalty λ/(2m)·Σ‖W‖², with m samples in the step: λ/m·W is added to the gradient; biases are exempt. ' +
            "PyTorch's `weight_decay` w corresponds to λ = w·m, Keras' `L2(k)` to λ = 2·k·m.",
        ),
      ),
    loss: z
      .enum(LOSSES)
      .nullable()
      .default(null)
      .meta(
        help(
          'Loss function. `cross-entropy`: of the softmax of the outputs. `binary-cross-entropy`: of the sigmoid of each ' +
            'output, the mean over the outputs. `mean-squared-error`: the mean over ' +
            'the outputs of (output - target)², with target 1 for the right class and 0 for the others. null: ' +
            '`cross-entropy` for classification, `binary-cross-entropy` for multi-label, `mean-squared-error` for regression. ' +
            'Classification can also have `mean-squared-error`; the other tasks have no other loss.',
        ),
      ),
    labelSmoothing: fraction()
      .default(0)
      .meta(
        help(
          'ε: the target is (1-ε)·label + ε/classes instead of the label. The loss reported during training is that of the ' +
            'smoothed labels; scores are not smoothed.',
        ),
      ),
    classWeights: z
      .union([z.literal('balanced'), z.record(z.string(), z.number().min(0))])
      .nullable()
      .default(null)
      .meta(
        help(
          'Weights of the classes: the loss and the gradient of a training sample are multiplied by that of its class. ' +
            '`balanced`: samples / (classes · samples of the class), as in scikit-learn, so that every class counts the same; or ' +
            'an object from class to weight, 1 for those that are left out. The gradient of a step is the weighted mean over its ' +
            "samples, Σ w·gradient / Σ w, as in PyTorch's `CrossEntropyLoss(weight)`; L2 is not weighted. Scores are not weighted. null: none.",
        ),
      ),
    clipValue: positive()
      .nullable()
      .default(null)
      .meta(
        help(
          'Clips every element of the gradient to ±clipValue, before the L2 term is added; null: no limit. A gradient ' +
            'that overflows is then clipped, not an error.',
        ),
      ),
    maxNorm: positive()
      .nullable()
      .default(null)
      .meta(
        help(
          'Scales the incoming weights of every hidden unit down to this Euclidean norm after an update that made them ' +
            'longer, as Srivastava et al. 2014 recommend with dropout; biases do not count. null: no limit.',
        ),
      ),
    clipNorm: positive()
      .nullable()
      .default(null)
      .meta(
        help(
          'Scales the gradient of all parameters together down to this Euclidean norm if it is longer, before ' +
            '`clipValue` and the L2 term; null: never. Gradients are then kept in memory, and a step has one more barrier.',
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
              'Keeps an exponential moving average of every weight, average = d·average + (1 - d)·weight after each step, with d = ' +
                'min(decay, (1 + t) / (10 + t)) after t steps. Scores are then those of the averages, while training ' +
                'continues with the weights, whose digest is `weightsSha256`. null: none.',
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
        minDelta: z
          .number()
          .min(0)
          .default(0)
          .meta(
            help(
              'Smallest improvement of the score that counts for `patience`, and for a plateau schedule. Which epoch is the best does ' +
                'not depend on it.',
            ),
          ),
        restoreBest: z
          .boolean()
          .default(true)
          .meta(
            help(
              'Return to the weights of the best epoch at the end, if patience is set; else keep those of the last.',
            ),
          ),
      })
      .prefault({})
      .meta({ title: 'Early stopping', description: 'Ends a run that no longer improves.' }),
    evaluateEverySteps: count()
      .nullable()
      .default(null)
      .meta(
        help('Steps between two scores of the validation split, besides the one after each epoch; null: only that.'),
      ),
    stopAfterSeconds: positive()
      .nullable()
      .default(null)
      .meta(help('Ends the run after this many seconds of training, at the end of a span of steps; null: never.')),
    onNonFinite: z
      .enum(['stop', 'skip', 'rollback'])
      .default('stop')
      .meta(
        help(
          'What to do with a mini-batch whose loss or gradient is not finite; it never changes the weights. `skip`: continue ' +
            'with the next one. `rollback`: continue from the last checkpoint by epochs or steps before it, with a smaller learning rate. A score that is ' +
            'not finite is left empty in any case, and training continues.',
        ),
      ),
    rollbackFactor: fraction().gt(0).default(0.5).meta(help('Factor on the learning rate at every rollback.')),
    maxNonFinite: count().default(10).meta(help('Limit of skips or rollbacks in a run; one more ends it.')),
  })
  .prefault({})
  .meta({ title: 'Training', description: 'Length of the run, mini-batches, loss and limits.' })

/** The sections `checkpoint` and `log`: what is saved while training. Types and data only; any thread. */
import * as z from 'zod'
import { metricOf, SCORE_NAMES } from '../scores.js'
import { count, help, positive } from './fields.js'

export const checkpoint = z
  .strictObject({
    everyEpochs: count().nullable().default(1).meta(help('Epochs between two checkpoints; null: not by epochs.')),
    keepLast: count().default(2).meta(help('Number of newest checkpoints to keep.')),
    keepBest: z
      .boolean()
      .default(true)
      .meta(
        help(
          'Save every epoch that is the best so far, whatever the schedule, and keep it until there is a better ' +
            'one; `best` points to it.',
        ),
      ),
    everySteps: count().nullable().default(null).meta(help('Steps between two checkpoints; null: not by steps.')),
    everySeconds: positive().nullable().default(null).meta(help('Seconds between two checkpoints; null: not by time.')),
    atEnd: z.boolean().default(true).meta(help('Save the run when it ends or is stopped.')),
    bestMetric: z
      .enum(['auto', 'validation-accuracy', 'validation-loss', 'train-loss', ...SCORE_NAMES.map(metricOf)])
      .default('auto')
      .meta(
        help(
          'Score that decides the best epoch; among equals, the first. `auto`: the accuracy on the validation split, for ' +
            'regression its loss; without a validation split, the training loss. Never the test split. Each of the other ' +
            'scores (docs/scores.md) is computed after every epoch if it is named here. An epoch without it, because it is ' +
            'undefined for the validation rows, is worse than any other.',
        ),
      ),
  })
  .prefault({})
  .meta({ title: 'Checkpoints', description: 'What is saved during training, and what is kept.' })

export const log = z
  .strictObject({
    tensorboard: z
      .boolean()
      .default(false)
      .meta(
        help(
          'Also write loss, accuracy, learning rate and throughput as an event file under `tensorboard/` in ' +
            'the run directory: `tensorboard --logdir runs` shows them.',
        ),
      ),
  })
  .prefault({})
  .meta({ title: 'Log', description: 'What is written besides metrics.jsonl.' })

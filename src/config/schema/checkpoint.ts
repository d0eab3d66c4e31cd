/** The sections `checkpoint` and `log`: what is saved while training. Types and data only; any thread. */
import * as z from 'zod'
import { count, help, positive } from './fields.js'

export const checkpoint = z
  .strictObject({
    everyEpochs: count().nullable().default(1).meta(help('Epochs between two checkpoints; null: not by epochs.')),
    keepLast: count().default(2).meta(help('How many of the newest checkpoints stay.')),
    keepBest: z
      .boolean()
      .default(true)
      .meta(
        help(
          'Whether every epoch that is the best so far is saved, whatever the schedule, and stays until there is a better ' +
            'one; `best` points to it.',
        ),
      ),
    everySteps: count().nullable().default(null).meta(help('Steps between two checkpoints; null: not by steps.')),
    everySeconds: positive().nullable().default(null).meta(help('Seconds between two checkpoints; null: not by time.')),
    atEnd: z.boolean().default(true).meta(help('Whether the run is saved when it ends or is stopped.')),
    bestMetric: z
      .enum(['auto', 'validation-accuracy', 'validation-loss', 'train-loss'])
      .default('auto')
      .meta(
        help(
          'What makes an epoch the best one; of equals the first. `auto`: the accuracy on the validation split, for ' +
            'regression its loss; without such samples the training loss. The test split never does.',
        ),
      ),
  })
  .prefault({})
  .meta({ title: 'Checkpoints', description: 'What is saved while training, and what stays.' })

export const log = z
  .strictObject({
    tensorboard: z
      .boolean()
      .default(false)
      .meta(
        help(
          'Whether loss, accuracy, learning rate and throughput are also written as an event file under `tensorboard/` in ' +
            'the run directory: `tensorboard --logdir runs` shows them.',
        ),
      ),
  })
  .prefault({})
  .meta({ title: 'Log', description: 'What is written down beside metrics.jsonl.' })

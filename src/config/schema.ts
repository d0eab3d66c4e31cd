/**
 * The experiment: combines the sections in schema/, where every setting has its limits, default and help, once. Types,
 * messages, JSON Schema and `docs/experiment.md` derive from it (see settings.ts). Data and types only; any thread.
 *
 * Every key but `data.dataset` has a default. Unknown keys are errors at every level.
 *
 * A new setting is an entry in its section's file, its use (mostly in worker/plan/plan.ts), a line in coordinator/changes.ts if `resume`
 * may change it, one in paths.ts if it is a path, and `npm run schema`.
 */
import * as z from 'zod'
import { augment } from './schema/augment.js'
import { checkpoint, log } from './schema/checkpoint.js'
import { compute } from './schema/compute.js'
import { data, taskOf } from './schema/data.js'
import { help, NAME_PATTERN, NAME_WANTED } from './schema/fields.js'
import { model } from './schema/model.js'
import { optimizer } from './schema/optimizer.js'
import {
  bestMetricFits,
  buffersFit,
  convolutionNormFits,
  mixupFits,
  normHasStatistics,
  rollbackIsOnSchedule,
  smoothingFits,
  taskFits,
  validationIsThere,
} from './schema/rules.js'
import { schedule } from './schema/schedule.js'
import { train } from './schema/train.js'
import { type Loss, lossOfTask } from './tasks.js'

export { DATASETS, NAME_PATTERN, OWN_TABLES } from './schema/fields.js'

/** Content of an experiment file. `parse` fills in every default; `resolveExperiment` has the better messages. */
export const experimentSchema = z
  .strictObject({
    $schema: z.string().optional().meta(help('Location of this schema, for editors. gradloom ignores it.')),
    name: z
      .string()
      .regex(NAME_PATTERN, { error: NAME_WANTED })
      .default('experiment')
      .meta(help(`Begins the run directory's name, so: ${NAME_WANTED}. Default: the file's name without \`.json\`.`)),
    seed: z.int().min(0).default(1).meta(help('Seed of every random number in the run.')),
    data,
    augment,
    model,
    train,
    optimizer,
    schedule,
    compute,
    checkpoint,
    log,
  })
  .check(
    rollbackIsOnSchedule(),
    validationIsThere(),
    buffersFit(),
    normHasStatistics(),
    convolutionNormFits(),
    smoothingFits(),
    mixupFits(),
    taskFits(),
    bestMetricFits(),
  )
  .meta({ title: 'gradloom experiment', description: 'A network, its data, and how it is trained.' })

/** Input of an experiment: `data.dataset`, and every setting that differs from the defaults. */
export type ExperimentInput = z.input<typeof experimentSchema>

/** Fills in the defaults that depend on other settings: a valid experiment becomes a complete one. */
export function settled({ $schema: _, ...experiment }: Parsed): Experiment {
  const { train } = experiment
  const data = { ...experiment.data, task: taskOf(experiment.data) }
  return { ...experiment, data, train: { ...train, loss: train.loss ?? lossOfTask(data.task) } }
}

/** Complete experiment: every default filled in. Deeply readonly, and frozen by `resolveExperiment`. */
export type Experiment = DeepReadonly<
  Omit<Parsed, '$schema' | 'train'> & { train: Omit<Parsed['train'], 'loss'> & { loss: Loss } }
>

type Parsed = z.output<typeof experimentSchema>

type DeepReadonly<T> = T extends readonly (infer Item)[]
  ? readonly DeepReadonly<Item>[]
  : T extends object
    ? { readonly [Key in keyof T]: DeepReadonly<T[Key]> }
    : T

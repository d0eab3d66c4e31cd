/** Plans a session: opens the data, settles what the experiment left to them, and plans memory and work. Main thread. */
import type { Experiment } from '../config/schema.js'
import { withTask } from '../config/task.js'
import { type DatasetSource, openDataset } from '../data/dataset.js'
import type { SavedInput } from '../data/input.js'
import { matchModel } from '../data/match.js'
import type { TrainingData } from '../data/memory.js'
import { type PlanOptions, planRun } from '../worker/plan/plan.js'
import { expectBestMetric, expectPictureSettings, expectValidation } from './check-settings.js'
import type { PreparedSession } from './load.js'
import { expectClassWeights } from './sample-weights.js'

const NEW_INPUT =
  '--from-input new takes columns, classes and scales from the data, for another model that begins with these weights'

/** Plans a session of a rank whose data rank 0 sends. */
export async function prepareReceiver(
  given: Experiment,
  data: DatasetSource,
  options: PlanOptions,
): Promise<PreparedSession> {
  const experiment = withTask(given, data.task)
  return { data, experiment, ...(await planRun(experiment, data, options)) }
}

/** Plans a session. `model`: the model whose columns and classes the data must have; null: as the data have them. */
export async function prepareSession(
  given: Experiment,
  baseDir: string,
  options: PlanOptions,
  samples?: TrainingData,
  model: SavedInput | null = null,
): Promise<PreparedSession> {
  const opened = await openDataset(given.data, { baseDir, samples, model })
  const experiment = withTask(given, opened.task)
  if (options.purpose === 'train') {
    expectValidation(experiment, opened)
    expectBestMetric(experiment, opened)
    expectPictureSettings(experiment, opened)
    expectClassWeights(experiment, opened)
  }
  const data = model === null ? opened : matchModel(opened, model, options.purpose === 'train' ? NEW_INPUT : undefined)
  return { data, experiment, ...(await planRun(experiment, data, options)) }
}

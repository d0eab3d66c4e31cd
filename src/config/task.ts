/** The task of an experiment that leaves it to its data. Pure; any thread. */
import { resolveExperiment } from './load.js'
import type { Experiment } from './schema.js'
import { lossOfTask, type Task } from './tasks.js'

/**
 * The experiment with the task that its data have decided, and the loss that follows from it. Throws ConfigError for settings
 * that this task does not have.
 */
export function withTask(experiment: Experiment, task: Task): Experiment {
  const { data, train } = experiment
  if (data.task !== 'auto') return experiment
  // One experiment serves tables of every task: what only classes have is left out for others. A loss that is no default of
  // classes was asked for, and is refused if it does not fit.
  const loss = train.loss === lossOfTask('auto') ? lossOfTask(task) : train.loss
  const ofTask = task === 'classification' ? {} : { loss, labelSmoothing: 0 }
  const complete = { ...experiment, data: { ...data, task }, train: { ...train, ...ofTask } }
  return resolveExperiment(complete, { where: experiment.name }).experiment
}

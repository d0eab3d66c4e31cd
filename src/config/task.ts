/** The task of an experiment that leaves it to its data. Pure; any thread. */
import { resolveExperiment } from './load.js'
import type { Experiment } from './schema.js'

/**
 * The experiment with the task that its data have decided, and the loss that follows from it. Throws ConfigError for settings
 * that this task does not have.
 */
export function withTask(experiment: Experiment, task: 'classification' | 'regression'): Experiment {
  const { data, train } = experiment
  if (data.task !== 'auto') return experiment
  // One experiment serves tables of both tasks: what only classes have is left out for numbers.
  const ofTask = task === 'regression' ? { loss: 'mean-squared-error' as const, labelSmoothing: 0 } : {}
  const complete = { ...experiment, data: { ...data, task }, train: { ...train, ...ofTask } }
  return resolveExperiment(complete, { where: experiment.name }).experiment
}

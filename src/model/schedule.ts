/** Learning-rate schedules: pure functions of the epoch. Runs in workers and in the coordinator. */
import type { Experiment } from '../config/schema.js'

/** The learning rate of an epoch, counted from 0. `inverse-sqrt` is rate / √(epoch + 1) / decayRate. */
export function learningRateAt(experiment: Pick<Experiment, 'optimizer' | 'schedule'>, epoch: number): number {
  const { optimizer, schedule } = experiment
  switch (schedule.type) {
    case 'constant':
      return optimizer.learningRate
    case 'inverse-sqrt':
      return optimizer.learningRate / Math.sqrt(epoch + 1) / schedule.decayRate
    default:
      return schedule satisfies never
  }
}

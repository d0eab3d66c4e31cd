/**
 * Checks of settings that need to know the data: the validation split, the task, the targets. Pure; main thread.
 */
import type { Experiment } from '../config/schema.js'
import { metricOf, type ScoreName, scoreNamesOf, scoreOfMetric } from '../config/scores.js'
import type { DatasetSource } from '../data/dataset.js'
import { ConfigError } from '../errors.js'
import { MNIST_SIDE } from '../picture/preparation.js'

/** Names of scores in the unit of a target. */
const OF_ONE_TARGET: readonly ScoreName[] = ['rmse', 'mae']

/** Checks the score that epochs are compared by, once task and targets are known: it must be one that they have. */
export function expectBestMetric(
  { checkpoint: { bestMetric } }: Experiment,
  { task, classNames, name }: DatasetSource,
): void {
  const score = scoreOfMetric(bestMetric)
  const names = scoreNamesOf(task)
  const several = task === 'regression' && classNames.length > 1
  const fitting = several ? names.filter(name => !OF_ONE_TARGET.includes(name)) : names
  if (score === null || fitting.includes(score)) return
  const why = several ? `${classNames.length} targets, which may have different units` : `the task "${task}"`
  throw new ConfigError(
    `checkpoint.bestMetric is "${bestMetric}", expected "auto", "validation-loss" or one of ` +
      `${fitting.map(name => `"${metricOf(name)}"`).join(', ')}; ${name} has ${why}`,
  )
}

/** Checks the settings that only pictures have, or only grey ones, once the shape of the data is known. */
export function expectPictureSettings({ data }: Experiment, { name, height, width, channels }: DatasetSource): void {
  const { normalise, preparation } = data
  if (normalise === 'standardise-channels' && height === 1 && channels === 1) {
    throw new ConfigError(
      `data.normalise is "${normalise}", expected "standardise" or another value, because the features of ${name} are no pictures`,
    )
  }
  if (channels > 1 && preparation !== 'auto' && preparation !== 'plain') {
    throw new ConfigError(
      `data.preparation is "${preparation}", expected "auto" or "plain", because the pictures of ${name} are in colour`,
      { hint: '--set data.channels=1 makes them grey' },
    )
  }
  if (preparation !== 'auto' && preparation !== 'plain' && (height !== MNIST_SIDE || width !== MNIST_SIDE)) {
    throw new ConfigError(
      `data.preparation is "${preparation}", which makes pictures of ${MNIST_SIDE} x ${MNIST_SIDE}, expected "auto" or "plain", because ` +
        (height === 1 ? `the features of ${name} are no pictures` : `the pictures of ${name} are ${width} x ${height}`),
    )
  }
}

/** Checks that settings have the validation split that they need: samples in memory or a split column may bring one. */
export function expectValidation({ data, train, checkpoint }: Experiment, source: DatasetSource): void {
  if (data.validation > 0 || (source.validationFrom ?? source.train.rows) < source.train.rows) return
  const refuse = (what: string) => {
    throw new ConfigError(`${what} needs a validation split, expected validation samples or data.validation > 0`)
  }
  if (train.evaluateEverySteps !== null) refuse(`train.evaluateEverySteps ${train.evaluateEverySteps}`)
  if (checkpoint.bestMetric.startsWith('validation-')) refuse(`checkpoint.bestMetric "${checkpoint.bestMetric}"`)
}

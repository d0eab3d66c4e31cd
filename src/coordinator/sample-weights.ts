/**
 * Weights of the training samples, from `train.classWeights` and from the data: written into the arena before training
 * begins. Main thread; writes `weights` of the layout.
 *
 * Letters: `N` samples of the training part.
 */
import { inspect } from 'node:util'
import type { Experiment } from '../config/schema.js'
import { nearest } from '../config/suggest.js'
import type { DatasetSource } from '../data/dataset.js'
import { ConfigError, DataError } from '../errors.js'
import { formatList } from '../format.js'
import { viewSlot } from '../tensor/arena.js'
import type { Layout } from '../worker/plan/layout.js'

type ClassWeights = Experiment['train']['classWeights']

/** Classes named in a message. */
const MOST_SHOWN = 20

/** Checks `train.classWeights` against the task and the classes of the data. Throws ConfigError. */
export function expectClassWeights(
  { train: { classWeights } }: Experiment,
  { task, name, classNames }: DatasetSource,
): void {
  if (classWeights === null) return
  if (task !== 'classification') {
    throw new ConfigError(
      `train.classWeights is ${inspect(classWeights)}, expected null, because ${name} has no classes; its task is "${task}"`,
    )
  }
  if (classWeights === 'balanced') return
  const unknown = Object.keys(classWeights).find(key => !classNames.includes(key))
  if (unknown === undefined) return
  const close = nearest(unknown, classNames)
  const known = formatList(
    classNames.map(each => inspect(each)),
    MOST_SHOWN,
  )
  throw new ConfigError(`train.classWeights has the class ${inspect(unknown)}, expected one of ${name}: ${known}`, {
    ...(close !== undefined && { hint: `did you mean ${inspect(close)}?` }),
  })
}

/**
 * Weight of each sample, the product of its class's and its own, divided by the mean over the training rows: a
 * gradient is a weighted mean, which a common factor does not change, and so losses of an epoch are weighted means too.
 * `own`: weights from the data. Throws DataError for one that is negative or not finite, and if all are 0.
 */
export function writeWeights(
  layout: Layout,
  memory: WebAssembly.Memory,
  { classNames, where }: DatasetSource,
  classWeights: ClassWeights,
  own: ArrayLike<number> | null, // (N)
  trainRows: Int32Array,
): void {
  if (layout.weights === null) return
  const weights = viewSlot(memory, layout.weights).data
  const labels = viewSlot(memory, layout.labels.train).data
  const ofClass = classWeights && weightsOfClasses(classWeights, classNames, labels, trainRows)
  const weightOf = (sample: number) => (ofClass?.[labels[sample]] ?? 1) * (own?.[sample] ?? 1)
  let sum = 0
  for (const sample of trainRows) {
    const weight = weightOf(sample)
    if (!(weight >= 0 && weight < Number.POSITIVE_INFINITY)) {
      throw new DataError(`${where}: the weight of sample ${sample} is ${weight}, expected a finite number >= 0`)
    }
    sum += weight
  }
  if (trainRows.length > 0 && !(sum > 0 && sum < Number.POSITIVE_INFINITY)) {
    throw new DataError(`${where}: the weights of the training samples add up to ${sum}, expected a finite number > 0`)
  }
  const factor = trainRows.length / sum
  weights.fill(0)
  for (const sample of trainRows) weights[sample] = weightOf(sample) * factor
}

/** Weight of each class; `balanced`: samples / (classes with samples x samples of the class), as scikit-learn has it. */
function weightsOfClasses(
  classWeights: NonNullable<ClassWeights>,
  classNames: readonly string[],
  labels: Int32Array,
  trainRows: Int32Array,
): number[] {
  if (classWeights !== 'balanced') return classNames.map(name => classWeights[name] ?? 1)
  const counts = classNames.map(() => 0)
  for (const sample of trainRows) counts[labels[sample]]++
  const present = counts.filter(count => count > 0).length
  return counts.map(count => (count > 0 ? trainRows.length / (present * count) : 1))
}

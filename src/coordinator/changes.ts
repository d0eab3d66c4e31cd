/** Classifies changes of a run's settings on resume by whether they keep the bits of the completed steps. Pure; main thread. */
import { isDeepStrictEqual } from 'node:util'
import type { Change } from '../config/diff.js'
import type { Experiment } from '../config/schema.js'
import { ConfigError } from '../errors.js'
import { dependsOnEpochs } from '../model/schedule.js'

/** Settings that are free to change: the completed steps would have had the same bits. */
const FREE = [
  ...['name', '$schema', 'train.epochs', 'train.stopAfterSeconds', 'train.evaluateEverySteps', 'checkpoint.'],
  ...['train.earlyStopping.patience', 'train.earlyStopping.restoreBest'],
  ...['compute.workers', 'compute.library', 'compute.maxRestarts', 'compute.machines'],
  ...['log.', 'data.preparation', 'data.from'],
]
/** Settings free to change if no step has been skipped, and no checkpoint may be rolled back to. */
const FREE_WHILE_STOPPING = ['train.onNonFinite', 'train.rollbackFactor', 'train.maxNonFinite']
/** Settings that decide to which checkpoints a run rolls back. */
const ROLLBACK_SCHEDULE = ['checkpoint.everySteps', 'checkpoint.everyEpochs']
/** Settings that decide which epoch is best. */
const JUDGED_BY = ['checkpoint.bestMetric', 'train.earlyStopping.minDelta']
/** Settings that the state of a run must fit. */
const SHAPE = /^(model\.(convolutions|hidden|norm)|train\.ema\.decay|data\.(dataset|normalise)|optimizer\.type)$/

/** True if the state of a run does not fit a change. Dropout of a convolution and the type of its pooling are in no tensor. */
const changesShape = ({ path, before, after }: Change): boolean =>
  SHAPE.test(path) && !(path === 'model.convolutions' && isDeepStrictEqual(tensorsOf(before), tensorsOf(after)))

const tensorsOf = (convolutions: unknown): unknown =>
  (convolutions as Experiment['model']['convolutions']).map(convolution => ({
    ...convolution,
    dropout: 0,
    pool: convolution.pool && { ...convolution.pool, type: 'max' },
  }))

/** True if a change only moves the data; their digests prove that they are the same. */
export const isPlace = ({ path }: Pick<Change, 'path'>): boolean => path === 'data.path' || path === 'data.testPath'

function isFree(change: Change, { train, schedule, augment }: Experiment): boolean {
  const { path, before, after } = change
  // A test file of its own decides which samples are trained on.
  if (isPlace(change)) return path === 'data.path' || (before === null) === (after === null)
  if (path === 'train.epochs' && (dependsOnEpochs(schedule) || augment.plainEpochs > 0)) return false
  if (schedule.type === 'plateau' && JUDGED_BY.includes(path)) return false
  if (JUDGED_BY.includes(path)) return true
  if (train.onNonFinite === 'rollback' && ROLLBACK_SCHEDULE.includes(path)) return false
  if (train.onNonFinite === 'stop' && FREE_WHILE_STOPPING.includes(path)) return true
  return FREE.some(free => path.startsWith(free))
}

/** Changes with which the completed steps would have had other bits, with the reason if it is not obvious. */
export const seriousChanges = (changes: readonly Change[], before: Experiment): Change[] =>
  changes
    .filter(change => !isFree(change, before))
    .map(change =>
      change.path === 'train.epochs' ? { ...change, text: `${change.text} (${epochsReason(before)})` } : change,
    )

/** Throws ConfigError for changes that are not allowed, and for those that are impossible. */
export function refuseChanges(path: string, serious: readonly Change[], allowed: boolean): void {
  const shape = serious.filter(changesShape)
  if (serious.length === 0 || (allowed && shape.length === 0)) return
  const list = (allowed ? shape : serious).map(({ text }) => text).join('; ')
  throw new ConfigError(
    allowed
      ? `${path}: ${list}; the state of the run does not fit the change`
      : `${path}: ${list}; the completed steps were trained with other settings, so this would be another run`,
    {
      hint:
        shape.length > 0
          ? 'npx gradloom train <experiment> --from <checkpoint> starts a new run from the weights'
          : 'start a new run, or resume with --allow-change, which the manifest records',
    },
  )
}

const epochsReason = ({ schedule, augment }: Experiment): string =>
  dependsOnEpochs(schedule)
    ? `schedule.type is "${schedule.type}", whose learning rates depend on the number of epochs from the first step on`
    : `the last ${augment.plainEpochs} epochs saw images without augmentation, augment.plainEpochs`

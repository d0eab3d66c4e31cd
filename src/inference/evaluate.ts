/** Scores the saved weights of a run or a checkpoint. Main thread; the workers compute. */
import { availableParallelism } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { resolveExperiment } from '../config/load.js'
import type { Experiment } from '../config/schema.js'
import { scoreNamesOf } from '../config/scores.js'
import { prepareSession } from '../coordinator/prepare.js'
import { Session } from '../coordinator/session.js'
import type { MatchedSource } from '../data/match.js'
import type { TargetScore } from '../data/regression-score.js'
import { isScoredWhole, wholeData } from '../data/scored-file.js'
import type { DataConfig } from '../data/source.js'
import { ConfigError, RunError } from '../errors.js'
import { precisionOfTitle } from '../kernels/choose.js'
import { chooseCompute } from '../kernels/choose-compute.js'
import { loadScored, type NamedWeights, readCheckpoint } from '../run/checkpoint-file.js'
import type { Score } from '../run/events.js'
import { locateDataOf } from '../run/locate-data.js'
import { FILES, type Manifest } from '../run/manifest.js'
import { againIfPruned, openRun, readRunJson } from '../run/open.js'
import { withBackendOf } from '../run/saved-run.js'
import { bitsOf } from '../run/training-state.js'
import { sizeOf } from '../tensor/tensor.js'
import { faultText } from '../worker/plan/faults.js'
import type { Split } from '../worker/plan/run-plan.js'

export interface EvaluateOptions {
  /** Default: the test split; with `dataPath` all rows of a table, an archive of arrays or a folder of pictures. */
  readonly split?: Split | undefined
  /** Default: as many as there are cores, whatever the run had. */
  readonly workers?: number | undefined
  /** File or folder to score, in the form of the experiment's data set; relative to the current folder. */
  readonly dataPath?: string
}

export interface Evaluation extends Score {
  /** "all": every row of the data that were named. */
  readonly split: Split | 'all'
  readonly rows: number
  /** Files that the samples were read from. */
  readonly files: readonly string[]
  /** Columns of a table that the model does not take. */
  readonly ignoredColumns: readonly string[]
  /** Note for the user; null if there is none. */
  readonly note: string | null
  /** Which rows of the file were not scored, and why. */
  readonly omissions: readonly string[]
  /** Rows whose class is right, or labels of all rows that are; not of regression. */
  readonly correct?: number
  /** Labels of a row, for multi-label. */
  readonly labels?: number
  /** Scores of each target, for regression with several. */
  readonly targets?: readonly NamedTargetScore[]
}

export interface NamedTargetScore extends TargetScore {
  readonly name: string
}

/** `target` is a run directory or a checkpoint file. Rejects with a GradloomError that says what is wrong with it. */
export async function evaluate(target: string, options: EvaluateOptions = {}): Promise<Evaluation> {
  return againIfPruned(() => evaluateOnce(target, options))
}

async function evaluateOnce(target: string, options: EvaluateOptions): Promise<Evaluation> {
  const { workers = availableParallelism(), dataPath } = options
  const opened = await openRun(target)
  const { input = null, training } = await readCheckpoint(opened.checkpoint)
  const { experiment: resolved } = resolveExperiment(opened.experiment, {
    where: opened.experimentFrom,
    overrides: [`compute.workers=${workers}`],
  })
  const recorded = await asTrained(resolved, training)
  const path = dataPath === undefined ? null : resolve(dataPath)
  const isWhole = path !== null && isScoredWhole(recorded.data) && options.split === undefined
  const experiment =
    path === null
      ? await locateDataOf(recorded, opened)
      : { ...recorded, data: await dataAt(recorded.data, path, isWhole) }
  const split = options.split ?? 'test'
  // The file's digest is that of the training part, if it has no other.
  const isSplitOfFile = path !== null && !isWhole && isScoredWhole(recorded.data)
  const prepared = await prepareSession(
    experiment,
    opened.runDir ?? dirname(opened.checkpoint),
    { purpose: 'evaluate', splits: isSplitOfFile ? ['train', split] : [split] },
    undefined,
    input,
  )
  const session = await Session.start(prepared, experiment, input)
  try {
    if (isSplitOfFile) await refuseOtherFile(opened.runDir, split, session)
    if (session.plan.rows[split] === 0) {
      throw new ConfigError(`${target}: the ${split} split is empty; data.validation is ${experiment.data.validation}`)
    }
    await loadInto(session, opened.checkpoint, experiment)
    const result = await session.score(split, scoreNamesOf(session.task))
    if (result.kind === 'score-fault') {
      throw new RunError(
        `${target}: scoring ${isWhole ? 'the rows' : `the ${split} split`}: ${faultText(result.code)}`,
        {
          hint: 'the weights overflow on these rows: look for outliers in the data, or try an earlier checkpoint',
        },
      )
    }
    const { rows, correct, score, targets } = result
    const matched = path !== null && 'ignored' in prepared.data ? (prepared.data as MatchedSource) : null
    const about = {
      ...{ split: isWhole ? ('all' as const) : split, rows, files: session.files.map(file => file.path) },
      ignoredColumns: matched?.ignored ?? [],
      note: [opened.note, matched?.note].filter(note => note != null).join('; ') || null,
      omissions: path === null ? [] : (prepared.data.omissions ?? []),
    }
    const { task, classNames } = session.input
    if (task === 'classification') return { ...about, ...score, correct }
    if (task === 'multi-label') return { ...about, ...score, correct, labels: classNames.length }
    if (targets.length === 1) return { ...about, ...score }
    return { ...about, ...score, targets: targets.map((each, k) => ({ name: classNames[k], ...each })) }
  } finally {
    await session.close()
  }
}

/**
 * The experiment with the backend and precision that computed the weights, where it left them to `auto` and they work here: scores are
 * then those of the run. Else as it is.
 */
async function asTrained(experiment: Experiment, training: unknown): Promise<Experiment> {
  const bits = bitsOf(training)
  if (bits === null) return experiment
  const pinned = withBackendOf(experiment, { ...bits, precision: precisionOfTitle(bits.library) })
  try {
    await chooseCompute(pinned.compute)
    return pinned
  } catch (error) {
    if (error instanceof ConfigError) return experiment
    throw error
  }
}

/** Data of the experiment at another path: all rows, or divided as in training. */
async function dataAt(data: DataConfig, path: string, isWhole: boolean): Promise<DataConfig> {
  if (!isWhole) return { ...data, path }
  return wholeData(data, path)
}

/** Throws ConfigError where a split of a file is asked for that the run was not trained on: it has no such rows. */
async function refuseOtherFile(runDir: string | null, split: Split, { files }: Session): Promise<void> {
  const manifest = runDir === null ? undefined : await readRunJson(join(runDir, FILES.manifest))
  const known = new Set((manifest as Partial<Manifest> | undefined)?.data?.files?.map(({ md5 }) => md5))
  const other = files.find(({ md5 }) => !known.has(md5))
  if (!other) return
  throw new ConfigError(
    `${other.path}: the ${split} split is that of the run's own data, and this file is another one; expected no split`,
    { hint: 'without --split, all rows of the file are scored' },
  )
}

async function loadInto(session: Session, checkpoint: string, experiment: Experiment): Promise<void> {
  const weights: NamedWeights[] = session
    .parameters()
    .map(({ name, shape }) => ({ name, shape, data: new Float32Array(sizeOf(shape)) }))
  await loadScored(checkpoint, weights, experiment.train.ema.decay)
  await session.storeParameters(weights)
}

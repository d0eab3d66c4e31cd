/** Scores the saved weights of a run or a checkpoint. Main thread; the workers compute. */
import { availableParallelism } from 'node:os'
import { dirname } from 'node:path'
import { resolveExperiment } from '../config/load.js'
import { prepareSession, Session } from '../coordinator/session.js'
import { deviation, unscaleRows } from '../data/input.js'
import { ConfigError } from '../errors.js'
import type { Score } from '../run/events.js'
import { openRun } from '../run/open.js'
import { loadScored, type NamedWeights, readCheckpoint } from '../run/save.js'
import { sizeOf } from '../tensor/tensor.js'
import type { Split } from '../worker/plan/run-plan.js'
import { Predictor } from './predictor.js'

export interface EvaluateOptions {
  readonly split?: Split
  /** Default: as many as there are cores, whatever the run had. */
  readonly workers?: number | undefined
  /** Folder with the data set, in place of the experiment's `data.path`. */
  readonly dataPath?: string
}

export interface Evaluation extends Score {
  readonly split: Split
  readonly rows: number
  /** Rows whose class is right; of classification. */
  readonly correct?: number
  /** Of regression with one target: root mean square of the errors, in its unit. */
  readonly rmse?: number
  /** Of regression with several: the same of each. */
  readonly targets?: readonly TargetError[]
}

export interface TargetError {
  readonly name: string
  readonly rmse: number
}

/** `target` is a run directory or a checkpoint file. Rejects with a GradloomError that says what is wrong with it. */
export async function evaluate(target: string, options: EvaluateOptions = {}): Promise<Evaluation> {
  const { split = 'test', workers = availableParallelism(), dataPath } = options
  const opened = await openRun(target)
  const { experiment } = resolveExperiment(opened.experiment, {
    where: opened.experimentFrom,
    overrides: [
      `compute.workers=${workers}`,
      ...(dataPath === undefined ? [] : [`data.path=${JSON.stringify(dataPath)}`]),
    ],
  })
  const prepared = await prepareSession(experiment, opened.runDir ?? dirname(opened.checkpoint), {
    purpose: 'evaluate',
    splits: [split],
  })
  const { input } = await readCheckpoint(opened.checkpoint)
  const session = await Session.start(prepared, experiment, input ?? null)
  try {
    if (session.plan.rows[split] === 0) {
      throw new ConfigError(
        `${target}: ${split} has 0 rows, expected some; data.validation is ${experiment.data.validation}`,
      )
    }
    const weights: NamedWeights[] = session
      .parameters()
      .map(({ name, shape }) => ({ name, shape, data: new Float32Array(sizeOf(shape)) }))
    await loadScored(opened.checkpoint, weights, experiment.train.ema.decay)
    await session.storeParameters(weights)
    const { rows, correct, ...score } = await session.score(split)
    const { targets } = session.input
    if (targets === null) return { split, rows, ...score, correct }
    const [factor, ...others] = targets.factor
    if (others.length === 0) return { split, rows, ...score, rmse: deviation(factor) * Math.sqrt(score.loss) }
    return { split, rows, ...score, targets: await targetErrors(opened.checkpoint, session, split) }
  } finally {
    await session.close()
  }
}

/** Workers sum one loss over all targets; which of them is how far off, the same weights say here once more. */
async function targetErrors(checkpoint: string, session: Session, split: Split): Promise<TargetError[]> {
  const predictor = await Predictor.open(checkpoint)
  const { features, targets: truth } = session.examples(split)
  unscaleRows(truth, session.input.targets!)
  const { data: predicted } = predictor.probabilities(features) // (N, K)
  const names = predictor.classNames
  const squares = new Float64Array(names.length)
  for (let i = 0; i < truth.length; i++) squares[i % names.length] += (predicted[i] - truth[i]) ** 2
  const rows = truth.length / names.length
  return names.map((name, k) => ({ name, rmse: Math.sqrt(squares[k] / rows) }))
}

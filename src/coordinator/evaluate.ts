/** Scores the saved weights of a run or a checkpoint. Main thread; the workers compute. */
import { availableParallelism } from 'node:os'
import { dirname } from 'node:path'
import { resolveExperiment } from '../config/load.js'
import { deviation } from '../data/input.js'
import { ConfigError } from '../errors.js'
import type { Score } from '../run/events.js'
import { openRun } from '../run/open.js'
import { loadScored, type NamedWeights, readCheckpoint } from '../run/weights.js'
import { sizeOf } from '../tensor/tensor.js'
import type { Split } from '../worker/protocol.js'
import { prepareSession, Session } from './session.js'

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
    session.storeParameters(weights)
    const { rows, correct, ...score } = await session.score(split)
    const { targets } = session.input
    if (targets === null) return { split, rows, ...score, correct }
    const { factor } = targets
    return { split, rows, ...score, ...(factor.length === 1 && { rmse: deviation(factor[0]) * Math.sqrt(score.loss) }) }
  } finally {
    await session.close()
  }
}

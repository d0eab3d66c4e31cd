/** Scores the saved weights of a run or a checkpoint. Main thread; the workers compute. */
import { availableParallelism } from 'node:os'
import { dirname } from 'node:path'
import { resolveExperiment } from '../config/load.js'
import { prepareSession, Session } from '../coordinator/session.js'
import type { TargetScore } from '../data/regression-score.js'
import { ConfigError, RunError } from '../errors.js'
import type { Score } from '../run/events.js'
import { openRun } from '../run/open.js'
import { loadScored, type NamedWeights, readCheckpoint } from '../run/save.js'
import { sizeOf } from '../tensor/tensor.js'
import { faultText } from '../worker/plan/faults.js'
import type { Split } from '../worker/plan/run-plan.js'

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
  /** Scores of each target, for regression with several. */
  readonly targets?: readonly NamedTargetScore[]
}

export interface NamedTargetScore extends TargetScore {
  readonly name: string
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
      throw new ConfigError(`${target}: the ${split} split is empty; data.validation is ${experiment.data.validation}`)
    }
    const weights: NamedWeights[] = session
      .parameters()
      .map(({ name, shape }) => ({ name, shape, data: new Float32Array(sizeOf(shape)) }))
    await loadScored(opened.checkpoint, weights, experiment.train.ema.decay)
    await session.storeParameters(weights)
    const result = await session.score(split)
    if (result.kind === 'score-fault') {
      throw new RunError(`${target}: scoring the ${split} split: ${faultText(result.code)}`, {
        hint: 'the weights overflow on these rows: look for outliers in the data, or try an earlier checkpoint',
      })
    }
    const { rows, correct, score, targets } = result
    if (targets.length === 0) return { split, rows, ...score, correct }
    if (targets.length === 1) return { split, rows, ...score }
    const { classNames } = session.input
    return { split, rows, ...score, targets: targets.map((each, k) => ({ name: classNames[k], ...each })) }
  } finally {
    await session.close()
  }
}

/**
 * The state of a run between two steps: everything that a checkpoint keeps besides weights, moments and the epoch's sums,
 * and values derived from it. Main thread.
 */
import type { Experiment } from '../config/schema.js'
import { RunError } from '../errors.js'
import { titleOf } from '../kernels/choose.js'
import { parameterCount, parametersOf } from '../model/parameters.js'
import { learningRateAt } from '../model/schedule.js'
import type { ProgressEvent, RunSummary, Score } from '../run/events.js'
import type { TrainingState } from '../run/training-state.js'
import { rowsPerStep, stepsPerEpoch } from '../worker/plan/clock.js'
import { faultText, isOfState } from '../worker/plan/faults.js'
import type { RunPlan } from '../worker/plan/run-plan.js'
import type { RunPoint } from './checkpointing.js'
import {
  type EarlyStoppingState,
  type EpochScore,
  NO_EPOCH_YET,
  scoreOf,
  stateAfterEpoch,
  stopsEarly,
} from './early-stopping.js'
import { Meter } from './meter.js'
import type { Session, Sums } from './session.js'
import type { ResumePoint } from './start.js'

/** Facts that determine the bits of a run, besides its experiment. */
export function bitsOf(plan: RunPlan, files: Session['files']): TrainingState['bits'] {
  const { backend, library, precision, allReduce, shardRows } = plan
  return {
    backend,
    library: library && titleOf(library, precision),
    allReduce,
    shardRows,
    data: files.map(({ md5 }) => md5),
  }
}

export const NO_SUMS = { loss: 0, correct: 0, rows: 0 } as const
/** State before the first step of any run. */
const BEGINNING = {
  step: 0,
  training: {
    ...{ sums: NO_SUMS, validation: null, standing: NO_EPOCH_YET },
    ...{ nonFinite: 0, rateFactor: 1, seconds: 0, rows: 0 },
  },
} as const

export class RunState {
  readonly #experiment: Experiment
  /** Completed steps. */
  step = 0
  meter = new Meter()
  /** Score of the last finished epoch; null: not finite; undefined: none yet, or no validation split. */
  validation: Score | null | undefined
  /** Number of skips and rollbacks so far, and the factor on the learning rate that results. */
  nonFinite = 0
  backoff = 1
  /** Reason why the run ends before its last epoch. */
  stopped: RunSummary['stopped']
  #earlyStopping: EarlyStoppingState = NO_EPOCH_YET

  constructor(experiment: Experiment) {
    this.#experiment = experiment
  }

  /** Takes the state of a checkpoint, or, with null, that before the first step. The session gets the epoch's sums. */
  continueFrom(point: ResumePoint | null, session: Session): void {
    const { step, training } = point ?? BEGINNING
    this.step = step
    const wasScored = session.plan.rows.validation > 0 && step >= stepsPerEpoch(session.plan)
    this.validation = wasScored ? (training.validation as Score | null) : undefined
    this.meter = new Meter()
    this.meter.goOn(training.rows, training.seconds)
    this.nonFinite = training.nonFinite
    this.backoff = training.rateFactor
    this.#earlyStopping = training.standing
    this.stopped = stopsEarly(training.standing, this.#experiment) ? 'early' : undefined
    session.setSums({ step, ...training.sums })
  }

  totalSteps({ plan }: Pick<Session, 'plan'>): number {
    return this.#experiment.train.epochs * stepsPerEpoch(plan)
  }

  /** Factor on the schedule's learning rate. */
  get rateFactor(): number {
    return this.backoff * this.#earlyStopping.rateFactor
  }

  /** Learning rate of the last completed step; schedules may change it every step. */
  learningRate({ plan }: Pick<Session, 'plan'>): number {
    return learningRateAt(plan, this.step - 1, stepsPerEpoch(plan)) * this.rateFactor
  }

  /** Compares a finished epoch with earlier ones, for early stopping and the plateau schedule. Returns its score. */
  judgeEpoch(session: Session, sums: Sums): number | null {
    const { value } = this.#epochScore(session, sums)
    this.#earlyStopping = stateAfterEpoch(this.#earlyStopping, this.#experiment, this.step, value)
    if (stopsEarly(this.#earlyStopping, this.#experiment)) this.stopped = 'early'
    return value
  }

  /** The run as a checkpoint records it. */
  point(session: Session): RunPoint {
    const { plan, files } = session
    const perEpoch = stepsPerEpoch(plan)
    const { loss, correct, rows } = session.sums()
    const { seconds } = this.meter.total()
    const epoch = Math.floor(this.step / perEpoch)
    const atEnd = this.step > 0 && this.step % perEpoch === 0
    return {
      step: this.step,
      epoch,
      rowsSeen: this.#rowsSeen(session),
      experiment: this.#experiment,
      input: session.input,
      training: {
        sums: { loss, correct, rows },
        validation: this.validation ?? null,
        nonFinite: this.nonFinite,
        rateFactor: this.backoff,
        standing: this.#earlyStopping,
        seconds,
        rows: this.meter.rows,
        bits: bitsOf(plan, files),
      },
      epochEnd: atEnd ? { done: epoch, score: this.#epochScore(session, { loss, correct, rows }) } : null,
    }
  }

  /** Part of the summary that every run has. */
  facts({ plan }: Session, status: RunSummary['status']) {
    const { name, seed } = this.#experiment
    const { seconds, samplesPerSecond } = this.meter.total()
    const exchangeShares = this.meter.exchangeShares()
    return {
      name,
      status,
      seed,
      backend: plan.backend,
      precision: plan.precision,
      workers: plan.workers,
      shardRows: plan.shardRows,
      allReduce: plan.allReduce,
      epochs: Math.floor(this.step / stepsPerEpoch(plan)),
      steps: this.step,
      ...(status === 'completed' && this.stopped && { stopped: this.stopped }),
      rowsSeen: this.#rowsSeen({ plan }),
      seconds,
      samplesPerSecond,
      ...(exchangeShares && { exchangeShares }),
      parameters: parameterCount(parametersOf(plan)),
    }
  }

  /** Progress within a span; null if there is none to report yet. */
  progress(session: Session): ProgressEvent | null {
    const sums = session.sums()
    const mean = session.meanOf(sums)
    if (!this.meter.running || mean === null) return null
    const perEpoch = stepsPerEpoch(session.plan)
    const done = Math.max(sums.step, 1)
    const samplesPerSecond = this.meter.rate(sums.step, rowsPerStep(session.plan))
    const rowsLeft = (this.totalSteps(session) - done) * rowsPerStep(session.plan)
    return {
      type: 'progress',
      epoch: Math.floor((done - 1) / perEpoch) + 1,
      epochs: this.#experiment.train.epochs,
      step: done,
      stepInEpoch: ((done - 1) % perEpoch) + 1,
      stepsPerEpoch: perEpoch,
      ...mean,
      samplesPerSecond,
      etaSeconds: samplesPerSecond > 0 ? rowsLeft / samplesPerSecond : 0,
    }
  }

  /** Error of a fault: in the next step or, if the state itself is not finite, in the last completed one. */
  faultError({ plan }: Session, fault: number): RunError {
    const epochs = this.step / stepsPerEpoch(plan)
    const epoch = isOfState(fault) ? Math.max(1, Math.ceil(epochs)) : Math.floor(epochs) + 1
    const consequence = isOfState(fault) ? 'earlier checkpoints stay as they are' : 'nothing was updated by that step'
    return new RunError(`training: epoch ${epoch}, step ${this.step}: ${faultText(fault)}; ${consequence}`, {
      hint: `lower optimizer.learningRate (${this.#experiment.optimizer.learningRate})`,
    })
  }

  #epochScore(session: Session, sums: Pick<Sums, 'loss' | 'correct' | 'rows'>): EpochScore {
    return scoreOf(this.#experiment, { train: session.meanOf(sums), validation: this.validation })
  }

  /** Samples of whole epochs, and of the whole mini-batches of the current one. */
  #rowsSeen({ plan }: Pick<Session, 'plan'>): number {
    const perEpoch = stepsPerEpoch(plan)
    return Math.floor(this.step / perEpoch) * plan.rows.train + (this.step % perEpoch) * rowsPerStep(plan)
  }
}

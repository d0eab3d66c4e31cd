/**
 * Where a run stands between two steps: all of it that a checkpoint keeps beside weights, moments and the epoch's sums,
 * and what follows from it. Main thread.
 */
import type { Experiment } from '../config/schema.js'
import { RunError } from '../errors.js'
import { titleOf } from '../kernels/choose.js'
import { parameterCount, parameterTable } from '../model/parameters.js'
import { learningRateAt } from '../model/schedule.js'
import type { ProgressEvent, RunSummary, Score } from '../run/events.js'
import type { TrainingState } from '../run/training-state.js'
import { rowsPerStep, stepsPerEpoch } from '../worker/plan/clock.js'
import { faultText, isOfState } from '../worker/plan/faults.js'
import type { RunPlan } from '../worker/plan/run-plan.js'
import type { Moment } from './checkpointing.js'
import { NEW_STANDING, type Standing, scoreOf, standingAfter, stopsEarly } from './early-stopping.js'
import { Meter } from './meter.js'
import type { Session, Sums } from './session.js'
import type { ResumePoint } from './start.js'

/** What the bits of a run come from, beside its experiment. */
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
/** Before the first step of any run. */
const BEGINNING = {
  step: 0,
  training: {
    ...{ sums: NO_SUMS, validation: null, standing: NEW_STANDING },
    ...{ nonFinite: 0, rateFactor: 1, seconds: 0, rows: 0 },
  },
} as const

export class RunState {
  readonly #experiment: Experiment
  /** Steps done. */
  step = 0
  meter = new Meter()
  validation: Score | undefined
  /** Skips and rollbacks so far, and what multiplies the learning rate since. */
  nonFinite = 0
  backoff = 1
  /** Why the run ends before its last epoch. */
  stopped: RunSummary['stopped']
  #standing: Standing = NEW_STANDING

  constructor(experiment: Experiment) {
    this.#experiment = experiment
  }

  /** As it was at a checkpoint, or, with null, before the first step. The epoch's sums are given to the session. */
  goOnFrom(point: ResumePoint | null, session: Session): void {
    const { step, training } = point ?? BEGINNING
    this.step = step
    this.validation = (training.validation as Score | null) ?? undefined
    this.meter = new Meter()
    this.meter.goOn(training.rows, training.seconds)
    this.nonFinite = training.nonFinite
    this.backoff = training.rateFactor
    this.#standing = training.standing
    this.stopped = stopsEarly(training.standing, this.#experiment) ? 'early' : undefined
    session.setSums({ step, ...training.sums })
  }

  totalSteps({ plan }: Pick<Session, 'plan'>): number {
    return this.#experiment.train.epochs * stepsPerEpoch(plan)
  }

  /** What the schedule's learning rate is multiplied by. */
  get rateFactor(): number {
    return this.backoff * this.#standing.rateFactor
  }

  /** Of the last step done: with some schedules no two are alike. */
  learningRate({ plan }: Pick<Session, 'plan'>): number {
    return learningRateAt(plan, this.step - 1, stepsPerEpoch(plan)) * this.rateFactor
  }

  /** How the run stands after an epoch. Returns whether it is the best so far. */
  judge(session: Session, sums: Sums): boolean {
    const { value } = this.#epochScore(session, sums)
    this.#standing = standingAfter(this.#standing, this.#experiment, this.step, value)
    if (stopsEarly(this.#standing, this.#experiment)) this.stopped = 'early'
    return this.#standing.best?.step === this.step
  }

  /** The run as a checkpoint records it. */
  moment(session: Session): Moment {
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
        standing: this.#standing,
        seconds,
        rows: this.meter.rows,
        bits: bitsOf(plan, files),
      },
      epochEnd: atEnd ? { done: epoch, score: this.#epochScore(session, { loss, correct, rows }) } : null,
    }
  }

  /** What a summary says of any run. */
  facts({ plan }: Session, status: RunSummary['status']) {
    const { name, seed } = this.#experiment
    const { seconds, samplesPerSecond } = this.meter.total()
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
      parameters: parameterCount(parameterTable(plan.widths, plan.norm.type)),
    }
  }

  /** In the midst of a span; null where there is nothing to tell yet. */
  progress(session: Session): ProgressEvent | null {
    const sums = session.sums()
    if (!this.meter.running || sums.rows === 0) return null
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
      ...session.meanOf(sums),
      samplesPerSecond,
      etaSeconds: samplesPerSecond > 0 ? rowsLeft / samplesPerSecond : 0,
    }
  }

  faultError({ plan }: Session, fault: number): RunError {
    const epoch = Math.floor(this.step / stepsPerEpoch(plan)) + 1
    const consequence = isOfState(fault) ? 'earlier checkpoints stay as they are' : 'nothing was updated by that step'
    return new RunError(`training: epoch ${epoch}, step ${this.step}: ${faultText(fault)}; ${consequence}`, {
      hint: `lower optimizer.learningRate (${this.#experiment.optimizer.learningRate})`,
    })
  }

  /** What makes an epoch better than another; larger is better. */
  #epochScore(session: Session, sums: Pick<Sums, 'loss' | 'correct' | 'rows'>): { metric: string; value: number } {
    // An epoch of which everything was left out is worse than any other.
    const train = { ...session.meanOf(sums), ...(sums.rows === 0 && { loss: Number.MAX_VALUE }) }
    return scoreOf(this.#experiment.checkpoint, { train, validation: this.validation ?? null })
  }

  /** Whole epochs, and whole mini-batches of the one under way. */
  #rowsSeen({ plan }: Pick<Session, 'plan'>): number {
    const perEpoch = stepsPerEpoch(plan)
    return Math.floor(this.step / perEpoch) * plan.rows.train + (this.step % perEpoch) * rowsPerStep(plan)
  }
}

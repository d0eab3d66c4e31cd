/**
 * One run, from initial weights to its summary: the loop over spans of steps, and the work between them. Main thread: it
 * hands spans to the workers, scores, has files written and informs observers; it never computes a step, so the event loop
 * stays free.
 */
import { performance } from 'node:perf_hooks'
import type { Experiment } from '../config/schema.js'
import type { TrainingData } from '../data/memory.js'
import { RunError } from '../errors.js'
import { shellWord } from '../format.js'
import type { WeightLayout } from '../import/assign.js'
import { networkText } from '../model/convolution.js'
import { parameterCount, parametersOf } from '../model/parameters.js'
import { CheckpointStore } from '../run/checkpoints.js'
import type { RunDirectory } from '../run/directory.js'
import type { RunSummary, TrainEvent } from '../run/events.js'
import { checkTrainingRows } from '../worker/plan/check-rows.js'
import { stepsPerEpoch } from '../worker/plan/clock.js'
import type { RunPlan } from '../worker/plan/run-plan.js'
import { Callbacks } from './callbacks.js'
import { Checkpointing, NO_MARKS } from './checkpointing.js'
import type { TrainControl } from './control.js'
import { Finish } from './finish.js'
import { NonFiniteSteps } from './non-finite.js'
import { type SharedRun, withResume } from './ranks.js'
import { recover } from './recovery.js'
import { Restarts } from './restarts.js'
import { NO_SUMS, RunState } from './run-state.js'
import { Scorer } from './scoring.js'
import { NonFiniteError, type Session, type StateSnapshot, type StepsRun } from './session.js'
import type { ResumePoint } from './start.js'
import { endsWithBest, snapshotWhenSettled, type Training } from './training-context.js'

export interface TrainOptions {
  /** Default: a new directory under `runs/` of the current one. null: write no files. */
  readonly runDir?: string | null | undefined
  /** Start from the weights of this checkpoint, run, or file of another program, instead of random ones. */
  readonly from?: string | undefined
  /** Orientation of weight matrices in a file of another program. Default: detected from names and shapes. */
  readonly fromLayout?: WeightLayout | undefined
  /** Names of the modules in a file of another program, first layer first. Default: detected from names and shapes. */
  readonly fromOrder?: readonly string[] | undefined
  /** Samples of an experiment whose `data.dataset` is "memory". */
  readonly data?: TrainingData | undefined
  /**
   * `kept` (default): columns, classes and scales are those of the model that `from` names, so that it is the same model
   * on other data. `new`: those of the data, for another model that begins with its weights.
   */
  readonly fromInput?: 'kept' | 'new' | undefined
  /** Aborting it ends the run after the current step, with status "interrupted". */
  readonly signal?: AbortSignal | undefined
  /**
   * Called with each event. If it throws, or returns a promise that is rejected, the run ends after the current step as failed, with its
   * weights saved, and rejects with a RunError that has the cause; `resume` continues it.
   */
  readonly onEvent?: ((event: TrainEvent) => void) | undefined
  /** Requests checkpoints during the run. */
  readonly control?: TrainControl | undefined
  /** The ranks that train together; this process is rank 0. Absent: it trains alone. */
  readonly ranks?: SharedRun | undefined
  /** Called with problems that do not end the run. If it fails, the run ends as with `onEvent`. */
  readonly onWarning?: ((message: string) => void) | undefined
}

export interface TrainerParts {
  /** Gives the session its first state; default: random weights. Not used with `from`. */
  readonly initialise?: (session: Session) => Promise<void>
  readonly session: Session
  readonly experiment: Experiment
  readonly options: TrainOptions
  readonly directory: RunDirectory | null
  readonly backendReason: string
  readonly backendAdvice: string | null
  readonly from?: ResumePoint | null
  /** Notes on the data, for the start event. */
  readonly notes?: readonly string[]
  readonly watch?: Watch
  /** Score the final weights. Default: true. */
  readonly scores?: boolean
}

/** Observer of the state after certain steps. */
export interface Watch {
  /** Ascending. */
  readonly steps: readonly number[]
  onState(step: number, state: StateSnapshot): Promise<void>
}

const PROGRESS_MS = 100

/** Maximum steps in a span: a line of metrics for each span. */
const SPAN_STEPS = 100

/** Result of a span of steps. A score that is not finite is not a fault of a step; see scoring.ts. */
type SpanResult = { readonly kind: 'done' } | { readonly kind: 'step-fault'; readonly code: number }
const DONE: SpanResult = { kind: 'done' }

export class Trainer {
  readonly #parts: TrainerParts
  readonly #training: Training
  readonly #scorer: Scorer
  readonly #nonFinite: NonFiniteSteps
  readonly #finish: Finish
  readonly #callbacks: Callbacks
  /** Requests that the run ends; over ranks, any of them may have been asked. */
  readonly #signal: AbortSignal | undefined

  constructor(parts: TrainerParts) {
    const { experiment, session, options, directory } = parts
    const callbacks = new Callbacks(options, () => session.requestStop())
    const warn = (message: string) => callbacks.warning(message)
    const emit = (event: Exclude<TrainEvent, { type: 'progress' }>) => {
      directory?.appendMetrics(event)
      callbacks.event(event)
    }
    this.#callbacks = callbacks
    this.#parts = parts
    const signals = [options.signal, session.ranks?.stopSignal].filter(signal => signal !== undefined)
    this.#signal = signals.length > 1 ? AbortSignal.any(signals) : signals[0]
    this.#training = {
      ...{ experiment, session, directory, emit, warn },
      state: new RunState(experiment),
      // Work that a worker of one rank has left undone cannot be taken up by the others.
      restarts: new Restarts(session.ranks ? 0 : experiment.compute.maxRestarts, warn),
      initialise: parts.initialise ?? (session => session.initialise()),
      checkpointing:
        directory &&
        new Checkpointing({
          store: new CheckpointStore(directory.checkpoints, experiment.checkpoint.keepLast),
          policy: experiment.checkpoint,
          punctual: experiment.train.onNonFinite === 'rollback',
          keepsBest: experiment.checkpoint.keepBest || endsWithBest(experiment),
          marks: parts.from?.training ?? NO_MARKS,
          onSaved: ({ file, ...saved }) => emit({ type: 'checkpoint', file: directory.relative(file), ...saved }),
          onWarning: warn,
        }),
    }
    this.#scorer = new Scorer(this.#training)
    this.#nonFinite = new NonFiniteSteps(this.#training)
    this.#finish = new Finish(this.#training, this.#scorer)
  }

  /** Trains to the end, from the initial weights or, with `from`, from the state that the session has been given. */
  async train(): Promise<RunSummary> {
    const { session, state } = this.#training
    const signal = this.#signal
    const stop = () => session.requestStop()
    signal?.addEventListener('abort', stop)
    if (signal?.aborted) stop()
    const progress = setInterval(() => this.#progress(), PROGRESS_MS)
    let [weightsAreWhole, isSaved] = [false, false]
    try {
      await this.#begin()
      weightsAreWhole = true
      this.#announce()
      while (state.step < state.totalSteps(session) && !this.#isToEnd()) {
        weightsAreWhole = false
        const before = state.step
        const result = await this.#span()
        weightsAreWhole = true
        if (result.kind === 'step-fault') await this.#nonFinite.leaveOut(result.code)
        if (state.step > before) await this.#afterSteps()
      }
      clearInterval(progress)
      this.#nonFinite.report()
      const runDir = this.#training.directory?.path
      this.#callbacks.expectNone(
        runDir === undefined
          ? 'the run has no directory, so nothing of it is kept'
          : `the weights of step ${state.step} are saved; npx gradloom resume ${shellWord(runDir)} continues the run`,
      )
      const summary = await this.#finish.finish(
        signal?.aborted ? 'interrupted' : 'completed',
        this.#parts.scores ?? true,
      )
      isSaved = true
      this.#callbacks.expectNone('the run itself is complete')
      return summary
    } catch (thrown) {
      const { failure } = session.ranks ?? {}
      const error =
        thrown instanceof NonFiniteError
          ? state.faultError(session, thrown.fault)
          : failure !== undefined && thrown === failure
            ? withResume(failure, this.#training.directory?.path)
            : thrown
      this.#nonFinite.report()
      this.#scorer.report()
      if (error instanceof RunError && !isSaved) await this.#finish.fail(error, weightsAreWhole)
      throw error
    } finally {
      clearInterval(progress)
      signal?.removeEventListener('abort', stop)
      this.#callbacks.close()
    }
  }

  #isToEnd(): boolean {
    return this.#signal?.aborted === true || this.#training.state.stopped !== undefined || this.#callbacks.hasFailed
  }

  async #begin(): Promise<void> {
    const { session, state, restarts, initialise } = this.#training
    const { from } = this.#parts
    if (from) state.continueFrom(from, session)
    else await restarts.repeat(session, () => initialise(session))
  }

  /** Trains to the next event: end of the epoch, a line of metrics, a score, a checkpoint. */
  async #span(): Promise<SpanResult> {
    const { session, state, experiment } = this.#training
    const perEpoch = stepsPerEpoch(session.plan)
    const from = state.step
    const inEpoch = from % perEpoch
    const before = inEpoch === 0 ? NO_SUMS : session.sums()

    const started = performance.now()
    state.meter.begin(from)
    const { step, fault, workers, ranks } = await this.#run(from, from + this.#spanSteps(from))
    const seconds = (performance.now() - started) / 1000
    if (step > from) {
      state.step = step
      const after = session.sums()
      const rows = after.rows - before.rows
      state.meter.end(rows, seconds)
      if (ranks) state.meter.exchange(ranks, 1000 * seconds)
      const mean = session.meanOf({ loss: after.loss - before.loss, correct: after.correct - before.correct, rows })
      this.#training.emit({
        type: 'steps',
        from,
        step,
        epoch: Math.floor(from / perEpoch) + 1,
        ...mean!,
        learningRate: state.learningRate(session),
        samplesPerSecond: rows / seconds,
        ...(workers && { workers }),
        ...(ranks && { ranks, totalMs: 1000 * seconds }),
      })
      const { stopAfterSeconds } = experiment.train
      if (stopAfterSeconds !== null && state.meter.total().seconds >= stopAfterSeconds) state.stopped ??= 'time'
    }
    return fault === 0 ? DONE : { kind: 'step-fault', code: fault }
  }

  /** Steps from `from` to the next event. */
  #spanSteps(from: number): number {
    const { session, experiment, checkpointing } = this.#training
    const perEpoch = stepsPerEpoch(session.plan)
    return Math.min(
      SPAN_STEPS,
      perEpoch - (from % perEpoch),
      session.windows?.stepsLeft(from) ?? SPAN_STEPS,
      checkpointing?.stepsLeft(from) ?? SPAN_STEPS,
      stepsTo(experiment.train.evaluateEverySteps, from),
      (this.#parts.watch?.steps.find(step => step > from) ?? Number.POSITIVE_INFINITY) - from,
    )
  }

  /** Runs steps. A worker that fails is replaced; the run may then be at an earlier step. */
  async #run(from: number, to: number): Promise<Omit<StepsRun, 'workers'> & Partial<StepsRun>> {
    const { session, state } = this.#training
    try {
      return await session.runSteps(from, to, state.rateFactor)
    } catch (error) {
      await recover(this.#training, error)
      return { step: session.sums().step, fault: 0 }
    }
  }

  /** Does the work between two spans: the end of an epoch or a score, a look at the state, a checkpoint. */
  async #afterSteps(): Promise<void> {
    const { session, state, experiment, emit } = this.#training
    const { step } = state
    const { evaluateEverySteps } = experiment.train
    if (step % stepsPerEpoch(session.plan) === 0) await this.#endEpoch()
    else if (evaluateEverySteps !== null && step % evaluateEverySteps === 0) {
      emit({ type: 'evaluation', step, validation: await this.#scorer.score('validation') })
    }
    const { watch } = this.#parts
    if (watch?.steps.includes(step)) await watch.onState(step, await snapshotWhenSettled(this.#training))
    await this.#checkpoint()
  }

  async #endEpoch(): Promise<void> {
    const { session, state, experiment, emit } = this.#training
    this.#nonFinite.report()
    const sums = session.sums()
    const epoch = state.step / stepsPerEpoch(session.plan)
    const learningRate = state.learningRate(session)
    const pace = state.meter.endEpoch()
    if (session.plan.rows.validation > 0) state.validation = await this.#scorer.score('validation')
    emit({
      type: 'epoch',
      epoch,
      epochs: experiment.train.epochs,
      step: state.step,
      train: session.epochMeanOf(sums),
      ...(state.validation !== undefined && { validation: state.validation }),
      learningRate,
      ...pace,
    })
    await this.#finish.keepBest(state.judgeEpoch(session, sums))
  }

  /** Takes a snapshot if one is due; it is written while training continues. */
  async #checkpoint(): Promise<void> {
    const { session, state, checkpointing, restarts } = this.#training
    if (!checkpointing) return
    if (this.#parts.options.control?.takeRequest()) checkpointing.request()
    // The last step is saved when the run ends.
    if (state.step === state.totalSteps(session)) return
    const point = state.point(session)
    if (!(await checkpointing.isDue(point))) return
    try {
      checkpointing.begin(await restarts.repeat(session, () => session.snapshot()), point)
    } catch (error) {
      if (!(error instanceof NonFiniteError)) throw error
      await this.#nonFinite.leaveOut(error.fault)
    }
  }

  #announce(): void {
    const { experiment, session, directory, emit, warn } = this.#training
    const { plan, layout } = session
    for (const message of checkTrainingRows(plan)) warn(message)
    const { backendReason, backendAdvice } = this.#parts
    const notes = [...(this.#parts.notes ?? []), ...settledNotes(experiment, plan)]
    emit({
      type: 'start',
      name: experiment.name,
      runDir: directory?.path ?? null,
      experiment,
      widths: plan.widths,
      ...(plan.convolutions.length > 0 && { network: networkText(plan.widths, plan.convolutions) }),
      ...(plan.embeddings.length > 0 && { embeddings: plan.embeddings }),
      backend: plan.backend,
      ...{ backendReason, backendAdvice },
      workers: plan.workers,
      parameters: parameterCount(parametersOf(plan)),
      rows: plan.rows,
      stepsPerEpoch: stepsPerEpoch(plan),
      memoryBytes: layout.bytes,
      ...(notes.length > 0 && { notes }),
    })
  }

  #progress(): void {
    const progress = this.#training.state.progress(this.#training.session)
    if (progress) this.#callbacks.event(progress)
  }
}

/** Settings that the data have decided, beside those in the notes of the data. */
const settledNotes = ({ optimizer: asked }: Experiment, { optimizer }: RunPlan): string[] =>
  asked.type === 'adamw' && asked.weightDecay === 'auto' && optimizer.type === 'adamw'
    ? [`optimizer.weightDecay "auto" is ${Number(optimizer.weightDecay.toPrecision(3))}`]
    : []

/** Steps from `step` to the next multiple of `every`. */
const stepsTo = (every: number | null, step: number): number =>
  every === null ? Number.POSITIVE_INFINITY : every - (step % every)

/**
 * One run, from initial weights to its summary. Main thread: it hands spans of steps to the workers, scores, writes
 * files and tells observers; it never computes a step, so the event loop stays free.
 */
import { performance } from 'node:perf_hooks'
import type { Experiment } from '../config/schema.js'
import type { TrainingData } from '../data/memory.js'
import { RunError } from '../errors.js'
import type { WeightLayout } from '../import/assign.js'
import { parameterCount, parameterTable } from '../model/parameters.js'
import { CheckpointStore } from '../run/checkpoints.js'
import type { RunDirectory } from '../run/directory.js'
import type { RunSummary, Score, StepsEvent, TrainEvent } from '../run/events.js'
import { weightsSha256 } from '../run/save.js'
import { stepsPerEpoch } from '../worker/plan/clock.js'
import { faultText, isOfState } from '../worker/plan/faults.js'
import type { Split } from '../worker/plan/run-plan.js'
import type { SpanReport } from '../worker/threads/protocol.js'
import { Checkpointing, type Marks } from './checkpointing.js'
import type { TrainControl } from './control.js'
import { workerTimes } from './phases.js'
import { Restarts } from './restarts.js'
import { NO_SUMS, RunState } from './run-state.js'
import { NonFiniteError, type Session, type StateSnapshot, type Sums } from './session.js'
import { type ResumePoint, restoreFirst, startsIn } from './start.js'

export interface TrainOptions {
  /** Default: a new directory under `runs/` of the current one. null: write no files. */
  readonly runDir?: string | null | undefined
  /** Start from the weights of this checkpoint, run, or file of another program, instead of random ones. */
  readonly from?: string | undefined
  /** How weights lie in a file of another program. Default: as names and shapes say. */
  readonly fromLayout?: WeightLayout | undefined
  /** Names of the modules in a file of another program, first layer first. Default: as names and shapes say. */
  readonly fromOrder?: readonly string[] | undefined
  /** Samples of an experiment whose `data.dataset` is "memory". */
  readonly data?: TrainingData | undefined
  /** Aborting it ends the run after the current step, with status "interrupted". */
  readonly signal?: AbortSignal | undefined
  readonly onEvent?: ((event: TrainEvent) => void) | undefined
  /** Asks for checkpoints while the run goes on. */
  readonly control?: TrainControl | undefined
  /** Something went wrong that does not end the run. */
  readonly onWarning?: ((message: string) => void) | undefined
}

export interface TrainerParts {
  /** Gives the session its first state; default: random weights. Not used with `from`. */
  readonly initialise?: (session: Session) => Promise<void>
  readonly experiment: Experiment
  readonly options: TrainOptions
  readonly directory: RunDirectory | null
  readonly backendReason: string
  readonly backendAdvice: string | null
  readonly from?: ResumePoint | null
  /** About the data, for the start event. */
  readonly notes?: readonly string[]
  readonly watch?: Watch
  /** Whether the final weights are scored. Default: true. */
  readonly scores?: boolean
}

/** Somebody who wants to see the state after certain steps. */
export interface Watch {
  /** Ascending. */
  readonly steps: readonly number[]
  onState(step: number, state: StateSnapshot): Promise<void>
}

const NOTHING_SAVED = { weightsSha256: null, checkpoint: null } as const
const NO_MARKS: Marks = { best: null, rollback: null }

/** Steps of a span at most: a line of metrics for each. */
const SPAN_STEPS = 100
const PROGRESS_MS = 100

export class Trainer {
  readonly #experiment: Experiment
  readonly #state: RunState
  readonly #options: TrainOptions
  readonly #directory: RunDirectory | null
  readonly #backend: Pick<TrainerParts, 'backendReason' | 'backendAdvice'>
  readonly #restarts: Restarts
  readonly #checkpointing: Checkpointing | null
  readonly #from: ResumePoint | null
  readonly #watch: Watch | undefined
  readonly #scores: boolean
  readonly #notes: readonly string[]
  readonly #initialise: (session: Session) => Promise<void>
  /** The state after the best epoch, of a run that has no directory to keep it in. */
  #bestCopy: { readonly step: number; readonly state: StateSnapshot } | undefined

  constructor({ experiment, options, directory, from = null, ...parts }: TrainerParts) {
    this.#experiment = experiment
    this.#state = new RunState(experiment)
    this.#options = options
    this.#directory = directory
    const { backendReason, backendAdvice } = parts
    this.#backend = { backendReason, backendAdvice }
    this.#from = from
    this.#watch = parts.watch
    this.#scores = parts.scores ?? true
    this.#notes = parts.notes ?? []
    this.#initialise = parts.initialise ?? (session => session.initialise())
    this.#restarts = new Restarts(experiment.compute.maxRestarts, message => this.#warn(message))
    const { checkpoint: policy } = experiment
    this.#checkpointing =
      directory &&
      new Checkpointing({
        store: new CheckpointStore(directory.checkpoints, policy),
        policy,
        punctual: experiment.train.onNonFinite === 'rollback',
        keepsEveryBest: endsWithBest(experiment),
        marks: from?.training ?? NO_MARKS,
        onSaved: ({ file, ...saved }) => this.#emit({ type: 'checkpoint', file: directory.relative(file), ...saved }),
        onWarning: message => this.#warn(message),
      })
  }

  /** Trains to the end, from the initial weights or, with `from`, from the state that the session has been given. */
  async train(session: Session): Promise<RunSummary> {
    const { signal } = this.#options
    const stop = () => session.requestStop()
    signal?.addEventListener('abort', stop)
    if (signal?.aborted) stop()
    const progress = setInterval(() => this.#progress(session), PROGRESS_MS)
    let weightsAreWhole = false
    try {
      if (this.#from) this.#state.goOnFrom(this.#from, session)
      else await this.#restarts.repeat(session, () => this.#initialise(session))
      weightsAreWhole = true
      this.#start(session)
      while (this.#state.step < this.#state.totalSteps(session) && !signal?.aborted && !this.#state.stopped) {
        weightsAreWhole = false
        const before = this.#state.step
        const fault = await this.#span(session)
        weightsAreWhole = true
        if (fault !== 0) await this.#leaveOut(session, fault)
        if (this.#state.step > before) {
          await this.#showWatch(session)
          await this.#checkpoint(session)
        }
      }
      clearInterval(progress)
      return await this.#finish(session, signal?.aborted ? 'interrupted' : 'completed')
    } catch (thrown) {
      const ofState = thrown instanceof NonFiniteError && isOfState(thrown.fault)
      const error = ofState ? this.#state.faultError(session, thrown.fault) : thrown
      if (error instanceof RunError) await this.#fail(session, error, weightsAreWhole)
      throw error
    } finally {
      clearInterval(progress)
      signal?.removeEventListener('abort', stop)
    }
  }

  /** Back to the newest whole checkpoint up to a step, or to the beginning. Says which. */
  async #goBack(session: Session, last: number): Promise<'checkpoint' | 'beginning'> {
    await this.#checkpointing?.settled()
    const warn = (message: string) => this.#warn(message)
    const starts = this.#directory ? await startsIn(this.#directory.checkpoints, warn, last) : []
    const point = await this.#restarts.repeat(session, () => restoreFirst(session, starts, warn))
    if (!point) await this.#restarts.repeat(session, () => this.#initialise(session))
    this.#state.goOnFrom(point, session)
    await this.#checkpointing?.goBackTo(this.#state.step, point?.training ?? NO_MARKS)
    await this.#directory?.cutMetrics(this.#state.step).catch(error => this.#warn(error.message))
    return point ? 'checkpoint' : 'beginning'
  }

  /** A span in which a worker failed: new ones go on from the end of the last step if its state is whole. */
  async #recover(session: Session, failure: unknown): Promise<void> {
    const { stateIsWhole } = await this.#restarts.restart(session, failure)
    const from = stateIsWhole ? 'memory' : await this.#goBack(session, Number.POSITIVE_INFINITY)
    const step = stateIsWhole ? session.sums().step : this.#state.step
    const error = (failure as Error).message
    this.#emit({ type: 'restart', step, from, error, restarts: this.#restarts.count })
  }

  /** Goes on without the step that came to numbers that are not finite, as the experiment says, or throws. */
  async #leaveOut(session: Session, fault: number): Promise<void> {
    const { onNonFinite: action, maxNonFinite, rollbackFactor } = this.#experiment.train
    const at = this.#state.step
    const error = this.#state.faultError(session, fault)
    session.clearFault()
    if (action === 'stop' || (action === 'skip' && isOfState(fault))) throw error
    if (this.#state.nonFinite === maxNonFinite) {
      throw new RunError(`${error.message}; train.maxNonFinite is ${maxNonFinite}`, { hint: error.hint })
    }
    const count = this.#state.nonFinite + 1
    let rateFactor = this.#state.backoff
    if (action === 'skip') await this.#skipStep(session)
    else {
      rateFactor *= rollbackFactor
      await this.#goBack(session, this.#checkpointing?.rollbackStep ?? -1)
    }
    this.#state.nonFinite = count
    this.#state.backoff = rateFactor
    this.#warn(
      action === 'skip'
        ? `${error.message}; it is left out`
        : `${error.message}; going on from step ${this.#state.step} with ${rateFactor.toPrecision(3)} times the learning rate`,
    )
    this.#emit({ type: 'non-finite', step: this.#state.step, at, action, fault: faultText(fault), count, rateFactor })
  }

  async #skipStep(session: Session): Promise<void> {
    const perEpoch = stepsPerEpoch(session.plan)
    const sums = this.#state.step % perEpoch === 0 ? NO_SUMS : session.sums()
    this.#state.step++
    session.setSums({ ...sums, step: this.#state.step })
    if (this.#state.step % perEpoch === 0) await this.#endEpoch(session)
  }

  /** Takes a snapshot if one is due; it is written while training goes on. */
  async #checkpoint(session: Session): Promise<void> {
    const checkpointing = this.#checkpointing
    if (!checkpointing) return
    if (this.#options.control?.takeRequest()) checkpointing.request()
    const moment = this.#state.moment(session)
    if (this.#state.step === this.#state.totalSteps(session) || !(await checkpointing.isDue(moment))) return
    try {
      checkpointing.begin(await this.#restarts.repeat(session, () => session.snapshot()), moment)
    } catch (error) {
      if (!(error instanceof NonFiniteError)) throw error
      await this.#leaveOut(session, error.fault)
    }
  }

  async #showWatch(session: Session): Promise<void> {
    if (!this.#watch?.steps.includes(this.#state.step)) return
    await this.#watch.onState(this.#state.step, await this.#snapshotWhenSettled(session))
  }

  /** Trains to the next event: end of the epoch, or a line of metrics. Returns the code of a fault, or 0. */
  async #span(session: Session): Promise<number> {
    const perEpoch = stepsPerEpoch(session.plan)
    const from = this.#state.step
    const inEpoch = from % perEpoch
    const epoch = Math.floor(from / perEpoch)
    const to =
      from +
      Math.min(
        SPAN_STEPS,
        perEpoch - inEpoch,
        this.#checkpointing?.stepsLeft(from) ?? SPAN_STEPS,
        stepsTo(this.#experiment.train.evaluateEverySteps, from),
        (this.#watch?.steps.find(step => step > from) ?? Number.POSITIVE_INFINITY) - from,
      )
    const before: Sums = inEpoch === 0 ? { step: from, loss: 0, correct: 0, rows: 0 } : session.sums()

    const started = performance.now()
    this.#state.meter.begin(from)
    const { step, fault, workers } = await this.#run(session, from, to)
    const seconds = (performance.now() - started) / 1000
    if (step <= from) return fault
    this.#state.step = step

    const after = session.sums()
    const rows = after.rows - before.rows
    this.#state.meter.end(rows, seconds)
    this.#emit({
      type: 'steps',
      from,
      step,
      epoch: epoch + 1,
      ...session.meanOf({ loss: after.loss - before.loss, correct: after.correct - before.correct, rows }),
      learningRate: this.#state.learningRate(session),
      samplesPerSecond: rows / seconds,
      ...(workers && { workers }),
    })
    const { stopAfterSeconds, evaluateEverySteps } = this.#experiment.train
    if (stopAfterSeconds !== null && this.#state.meter.total().seconds >= stopAfterSeconds)
      this.#state.stopped ??= 'time'
    if (fault !== 0) return fault
    if (step % perEpoch === 0) return await this.#endEpoch(session)
    return evaluateEverySteps !== null && step % evaluateEverySteps === 0 ? await this.#evaluate(session) : 0
  }

  /** Between two epochs. Returns the code of a fault, or 0. */
  async #evaluate(session: Session): Promise<number> {
    try {
      this.#emit({ type: 'evaluation', step: this.#state.step, validation: await this.#score(session, 'validation') })
      return 0
    } catch (error) {
      if (error instanceof NonFiniteError) return error.fault
      throw error
    }
  }

  /** The step after the last one that was done. A worker that fails is replaced, and the run may be further back then. */
  async #run(
    session: Session,
    from: number,
    to: number,
  ): Promise<Pick<SpanReport, 'step' | 'fault'> & Pick<StepsEvent, 'workers'>> {
    const { rateFactor } = this.#state
    try {
      const call = `run steps ${from}-${to}`
      const reports = await session.pool.all(call, worker => worker.run(from, to, { rateFactor }))
      const [{ step, fault }] = reports
      return { step, fault, workers: workerTimes(reports) }
    } catch (error) {
      await this.#recover(session, error)
      return { step: session.sums().step, fault: 0 }
    }
  }

  /** After the last step of an epoch. Returns the code of a fault, or 0. */
  async #endEpoch(session: Session): Promise<number> {
    const sums = session.sums()
    const epoch = this.#state.step / stepsPerEpoch(session.plan) - 1
    const learningRate = this.#state.learningRate(session)
    const { seconds, samplesPerSecond } = this.#state.meter.endEpoch()
    if (session.plan.rows.validation > 0) {
      try {
        this.#state.validation = await this.#score(session, 'validation')
      } catch (error) {
        if (error instanceof NonFiniteError) return error.fault
        throw error
      }
    }
    this.#emit({
      type: 'epoch',
      epoch: epoch + 1,
      epochs: this.#experiment.train.epochs,
      step: this.#state.step,
      train: session.meanOf(sums),
      ...(this.#state.validation && { validation: this.#state.validation }),
      learningRate,
      seconds,
      samplesPerSecond,
    })
    const isBest = this.#state.judge(session, sums)
    if (isBest && !this.#directory && endsWithBest(this.#experiment)) await this.#keepBest(session)
    return 0
  }

  /** A run that ends with its best weights and has no directory keeps a copy of them. */
  async #keepBest(session: Session): Promise<void> {
    const { parameters, moments } = await this.#snapshotWhenSettled(session)
    const copied = (tensors: StateSnapshot['parameters']) =>
      tensors.map(({ name, shape, data }) => ({ name, shape, data: data.slice() }))
    this.#bestCopy = { step: this.#state.step, state: { parameters: copied(parameters), moments: copied(moments) } }
  }

  /** The sums of the epoch stay as they are. */
  async #score(session: Session, split: Split): Promise<Score> {
    const sums = session.sums()
    try {
      const { rows: _, correct: __, ...score } = await this.#restarts.repeat(session, () => session.score(split))
      return score
    } finally {
      session.setSums(sums)
    }
  }

  /** Final scores and files. */
  async #finish(session: Session, status: 'completed' | 'interrupted'): Promise<RunSummary> {
    const { plan } = session
    const running = session.meanOf(session.sums())
    this.#emit({ type: 'finishing', what: 'save' })
    const last = await this.#save(session)
    const saved = status === 'completed' && this.#scores ? { ...last, ...(await this.#takeBest(session)) } : last
    if (!this.#scores) {
      return this.#end({ ...this.#state.facts(session, status), train: { loss: running.loss }, test: null, ...saved })
    }
    this.#emit({ type: 'finishing', what: 'evaluate' })
    const test = await this.#score(session, 'test')
    const train = status === 'completed' ? await this.#score(session, 'train') : { loss: running.loss }
    if (status === 'completed' && plan.rows.validation > 0) {
      this.#state.validation = await this.#score(session, 'validation')
    }
    return await this.#end({
      ...this.#state.facts(session, status),
      train,
      ...(this.#state.validation && { validation: this.#state.validation }),
      test,
      ...saved,
    })
  }

  /** Records the failure, with the last good weights where there are such. The error itself is the caller's to throw. */
  async #fail(session: Session, error: RunError, weightsAreWhole: boolean): Promise<void> {
    try {
      const saved = weightsAreWhole ? await this.#save(session).catch(() => NOTHING_SAVED) : NOTHING_SAVED
      await this.#end({
        ...this.#state.facts(session, 'failed'),
        error: error.message,
        train: null,
        test: null,
        ...saved,
      })
    } catch (second) {
      this.#options.onWarning?.(`the failure could not be recorded: ${(second as Error).message}`)
    }
  }

  /** Gives the session the weights of the best epoch, where the run is to end with them and they are not the last. */
  async #takeBest(session: Session): Promise<Partial<RunSummary>> {
    if (!endsWithBest(this.#experiment)) return {}
    const step = this.#directory ? this.#checkpointing!.bestStep : (this.#bestCopy?.step ?? null)
    if (step === null || step === this.#state.step) return {}
    const warn = (message: string) => this.#warn(message)
    let checkpoint: string | null = null
    if (this.#directory) {
      const [start] = await startsIn(this.#directory.checkpoints, warn, step)
      if (start?.checkpoint.step !== step || !(await restoreFirst(session, [start], warn))) {
        this.#warn(`the weights of step ${step}, the best, cannot be read; the last ones are taken`)
        return {}
      }
      checkpoint = this.#directory.relative(start.file)
    } else await session.restore(async into => copyState(into, this.#bestCopy!.state))
    const { parameters } = await this.#snapshotWhenSettled(session)
    return { weightsSha256: await weightsSha256(parameters), checkpoint, weightsStep: step }
  }

  /** The final weights, as far as the disk lets us: training is done, and its result must not be lost over a file. */
  async #save(session: Session): Promise<Pick<RunSummary, 'weightsSha256' | 'checkpoint' | 'notSaved'>> {
    const checkpointing = this.#checkpointing
    const wanted = checkpointing !== null && this.#experiment.checkpoint.atEnd
    // In any case, because numbers that are not finite are found here.
    const snapshot = await this.#snapshotWhenSettled(session)
    if (wanted) {
      try {
        const { weightsSha256, file } = await checkpointing.finish(snapshot, this.#state.moment(session))
        return { weightsSha256, checkpoint: this.#directory!.relative(file) }
      } catch (error) {
        this.#warn(`the final weights are not saved: ${(error as Error).message}`)
      }
    }
    const file = checkpointing?.saved?.file
    return {
      weightsSha256: await weightsSha256(snapshot.parameters),
      checkpoint: file === undefined ? null : this.#directory!.relative(file),
      ...(wanted && { notSaved: checkpointing.failure ?? 'the final weights' }),
    }
  }

  async #snapshotWhenSettled(session: Session): Promise<StateSnapshot> {
    await this.#checkpointing?.settled()
    return await this.#restarts.repeat(session, () => session.snapshot())
  }

  async #end(facts: RunSummary): Promise<RunSummary> {
    let summary = facts
    try {
      await this.#directory?.writeSummary(summary)
    } catch (error) {
      this.#warn((error as Error).message)
      summary = { ...facts, notSaved: facts.notSaved ?? (error as Error).message }
    }
    this.#emit({ type: 'end', summary })
    return summary
  }

  #warn(message: string): void {
    this.#options.onWarning?.(message)
  }

  #start({ plan, layout }: Session): void {
    this.#emit({
      type: 'start',
      name: this.#experiment.name,
      runDir: this.#directory?.path ?? null,
      experiment: this.#experiment,
      widths: plan.widths,
      backend: plan.backend,
      ...this.#backend,
      workers: plan.workers,
      parameters: parameterCount(parameterTable(plan.widths, plan.norm.type)),
      rows: plan.rows,
      ...(this.#notes.length > 0 && { notes: this.#notes }),
      stepsPerEpoch: stepsPerEpoch(plan),
      memoryBytes: layout.bytes,
    })
  }

  #progress(session: Session): void {
    const progress = this.#state.progress(session)
    if (progress) this.#options.onEvent?.(progress)
  }

  #emit(event: Exclude<TrainEvent, { type: 'progress' }>): void {
    this.#directory?.appendMetrics(event)
    this.#options.onEvent?.(event)
  }
}

const endsWithBest = ({ train: { earlyStopping } }: Experiment): boolean =>
  earlyStopping.patience !== null && earlyStopping.restoreBest

/** Steps from `step` to the next multiple of `every`. */
const stepsTo = (every: number | null, step: number): number =>
  every === null ? Number.POSITIVE_INFINITY : every - (step % every)

function copyState(into: StateSnapshot, from: StateSnapshot): void {
  for (const part of ['parameters', 'moments'] as const) {
    into[part].forEach(({ data }, i) => {
      data.set(from[part][i].data)
    })
  }
}

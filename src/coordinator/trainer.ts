/**
 * One run, from initial weights to its summary. Main thread: it hands spans of steps to the workers, scores, writes
 * files and tells observers; it never computes a step, so the event loop stays free.
 */
import { performance } from 'node:perf_hooks'
import type { Experiment } from '../config/schema.js'
import { RunError } from '../errors.js'
import { parameterCount, parameterTable } from '../model/parameters.js'
import { learningRateAt } from '../model/schedule.js'
import { CheckpointStore } from '../run/checkpoints.js'
import type { RunDirectory } from '../run/directory.js'
import type { RunSummary, Score, TrainEvent } from '../run/events.js'
import type { TrainingState } from '../run/training-state.js'
import { weightsSha256 } from '../run/weights.js'
import { titleOf } from '../tensor/kernels/choose.js'
import { stepsPerEpoch } from '../worker/clock.js'
import { faultText, type RunPlan } from '../worker/protocol.js'
import { Checkpointing, type Moment } from './checkpointing.js'
import type { TrainControl } from './control.js'
import { Meter } from './meter.js'
import type { Session, Sums } from './session.js'

export interface TrainOptions {
  /** Default: a new directory under `runs/` of the current one. null: write no files. */
  readonly runDir?: string | null | undefined
  /** Start from the weights of this checkpoint, or of this run, instead of random ones. */
  readonly from?: string | undefined
  /** Aborting it ends the run after the current step, with status "interrupted". */
  readonly signal?: AbortSignal | undefined
  readonly onEvent?: ((event: TrainEvent) => void) | undefined
  /** Asks for checkpoints while the run goes on. */
  readonly control?: TrainControl | undefined
  /** Something went wrong that does not end the run. */
  readonly onWarning?: ((message: string) => void) | undefined
}

/** Where a run goes on. */
export interface ResumePoint {
  readonly step: number
  readonly training: TrainingState
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
}

async function randomWeights({ pool }: Session): Promise<void> {
  await pool.all('initialise', worker => worker.initialise())
}

/** What the bits of a run come from, beside its experiment. */
export function bitsOf(plan: RunPlan, files: Session['files']): TrainingState['bits'] {
  const { backend, library, allReduce, shardRows } = plan
  return { backend, library: library && titleOf(library), allReduce, shardRows, data: files.map(({ md5 }) => md5) }
}

/** Steps of a span at most: a line of metrics for each. */
const SPAN_STEPS = 100
const PROGRESS_MS = 100

export class Trainer {
  readonly #experiment: Experiment
  readonly #options: TrainOptions
  readonly #directory: RunDirectory | null
  readonly #backend: Pick<TrainerParts, 'backendReason' | 'backendAdvice'>
  readonly #meter = new Meter()
  readonly #checkpointing: Checkpointing | null
  readonly #from: ResumePoint | null
  readonly #initialise: (session: Session) => Promise<void>
  #validation: Score | undefined
  #step = 0

  constructor({ experiment, options, directory, from = null, initialise = randomWeights, ...parts }: TrainerParts) {
    this.#experiment = experiment
    this.#options = options
    this.#directory = directory
    const { backendReason, backendAdvice } = parts
    this.#backend = { backendReason, backendAdvice }
    this.#from = from
    this.#initialise = initialise
    const { checkpoint } = experiment
    this.#checkpointing =
      directory &&
      new Checkpointing(
        new CheckpointStore(directory.checkpoints, checkpoint),
        checkpoint,
        from?.training.best ?? null,
        message => options.onWarning?.(message),
      )
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
      if (this.#from) this.#resume(session, this.#from)
      else await this.#initialise(session)
      weightsAreWhole = true
      this.#start(session)
      while (this.#step < this.#totalSteps(session) && !signal?.aborted) {
        weightsAreWhole = false
        const fault = await this.#span(session)
        weightsAreWhole = true
        if (fault !== 0) throw this.#faultError(session, fault)
        await this.#checkpoint(session)
      }
      clearInterval(progress)
      return await this.#finish(session, signal?.aborted ? 'interrupted' : 'completed')
    } catch (error) {
      if (error instanceof RunError) await this.#fail(session, error, weightsAreWhole)
      throw error
    } finally {
      clearInterval(progress)
      signal?.removeEventListener('abort', stop)
    }
  }

  #resume(session: Session, { step, training }: ResumePoint): void {
    this.#step = step
    this.#validation = training.validation ?? undefined
    this.#meter.goOn(training.rows, training.seconds)
    session.setSums({ step, ...training.sums })
  }

  /** Takes a snapshot if one is due; it is written while training goes on. */
  async #checkpoint(session: Session): Promise<void> {
    const checkpointing = this.#checkpointing
    if (!checkpointing) return
    if (this.#options.control?.takeRequest()) checkpointing.request()
    const moment = this.#moment(session)
    if (this.#step < this.#totalSteps(session) && checkpointing.isDue(moment)) {
      checkpointing.begin(await session.snapshot(), moment)
    }
  }

  /** The run as it is between two steps. */
  #moment(session: Session): Moment {
    const { plan, files } = session
    const perEpoch = stepsPerEpoch(plan)
    const { loss, correct, rows } = session.sums()
    const { seconds } = this.#meter.total()
    const epoch = Math.floor(this.#step / perEpoch)
    const atEnd = this.#step > 0 && this.#step % perEpoch === 0
    return {
      step: this.#step,
      epoch,
      rowsSeen: this.#rowsSeen(session),
      experiment: this.#experiment,
      training: {
        sums: { loss, correct, rows },
        validation: this.#validation ?? null,
        seconds,
        rows: this.#meter.rows,
        bits: bitsOf(plan, files),
      },
      epochEnd: atEnd
        ? {
            done: epoch,
            score: this.#validation
              ? { metric: 'validation accuracy', value: this.#validation.accuracy }
              : { metric: 'training loss, negated', value: -loss / rows },
          }
        : null,
    }
  }

  #totalSteps({ plan }: Session): number {
    return this.#experiment.train.epochs * stepsPerEpoch(plan)
  }

  /** Trains to the next event: end of the epoch, or a line of metrics. Returns the code of a fault, or 0. */
  async #span(session: Session): Promise<number> {
    const perEpoch = stepsPerEpoch(session.plan)
    const from = this.#step
    const inEpoch = from % perEpoch
    const epoch = Math.floor(from / perEpoch)
    const to = from + Math.min(SPAN_STEPS, perEpoch - inEpoch, this.#checkpointing?.stepsLeft(from) ?? SPAN_STEPS)
    const before: Sums = inEpoch === 0 ? { step: from, loss: 0, correct: 0, rows: 0 } : session.sums()

    const started = performance.now()
    this.#meter.begin(from)
    const [report] = await session.pool.all(`run steps ${from}-${to}`, worker => worker.run(from, to))
    const seconds = (performance.now() - started) / 1000
    this.#step = report.step
    if (report.step === from) return report.fault

    const after = session.sums()
    const rows = after.rows - before.rows
    this.#meter.end(rows, seconds)
    // Of the last step done: with some schedules no two are alike.
    const learningRate = learningRateAt(session.plan, report.step - 1, perEpoch)
    this.#emit({
      type: 'steps',
      step: report.step,
      epoch: epoch + 1,
      loss: (after.loss - before.loss) / rows,
      accuracy: (after.correct - before.correct) / rows,
      learningRate,
      samplesPerSecond: rows / seconds,
    })
    if (report.fault === 0 && report.step % perEpoch === 0) await this.#endEpoch(session, after, epoch, learningRate)
    return report.fault
  }

  async #endEpoch(session: Session, sums: Sums, epoch: number, learningRate: number): Promise<void> {
    const { seconds, samplesPerSecond } = this.#meter.endEpoch()
    if (session.plan.rows.validation > 0) {
      const { loss, accuracy } = await session.score('validation')
      this.#validation = { loss, accuracy }
    }
    this.#emit({
      type: 'epoch',
      epoch: epoch + 1,
      epochs: this.#experiment.train.epochs,
      step: this.#step,
      train: meanOf(sums),
      ...(this.#validation && { validation: this.#validation }),
      learningRate,
      seconds,
      samplesPerSecond,
    })
  }

  /** Final scores and files. */
  async #finish(session: Session, status: 'completed' | 'interrupted'): Promise<RunSummary> {
    const { plan } = session
    const running = meanOf(session.sums())
    this.#emit({ type: 'finishing', what: 'save' })
    const saved = await this.#save(session)
    this.#emit({ type: 'finishing', what: 'evaluate' })
    const { loss, accuracy } = await session.score('test')
    const train = status === 'completed' ? await session.score('train') : { loss: running.loss }
    if (status === 'completed' && plan.rows.validation > 0) {
      const score = await session.score('validation')
      this.#validation = { loss: score.loss, accuracy: score.accuracy }
    }
    return await this.#end({
      ...this.#facts(session, status),
      train: { loss: train.loss, ...('accuracy' in train && { accuracy: train.accuracy }) },
      ...(this.#validation && { validation: this.#validation }),
      test: { loss, accuracy },
      ...saved,
    })
  }

  /** Records the failure, with the last good weights where there are such. The error itself is the caller's to throw. */
  async #fail(session: Session, error: RunError, weightsAreWhole: boolean): Promise<void> {
    try {
      const saved = weightsAreWhole ? await this.#save(session) : { weightsSha256: null, checkpoint: null }
      await this.#end({
        ...this.#facts(session, 'failed'),
        error: error.message,
        train: null,
        test: null,
        ...saved,
      })
    } catch (second) {
      this.#options.onWarning?.(`the failure could not be recorded: ${(second as Error).message}`)
    }
  }

  async #save(session: Session): Promise<{ weightsSha256: string; checkpoint: string | null }> {
    const checkpointing = this.#checkpointing
    if (checkpointing && this.#experiment.checkpoint.atEnd) {
      const saved = await checkpointing.finish(() => session.snapshot(), this.#moment(session))
      return { weightsSha256: saved.weightsSha256, checkpoint: this.#directory!.relative(saved.file) }
    }
    await checkpointing?.settled()
    const file = checkpointing?.saved?.file
    const digest = await weightsSha256(session.parameters())
    return { weightsSha256: digest, checkpoint: file === undefined ? null : this.#directory!.relative(file) }
  }

  async #end(summary: RunSummary): Promise<RunSummary> {
    await this.#directory?.writeSummary(summary)
    this.#emit({ type: 'end', summary })
    return summary
  }

  #facts({ plan }: Session, status: RunSummary['status']) {
    const { name, seed } = this.#experiment
    const { seconds, samplesPerSecond } = this.#meter.total()
    return {
      name,
      status,
      seed,
      backend: plan.backend,
      precision: plan.precision,
      workers: plan.workers,
      shardRows: plan.shardRows,
      allReduce: plan.allReduce,
      epochs: Math.floor(this.#step / stepsPerEpoch(plan)),
      steps: this.#step,
      rowsSeen: this.#rowsSeen({ plan }),
      seconds,
      samplesPerSecond,
      parameters: parameterCount(parameterTable(plan.widths)),
    }
  }

  /** Whole epochs, and whole mini-batches of the one under way. */
  #rowsSeen({ plan }: Pick<Session, 'plan'>): number {
    const perEpoch = stepsPerEpoch(plan)
    return Math.floor(this.#step / perEpoch) * plan.rows.train + (this.#step % perEpoch) * plan.batchSize
  }

  #faultError({ plan }: Session, fault: number): RunError {
    const perEpoch = stepsPerEpoch(plan)
    return new RunError(
      `training: epoch ${Math.floor(this.#step / perEpoch) + 1}, step ${this.#step}: ${faultText(fault)}; ` +
        `nothing was updated by that step`,
      { hint: `lower optimizer.learningRate (${this.#experiment.optimizer.learningRate})` },
    )
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
      parameters: parameterCount(parameterTable(plan.widths)),
      rows: plan.rows,
      stepsPerEpoch: stepsPerEpoch(plan),
      memoryBytes: layout.bytes,
    })
  }

  #progress(session: Session): void {
    const sums = session.sums()
    if (!this.#meter.running || sums.rows === 0) return
    const perEpoch = stepsPerEpoch(session.plan)
    const done = Math.max(sums.step, 1)
    const samplesPerSecond = this.#meter.rate(sums.step, session.plan.batchSize)
    const rowsLeft = (this.#totalSteps(session) - done) * session.plan.batchSize
    this.#options.onEvent?.({
      type: 'progress',
      epoch: Math.floor((done - 1) / perEpoch) + 1,
      epochs: this.#experiment.train.epochs,
      step: done,
      stepInEpoch: ((done - 1) % perEpoch) + 1,
      stepsPerEpoch: perEpoch,
      ...meanOf(sums),
      samplesPerSecond,
      etaSeconds: samplesPerSecond > 0 ? rowsLeft / samplesPerSecond : 0,
    })
  }

  #emit(event: Exclude<TrainEvent, { type: 'progress' }>): void {
    this.#directory?.appendMetrics({ time: new Date().toISOString(), ...event })
    this.#options.onEvent?.(event)
  }
}

const meanOf = ({ loss, correct, rows }: Sums): Score =>
  rows > 0 ? { loss: loss / rows, accuracy: correct / rows } : { loss: 0, accuracy: 0 }

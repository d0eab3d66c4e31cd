/** State of a run from its events, as cards and charts show it. Pure; the browser, and tests. */
import type { ProgressEvent, RunSummary, Score } from '../../run/events.js'
import type { StoredEvent, StoredStart } from '../protocol.js'

/** Value as in `metrics.jsonl`; one that is not finite is a word. */
type Stored = number | string

export interface Point {
  /** Position in epochs, with fractions. */
  readonly x: number
  /** Value; null where it is not finite. */
  readonly y: number | null
}

export type CurveName = 'loss' | 'accuracy' | 'learningRate' | 'throughput'

/** Curves of a chart: training, and validation where the run is scored on validation rows. */
export type Curves = Readonly<Record<CurveName, { readonly training: Point[]; readonly validation: Point[] }>>

export interface WorkerPace {
  readonly samplesPerSecond: number
  /** Share of the time spent computing, 0 to 1. */
  readonly busy: number
}

/** Number of recent lines that the remaining time is estimated from, as other programs come and go. */
const PACE_LINES = 20

export class RunCurves {
  start: StoredStart | null = null
  summary: RunSummary | null = null
  curves: Curves = emptyCurves()
  /** Newest scores; null before the first. */
  loss: number | null = null
  /** Score of a regression: R². */
  accuracy: number | null = null
  isRegression = false
  validation: Score | null = null
  samplesPerSecond: number | null = null
  /** Of each rank of a run over several, the share of the last steps that it spent in exchanges. */
  exchangeShares: readonly number[] = []
  workers: readonly WorkerPace[] = []
  step = 0
  restarts = 0
  leftOut = 0
  #times: { readonly step: number; readonly atMs: number }[] = []
  #etaSeconds: number | null = null

  /** Clears the curves: the run was resumed from an earlier step, and its events are sent again. */
  reset(): void {
    Object.assign(this, new RunCurves())
  }

  add(events: readonly StoredEvent[]): void {
    for (const event of events) this.#add(event)
  }

  /** Applies progress, ten times a second, of a run in the server's process. */
  progress({ step, loss, samplesPerSecond, etaSeconds, ...score }: ProgressEvent): void {
    if (this.summary !== null || step < this.step) return
    Object.assign(this, { step, loss, accuracy: score.accuracy ?? this.accuracy, samplesPerSecond })
    this.#etaSeconds = etaSeconds
  }

  get steps(): number {
    return this.start ? this.start.stepsPerEpoch * this.start.experiment.train.epochs : 0
  }

  /** Completed share of the run, 0 to 1; 1 for a run that ended early. */
  get done(): number {
    if (this.summary?.status === 'completed') return 1
    return this.steps > 0 ? Math.min(1, this.step / this.steps) : 0
  }

  /** Estimated seconds to the end; null where unknown. */
  get etaSeconds(): number | null {
    if (this.summary !== null) return null
    if (this.#etaSeconds !== null) return this.#etaSeconds
    const [first, last] = [this.#times[0], this.#times.at(-1)]
    if (!first || !last || last.step <= first.step) return null
    const secondsAStep = (last.atMs - first.atMs) / 1000 / (last.step - first.step)
    return (this.steps - last.step) * secondsAStep
  }

  #add(event: StoredEvent): void {
    switch (event.type) {
      case 'start':
        this.start = event
        this.isRegression = event.experiment.data.task === 'regression'
        this.summary = null
        this.#times = []
        return
      case 'steps': {
        this.step = event.step
        const x = this.#epochOf(event.step)
        this.loss = this.#draw('loss', 'training', x, event.loss)
        // R² is of whole epochs: see below.
        if (!this.isRegression) this.accuracy = this.#draw('accuracy', 'training', x, qualityOf(event))
        this.#draw('learningRate', 'training', x, event.learningRate)
        this.samplesPerSecond = this.#draw('throughput', 'training', x, event.samplesPerSecond)
        this.workers = pacesOf(event)
        this.exchangeShares = (event.ranks ?? []).map(({ exchangeMs }) => exchangeMs / (event.totalMs ?? exchangeMs))
        this.#times = [...this.#times, { step: event.step, atMs: Date.parse(event.time) }].slice(-PACE_LINES)
        return
      }
      case 'epoch':
      case 'evaluation':
        if (event.type === 'epoch') {
          this.step = event.step
          const r2 = event.train?.r2
          if (typeof r2 === 'number') this.accuracy = this.#draw('accuracy', 'training', this.#epochOf(event.step), r2)
        }
        if (event.validation) {
          this.validation = event.validation
          const x = this.#epochOf(event.step)
          this.#draw('loss', 'validation', x, event.validation.loss)
          this.#draw('accuracy', 'validation', x, qualityOf(event.validation))
        }
        return
      case 'restart':
        this.restarts = event.restarts
        return
      case 'non-finite':
        this.leftOut = event.count
        return
      case 'end':
        this.summary = event.summary
        this.#etaSeconds = null
        return
      default:
        return
    }
  }

  #draw(name: CurveName, rows: 'training' | 'validation', x: number, value: Stored): number | null {
    const y = typeof value === 'number' ? value : null
    this.curves[name][rows].push({ x, y })
    return y
  }

  #epochOf(step: number): number {
    return this.start ? step / this.start.stepsPerEpoch : step
  }
}

/** Formats the accuracy, or R² for regression; a word where it is not finite. */
export const qualityOf = ({ accuracy, r2 }: Partial<Score>): Stored => accuracy ?? r2 ?? 'NaN'

function pacesOf({ workers, samplesPerSecond }: Extract<StoredEvent, { type: 'steps' }>): WorkerPace[] {
  if (!workers) return []
  const all = workers.reduce((sum, { tasks }) => sum + tasks, 0)
  return workers.map(({ computeMs, updateMs, waitMs, tasks }) => {
    const work = computeMs + updateMs
    const share = all > 0 ? tasks / all : 0
    return { samplesPerSecond: samplesPerSecond * share, busy: work + waitMs > 0 ? work / (work + waitMs) : 0 }
  })
}

const emptyCurves = (): Curves => ({
  loss: { training: [], validation: [] },
  accuracy: { training: [], validation: [] },
  learningRate: { training: [], validation: [] },
  throughput: { training: [], validation: [] },
})

/** Samples and seconds of training, without start-up, scoring and files. Main thread. */
import { performance } from 'node:perf_hooks'
import type { RankTraffic } from '../run/events.js'

export interface Pace {
  readonly seconds: number
  readonly samplesPerSecond: number
}

const pace = (rows: number, seconds: number): Pace => ({ seconds, samplesPerSecond: seconds > 0 ? rows / seconds : 0 })

export class Meter {
  #rows = 0
  #seconds = 0
  #rankMs = 0
  #exchangeMs: readonly number[] = []
  #epochRows = 0
  #epochSeconds = 0
  /** Start time and first step of the current span. */
  #span: { readonly started: number; readonly step: number } | undefined

  get running(): boolean {
    return this.#span !== undefined
  }

  /** Samples trained so far. */
  get rows(): number {
    return this.#rows
  }

  /** Continues the counts of an earlier process. */
  goOn(rows: number, seconds: number): void {
    this.#rows += rows
    this.#seconds += seconds
  }

  begin(step: number): void {
    this.#span = { started: performance.now(), step }
  }

  end(rows: number, seconds: number): void {
    this.#span = undefined
    this.#rows += rows
    this.#seconds += seconds
    this.#epochRows += rows
    this.#epochSeconds += seconds
  }

  /** Samples per second up to now, given the step that the workers have reached. */
  rate(step: number, batchRows: number): number {
    const span = this.#span
    const rows = span ? Math.max(0, step - span.step) * batchRows : 0
    const seconds = span ? (performance.now() - span.started) / 1000 : 0
    return pace(this.#rows + rows, this.#seconds + seconds).samplesPerSecond
  }

  /** Adds the exchanges of some steps of a run over several ranks, which took so long. */
  exchange(ranks: readonly RankTraffic[], ms: number): void {
    this.#rankMs += ms
    this.#exchangeMs = ranks.map(({ exchangeMs }, rank) => (this.#exchangeMs[rank] ?? 0) + exchangeMs)
  }

  /** Share of the time of steps that each rank has spent in exchanges; undefined: there are no ranks. */
  exchangeShares(): number[] | undefined {
    return this.#rankMs > 0 ? this.#exchangeMs.map(ms => ms / this.#rankMs) : undefined
  }

  endEpoch(): Pace {
    const epoch = pace(this.#epochRows, this.#epochSeconds)
    this.#epochRows = 0
    this.#epochSeconds = 0
    return epoch
  }

  total(): Pace {
    return pace(this.#rows, this.#seconds)
  }
}

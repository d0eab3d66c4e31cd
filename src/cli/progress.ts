/**
 * Shows the progress of a run: on a terminal a live bar with a lasting line per epoch above it, elsewhere plain lines.
 * Main thread; writes to one stream.
 */
import { SingleBar } from 'cli-progress'
import type { ProgressEvent, TrainEvent } from '../run/events.js'
import { barLine, epochLine, progressLine, startLines } from './train-lines.js'

/** Minimum time between two progress lines within an epoch, without a bar. */
const PLAIN_INTERVAL_MS = 5000

export interface ProgressOptions {
  readonly stream: NodeJS.WriteStream
  readonly cwd: string
  /** Milliseconds of a monotonic clock. */
  readonly now?: () => number
}

export class ProgressView {
  #bar: SingleBar | undefined
  #lastPlainMs: number
  readonly #stream: NodeJS.WriteStream
  readonly #cwd: string
  readonly #now: () => number

  constructor({ stream, cwd, now = () => performance.now() }: ProgressOptions) {
    this.#stream = stream
    this.#cwd = cwd
    this.#now = now
    this.#lastPlainMs = now()
  }

  /** Call it with every event of a run, in order. */
  show(event: TrainEvent): void {
    switch (event.type) {
      case 'start':
        this.note(...startLines(event, this.#cwd), '')
        break
      case 'progress':
        if (this.#stream.isTTY) this.#updateBar(event)
        else this.#maybeLine(event)
        break
      case 'epoch':
        this.note(epochLine(event))
        this.#lastPlainMs = this.#now()
        break
      case 'finishing':
        this.note(event.what === 'evaluate' ? 'scoring the test samples' : 'saving the weights')
        break
      case 'steps': // for metrics.jsonl; progress events carry the same, more often
      case 'end': // shown by the caller, who knows where results are printed
        this.close()
        break
    }
  }

  /** Lasting lines, above the bar if there is one: the next progress event draws it again. */
  note(...lines: string[]): void {
    this.close()
    this.#stream.write(lines.map(line => `${line}\n`).join(''))
  }

  /** Removes the bar and restores the cursor. May be called at any time, and repeatedly. */
  close(): void {
    this.#bar?.stop()
    this.#bar = undefined
  }

  #updateBar(event: ProgressEvent): void {
    if (this.#bar) {
      this.#bar.update(event.step, { event })
      return
    }
    this.#bar = new SingleBar({
      stream: this.#stream,
      format: (_options, { maxWidth }, payload: { event: ProgressEvent }) => barLine(payload.event, maxWidth),
      clearOnComplete: true,
      hideCursor: true,
      gracefulExit: false, // the command handles Ctrl-C: it saves the weights
      etaAsynchronousUpdate: false,
    })
    this.#bar.start(event.stepsPerEpoch * event.epochs, event.step, { event })
  }

  #maybeLine(event: ProgressEvent): void {
    if (this.#now() - this.#lastPlainMs < PLAIN_INTERVAL_MS) return
    this.#lastPlainMs = this.#now()
    this.note(progressLine(event))
  }
}

/** Shows the events of `data fetch` on stderr: a bar on a terminal, plain lines elsewhere. Main thread. */
import { SingleBar } from 'cli-progress'
import type { FetchEvent } from '../data/fetch.js'
import { formatBytes } from '../format.js'

export interface FetchProgress {
  show(event: FetchEvent): void
  /** Clears an unfinished bar. Nothing is shown after this. */
  stop(): void
}

/** Smaller files are over before a line about them can be read. */
const MIN_BYTES_FOR_QUARTERS = 1_000_000

export function fetchProgress(terminal: boolean): FetchProgress {
  return terminal ? new BarProgress() : new LineProgress()
}

/** Line for an event that both forms show alike. */
function lineOf(event: Exclude<FetchEvent, { type: 'progress' }>): string {
  switch (event.type) {
    case 'trouble':
      return `${event.file}: ${event.url}: ${event.reason}; ${event.next}\n`
    case 'replaced':
      return `${event.file}: the existing file is wrong and was kept as ${event.keptAs}; ${event.reason}\n`
    case 'file':
      return `${event.file}: ${event.status === 'present' ? 'already there and correct' : 'fetched and correct'}\n`
  }
}

class LineProgress implements FetchProgress {
  #current = ''
  #shownQuarter = 0

  show(event: FetchEvent): void {
    if (event.type !== 'progress') {
      process.stderr.write(lineOf(event))
      return
    }
    const { file, url, bytes, totalBytes } = event
    if (this.#current !== url) {
      this.#current = url
      this.#shownQuarter = 0
      process.stderr.write(`${file}: ${bytes > 0 ? `continuing at ${formatBytes(bytes)} of ` : ''}${url}\n`)
    }
    if (totalBytes === null || totalBytes < MIN_BYTES_FOR_QUARTERS) return
    const quarter = Math.floor((4 * bytes) / totalBytes)
    if (quarter <= this.#shownQuarter) return
    this.#shownQuarter = quarter
    process.stderr.write(`${file}: ${25 * quarter} % of ${formatBytes(totalBytes)}\n`)
  }

  stop(): void {}
}

class BarProgress implements FetchProgress {
  #bar: SingleBar | null = null

  show(event: FetchEvent): void {
    if (event.type !== 'progress') {
      this.stop()
      process.stderr.write(lineOf(event))
      return
    }
    const { file, bytes, totalBytes } = event
    const payload = { file, done: formatBytes(bytes), all: totalBytes === null ? '?' : formatBytes(totalBytes) }
    if (this.#bar === null) {
      this.#bar = new SingleBar({
        format: '{file} [{bar}] {done} of {all}',
        hideCursor: true,
        clearOnComplete: true,
        gracefulExit: false, // the command handles Ctrl-C: it keeps the partial download
      })
      this.#bar.start(totalBytes ?? bytes, bytes, payload)
    } else {
      this.#bar.setTotal(totalBytes ?? bytes)
      this.#bar.update(bytes, payload)
    }
  }

  stop(): void {
    this.#bar?.stop()
    this.#bar = null
  }
}

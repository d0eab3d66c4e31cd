/**
 * `metrics.jsonl`: events appended one a line. Main thread. Lines are written in the order of `append`, one write at
 * a time, and training never waits for them.
 */
import { type FileHandle, open, readFile } from 'node:fs/promises'
import { inspect } from 'node:util'
import { writeTextAtomically } from './atomic.js'
import { namedNonFinite } from './numbers.js'

export class MetricsLog {
  #pending: string[] = []
  #writing: Promise<void> | undefined
  #lost = 0
  #closing: Promise<void> | undefined

  private constructor(
    readonly file: string,
    private handle: FileHandle,
    private readonly onWarning: (message: string) => void,
  ) {}

  /** A failed write loses metrics, not the run: `onWarning` is told at the first one, and at the end how many. */
  static async open(file: string, onWarning: (message: string) => void): Promise<MetricsLog> {
    return new MetricsLog(file, await open(file, 'a'), onWarning)
  }

  /** Keeps the whole lines of events up to a step, and drops the rest. Nothing may be appended meanwhile. */
  async cut(step: number): Promise<void> {
    await this.flush()
    const lines = (await readFile(this.file, 'utf8')).split('\n').filter(line => stepOf(line) <= step)
    await writeTextAtomically(this.file, lines.map(line => `${line}\n`).join(''))
    await this.handle.close()
    this.handle = await open(this.file, 'a')
  }

  append(event: object): void {
    if (this.#closing) throw new Error(`${this.file}: append after close: ${inspect(event)}`)
    this.#pending.push(`${JSON.stringify(event, namedNonFinite)}\n`)
    this.#writing ??= this.#drain()
  }

  /** Everything appended so far is on its way to the disk when this resolves. */
  async flush(): Promise<void> {
    while (this.#writing) await this.#writing
  }

  close(): Promise<void> {
    this.#closing ??= this.#finish()
    return this.#closing
  }

  async #finish(): Promise<void> {
    await this.flush()
    await this.handle.close().catch(error => this.#lose(0, error))
    if (this.#lost > 0) this.onWarning(`${this.file}: ${this.#lost} events are missing`)
  }

  /** Writes what is pending, in batches, until nothing is. Never rejects. */
  async #drain(): Promise<void> {
    await undefined // lines appended in the same turn go out in one write
    while (this.#pending.length > 0) {
      const lines = this.#pending
      this.#pending = []
      await this.handle.appendFile(lines.join('')).catch(error => this.#lose(lines.length, error))
    }
    this.#writing = undefined
  }

  #lose(lines: number, error: unknown): void {
    if (this.#lost === 0) this.onWarning(`${this.file}: metrics cannot be written: ${(error as Error).message}`)
    this.#lost += lines
  }
}

/** Of an event's line; infinity for one that is damaged, and for the end of a run, which then was not its end. */
function stepOf(line: string): number {
  try {
    const { type, step } = JSON.parse(line) as { type?: unknown; step?: unknown }
    return type === 'end' ? Number.POSITIVE_INFINITY : typeof step === 'number' ? step : 0
  } catch {
    return Number.POSITIVE_INFINITY
  }
}

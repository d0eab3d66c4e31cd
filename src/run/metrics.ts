/** `metrics.jsonl`: events appended one a line, in the order of `append`. Main thread. Training never waits for them. */
import { readFile } from 'node:fs/promises'
import { AppendLog } from '../files/append.js'
import { writeTextAtomically } from '../files/atomic.js'
import { formatCounted } from '../format.js'
import { namedNonFinite } from './numbers.js'

export class MetricsLog {
  private constructor(
    private readonly log: AppendLog,
    private readonly onWarning: (message: string) => void,
  ) {}

  /** Opens the log. A failed write loses metrics, not the run: `onWarning` hears of the first one, and at the end how many. */
  static async open(file: string, onWarning: (message: string) => void): Promise<MetricsLog> {
    return new MetricsLog(await AppendLog.open(file, 'metrics', onWarning), onWarning)
  }

  /**
   * Keeps the whole lines of events up to a step, and drops the rest. Nothing may be appended meanwhile. Warns of damaged lines, but
   * for the last one, which a killed run may have left half written, and of a history that is gone.
   */
  async cut(step: number): Promise<void> {
    await this.log.flush()
    const { file } = this.log
    const all = (await readFile(file, 'utf8')).split('\n')
    const damaged = all.slice(0, -1).filter(line => stepOf(line) === DAMAGED).length
    const lines = all.filter(line => stepOf(line) <= step)
    if (damaged > 0) this.onWarning(`${file}: ${formatCounted(damaged, 'line')} cannot be read and left out`)
    else if (step > 0 && lines.length === 0)
      this.onWarning(`${file}: has no events up to step ${step}; reports show what follows`)
    await writeTextAtomically(file, lines.map(line => `${line}\n`).join(''))
    await this.log.reopen()
  }

  append(event: object): void {
    this.log.append(Buffer.from(`${JSON.stringify(event, namedNonFinite)}\n`))
  }

  /** Resolves when everything appended so far has been passed to the operating system. */
  flush(): Promise<void> {
    return this.log.flush()
  }

  close(): Promise<void> {
    return this.log.close()
  }
}

const DAMAGED = Number.MAX_VALUE

/** Step of an event's line; DAMAGED for one that cannot be read, and infinity for the end of a run that is now being continued. */
function stepOf(line: string): number {
  try {
    const { type, step } = JSON.parse(line) as { type?: unknown; step?: unknown }
    return type === 'end' ? Number.POSITIVE_INFINITY : typeof step === 'number' ? step : 0
  } catch {
    return DAMAGED
  }
}

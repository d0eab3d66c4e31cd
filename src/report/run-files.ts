/** What a run directory tells, whatever is missing in it. Main thread; reads, never writes. */
import { readFile } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { readSavedRun, type SavedRun } from '../coordinator/saved-run.js'
import { RunError } from '../errors.js'
import { FILES } from '../run/directory.js'

/** A line of `metrics.jsonl` as it stands there: its fields may be anything. */
export interface StoredEvent {
  readonly type: string
  readonly [field: string]: unknown
}

export interface RunFiles extends SavedRun {
  /** The directory's own name. */
  readonly run: string
  readonly events: readonly StoredEvent[]
  /** Lines of `metrics.jsonl` that cannot be read: a killed process may leave half a one. */
  readonly damagedLines: number
}

/** Rejects with ConfigError where `path` is no run, RunError where a file of it cannot be read. */
export async function readRunFiles(path: string): Promise<RunFiles> {
  const saved = await readSavedRun(resolve(path))
  const lines = (await metricsOf(saved.path)).split('\n').filter(line => line !== '')
  const events = lines.flatMap(line => eventOf(line) ?? [])
  return { ...saved, run: basename(saved.path), events, damagedLines: lines.length - events.length }
}

async function metricsOf(path: string): Promise<string> {
  const file = join(path, FILES.metrics)
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw new RunError(`${file}: cannot be read: ${(cause as Error).message}`, { cause })
  }
}

function eventOf(line: string): StoredEvent | undefined {
  try {
    const event = JSON.parse(line)
    return typeof event?.type === 'string' ? event : undefined
  } catch {
    return undefined
  }
}

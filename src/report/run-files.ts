/** Reads a run directory, whatever is missing in it. Main thread; reads, never writes. */
import { readFile } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { RunError } from '../errors.js'
import { FILES } from '../run/manifest.js'
import { readSavedRun, type SavedRun } from '../run/saved-run.js'

/** Line of `metrics.jsonl` as written; fields are unchecked. */
export interface StoredEvent {
  readonly type: string
  readonly [field: string]: unknown
}

export interface RunFiles extends SavedRun {
  /** Name of the directory. */
  readonly run: string
  readonly events: readonly StoredEvent[]
  /** Number of unreadable lines of `metrics.jsonl`; a killed process may leave half a line. */
  readonly damagedLines: number
}

/** Reads a run; rejects with ConfigError where `path` is not a run, RunError where a file cannot be read. */
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

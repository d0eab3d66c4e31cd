/** Lists runs under a folder, each with its status. Main thread; reads, never writes. */
import type { Dirent } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { ConfigError } from '../errors.js'
import type { RunSummary, Score } from './events.js'
import { isInUse } from './lock.js'
import { FILES } from './manifest.js'
import { readRunJson } from './open.js'

export interface ListedRun {
  readonly dir: string
  readonly name: string | null
  /** `training`: a process is at work; `stopped`: it ended without a summary and can be resumed; `damaged`: see `error`. */
  readonly status: RunSummary['status'] | 'training' | 'stopped' | 'damaged'
  readonly error?: string
  readonly epochs: number | null
  readonly seconds: number | null
  readonly test: Score | null
  readonly validation: Score | null
  readonly bytes: number
}

/** Depth of folders to search: `runs/<run>` and `runs/<sweep>/<run>`. */
const DEPTH = 2

/**
 * Runs in a folder, or the folder itself if it is one, ordered by path. A run that cannot be read is listed with its error.
 * Throws ConfigError if the folder cannot be read.
 */
export async function listRuns(folder: string): Promise<ListedRun[]> {
  const runs: ListedRun[] = []
  const visit = async (dir: string, depth: number): Promise<void> => {
    const entries = await readdir(dir, { withFileTypes: true }).catch((cause: NodeJS.ErrnoException) => {
      if (dir === folder) {
        throw new ConfigError(`${folder}: cannot be read, expected a folder with runs; ${cause.message}`, { cause })
      }
      runs.push({ ...UNKNOWN, dir, status: 'damaged', error: `${dir}: cannot be read; ${cause.message}` })
      return []
    })
    if (isRun(entries)) runs.push(await readListed(dir))
    else if (depth < DEPTH) {
      const folders = entries.filter(entry => entry.isDirectory()).map(({ name }) => name)
      for (const name of folders.sort()) await visit(join(dir, name), depth + 1)
    }
  }
  await visit(folder, 0)
  return runs
}

const UNKNOWN = { name: null, epochs: null, seconds: null, test: null, validation: null, bytes: 0 } as const

function isRun(entries: readonly Dirent[]): boolean {
  const names = entries.map(({ name }) => name)
  return [FILES.resolved, FILES.manifest, FILES.metrics, FILES.summary].some(name => names.includes(name))
}

async function readListed(dir: string): Promise<ListedRun> {
  const bytes = await sizeOfFolder(dir)
  try {
    const resolved = (await readRunJson(join(dir, FILES.resolved))) as { name?: unknown } | undefined
    const found = await readRunJson(join(dir, FILES.summary))
    if (await isInUse(dir)) return { ...UNKNOWN, ...named(resolved?.name), dir, status: 'training', bytes }
    if (found === undefined) {
      if (resolved === undefined) return damaged(dir, bytes, `${dir}: has no ${FILES.resolved}, expected it in a run`)
      return { ...UNKNOWN, ...named(resolved.name), dir, status: 'stopped', bytes }
    }
    const summary = found as Partial<RunSummary>
    const { name, status, epochs, seconds, test = null, validation = null } = summary
    if (status === undefined || !STATUSES.includes(status)) {
      return damaged(dir, bytes, `${join(dir, FILES.summary)}: status is ${JSON.stringify(status)}`)
    }
    const count = (value: unknown) => (typeof value === 'number' && Number.isFinite(value) ? value : null)
    const times = { epochs: count(epochs), seconds: count(seconds) }
    return { dir, ...UNKNOWN, ...named(name ?? resolved?.name), status, ...times, test, validation, bytes }
  } catch (error) {
    return damaged(dir, bytes, error instanceof Error ? error.message : String(error))
  }
}

const STATUSES: readonly unknown[] = ['completed', 'interrupted', 'failed']
const named = (name: unknown) => ({ name: typeof name === 'string' ? name : null })
const damaged = (dir: string, bytes: number, error: string): ListedRun => ({
  ...{ ...UNKNOWN, dir, status: 'damaged', error, bytes },
})

async function sizeOfFolder(dir: string): Promise<number> {
  const entries = await readdir(dir, { withFileTypes: true, recursive: true }).catch(() => [])
  let bytes = 0
  for (const entry of entries) {
    // A link to a checkpoint is not counted again.
    if (entry.isFile()) bytes += (await stat(join(entry.parentPath, entry.name)).catch(() => ({ size: 0 }))).size
  }
  return bytes
}

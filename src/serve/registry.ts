/**
 * Runs and checkpoints that a server shows: those it was given, and nothing else. URLs name them by id; no part of a request
 * ever becomes a path. Server's thread.
 */
import { realpath, stat } from 'node:fs/promises'
import { basename, isAbsolute, join, relative, resolve } from 'node:path'
import type { Experiment } from '../config/schema.js'
import { ConfigError, RunError } from '../errors.js'
import { checkpointName, checkpointSteps } from '../run/checkpoints.js'
import type { ProgressEvent, RunSummary } from '../run/events.js'
import { isInUse } from '../run/lock.js'
import { FILES } from '../run/manifest.js'
import { openRun, readRunJson } from '../run/open.js'
import type { RunEntry, RunStatus } from './protocol.js'

/** Maximum number of runs; more would make the id of a live message, a browser header, too long. */
export const MOST_RUNS = 32
const ID_LENGTH = 80

export interface ServedRun {
  readonly id: string
  /** Absolute path of a run directory or a checkpoint. */
  readonly target: string
  /** Run directory; null for a checkpoint by itself. */
  readonly dir: string | null
}

export class Registry {
  readonly #runs = new Map<string, ServedRun>()
  readonly #progress = new Map<string, ProgressEvent>()

  /** Opens all targets; rejects with ConfigError where one is neither a run nor a checkpoint. */
  static async of(targets: readonly string[]): Promise<Registry> {
    const registry = new Registry()
    for (const target of targets) registry.add(await resolveTarget(target))
    return registry
  }

  add({ target, dir }: Omit<ServedRun, 'id'>): ServedRun {
    const known = this.list().find(run => run.target === target)
    if (known) return known
    if (this.#runs.size === MOST_RUNS) throw new ConfigError(`runs: there are more than ${MOST_RUNS}, expected fewer`)
    const name = basename(target, '.safetensors')
      .replace(/[^\w.-]/g, '_')
      .slice(0, ID_LENGTH)
    let id = name
    for (let count = 2; this.#runs.has(id); count++) id = `${name}-${count}`
    const run = { id, target, dir }
    this.#runs.set(id, run)
    return run
  }

  list(): readonly ServedRun[] {
    return [...this.#runs.values()]
  }

  get(id: string): ServedRun | undefined {
    return this.#runs.get(id)
  }

  /** Progress of a run in this process; undefined for others. */
  progressOf(id: string): ProgressEvent | undefined {
    return this.#progress.get(id)
  }

  setProgress(id: string, event: ProgressEvent): void {
    this.#progress.set(id, event)
  }
}

/** Resolves a command-line argument: a run directory, also of an active run, or a checkpoint. */
export async function resolveTarget(target: string): Promise<Omit<ServedRun, 'id'>> {
  const path = resolve(target)
  const isDirectory = (await stat(path).catch(() => null))?.isDirectory() ?? false
  if (isDirectory && (await readRunJson(join(path, FILES.resolved))) !== undefined) return { target: path, dir: path }
  const { checkpoint, runDir } = await openRun(target) // says what is wrong
  return { target: runDir ?? checkpoint, dir: runDir }
}

/** Path of a file of a run; rejects a link that leads outside its directory. */
export async function fileOf(dir: string, name: string): Promise<string> {
  const file = join(dir, name)
  const [real, realDir] = await Promise.all([realpath(file).catch(() => null), realpath(dir)])
  if (real === null) return file // there is none yet
  const inside = relative(realDir, real)
  if (inside.startsWith('..') || isAbsolute(inside)) {
    throw new RunError(`${name}: leads out of the run directory, expected a file in it`)
  }
  return file
}

/** Reads a JSON file of a run; undefined where there is none. */
export const readOf = async (dir: string, name: string): Promise<unknown> => readRunJson(await fileOf(dir, name))

export async function statusOf({ dir }: ServedRun): Promise<RunStatus> {
  if (dir === null) return 'weights'
  const summary = (await readOf(dir, FILES.summary)) as RunSummary | undefined
  if (summary !== undefined) return summary.status
  return (await isInUse(dir)) ? 'running' : 'stopped'
}

export async function entryOf(run: ServedRun): Promise<RunEntry> {
  const { id, target, dir } = run
  const status = await statusOf(run)
  const experiment = await experimentOf(run)
  const steps = dir === null ? [] : await checkpointSteps(join(dir, FILES.checkpoints))
  const newest = steps.length > 0 ? checkpointName(steps[0]) : null
  return {
    id,
    name: experiment.name,
    status,
    dataset: experiment.data.dataset,
    hidden: experiment.model.hidden,
    checkpoint: dir === null ? basename(target) : newest,
  }
}

/** Resolved experiment as the run wrote it. */
export async function experimentOf({ target, dir }: ServedRun): Promise<Experiment> {
  const experiment = dir === null ? (await openRun(target)).experiment : await readOf(dir, FILES.resolved)
  return experiment as Experiment
}

/** Pages on which networks answer, those of the first run first: Form for tables, Draw for others. */
export async function pagesOf(registry: Registry): Promise<readonly ['/draw' | '/form', ...('/draw' | '/form')[]]> {
  const runs = await Promise.all(registry.list().map(run => experimentOf(run).catch(() => null)))
  const pages = new Set(runs.map(run => (run?.data.dataset === 'table' ? '/form' : '/draw')))
  const [first = '/draw', ...others] = pages
  return [first, ...others]
}

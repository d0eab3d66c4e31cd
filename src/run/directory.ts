/**
 * The directory of a run: created and written here. Main thread. open.ts reads one back.
 */
import { access, constants, mkdir, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join, relative, resolve } from 'node:path'
import { inspect } from 'node:util'
import { ConfigError } from '../errors.js'
import { writeTextAtomically } from '../files/atomic.js'
import { checkpointName, checkpointSteps, removeTemporaryFiles } from './checkpoints.js'
import type { RunSummary, TrainEvent } from './events.js'
import { LOCK_FILE, RunLock } from './lock.js'
import { machineFacts } from './machine.js'
import { type DataPaths, FILES, type Manifest, type ManifestDetails, type ResumeNote } from './manifest.js'
import { MetricsLog } from './metrics.js'
import { resolvedSha256, sealed, textSha256 } from './seal.js'
import { TensorboardLog } from './tensorboard.js'
import { codeOf, makeRunDirectory, orRunError, orWrongPlace, wrongPlace } from './write-errors.js'

export interface RunDirectoryOptions {
  /** The experiment's name, which the directory's name begins with. */
  readonly name: string
  /** Use this directory, which must be new or empty. Without it, a new one under `root`. */
  readonly dir?: string | undefined
  /** Default: `runs`, in the current directory. */
  readonly root?: string | undefined
  readonly now?: Date
  /** Write events for TensorBoard too. */
  readonly tensorboard?: boolean
  /** Called with problems that need not end the run. */
  readonly onWarning?: (message: string) => void
}

export class RunDirectory {
  private constructor(
    /** Absolute. */
    readonly path: string,
    private readonly metrics: MetricsLog,
    private readonly tensorboard: TensorboardLog | null,
    private readonly lock: RunLock,
  ) {}

  static async create(options: RunDirectoryOptions): Promise<RunDirectory> {
    const path = await (options.dir === undefined
      ? createUnder(resolve(options.root ?? 'runs'), options.name, options.now ?? new Date())
      : claim(resolve(options.dir)))
    return orRunError(path, async () => {
      const lock = await RunLock.take(path)
      await refuseTaken(path, lock)
      await mkdir(join(path, FILES.checkpoints), { recursive: true })
      return new RunDirectory(path, ...(await openLogs(path, options)), lock)
    })
  }

  /**
   * Opens an existing run for writing, and removes the incomplete files of a killed process. The directory releases `lock`
   * when it is closed. Nothing of the run itself is changed. Throws RunError if the directory cannot be written.
   */
  static async reopen(lock: RunLock, options: LogOptions = {}): Promise<RunDirectory> {
    const path = lock.directory
    return orRunError(path, async () => {
      await removeTemporaryFiles(path)
      await mkdir(join(path, FILES.checkpoints), { recursive: true })
      await removeTemporaryFiles(join(path, FILES.checkpoints))
      return new RunDirectory(path, ...(await openLogs(path, options)), lock)
    })
  }

  /** Removes the metrics after a step: those steps will be trained again. */
  async cutMetrics(step: number): Promise<void> {
    const file = join(this.path, FILES.metrics)
    await orRunError(file, () => this.metrics.cut(step))
    this.tensorboard?.goBackTo(step)
  }

  /**
   * Writes the manifest, the experiment as the user gave it, and the experiment with every default. The last is written
   * last: if there is a `resolved.json`, everything that resuming needs is there.
   */
  async writeStart(details: ManifestDetails, source: string, resolved: object): Promise<void> {
    const own = { experiment: textSha256(source), resolved: [resolvedSha256(resolved)] }
    await this.#writeManifest({ ...details, machine: machineFacts(), own })
    await this.#write(FILES.experiment, source)
    await this.#write(FILES.resolved, json(resolved))
  }

  /**
   * Records in the manifest that the run was resumed, from which step, where, and with which changes, and replaces the
   * resolved experiment. `fromRun`: current location of the data. A kill in between leaves a run that can be resumed again.
   */
  async writeResume(note: ResumeNote, resolved: object, fromRun: DataPaths): Promise<void> {
    const file = join(this.path, FILES.manifest)
    const before = await orRunError(file, async () => JSON.parse(await readFile(file, 'utf8')) as Manifest)
    const { own, data } = before
    const manifest: Manifest = {
      ...before,
      ...(data && { data: { ...data, fromRun } }),
      resumes: [...(before.resumes ?? []), { ...note, machine: machineFacts() }],
    }
    const digest = resolvedSha256(resolved)
    if (own)
      await this.#writeManifest({ ...manifest, own: { ...own, resolved: [...new Set([...own.resolved, digest])] } })
    else await this.#writeManifest(manifest)
    await this.#write(FILES.resolved, json(resolved))
    if (own && (own.resolved.length > 1 || own.resolved[0] !== digest)) {
      await this.#writeManifest({ ...manifest, own: { ...own, resolved: [digest] } })
    }
  }

  /**
   * Renames the checkpoints after a step to `….damaged`: they cannot be used, and the newest by number must be one that
   * can, or pruning would keep them in its place.
   */
  async setAsideAfter(step: number): Promise<void> {
    for (const stale of await checkpointSteps(this.checkpoints)) {
      const file = join(this.checkpoints, checkpointName(stale))
      if (stale > step) await orRunError(file, () => rename(file, `${file}.damaged`))
    }
  }

  /** Appends an event. Never throws for lack of disk space and the like; see `onWarning`. */
  appendMetrics(event: Exclude<TrainEvent, { type: 'progress' }>): void {
    const now = new Date()
    this.metrics.append({ time: now.toISOString(), ...event })
    this.tensorboard?.append(event, now.getTime())
  }

  /** Replaces the summary atomically. */
  async writeSummary(summary: RunSummary): Promise<void> {
    const file = join(this.path, FILES.summary)
    await orRunError(file, () => writeTextAtomically(file, json(summary)))
  }

  /** Removes the result of a run that is being continued. */
  async removeSummary(): Promise<void> {
    const file = join(this.path, FILES.summary)
    await orRunError(file, () => rm(file, { force: true }))
  }

  /** Absolute path of the folder of checkpoints. */
  get checkpoints(): string {
    return join(this.path, FILES.checkpoints)
  }

  /** A path of this directory as `summary.json` has it: relative, with forward slashes. */
  relative(path: string): string {
    return relative(this.path, path).replaceAll('\\', '/')
  }

  /** Waits until the metrics are written, and releases the lock. */
  async close(): Promise<void> {
    await this.metrics.close()
    await this.tensorboard?.close()
    await this.lock.release()
  }

  #writeManifest(manifest: Manifest): Promise<void> {
    return this.#write(FILES.manifest, json(sealed(manifest)))
  }

  async #write(name: string, text: string): Promise<void> {
    const file = join(this.path, name)
    await orRunError(file, () => writeTextAtomically(file, text))
  }
}

type LogOptions = Pick<RunDirectoryOptions, 'onWarning' | 'tensorboard'>

async function openLogs(
  path: string,
  { onWarning = () => {}, tensorboard }: LogOptions,
): Promise<[MetricsLog, TensorboardLog | null]> {
  const metrics = await MetricsLog.open(join(path, FILES.metrics), onWarning)
  return [metrics, tensorboard ? await TensorboardLog.open(join(path, FILES.tensorboard), onWarning) : null]
}

/** `<root>/<name>-<time>`, with `-2`, `-3` and so on if several runs start in the same second. */
async function createUnder(root: string, name: string, now: Date): Promise<string> {
  if (/[/\\]/.test(name)) throw new ConfigError(`name is ${inspect(name)}, expected a name without slashes`)
  await makeRunDirectory(root)
  const time = now.toISOString().slice(0, 'YYYY-MM-DDThh:mm:ss'.length).replaceAll(':', '-')
  for (let count = 1; ; count++) {
    const path = join(root, `${name}-${time}${count > 1 ? `-${count}` : ''}`)
    try {
      await mkdir(path) // not recursive: fails if it exists, so that two processes never share one
      return path
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw wrongPlace(path, error)
    }
  }
}

/** Refuses a directory that another process used between our look at it and our lock. */
async function refuseTaken(path: string, lock: RunLock): Promise<void> {
  const found = (await readdir(path)).filter(name => !name.startsWith(LOCK_FILE))
  if (found.length === 0) return
  await lock.release()
  throw notEmpty(path, found)
}

const notEmpty = (path: string, found: readonly string[]): ConfigError =>
  new ConfigError(
    `${path}: run directory holds ${inspect(found[0])}${found.length > 1 ? ` and ${found.length - 1} more` : ''}, expected a new or empty directory`,
    { hint: 'name another with --run-dir, or leave it out to get a new one under runs/' },
  )

/** The directory that the user asked for, created if it is missing. */
async function claim(path: string): Promise<string> {
  await makeRunDirectory(path)
  const found = await readdir(path)
  if (found.length > 0) throw notEmpty(path, found)
  await orWrongPlace(path, () => access(path, constants.W_OK))
  return path
}

function json(value: object): string {
  return `${JSON.stringify(value, null, 2)}\n`
}

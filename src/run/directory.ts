/**
 * A run's directory: made here, and written through here. Main thread. Reading one back is in open.ts.
 */
import { access, constants, mkdir, readdir, readFile, rm, stat } from 'node:fs/promises'
import { dirname, join, relative, resolve } from 'node:path'
import { inspect } from 'node:util'
import type { LoadedFile } from '../data/dataset.js'
import { ConfigError, RunError } from '../errors.js'
import { writeTextAtomically } from '../files/atomic.js'
import type { ImportedFrom } from '../import/import.js'
import type { Precision } from '../kernels/backend.js'
import type { NativeLibrary } from '../kernels/products.js'
import { removeTemporaryFiles } from './checkpoints.js'
import type { RunSummary, TrainEvent } from './events.js'
import { RunLock } from './lock.js'
import { type MachineFacts, machineFacts } from './machine.js'
import { MetricsLog } from './metrics.js'
import { TensorboardLog } from './tensorboard.js'

export const FILES = {
  experiment: 'experiment.json',
  resolved: 'resolved.json',
  manifest: 'manifest.json',
  metrics: 'metrics.jsonl',
  summary: 'summary.json',
  checkpoints: 'checkpoints',
  tensorboard: 'tensorboard',
} as const

export interface RunDirectoryOptions {
  /** The experiment's name, which begins the directory's. */
  readonly name: string
  /** Use this directory, which must be new or empty. Without it, a new one under `root`. */
  readonly dir?: string | undefined
  /** Default: `runs`, in the current directory. */
  readonly root?: string | undefined
  readonly now?: Date
  /** Whether events are written for TensorBoard too. */
  readonly tensorboard?: boolean
  /** Something went wrong that need not end the run. */
  readonly onWarning?: (message: string) => void
}

/** Facts of a run that the machine does not tell. */
export interface ManifestDetails {
  readonly startedAt: string
  readonly backend: {
    readonly name: string
    readonly reason: string
    /** What its products ran in. */
    readonly library: NativeLibrary | null
    /** What the bits of the weights depend on beside experiment and data. */
    readonly precision?: Precision
    readonly bitsDependOn: string
  }
  readonly workers: number
  /** Which data set, and the digests of its files. */
  readonly data: {
    readonly dataset: string
    readonly rows: object
    readonly classNames: readonly string[]
    readonly files: readonly LoadedFile[]
  }
  /** The file that the first weights were taken from; null for random ones. */
  readonly from: {
    readonly file: string
    /** Of the weights that came of it. */
    readonly weightsSha256: string
    /** Whose columns, classes and scales the run has: the model's (`kept`) or the data's; undefined in older versions: `new`. */
    readonly input?: 'kept' | 'new'
    /** Of a file of another program: what it was, and how it was read. */
    readonly imported?: ImportedFrom
  } | null
}

export interface ResumeNote {
  readonly at: string
  readonly step: number
  readonly workers: number
  /** Settings that differ from before, as `path: old -> new`. */
  readonly changes: readonly string[]
  /** Whether the steps already done would have other bits with them: nobody can reproduce the run from its experiment. */
  readonly changesPast: boolean
}

/** The content of `manifest.json`. */
export interface Manifest extends ManifestDetails {
  readonly machine: MachineFacts
  readonly resumes?: readonly (ResumeNote & { readonly machine: MachineFacts })[]
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
      await mkdir(join(path, FILES.checkpoints), { recursive: true })
      return new RunDirectory(path, ...(await openLogs(path, options)), lock)
    })
  }

  /**
   * Takes a run up again: locked, and without what a killed process left half written. Throws RunError where another
   * process has it.
   */
  static async reopen(dir: string, options: LogOptions = {}): Promise<RunDirectory> {
    const path = resolve(dir)
    const lock = await RunLock.take(path)
    try {
      return await orRunError(path, async () => {
        await removeTemporaryFiles(path)
        await mkdir(join(path, FILES.checkpoints), { recursive: true })
        await removeTemporaryFiles(join(path, FILES.checkpoints))
        return new RunDirectory(path, ...(await openLogs(path, options)), lock)
      })
    } catch (error) {
      await lock.release()
      throw error
    }
  }

  /** Drops the metrics after a step: those steps will be trained again. */
  async cutMetrics(step: number): Promise<void> {
    const file = join(this.path, FILES.metrics)
    await orRunError(file, () => this.metrics.cut(step))
    this.tensorboard?.goBackTo(step)
  }

  /**
   * The experiment as the user gave it, and complete with every default. To be written last: where there is a
   * `resolved.json`, all that resuming needs is there.
   */
  async writeExperiment(source: string, resolved: object): Promise<void> {
    await this.#write(FILES.experiment, source)
    await this.#write(FILES.resolved, json(resolved))
  }

  async writeManifest(details: ManifestDetails): Promise<void> {
    const manifest: Manifest = { ...details, machine: machineFacts() }
    await this.#write(FILES.manifest, json(manifest))
  }

  /** Adds to the manifest that the run was taken up, from which step, where, and with which changes. */
  async noteResume(resume: ResumeNote): Promise<void> {
    const file = join(this.path, FILES.manifest)
    await orRunError(file, async () => {
      const manifest = JSON.parse(await readFile(file, 'utf8')) as Manifest
      const resumes = [...(manifest.resumes ?? []), { ...resume, machine: machineFacts() }]
      await writeTextAtomically(file, json({ ...manifest, resumes }))
    })
  }

  async replaceResolved(resolved: object): Promise<void> {
    const file = join(this.path, FILES.resolved)
    await orRunError(file, () => writeTextAtomically(file, json(resolved)))
  }

  /** Never throws for want of disk space and the like; see `onWarning`. */
  appendMetrics(event: Exclude<TrainEvent, { type: 'progress' }>): void {
    const now = new Date()
    this.metrics.append({ time: now.toISOString(), ...event })
    this.tensorboard?.append(event, now.getTime())
  }

  /** Replaces the summary, whole or not at all. */
  async writeSummary(summary: RunSummary): Promise<void> {
    const file = join(this.path, FILES.summary)
    await orRunError(file, () => writeTextAtomically(file, json(summary)))
  }

  /** A run that goes on has no result. */
  async removeSummary(): Promise<void> {
    const file = join(this.path, FILES.summary)
    await orRunError(file, () => rm(file, { force: true }))
  }

  /** Absolute path of the folder of checkpoints. */
  get checkpoints(): string {
    return join(this.path, FILES.checkpoints)
  }

  /** A path of this directory as `summary.json` records it: relative, with forward slashes. */
  relative(path: string): string {
    return relative(this.path, path).replaceAll('\\', '/')
  }

  /** Waits until the metrics are written, and lets others have the directory. */
  async close(): Promise<void> {
    await this.metrics.close()
    await this.tensorboard?.close()
    await this.lock.release()
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

/** `<root>/<name>-<time>`, with `-2`, `-3` and so on where several runs start in one second. */
async function createUnder(root: string, name: string, now: Date): Promise<string> {
  if (/[/\\]/.test(name)) throw new ConfigError(`name is ${inspect(name)}, expected a name without slashes`)
  await orWrongPlace(root, () => makeDirectory(root))
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

/** The directory that the user asked for, made if it is missing. */
async function claim(path: string): Promise<string> {
  await orWrongPlace(path, () => makeDirectory(path))
  const found = await readdir(path)
  if (found.length > 0) {
    throw new ConfigError(
      `${path}: run directory holds ${inspect(found[0])}${found.length > 1 ? ` and ${found.length - 1} more` : ''}, expected a new or empty directory`,
      { hint: 'name another with --run-dir, or leave it out to get a new one under runs/' },
    )
  }
  await orWrongPlace(path, () => access(path, constants.W_OK))
  return path
}

/** Like a recursive `mkdir`, which in Node 20 tries forever where the system answers ENOENT, as in /proc. */
async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path)
  } catch (error) {
    if (codeOf(error) === 'EEXIST' && (await stat(path)).isDirectory()) return
    if (codeOf(error) !== 'ENOENT' || (await stat(dirname(path)).catch(() => undefined))) throw error
    await makeDirectory(dirname(path))
    await makeDirectory(path)
  }
}

async function orWrongPlace<T>(path: string, make: () => Promise<T>): Promise<T> {
  try {
    return await make()
  } catch (error) {
    if ((await stat(path).catch(() => undefined))?.isDirectory() === false) {
      throw new ConfigError(`${path}: is a file, expected a directory for the run`, { cause: error })
    }
    throw wrongPlace(path, error)
  }
}

/** A place where no directory can be is the user's to change; a full or read-only disk is a failure. */
function wrongPlace(path: string, cause: unknown): ConfigError | RunError {
  const message = `${path}: run directory cannot be made: ${(cause as Error).message}`
  const hint = 'name another place with --run-dir'
  return codeOf(cause) === 'ENOTDIR' || codeOf(cause) === 'EEXIST'
    ? new ConfigError(message, { hint, cause })
    : new RunError(message, { hint, cause })
}

async function orRunError<T>(path: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act()
  } catch (cause) {
    throw new RunError(`${path}: cannot be written: ${(cause as Error).message}`, { cause })
  }
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code
}

function json(value: object): string {
  return `${JSON.stringify(value, null, 2)}\n`
}

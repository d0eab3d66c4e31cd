/**
 * Lock of a run's or a sweep's directory: one process at a time writes there. The lock is a file that names its owner, so
 * that the lock of a killed process is recognised. Main thread.
 *
 * Taking it is one `link`, which fails if the file exists. A stale lock is first renamed away: of two processes that
 * find it, one succeeds in that, and both then try to take the lock as if none had been there.
 */
import { constants, copyFile, link, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { RunError } from '../errors.js'
import { readProcessStat } from '../files/process-stat.js'
import { hintFor } from './write-errors.js'

export const LOCK_FILE = '.lock'

interface Owner {
  readonly pid: number
  readonly host: string
  /** Start of the process, as the system counts it; distinguishes it from a later process with the same number. */
  readonly started: string | null
}

/** Kind of directory that one process at a time may write. */
export type Locked = 'run' | 'sweep'

export class RunLock {
  private constructor(
    /** Absolute, as it was given. */
    readonly directory: string,
    private readonly file: string,
    private readonly content: string,
  ) {}

  /**
   * Throws RunError while another living process, or one on another host, has the lock, or if the directory cannot
   * be written.
   */
  static async take(directory: string, what: Locked = 'run'): Promise<RunLock> {
    const file = join(directory, LOCK_FILE)
    const owner: Owner = { pid: process.pid, host: hostname(), started: startOf(process.pid) }
    const content = `${JSON.stringify(owner)}\n`
    const temporary = join(directory, `${LOCK_FILE}.${process.pid}.${++taken}.tmp`)
    try {
      for (;;) {
        await writeFile(temporary, content)
        try {
          await placeNew(temporary, file)
          return new RunLock(directory, file, content)
        } catch (error) {
          const { code } = error as NodeJS.ErrnoException
          // ENOENT: the lock's owner has tidied the directory, and our temporary file with it.
          if (code !== 'EEXIST' && code !== 'ENOENT') throw error
        }
        await removeStale(directory, file, what)
      }
    } catch (cause) {
      if (cause instanceof RunError) throw cause
      throw new RunError(`${directory}: the ${what} cannot be locked: ${(cause as Error).message}`, {
        hint: hintFor(cause),
        cause,
      })
    } finally {
      await rm(temporary, { force: true }).catch(() => undefined) // the first error is the one to report
    }
  }

  /** Removes the lock, unless another process has taken it. */
  async release(): Promise<void> {
    const found = await readFile(this.file, 'utf8').catch(() => null)
    if (found === this.content) await rm(this.file, { force: true }).catch(() => undefined) // stale once we have ended
  }
}

/** Number of locks that this process has tried to take: two attempts at once must not share a temporary file. */
let taken = 0

/** True if a living process, or one on another host, has a directory's lock. Reads, never writes. */
export async function isInUse(directory: string): Promise<boolean> {
  const text = await readFile(join(directory, LOCK_FILE), 'utf8').catch(() => null)
  const owner = text === null ? null : ownerOf(text)
  return owner !== null && (owner.host !== hostname() || (await lives(owner)))
}

/** Places the lock file. Rejects with EEXIST if it exists. */
async function placeNew(temporary: string, file: string): Promise<void> {
  try {
    await link(temporary, file)
  } catch (error) {
    if (!NO_LINKS.has((error as NodeJS.ErrnoException).code ?? '')) throw error
    await copyFile(temporary, file, constants.COPYFILE_EXCL)
  }
}

/** Error codes of file systems without links, such as FAT. */
const NO_LINKS = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'])

/** Removes a stale lock; throws if it is in use. */
async function removeStale(directory: string, file: string, what: Locked): Promise<void> {
  const text = await readFile(file, 'utf8').catch(() => null)
  if (text === null) return
  const owner = ownerOf(text)
  if (owner !== null && (owner.host !== hostname() || (await lives(owner)))) {
    throw new RunError(
      `${directory}: ${what} is in use by process ${owner.pid} on ${owner.host}, expected no other process`,
      {
        hint: owner.host === hostname() ? 'wait for it, or stop it' : `if nothing runs there any more, remove ${file}`,
      },
    )
  }
  const aside = `${file}.stale.${process.pid}.${++taken}.tmp`
  await rename(file, aside).catch(() => undefined) // another process was faster
  const moved = await readFile(aside, 'utf8').catch(() => null)
  // The lock that was moved may already be a new one: give it back.
  if (moved !== null && moved !== text) await link(aside, file).catch(() => undefined)
  await rm(aside, { force: true })
}

/** Owner in a lock's text; null if the text is incomplete: a process was killed while it wrote. */
function ownerOf(text: string): Owner | null {
  try {
    const owner = JSON.parse(text) as Partial<Owner> | null
    return typeof owner?.pid === 'number' && typeof owner.host === 'string' ? (owner as Owner) : null
  } catch {
    return null
  }
}

async function lives({ pid, started }: Owner): Promise<boolean> {
  if (pid === process.pid) return started === startOf(pid)
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
  }
  const now = readProcessStat(pid)
  if (now === null || started === null) return true
  // A zombie with no thread left has ended. It stays until its parent asks for its exit code; where that has ended first, as launchers of MPI
  // do, process 1 has to, some seconds later or, in a container, never.
  return now.started === started && !(now.state === 'Z' && now.threads <= 1)
}

const startOf = (pid: number): string | null => readProcessStat(pid)?.started ?? null

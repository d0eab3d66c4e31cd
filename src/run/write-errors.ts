/**
 * Errors for places that cannot be written: where a run or a sweep should be, and files in it. The system's error becomes one
 * with a hint. Main thread.
 */
import { mkdir, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { ConfigError, GradloomError, RunError } from '../errors.js'

/** Creates a directory for a run or a sweep, and those above it. Throws ConfigError or RunError if that is impossible. */
export async function makeRunDirectory(path: string): Promise<void> {
  await orWrongPlace(path, () => makeDirectory(path))
}

/**
 * Like a recursive `mkdir`, which in Node 20 tries forever if the system answers ENOENT, as in /proc. Others may create the same
 * directories meanwhile: where the parent is missing it is created, and the directory is tried once more.
 */
async function makeDirectory(path: string): Promise<void> {
  try {
    await makeOne(path)
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error
    if (!(await stat(dirname(path)).catch(() => undefined))) await makeDirectory(dirname(path))
    await makeOne(path)
  }
}

/** Creates a directory whose parent exists, unless it is there. */
async function makeOne(path: string): Promise<void> {
  try {
    await mkdir(path)
  } catch (error) {
    if (codeOf(error) !== 'EEXIST' || !(await stat(path)).isDirectory()) throw error
  }
}

/** Runs `make`; its error becomes one about the place for a run. */
export async function orWrongPlace<T>(path: string, make: () => Promise<T>): Promise<T> {
  try {
    return await make()
  } catch (error) {
    if ((await stat(path).catch(() => undefined))?.isDirectory() === false) {
      throw new ConfigError(`${path}: is a file, expected a directory for the run`, { cause: error })
    }
    throw wrongPlace(path, error)
  }
}

/** Error for a place where no directory can be, which is the user's to change; a full or read-only disk is a failure. */
export function wrongPlace(path: string, cause: unknown): ConfigError | RunError {
  const message = `${path}: run directory cannot be created: ${(cause as Error).message}`
  const hint = 'choose another place with --run-dir'
  return codeOf(cause) === 'ENOTDIR' || codeOf(cause) === 'EEXIST'
    ? new ConfigError(message, { hint, cause })
    : new RunError(message, { hint, cause })
}

/** Runs `act`; its error becomes a RunError about a file of a run. */
export async function orRunError<T>(path: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act()
  } catch (cause) {
    if (cause instanceof GradloomError) throw cause
    throw new RunError(`${path}: cannot be written: ${(cause as Error).message}`, { hint: hintFor(cause), cause })
  }
}

/** Hint for a refused write; undefined if there is no advice. */
export function hintFor(cause: unknown): string | undefined {
  const code = codeOf(cause) ?? ''
  if (code === 'ENOSPC' || code === 'EDQUOT') return 'free some space on its disk'
  return ['EACCES', 'EPERM', 'EROFS'].includes(code) ? 'its folder has to be writable for this user' : undefined
}

export function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code
}

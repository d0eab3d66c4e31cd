/**
 * Results that the first report of a run computes and stores in the run directory. They belong to the weights of the run: while
 * these are the same, later reports read the file, and need neither the weights nor the data. Main thread; writes the file.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { GradloomError } from '../errors.js'
import { writeTextAtomically } from '../files/atomic.js'
import { readCheckpoint } from '../run/checkpoint-file.js'
import { againIfPruned, openRun } from '../run/open.js'
import type { RunFiles } from './run-files.js'

/** Reason why there are no results. */
export interface Missing {
  readonly missing: string
}

export interface StoredResults<T> {
  /** Name of the file in the run directory. */
  readonly name: string
  /** Parses the content of the file; throws on anything else than `text` writes. */
  parse(content: unknown): T
  text(results: T): string
}

/**
 * Reads the stored results if they belong to the run's weights, else computes and stores them. `isAnew`: computes them in any case.
 * A file that cannot be read or written is a warning.
 */
export async function storedOrComputed<T extends { readonly weightsSha256: string }>(
  run: RunFiles,
  stored: StoredResults<T>,
  compute: (weightsSha256: string) => Promise<T | Missing>,
  { onWarning, isAnew = false }: { readonly onWarning: (text: string) => void; readonly isAnew?: boolean | undefined },
): Promise<T | Missing> {
  const kept = await readStored(run.path, stored, onWarning)
  try {
    const { weightsSha256 } = await againIfPruned(async () => readCheckpoint((await openRun(run.path)).checkpoint))
    if (!isAnew && kept?.weightsSha256 === weightsSha256) return kept
    const results = await compute(weightsSha256)
    if (!('missing' in results)) await write(join(run.path, stored.name), stored.text(results), onWarning)
    return results
  } catch (error) {
    if (!(error instanceof GradloomError)) throw error
    // The weights may be gone, as with pruned checkpoints; stored results still belong to this run.
    if (!isAnew && kept && kept.weightsSha256 === run.summary?.weightsSha256) return kept
    return { missing: error.message }
  }
}

/** Results in the directory; undefined where there are none, or, with a warning, where they cannot be read. */
async function readStored<T>(
  path: string,
  { name, parse }: StoredResults<T>,
  onWarning: (text: string) => void,
): Promise<T | undefined> {
  const file = join(path, name)
  try {
    return parse(JSON.parse(await readFile(file, 'utf8')))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    onWarning(`${file}: is damaged and will be computed again: ${(error as Error).message.split('\n')[0]}`)
    return undefined
  }
}

const write = (file: string, text: string, onWarning: (text: string) => void): Promise<void> =>
  writeTextAtomically(file, text).catch(cause =>
    onWarning(`${file}: cannot be written: ${cause.message}; the next report computes it again`),
  )

/**
 * Begins to read the table of `gradloom train FILE` while the rest of the program is still being loaded: another core would have nothing
 * to do until then. It only guesses what will be read, from the JSON of the file; `train` asks for the table by path and format, so that a
 * wrong guess costs time alone. Main thread.
 */
import { readFileSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { formatOf } from '../data/table/format.js'
import type { TableFormat } from '../data/table/reader.js'
import { launchedBy } from '../ffi/mpi/launcher.js'

/** Settings of `data` that say how files are read, or who reads them. */
const DECIDING = ['table', 'query', 'columns', 'from']
/** Options after which another table, or none, may be read. */
const OTHER_OPTIONS = /^--(dry-run|from)|data\./
/** Largest file that is taken for an experiment. */
const MOST_BYTES = 2 ** 20

/** Format where an experiment says nothing about it. */
const DEFAULT_FORMAT = formatOf(
  { table: { delimiter: 'auto', header: 'auto', decimal: 'auto', dayFirst: 'auto' }, query: null, columns: {} },
  null,
)

/** Table that these arguments of the program will most likely read; null: none, or it is not that simple. */
export function guessTable(
  [command, file, ...options]: readonly string[],
  env: NodeJS.ProcessEnv,
): { readonly path: string; readonly format: TableFormat } | null {
  if (command !== 'train' || file === undefined || file.startsWith('-') || launchedBy(env) !== null) return null
  if (options.some(option => OTHER_OPTIONS.test(option))) return null
  try {
    const found = statSync(file)
    // A pipe can be read once, which `train` does.
    if (!found.isFile() || found.size > MOST_BYTES) return null
    const text = readFileSync(file, 'utf8')
    const { data } = JSON.parse(text)
    if (data.dataset !== 'table' || typeof data.path !== 'string' || data.path === '') return null
    if (DECIDING.some(key => Object.hasOwn(data, key))) return null
    return { path: resolve(dirname(resolve(file)), data.path), format: DEFAULT_FORMAT }
  } catch {
    return null // `train` says what is wrong
  }
}

/** Time after which the program is loaded in any case: what DuckDB reads takes longer to begin, on threads of its own. */
const MOST_MS = 100

/** Begins to read, and waits until it has begun; never throws. Returns what ends the reading of a table that nobody has asked for; null: nothing is read. */
export async function readAhead(
  args: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<(() => Promise<void>) | null> {
  const table = guessTable(args, env)
  if (table === null) return null
  const { closeAhead, openAhead } = await import('../data/table/open-reader.js')
  // To load the program keeps this thread busy: the others are to have work before.
  await Promise.race([openAhead(table.path, table.format), setTimeout(MOST_MS, undefined, { ref: false })])
  return closeAhead
}

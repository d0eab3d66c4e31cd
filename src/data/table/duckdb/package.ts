/**
 * The package that reads tables, loaded when the first one is opened: nothing else in gradloom needs it. It is an optional
 * dependency, because its binaries are made for each system. Main thread.
 */
import { createRequire } from 'node:module'
import { inspect } from 'node:util'
import { DataError } from '../../../errors.js'

export type DuckDB = typeof import('@duckdb/node-api')

const require = createRequire(import.meta.url)
const NAME = '@duckdb/node-api'

/** `where` begins the message of a DataError, where DuckDB is not installed or has no binary for this system. */
export function loadDuckDB(where: string): DuckDB {
  // `import` would look through each of the package's files for the names that it exports, which takes longer than loading.
  return attempt(where, () => require(NAME) as DuckDB)
}

/** Throws the same DataError where DuckDB is not installed, without loading it: which tables can be read depends on no file. */
export function expectDuckDB(where: string): void {
  attempt(where, () => require.resolve(NAME))
}

function attempt<T>(where: string, load: () => T): T {
  try {
    return load()
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.split('\n')[0] : inspect(cause)
    throw new DataError(
      `${where}: tables are read by the npm package ${NAME}, which cannot be loaded here: ${reason}`,
      {
        hint: `npm install --include=optional ${NAME}@1.5.6-r.1`,
        cause,
      },
    )
  }
}

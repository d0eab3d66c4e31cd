/**
 * Database in memory that can read the given files and nothing else: no other file, no network, no extension, no spill to
 * disk; its settings are locked. Main thread; DuckDB works on threads of its own.
 */
import { availableParallelism } from 'node:os'
import type { DuckDBConnection } from '@duckdb/node-api'
import { loadDuckDB } from './package.js'

export interface DatabaseOptions {
  /** Threads of DuckDB; default: as many as the machine has cores. They change no result. */
  readonly threads?: number | undefined
  /** Most memory in bytes for DuckDB itself, without the values that are handed out; default 1 GiB. */
  readonly memoryBytes?: number | undefined
}

export interface Database {
  /** A connection for one query at a time; give it back with `release`, which ends the query. */
  connect(): Promise<DuckDBConnection>
  release(connection: DuckDBConnection): void
  close(): void
}

/** Connections with the settings below, which cannot be made once the settings are locked; further ones are slower. */
const CONNECTIONS = 4
const MEMORY_BYTES = 2 ** 30
/** Rows that wait for the reader of a stream. The default of 1 MB lets the threads stop and start all the time. */
const STREAMING_BUFFER = '32MB'

/** Text as a SQL string. */
export const sqlText = (text: string): string => `'${text.replaceAll("'", "''")}'`

/** Name as a SQL identifier. */
export const sqlName = (name: string): string => `"${name.replaceAll('"', '""')}"`

/** Path as DuckDB reads it: brackets, stars and question marks in a name are no patterns. */
export const sqlPath = (path: string): string => sqlText(escapePattern(path))

const escapePattern = (path: string): string => path.replace(/[[*?]/g, '[$&]')

/** `where` begins the message of a DataError where DuckDB is missing. `files`: absolute paths. */
export async function openDatabase(
  where: string,
  files: readonly string[],
  { threads = availableParallelism(), memoryBytes = MEMORY_BYTES }: DatabaseOptions,
): Promise<Database> {
  const { DuckDBInstance } = loadDuckDB(where)
  const instance = await DuckDBInstance.create(':memory:', { threads: String(threads) })
  const free: DuckDBConnection[] = []
  try {
    const allowed = new Set(files.flatMap(path => [path, escapePattern(path)]))
    const settings = [
      `memory_limit = '${Math.ceil(memoryBytes / 2 ** 20)}MiB'`,
      "temp_directory = ''",
      'preserve_insertion_order = true',
      'autoinstall_known_extensions = false',
      'autoload_known_extensions = false',
      'allow_community_extensions = false',
      'allow_persistent_secrets = false',
      `allowed_paths = [${[...allowed].map(sqlText).join(', ')}]`,
      'enable_external_access = false',
      'lock_configuration = true',
    ]
    for (let i = 0; i < CONNECTIONS; i++) {
      const connection = await instance.connect()
      free.push(connection)
      await connection.run(`SET streaming_buffer_size = '${STREAMING_BUFFER}'`)
    }
    for (const setting of settings) await free[0].run(`SET ${setting}`)
  } catch (error) {
    instance.closeSync()
    throw error
  }
  const pooled = new Set(free)
  return {
    connect: async () => free.pop() ?? (await instance.connect()),
    release: connection => {
      connection.interrupt()
      if (pooled.has(connection)) free.push(connection)
      else connection.closeSync()
    },
    close: () => {
      for (const connection of free) connection.closeSync()
      instance.closeSync()
    },
  }
}

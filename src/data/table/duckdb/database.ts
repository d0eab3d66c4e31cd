/**
 * Database in memory that can read the given files and nothing else: no other file, no network, no extension, no spill to
 * disk; its settings are locked. Main thread; DuckDB works on threads of its own.
 */
import { availableParallelism } from 'node:os'
import type { DuckDBConnection } from '@duckdb/node-api'
import { NativeRows } from './native-rows.js'
import { loadDuckDB } from './package.js'
import { ChunkBuilder, packageRows, type RawChunk } from './vectors.js'

export interface DatabaseOptions {
  /** Threads of DuckDB; default: as many as the machine has cores. They change no result. */
  readonly threads?: number | undefined
  /** Most memory in bytes for DuckDB itself, without the values that are returned; default 1 GiB. */
  readonly memoryBytes?: number | undefined
  /** Access to DuckDB's rows; default: its C API where that can be called. It changes no result. */
  readonly access?: 'native' | 'package' | undefined
}

export interface Database {
  /** A connection for one query at a time; give it back with `release`, which ends the query. */
  connect(): Promise<DuckDBConnection>
  release(connection: DuckDBConnection): void
  /**
   * Rows of a query whose columns are DOUBLE (`isText` false) or VARCHAR, in order and in bounded memory. A chunk is valid until the
   * next one is asked for. Leaving the loop early ends the query. Throws what DuckDB throws.
   */
  rows(sql: string, isText: readonly boolean[]): AsyncGenerator<RawChunk, void, undefined>
  /** Call after something has been created in the database: rows then come from here, not from a second database. */
  keepRowsHere(): Promise<void>
  close(): void
}

/** Connections with the settings below, which cannot be made once the settings are locked; further ones are slower. */
const CONNECTIONS = 4
const MEMORY_BYTES = 2 ** 30
/** Rows that wait for the reader of a stream. The default of 1 MB lets the threads stop and start all the time. */
const STREAMING_BUFFER = '8MB'

/** Text as a SQL string. */
export const sqlText = (text: string): string => `'${text.replaceAll("'", "''")}'`

/** Name as a SQL identifier. */
export const sqlName = (name: string): string => `"${name.replaceAll('"', '""')}"`

/** Path as DuckDB reads it: brackets, stars and question marks in a name are no patterns. */
export const sqlPath = (path: string): string => sqlText(escapePattern(path))

const escapePattern = (path: string): string => path.replace(/[[*?]/g, '[$&]')

/** Opens the database when it is needed first: plain text is read without it. The parameters are those of `openDatabase`. */
export function databaseOf(...parameters: Parameters<typeof openDatabase>): Database {
  let opening: Promise<Database> | null = null
  let opened: Database | null = null
  let isClosed = false
  const ready = () => {
    opening ??= openDatabase(...parameters).then(database => {
      opened = database
      if (isClosed) database.close()
      return database
    })
    return opening
  }
  return {
    connect: async () => (await ready()).connect(),
    release: connection => opened!.release(connection), // there is one: connect gave it
    async *rows(sql, isText) {
      yield* (await ready()).rows(sql, isText)
    },
    keepRowsHere: async () => (await ready()).keepRowsHere(),
    close: () => {
      isClosed = true
      opened?.close()
    },
  }
}

/** `where` begins the message of a DataError where DuckDB is missing. `files`: absolute paths. */
export async function openDatabase(
  where: string,
  files: readonly string[],
  { threads = availableParallelism(), memoryBytes = MEMORY_BYTES, access }: DatabaseOptions,
): Promise<Database> {
  const { DuckDBInstance } = loadDuckDB(where)
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
  const buffered = `streaming_buffer_size = '${STREAMING_BUFFER}'`
  const instance = await DuckDBInstance.create(':memory:', { threads: String(threads) })
  const free: DuckDBConnection[] = []
  try {
    for (let i = 0; i < CONNECTIONS; i++) {
      const connection = await instance.connect()
      free.push(connection)
      await connection.run(`SET ${buffered}`)
    }
    // The machine's time zone would change what a query makes of dates.
    await free[0].run("SET GLOBAL TimeZone = 'UTC'")
    for (const setting of settings) await free[0].run(`SET ${setting}`)
  } catch (error) {
    instance.closeSync()
    throw error
  }
  const pooled = new Set(free)
  const connect = async () => free.pop() ?? (await instance.connect())
  const release = (connection: DuckDBConnection) => {
    connection.interrupt()
    if (pooled.has(connection)) free.push(connection)
    else connection.closeSync()
  }
  let isShared = access !== 'package'
  /** Opened when the first rows are read. */
  let native: Promise<NativeRows | null> | null = null
  let busy = false
  let isClosed = false
  const closeNative = () => void native?.then(opened => opened?.close())
  return {
    connect,
    release,
    async *rows(sql, isText) {
      const builder = new ChunkBuilder(isText)
      if (isShared && !busy) {
        native ??= NativeRows.open([`threads = ${threads}`, buffered, ...settings])
        const opened = await native
        if (opened !== null) {
          busy = true
          try {
            yield* opened.rows(sql, builder)
          } finally {
            busy = false
            if (isClosed) closeNative()
          }
          return
        }
        if (access === 'native') throw new Error('the C API of DuckDB cannot be called here')
      }
      const connection = await connect()
      try {
        yield* packageRows(connection, sql, builder)
      } finally {
        release(connection)
      }
    },
    keepRowsHere: async () => {
      isShared = false
    },
    close: () => {
      for (const connection of free) connection.closeSync()
      instance.closeSync()
      isClosed = true
      if (!busy) closeNative() // a running query is ended by the reader of its rows
    },
  }
}

/**
 * Rows of a query by DuckDB's C API, called through koffi. The npm package wraps each vector in several JavaScript objects with
 * finalizers; copying from the vectors' own memory into one buffer takes less than half of the time of a pass. It serves the one
 * loop that this matters for; all other queries go through the package. Linux and macOS; main thread.
 */
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { type Koffi, type LibraryHandle, loadKoffi } from '../../../ffi/koffi.js'
import { type ChunkBuilder, type RawChunk, VECTOR_ROWS } from './vectors.js'

/** Address in the memory of the process, as koffi returns it. */
type Pointer = object & { readonly __pointer: never }
/** Output parameter: the callee writes the element. */
type Out = [Pointer | null]
/** `duckdb_result`: a struct of DuckDB that is passed as a whole. */
type Result = Record<string, unknown>

interface Calls {
  open(path: string, database: Out): number
  connect(database: Pointer, connection: Out): number
  close(database: [Pointer]): void
  disconnect(connection: [Pointer]): void
  interrupt(connection: Pointer): void
  query(connection: Pointer, sql: string, result: Result): number
  prepare(connection: Pointer, sql: string, statement: Out): number
  prepareError(statement: Pointer): string | null
  destroyPrepare(statement: [Pointer]): void
  resultError(result: Result): string | null
  destroyResult(result: Result): void
  destroyChunk(chunk: [Pointer]): void
  chunkSize(chunk: Pointer): number | bigint
  vectorOf(chunk: Pointer, column: number): Pointer
  dataOf(vector: Pointer): Pointer
  validityOf(vector: Pointer): Pointer | null
  /** Copies bytes from an address. */
  copy(to: ArrayBufferView, from: Pointer | bigint, bytes: number): unknown
  /** Both run on a thread of koffi's: they wait for DuckDB's threads. */
  execute(statement: Pointer, result: Result): Promise<number>
  fetch(result: Result): Promise<Pointer | null>
}

const LIBRARIES: Partial<Record<NodeJS.Platform, string>> = { linux: 'libduckdb.so', darwin: 'libduckdb.dylib' }

let loading: Promise<Calls | null> | undefined

/** The functions; null where koffi or the library is missing, or the system is another: the package then reads all rows. */
export function loadCalls(): Promise<Calls | null> {
  loading ??= declare().catch(() => null)
  return loading
}

async function declare(): Promise<Calls | null> {
  const file = LIBRARIES[process.platform]
  if (file === undefined) return null
  const koffi = await loadKoffi()
  const require = createRequire(createRequire(import.meta.url).resolve('@duckdb/node-api'))
  const bindings = createRequire(require.resolve('@duckdb/node-bindings'))
  const addon = bindings.resolve(`@duckdb/node-bindings-${process.platform}-${process.arch}/duckdb.node`)
  return callsOf(koffi, koffi.load(join(dirname(addon), file)), koffi.load(null))
}

function callsOf(koffi: Koffi, library: LibraryHandle, system: LibraryHandle): Calls {
  koffi.struct('duckdb_result', {
    ...{ columns: 'uint64', rows: 'uint64', changed: 'uint64' },
    ...{ column_data: 'void *', error: 'void *', internal: 'void *' },
  })
  const declared = (declaration: string) => library.func(declaration)
  const [execute, fetch] = [
    declared('int duckdb_execute_prepared_streaming(void *statement, _Out_ duckdb_result *result)'),
    declared('void *duckdb_fetch_chunk(duckdb_result result)'),
  ]
  const later = <T>(func: { async: (...args: unknown[]) => void }, ...args: unknown[]) =>
    new Promise<T>((resolve, reject) =>
      func.async(...args, (error: Error | null, value: T) => (error ? reject(error) : resolve(value))),
    )
  const calls = {
    open: declared('int duckdb_open(const char *path, _Out_ void **database)'),
    connect: declared('int duckdb_connect(void *database, _Out_ void **connection)'),
    close: declared('void duckdb_close(_Inout_ void **database)'),
    disconnect: declared('void duckdb_disconnect(_Inout_ void **connection)'),
    interrupt: declared('void duckdb_interrupt(void *connection)'),
    query: declared('int duckdb_query(void *connection, const char *sql, _Out_ duckdb_result *result)'),
    prepare: declared('int duckdb_prepare(void *connection, const char *sql, _Out_ void **statement)'),
    prepareError: declared('const char *duckdb_prepare_error(void *statement)'),
    destroyPrepare: declared('void duckdb_destroy_prepare(_Inout_ void **statement)'),
    resultError: declared('const char *duckdb_result_error(_Inout_ duckdb_result *result)'),
    destroyResult: declared('void duckdb_destroy_result(_Inout_ duckdb_result *result)'),
    destroyChunk: declared('void duckdb_destroy_data_chunk(_Inout_ void **chunk)'),
    chunkSize: declared('uint64 duckdb_data_chunk_get_size(void *chunk)'),
    vectorOf: declared('void *duckdb_data_chunk_get_vector(void *chunk, uint64 column)'),
    dataOf: declared('void *duckdb_vector_get_data(void *vector)'),
    validityOf: declared('void *duckdb_vector_get_validity(void *vector)'),
    copy: system.func('void *memcpy(_Out_ void *to, const void *from, size_t bytes)'),
    execute: (statement: Pointer, result: Result) => later<number>(execute, statement, result),
    fetch: (result: Result) => later<Pointer | null>(fetch, result),
  }
  return calls as unknown as Calls
}

/** A database of its own in memory, with one connection. */
export class NativeRows {
  readonly #database: [Pointer]
  readonly #connection: [Pointer]

  private constructor(
    readonly calls: Calls,
    database: Pointer,
    connection: Pointer,
  ) {
    this.#database = [database]
    this.#connection = [connection]
  }

  /** `settings`: SQL statements that follow SET. Null where the C API cannot be called. Throws what DuckDB refuses. */
  static async open(settings: readonly string[]): Promise<NativeRows | null> {
    const calls = await loadCalls()
    if (calls === null) return null
    const [database, connection]: Out[] = [[null], [null]]
    if (calls.open(':memory:', database) !== 0) return null
    calls.connect(database[0]!, connection)
    const rows = new NativeRows(calls, database[0]!, connection[0]!)
    try {
      for (const setting of settings) rows.#run(`SET ${setting}`)
    } catch (error) {
      rows.close()
      throw error
    }
    return rows
  }

  #run(sql: string): void {
    const { calls } = this
    const result: Result = {}
    const failed = calls.query(this.#connection[0], sql, result) !== 0
    const reason = failed ? calls.resultError(result) : null
    calls.destroyResult(result)
    if (failed) throw new Error(reason ?? `${sql} failed`)
  }

  /**
   * Rows of a query whose columns are DOUBLE or VARCHAR, as `builder` expects them. One query at a time. Leaving the loop early ends
   * the query. Throws an Error with DuckDB's message.
   */
  async *rows(sql: string, builder: ChunkBuilder): AsyncGenerator<RawChunk, void, undefined> {
    const { calls } = this
    const [connection] = this.#connection
    const statement: Out = [null]
    const failed = calls.prepare(connection, sql, statement) !== 0
    const result: Result = {}
    let next: Promise<Pointer | null> | null = null
    let executed = false
    try {
      if (failed) throw new Error((statement[0] && calls.prepareError(statement[0])) ?? 'the query cannot be prepared')
      executed = true
      if ((await calls.execute(statement[0]!, result)) !== 0) throw this.#fault(result)
      next = calls.fetch(result)
      for (;;) {
        const chunk = await next
        next = null
        if (chunk === null) break
        try {
          const rows = Number(calls.chunkSize(chunk))
          if (rows === 0) break
          // DuckDB computes the next rows while these are copied and used.
          next = calls.fetch(result)
          if (!builder.fits(rows)) yield builder.take()
          this.#copy(chunk, rows, builder)
        } finally {
          calls.destroyChunk([chunk])
        }
      }
      const reason = calls.resultError(result)
      if (reason !== null) throw new Error(reason)
      if (builder.rows > 0) yield builder.take()
    } finally {
      if (next !== null) {
        calls.interrupt(connection)
        const left = await next.catch(() => null)
        if (left !== null) calls.destroyChunk([left])
      }
      if (executed) calls.destroyResult(result)
      if (statement[0] !== null) calls.destroyPrepare([statement[0]])
    }
  }

  #fault(result: Result): Error {
    return new Error(this.calls.resultError(result) ?? 'the query failed')
  }

  #copy(chunk: Pointer, rows: number, builder: ChunkBuilder): void {
    const { calls } = this
    const { items, validity } = scratch
    for (const [i, column] of builder.columns.entries()) {
      const vector = calls.vectorOf(chunk, i)
      const data = calls.dataOf(vector)
      const bits = calls.validityOf(vector)
      if (bits !== null) calls.copy(validity, bits, Math.ceil(rows / 8))
      if ('room' in column) {
        calls.copy(column.room(builder.rows), data, 8 * rows)
        column.added(builder.rows, rows, bits === null ? null : validity)
      } else {
        calls.copy(items, data, 16 * rows)
        column.add(items, bits === null ? null : validity, builder.rows, rows, textAt)
      }
    }
    builder.rows += rows
    function textAt(words: Uint32Array, at: number): string {
      const bytes = new Uint8Array(words[at])
      calls.copy(bytes, (BigInt(words[at + 3]) << 32n) | BigInt(words[at + 2]), bytes.length)
      return decoder.decode(bytes)
    }
  }

  /** Ends everything. No query may run. */
  close(): void {
    this.calls.disconnect(this.#connection)
    this.calls.close(this.#database)
  }
}

const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
/** Copies of what a vector has: its 16 bytes a text, and a bit for each value that is there. */
const scratch = { items: new Uint32Array(4 * VECTOR_ROWS), validity: new Uint8Array(VECTOR_ROWS / 8) }

/**
 * Opens the files of a table, and reports progress on the channel of progress.ts. A table may be opened ahead, while the rest of the
 * program is still being loaded. Main thread.
 */
import { channel } from 'node:diagnostics_channel'
import { type OpenOptions, openTableReader } from './duckdb/open.js'
import { READING, type ReadingProgress } from './progress.js'
import type { TableFormat, TableReader } from './reader.js'

const reading = channel(READING)

/** Table that is opened and not asked for yet. */
interface Ahead {
  readonly path: string
  readonly format: string
  readonly reader: Promise<TableReader>
  /** Ends the reading. */
  readonly stop: () => void
}

let ahead: Ahead | null = null

/**
 * Begins to open what the next call of `openReader` with the same arguments asks for, in place of another table. Resolves when first rows are
 * read, or there will be none. Never throws.
 */
export function openAhead(path: string, format: TableFormat): Promise<void> {
  if (isAhead(path, format)) return Promise.resolve()
  void closeAhead()
  const cancelled = new AbortController()
  return new Promise(resolve => {
    const onProgress = () => {
      cancelled.signal.throwIfAborted()
      resolve()
    }
    const reader = open(path, format, { onProgress })
    // Who asks for the table sees the error.
    reader.then(
      () => resolve(),
      () => resolve(),
    )
    ahead = { path, format: JSON.stringify(format), reader, stop: () => cancelled.abort() }
  })
}

/** Closes a table that was opened ahead, if nobody has asked for it. */
export async function closeAhead(): Promise<void> {
  if (ahead === null) return
  const { reader, stop } = ahead
  ahead = null
  stop()
  await reader.then(
    opened => opened.close(),
    () => {},
  )
}

const isAhead = (path: string, format: TableFormat): boolean =>
  ahead?.path === path && ahead.format === JSON.stringify(format)

/** `facts`: see `OpenOptions`. */
export function openReader(
  path: string,
  format: TableFormat,
  options: Pick<OpenOptions, 'facts'> = {},
): Promise<TableReader> {
  if (options.facts !== false && isAhead(path, format)) {
    const { reader } = ahead!
    ahead = null
    return reader
  }
  return open(path, format, options)
}

async function open(
  path: string,
  format: TableFormat,
  { facts, onProgress }: Pick<OpenOptions, 'facts' | 'onProgress'>,
): Promise<TableReader> {
  let rows = 0
  const tell = (isDone: boolean) => {
    if (reading.hasSubscribers) reading.publish({ path, rows, isDone } satisfies ReadingProgress)
  }
  tell(false)
  try {
    return await openTableReader(path, format, {
      facts,
      onProgress: progress => {
        rows = progress.rows
        tell(false)
        onProgress?.(progress)
      },
    })
  } finally {
    tell(true)
  }
}

/** Opens the files of a table, and reports progress on the channel of progress.ts. Main thread. */
import { channel } from 'node:diagnostics_channel'
import { type OpenOptions, openTableReader } from './duckdb/open.js'
import { READING, type ReadingProgress } from './progress.js'
import type { TableFormat, TableReader } from './reader.js'

const reading = channel(READING)

/** `facts`: see `OpenOptions`. */
export async function openReader(
  path: string,
  format: TableFormat,
  { facts }: Pick<OpenOptions, 'facts'> = {},
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
      },
    })
  } finally {
    tell(true)
  }
}

/** Progress while a large table is read, on stderr: a line that is rewritten on a terminal, further lines elsewhere. Main thread. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { basename } from 'node:path'
import { READING, type ReadingProgress } from '../data/table/progress.js'
import { formatCount } from '../format.js'

/** Time before the first line: most tables are read by then. */
const QUIET_MS = 2000
const TERMINAL_INTERVAL_MS = 200
const PLAIN_INTERVAL_MS = 5000
const CLEAR_LINE = '\r\x1b[K'

export interface ReadingOptions {
  readonly stream: Pick<NodeJS.WriteStream, 'write' | 'isTTY'>
  /** Milliseconds of a monotonic clock. */
  readonly now?: () => number
}

/** Shows what tables are read until the returned function is called. */
export function watchReading({ stream, now = () => performance.now() }: ReadingOptions): () => void {
  let current: { readonly path: string; nextMs: number; isShown: boolean } | undefined
  const show = (message: unknown) => {
    const { path, rows, isDone } = message as ReadingProgress
    if (current?.path !== path) current = { path, nextMs: now() + QUIET_MS, isShown: false }
    if (isDone) {
      if (current.isShown && stream.isTTY) stream.write(CLEAR_LINE)
      current = undefined
      return
    }
    if (now() < current.nextMs || rows === 0) return
    const line = `reading ${basename(path)}: ${formatCount(rows)} rows`
    stream.write(stream.isTTY ? CLEAR_LINE + line : `${line}\n`)
    current.isShown = true
    current.nextMs = now() + (stream.isTTY ? TERMINAL_INTERVAL_MS : PLAIN_INTERVAL_MS)
  }
  subscribe(READING, show)
  return () => unsubscribe(READING, show)
}

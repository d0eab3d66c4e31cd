/** Messages about a table that is being read, on a channel: tables are opened deep inside of many commands. Any thread. */

/** Name of the channel (node:diagnostics_channel); its messages are ReadingProgress. */
export const READING = 'gradloom:table-reading'

export interface ReadingProgress {
  /** File, folder or pattern that is opened. */
  readonly path: string
  /** Rows of the pass at hand; 0 before the first ones. */
  readonly rows: number
  /** True in the last message about the path. */
  readonly isDone: boolean
}

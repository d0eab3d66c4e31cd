/** Opens the files of a table. Main thread. */
import { openTableReader } from './duckdb/open.js'
import type { OpenReader } from './source.js'

export const openReader: OpenReader = (path, format) => openTableReader(path, format)

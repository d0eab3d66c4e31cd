/** Opens the files of a table. Main thread. */
import { DataError } from '../../errors.js'
import type { OpenReader } from './source.js'

export const openReader: OpenReader = path =>
  Promise.reject(new DataError(`${path}: tables cannot be read yet, expected a reader of their files`))

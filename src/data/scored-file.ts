/**
 * Data that are only scored: all rows of a given file, instead of the data that a model was trained on. Main thread.
 */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { ALL_ROWS } from './in-memory.js'
import type { DataConfig } from './source.js'

/** True if all rows of such a data set can be scored; others have a test part of their own. */
export const isScoredWhole = ({ dataset }: Pick<DataConfig, 'dataset'>): boolean =>
  dataset === 'table' || dataset === 'npz' || dataset === 'images'

/**
 * Settings that make all rows of `path` test rows, and not split. For an archive or folder with a
 * training and a test part: the test part. `path` is absolute.
 */
export async function wholeData(config: DataConfig, path: string): Promise<DataConfig> {
  if (config.dataset === 'table') {
    // The model determines columns and targets; rows are not split.
    const split = { column: null, group: null, time: null }
    return { ...config, path, testPath: null, testFraction: ALL_ROWS, split }
  }
  const folder = config.dataset === 'images' && (await hasParts(path)) ? join(path, 'test') : path
  return { ...config, path: folder, testPath: null, testFraction: ALL_ROWS }
}

async function hasParts(folder: string): Promise<boolean> {
  const names = await readdir(folder).catch((): string[] => [])
  return names.includes('train') && names.includes('test')
}

/**
 * Opens the data set that an experiment names. The rest of gradloom imports data sets from here. Main thread.
 *
 * From a file to the network: an `open…` function here reads rows (tables: table/source.ts), coordinator/load.ts calls `load`,
 * which writes features into the arena, and worker/network/input.ts gathers them into mini-batches. A table's features are scaled
 * by `load` (table/encode.ts), all others when they are gathered. docs/code-map.md has every step.
 */
import { resolve } from 'node:path'
import { inspect } from 'node:util'
import { ConfigError } from '../errors.js'
import { openDigits } from './digits.js'
import { openIdxFiles } from './idx-source.js'
import type { SavedInput } from './input.js'
import { KNOWN } from './known.js'
import type { TrainingData } from './memory.js'
import { findFiles, notFound, type Place, usualPlaces } from './places.js'
import type { DataConfig, DatasetSource } from './source.js'
import type { OpenReader } from './table/source.js'

export type { DataConfig, DatasetSource, LoadedFile, LoadedSplit, Split } from './source.js'

export interface OpenOptions {
  /** Folder that a relative `data.path` starts at: the experiment file's. */
  readonly baseDir: string
  readonly env?: NodeJS.ProcessEnv
  /** Samples of the data set `memory`. */
  readonly samples?: TrainingData | undefined
  /** Model whose encoding a table is given; null: fitted on the training rows. */
  readonly model?: SavedInput | null
  /** Reader of tables; for tests. */
  readonly openReader?: OpenReader
}

export async function openDataset(config: DataConfig, options: OpenOptions): Promise<DatasetSource> {
  const { dataset: name, path, testPath } = config
  if (options.samples !== undefined && name !== 'memory') {
    throw new ConfigError(`data.dataset is ${inspect(name)}, expected "memory", because samples are given`)
  }
  if (name === 'memory') return (await import('./memory.js')).openMemory(options.samples, config)
  const absolute = (file: string) => resolve(options.baseDir, file)
  if (name === 'digits') {
    if (path !== null) {
      throw new ConfigError(
        `data.path is ${inspect(path)}, expected null with data.dataset "digits", which comes with gradloom`,
      )
    }
    return openDigits()
  }
  if (name === 'table') return openTableAt(config, options)
  if (name === 'npz' || name === 'images') {
    if (path === null) throw new ConfigError(`data.path is null, expected a file or folder with data.dataset "${name}"`)
    const test = testPath === null ? null : absolute(testPath)
    if (name === 'npz') return (await import('./npz.js')).openNpz(absolute(path), config, options.model)
    return (await import('./image-folder.js')).openImageFolder(absolute(path), test, config, options.model)
  }
  const places = placesOf(name, path, options)
  const { found, misses } = await findFiles(places)
  if (found === null) throw notFound(name, misses)
  return openIdxFiles(name, found.place.dir, found.files, name === 'idx' ? null : KNOWN[name], config.transpose)
}

async function openTableAt(
  config: DataConfig,
  { baseDir, model = null, openReader }: OpenOptions,
): Promise<DatasetSource> {
  const { path, testPath } = config
  if (path === null)
    throw new ConfigError('data.path is null, expected a file, folder or glob with data.dataset "table"')
  const { openTable } = await import('./table/source.js')
  const open = openReader ?? (await import('./table/open-reader.js')).openReader
  const test = testPath === null ? null : resolve(baseDir, testPath)
  return openTable(resolve(baseDir, path), test, config, model, open)
}

function placesOf(name: 'mnist' | 'fashion-mnist' | 'idx', path: string | null, options: OpenOptions): Place[] {
  if (path !== null) return [{ dir: resolve(options.baseDir, path), origin: 'data.path' }]
  if (name === 'idx') {
    throw new ConfigError('data.path is null, expected the folder with your IDX files when data.dataset is "idx"', {
      hint: '--set data.path=FOLDER',
    })
  }
  return usualPlaces(name, options.env)
}

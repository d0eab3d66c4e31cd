/**
 * The data that runs of a sweep were trained on, by digest: runs on other data must not be compared as if only their
 * settings differed. (`compare` groups runs by data in report/comparison.ts.) Main thread; reads, never writes.
 */

import { basename } from 'node:path'
import type { Experiment } from '../config/schema.js'
import { type LoadedFile, openDataset } from '../data/dataset.js'
import { DataError } from '../errors.js'
import { readManifest } from '../run/saved-run.js'
import { inputSize } from '../tensor/input-shape.js'

interface Known {
  readonly dir: string
  readonly files: readonly LoadedFile[]
}

export class DataOfRuns {
  /** Files by the `data` section of the experiment: variants may name different data. */
  readonly #known = new Map<string, Known>()

  /** Files of the runs with the same `data` section; undefined where none has been started. */
  filesFor({ data }: Experiment): readonly LoadedFile[] | undefined {
    return this.#known.get(JSON.stringify(data))?.files
  }

  /** Adds a run. Throws DataError where it was trained on other data than an earlier one with the same section. */
  async add({ data }: Experiment, dir: string): Promise<void> {
    const files = (await readManifest(dir).catch(() => undefined))?.data?.files
    if (!Array.isArray(files)) return
    const key = JSON.stringify(data)
    const known = this.#known.get(key)
    if (known === undefined) {
      this.#known.set(key, { dir, files })
      return
    }
    expectSame(known, files, md5 => `${md5} for ${basename(dir)}`)
  }

  /** Throws DataError where the data have changed since the runs; returns what is wrong where they cannot be read. */
  async check(experiment: Experiment, baseDir: string): Promise<string | null> {
    const known = this.#known.get(JSON.stringify(experiment.data))
    if (known === undefined) return null
    let files: LoadedFile[]
    try {
      files = await filesNow(experiment, baseDir)
    } catch (error) {
      if (error instanceof DataError) return error.message
      throw error
    }
    expectSame(known, files, md5 => `is ${md5} now`)
    return null
  }
}

/** Throws DataError where a file is not as a run had it. `describe` says whose digest the new one is. */
function expectSame({ dir, files }: Known, found: readonly LoadedFile[], describe: (md5: string) => string): void {
  found.forEach(({ path, md5 }, i) => {
    const was = files[i]?.md5
    if (was !== md5) throw otherDataError(`${path}: MD5 was ${was} for ${basename(dir)} and ${describe(md5)}`)
  })
}

/** Files of a data set as they are now, read whole. */
async function filesNow({ data }: Experiment, baseDir: string): Promise<LoadedFile[]> {
  const source = await openDataset(data, { baseDir })
  const size = inputSize(source)
  const outputs = source.task === 'classification' ? 0 : source.classes
  const files: LoadedFile[] = []
  for (const split of ['train', 'test'] as const) {
    const { rows } = source[split]
    const features = source.dtype === 'uint8' ? new Uint8Array(rows * size) : new Float32Array(rows * size)
    const targets = outputs > 0 ? [new Float32Array(rows * outputs)] : []
    files.push(...(await source.load(split, features, new Int32Array(rows), ...targets)).files)
  }
  return files
}

/** Ends a sweep: no further run can be compared with those that are finished. */
export class OtherDataError extends DataError {}

export const otherDataError = (evidence: string, cause?: unknown): OtherDataError =>
  new OtherDataError(`${evidence}, expected the same data for all runs of the sweep; it has changed since the first`, {
    hint: 'put the data back as they were, or start the sweep anew in another directory with --run-dir',
    cause,
  })

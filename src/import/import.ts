/** Weights of other programs as those of a model. Main thread; reads, never writes. */
import { DataError } from '../errors.js'
import type { Parameter } from '../model/parameters.js'
import type { NamedWeights } from '../run/save.js'
import { sizeOf } from '../tensor/tensor.js'
import { assignWeights, type Reading, type WeightLayout } from './assign.js'
import { readForeign } from './read.js'

/** Where imported weights came from, as the manifest has it. */
export interface ImportedFrom {
  /** SHA-256 of the file, hexadecimal. */
  readonly sha256: string
  readonly layout: WeightLayout
  /** Modules in the order of the layers; undefined in manifests of older versions. */
  readonly order?: readonly string[]
}

export interface Imported extends ImportedFrom {
  /** In table order. */
  readonly parameters: readonly NamedWeights[]
  readonly missing: readonly string[]
}

/** By what features are shifted and scaled, in files that `export` wrote. */
const OF_INPUT = /^input\.(offset|factor)$/

/** Throws DataError or CheckpointError where the file does not fit the model. */
export async function importWeights(file: string, table: readonly Parameter[], reading: Reading): Promise<Imported> {
  const mostBytes = Float64Array.BYTES_PER_ELEMENT * Math.max(...table.map(({ dims }) => sizeOf(dims)))
  const { arrays: all, sha256 } = await readForeign(file, mostBytes)
  const arrays = all.filter(({ name }) => !OF_INPUT.test(name))
  return { ...assignWeights(file, arrays, table, reading), sha256 }
}

/** Reads a file again as it was read before; throws DataError if it has become another one. */
export async function importAgain(
  file: string,
  table: readonly Parameter[],
  { sha256, layout, order }: ImportedFrom,
): Promise<readonly NamedWeights[]> {
  const imported = await importWeights(file, table, { layout, order: order ?? null })
  if (imported.sha256 === sha256) return imported.parameters
  throw new DataError(`${file}: SHA-256 is ${imported.sha256}, expected ${sha256}; the run began with another file`)
}

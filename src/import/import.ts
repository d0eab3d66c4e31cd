/** Weights of other programs as those of a model. Main thread; reads, never writes. */
import { DataError } from '../errors.js'
import type { Parameter } from '../model/parameters.js'
import type { NamedWeights } from '../run/save.js'
import { sizeOf } from '../tensor/tensor.js'
import { assignWeights, type WeightLayout } from './assign.js'
import { readForeign } from './read.js'

/** Where imported weights came from, as the manifest has it. */
export interface ImportedFrom {
  /** Of the file, hexadecimal. */
  readonly sha256: string
  /** How weights lie in it. */
  readonly layout: WeightLayout
}

export interface Imported extends ImportedFrom {
  /** In table order. */
  readonly parameters: readonly NamedWeights[]
  readonly missing: readonly string[]
}

/** `layout` null: as the shapes say. Throws DataError or CheckpointError where the file does not fit the model. */
export async function importWeights(
  file: string,
  table: readonly Parameter[],
  layout: WeightLayout | null,
): Promise<Imported> {
  const mostBytes = Float64Array.BYTES_PER_ELEMENT * Math.max(...table.map(({ dims }) => sizeOf(dims)))
  const { arrays, sha256 } = await readForeign(file, mostBytes)
  return { ...assignWeights(file, arrays, table, layout), sha256 }
}

/** The same file again; throws DataError if it has become another one. */
export async function importAgain(
  file: string,
  table: readonly Parameter[],
  { sha256, layout }: ImportedFrom,
): Promise<readonly NamedWeights[]> {
  const imported = await importWeights(file, table, layout)
  if (imported.sha256 === sha256) return imported.parameters
  throw new DataError(`${file}: SHA-256 is ${imported.sha256}, expected ${sha256}; the run began with another file`)
}

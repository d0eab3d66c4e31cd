/** Weights of other programs as those of a model. Main thread; reads, never writes. */
import type { Scaling } from '../data/input.js'
import { DataError } from '../errors.js'
import type { Parameter } from '../model/parameters.js'
import type { ImportedFrom } from '../run/manifest.js'
import type { NamedWeights } from '../run/save.js'
import { sizeOf } from '../tensor/tensor.js'
import { assignWeights, type Reading } from './assign.js'
import { readForeign } from './read.js'

export interface Imported extends ImportedFrom {
  /** Parameters in table order. */
  readonly parameters: readonly NamedWeights[]
  readonly missing: readonly string[]
}

/** Arrays with the offset and factor of the features, in files that `export` wrote. */
const OF_INPUT = /^input\.(offset|factor)$/

/** Throws DataError or CheckpointError where the file does not fit the model. */
export async function importWeights(file: string, table: readonly Parameter[], reading: Reading): Promise<Imported> {
  const mostBytes = Float64Array.BYTES_PER_ELEMENT * Math.max(...table.map(({ dims }) => sizeOf(dims)))
  const { arrays: all, unread, sha256 } = await readForeign(file, mostBytes)
  const arrays = all.filter(({ name }) => !OF_INPUT.test(name))
  const notRead = unread.map(({ name, dtype }) => `${name} is ${dtype}`).join(', ')
  const assigned = (() => {
    try {
      return assignWeights(file, arrays, table, reading)
    } catch (cause) {
      if (notRead === '' || !(cause instanceof DataError)) throw cause
      throw new DataError(`${cause.message}; ${notRead}, which is not read`, { hint: cause.hint, cause })
    }
  })()
  if (notRead !== '' && assigned.missing.length > 0) {
    throw new DataError(
      `${file}: has no ${assigned.missing.join(', ')} that can be read; ${notRead}, which is not read`,
    )
  }
  return { ...assigned, sha256 }
}

/** Rows of a table have no more features than this where a file says how they are scaled. */
const MOST_FEATURES = 2 ** 24

/** Scaling of the features that `export` recorded; null if the file has none. */
export async function importedScaling(file: string): Promise<Scaling | null> {
  const { arrays } = await readForeign(file, MOST_FEATURES * Float32Array.BYTES_PER_ELEMENT, OF_INPUT)
  const of = (name: string) => arrays.find(array => array.name === `input.${name}`)
  const [offset, factor] = [of('offset'), of('factor')]
  if (!offset || !factor) return null
  return { offset: Array.from(offset.values), factor: Array.from(factor.values) }
}

/**
 * Weights of a network of regression that puts out `targets` in the units of the data, as those of one whose outputs are
 * scaled: the last layer, which is linear, is. Throws DataError for a target without a scale.
 */
export function scaledOutputs(
  file: string,
  parameters: readonly NamedWeights[],
  { offset, factor }: Scaling,
): readonly NamedWeights[] {
  const constant = factor.indexOf(0)
  if (constant >= 0) {
    throw new DataError(
      `${file}: output ${constant} would be divided by the standard deviation of its target, which is 0 in the training rows`,
      { hint: 'train on rows in which every target varies' },
    )
  }
  const last = Math.max(...parameters.map(({ name }) => Number(/^layers\.(\d+)\./.exec(name)?.[1] ?? 0)))
  return parameters.map(({ name, shape, data }) => {
    if (name === `layers.${last}.bias`) return { name, shape, data: data.map((b, k) => (b - offset[k]) * factor[k]) }
    if (name !== `layers.${last}.weight`) return { name, shape, data }
    return { name, shape, data: data.map((w, i) => w * factor[i % factor.length]) }
  })
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

/** Weights of other programs as those of a model. Main thread; reads, never writes. */
import type { Scaling } from '../data/input.js'
import { DataError } from '../errors.js'
import type { Parameter } from '../model/parameters.js'
import type { NamedWeights } from '../run/checkpoint-file.js'
import type { ImportedFrom } from '../run/manifest.js'
import { sizeOf } from '../tensor/tensor.js'
import { assignWeights, type Reading } from './assign.js'
import { exportedFacts, NOT_WEIGHTS } from './exported.js'
import { readForeign } from './read.js'

export interface Imported extends ImportedFrom {
  /** Parameters in table order. */
  readonly parameters: readonly NamedWeights[]
  readonly missing: readonly string[]
}

/** Names of arrays in files that `export` wrote, but for those that are no weights. */
const WEIGHTS_OF_EXPORT = new RegExp(`^(?!${NOT_WEIGHTS.source.slice(1)})`)

/** Throws DataError or CheckpointError where the file does not fit the model. */
export async function importWeights(file: string, table: readonly Parameter[], reading: Reading): Promise<Imported> {
  const mostBytes = Float64Array.BYTES_PER_ELEMENT * Math.max(...table.map(({ dims }) => sizeOf(dims)))
  const { layout } = await exportedFacts(file)
  const wanted = layout ? WEIGHTS_OF_EXPORT : undefined
  const { arrays, unread, sha256 } = await readForeign(file, mostBytes, wanted)
  const notRead = unread.map(({ name, dtype }) => `${name} is ${dtype}`).join(', ')
  const assigned = (() => {
    try {
      return assignWeights(file, arrays, table, { ...reading, layout: reading.layout ?? layout })
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

/**
 * Weights of a network of regression that puts out `targets` in the units of the data, as those of one whose outputs are
 * scaled: the last layer, which is linear, is. Throws DataError for a target without a standard deviation, unless the
 * network puts out its mean whatever the features.
 */
export function scaledOutputs(
  file: string,
  parameters: readonly NamedWeights[],
  { offset, factor }: Scaling,
): readonly NamedWeights[] {
  const last = Math.max(...parameters.map(({ name }) => Number(/^layers\.(\d+)\./.exec(name)?.[1] ?? 0)))
  const bias = `layers.${last}.bias`
  const weight = `layers.${last}.weight`
  const varies = (output: number) =>
    parameters.some(
      ({ name, data }) =>
        (name === weight && data.some((w, i) => i % factor.length === output && w !== 0)) ||
        (name === bias && data[output] !== Math.fround(offset[output])),
    )
  const constant = factor.findIndex((scale, output) => scale === 0 && varies(output))
  if (constant >= 0) {
    throw new DataError(
      `${file}: output ${constant} would be divided by the standard deviation of its target, which is 0 in the training rows`,
      { hint: 'train on rows in which every target varies' },
    )
  }
  return parameters.map(({ name, shape, data }) => {
    if (name === bias) return { name, shape, data: data.map((b, k) => (b - offset[k]) * factor[k]) }
    if (name !== weight) return { name, shape, data }
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

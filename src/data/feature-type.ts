/**
 * Converts features to the type that a model was trained with: the same values as bytes and as numbers are the same
 * data. Main thread; holds one more copy of a split while it is loaded.
 */
import { DataError } from '../errors.js'
import { inputSize } from '../tensor/input-shape.js'
import type { DatasetSource, Features, FeatureType, Split } from './source.js'

/** `source` with features of type `dtype`. Its `load` throws DataError for a value that is not a byte, if bytes are wanted. */
export function asFeatureType(source: DatasetSource, dtype: FeatureType): DatasetSource {
  if (source.dtype === dtype) return source
  return {
    ...source,
    dtype,
    async load(split: Split, features: Features, labels: Int32Array, targets?: Float32Array) {
      const read = source.dtype === 'uint8' ? new Uint8Array(features.length) : new Float32Array(features.length)
      const loaded = await source.load(split, read, labels, targets)
      const wrong =
        dtype === 'uint8' ? read.findIndex(value => !(Number.isInteger(value) && value >= 0 && value <= 255)) : -1
      if (wrong >= 0) {
        const width = inputSize(source)
        throw new DataError(
          `${source.where}: feature ${wrong % width} of ${split} row ${Math.floor(wrong / width)} is ${read[wrong]}, expected ` +
            'an integer from 0 to 255, as in the images that the model was trained on',
        )
      }
      features.set(read)
      return loaded
    },
  }
}

/**
 * Embeddings: learned vectors that replace a feature that is an index, one for each of its values (Guo and Berkhahn 2016, "Entity
 * embeddings of categorical variables", arXiv 1604.06737). They stand before the first layer: a column's vector is a row of its matrix
 * (rows, size), copied beside the other features. Declarations and initial values; pure, any thread.
 *
 * Row 0 begins as zeros and is for values that the training rows lack; all other rows are normal numbers.
 */
import { keyOf, Purpose, philox } from '../tensor/random.js'
import { boxMuller } from './init.js'
import type { Parameter } from './layers/layer.js'

/** One embedded feature: its index is from 0 to `rows` - 1. */
export interface EmbeddingShape {
  readonly rows: number
  readonly size: number
}

/** Columns [at, at + size) of the first layer's inputs, that replace a feature of the data. */
export interface EmbeddingPlace extends EmbeddingShape {
  /** Index of the feature that has the row. */
  readonly feature: number
  readonly at: number
}

/** Largest number of rows: f32 holds every integer up to this. */
export const MAX_EMBEDDING_ROWS = 2 ** 24

/** Largest vector of an embedding, unless the experiment says otherwise. */
const MAX_SIZE = 50

/**
 * Size of the vectors for a number of categories: fastai's rule (`emb_sz_rule` of fastai 2: 1.6 · n^0.56, which its authors found
 * by trials), limited to 50 as in its first version.
 */
export const embeddingSize = (categories: number): number =>
  Math.min(MAX_SIZE, Math.max(1, Math.round(1.6 * categories ** 0.56)))

/** Inputs of the first layer: all features, the embedded ones as vectors. */
export const embeddedInputs = (features: number, embeddings: readonly EmbeddingShape[]): number =>
  embeddings.reduce((sum, { size }) => sum + size - 1, features)

/** Places of the embedded features, which are the last ones of a sample. */
export function embeddingPlaces(features: number, embeddings: readonly EmbeddingShape[]): EmbeddingPlace[] {
  const first = features - embeddings.length
  let end = first
  return embeddings.map((shape, column) => {
    const at = end
    end += shape.size
    return { ...shape, feature: first + column, at }
  })
}

/** Matrices of the embeddings, in their order. */
export const embeddingParameters = (embeddings: readonly EmbeddingShape[]): Parameter[] =>
  embeddings.map(({ rows, size }, column) => ({
    name: `embeddings.${column}.weight`,
    kind: 'embedding',
    layer: column,
    dims: [rows, size],
    init: 'random',
  }))

/**
 * Standard deviation of initial vectors, that of fastai: small beside standardised features, so that a category with few rows has little
 * effect.
 */
const DEVIATION = 0.01

/** Third word of the random counter, which for weights of layers is 0. */
const OF_EMBEDDINGS = 1
const VALUES_PER_COUNTER = 4

/** Overwrites `out` (rows · size) with the initial vectors of a column: value i is normal number i of seed and column. */
export function drawEmbedding(
  out: Float32Array | Float64Array,
  seed: number,
  column: number,
  { rows, size }: EmbeddingShape,
): void {
  const [k0, k1] = keyOf(seed, Purpose.init)
  const words = new Uint32Array(4)
  const values = new Float64Array(VALUES_PER_COUNTER)
  const length = rows * size
  for (let i = 0; i < length; i += VALUES_PER_COUNTER) {
    philox(words, i / VALUES_PER_COUNTER, 0, column, OF_EMBEDDINGS, k0, k1)
    boxMuller(values, 0, words[0], words[1])
    boxMuller(values, 2, words[2], words[3])
    for (let n = 0; n < VALUES_PER_COUNTER && i + n < length; n++) out[i + n] = Math.fround(DEVIATION * values[n])
  }
  out.fill(0, 0, size)
}

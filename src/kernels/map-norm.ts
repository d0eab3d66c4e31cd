/** Interface of batch normalisation of feature maps, a part of `MapKernels`. Types only; any thread. */
import type { FloatTensor } from '../tensor/tensor.js'

/** Sums of a kernel over rows, which are positions, in their order: added to (2, C) of a group, or overwriting them if `first`. */
type MapSums = (sums: FloatTensor, group: number, row: number, rows: number, first: boolean) => void
/** Three numbers of each channel. */
export type ChannelTable = readonly [Float64Array, Float64Array, Float64Array]

/**
 * Batch normalisation of maps, without the shift. Statistics are sums over groups of samples, (G, 2, W) in float64 in every backend, W as
 * `mapNormWidth` has it; who adds the groups, in their order, has the statistics of a mini-batch.
 */
export interface MapNorm {
  /** Σ z², Σ z. */
  readonly sums: MapSums
  /** Σ dz · normed, the gradient of the scale, and Σ dz, that of the shift. */
  readonly gradientSums: MapSums
  /** normed = (z - mean) · inverse, if it is kept; z = normed · scale. Table: mean, inverse, scale. */
  normalise(row: number, rows: number, table: ChannelTable, keeps: boolean): void
  /** dz = factor · (dz - shift - normed · scale). Table: factor, shift, scale. Returns whether all of it is finite. */
  backward(row: number, rows: number, table: ChannelTable): boolean
}

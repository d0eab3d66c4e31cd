/** The update of tables of embeddings, as backends implement it. Types only; see backend.ts. */
import type { OptimizerStep } from '../model/optimizer.js'
import type { FloatTensor } from '../tensor/tensor.js'

/** Elements [start, end) of a flat tensor; `start` is a multiple of 4, `end` too or the last element. */
export interface Range {
  readonly start: number
  readonly end: number
}

/** The update of a flat tensor whose gradient others compute, in ranges that may be chosen at will: no sum crosses them but `squares`. */
export interface TableUpdate {
  /** Sums the range over the buffers in their order, then updates as a bias. Overwrites the first buffer's range. */
  reduce(buffers: readonly FloatTensor[], range: Range, step: OptimizerStep): void
  /** The sum of squares of a buffer's range, in f64. */
  squares(buffer: FloatTensor, range: Range): number
  /** Multiplies a buffer's range. */
  scale(buffer: FloatTensor, range: Range, factor: number): void
  /** average += share · (master - average), over the range. */
  average(average: FloatTensor, range: Range, share: number): void
}

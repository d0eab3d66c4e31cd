/**
 * The network as programs see it: layers, passes, and what each part reads and writes. Interfaces, and the pass over some
 * rows; bound by bind.ts, runs in workers and in the predictor.
 *
 * Letters: `B` rows of the batch buffers, `O` outputs of a layer.
 */
import type { BiasTensors, Columns, Rows, Tile } from '../../kernels/backend.js'
import type { OptimizerStep } from '../../model/optimizer.js'
import type { NormType, VectorKind } from '../../model/parameters.js'
import type { FloatTensor, IntTensor } from '../../tensor/tensor.js'

export interface Layer {
  readonly inputs: number
  readonly outputs: number
  /** Update of the tile, or of the whole bias, from the gradient over batch rows [0, rows). */
  updateWeight(tile: Tile, rows: number, step: OptimizerStep): void
  updateBias(rows: number, step: OptimizerStep): void
  /** Adds the gradient of some rows to the worker's buffer; overwrites it if `first`. */
  accumulate(worker: number, rows: Rows, first: boolean): void
  /** Update from the sum over the first `buffers` workers' buffers. */
  reduceWeight(buffers: number, tile: Tile, step: OptimizerStep): void
  reduceBias(buffers: number, step: OptimizerStep): void
  /** Incoming weights of some outputs, limited in norm, and all that is derived from them. */
  limitWeight(columns: Columns, limit: number): void
  /** Moves the averages toward the parameters, after those were updated; nothing where none are kept. */
  averageWeight(tile: Tile, share: number): void
  /** All vectors that the layer learns, or some of them. */
  averageVectors(share: number, kinds?: readonly VectorKind[]): void
  /** Where the gradient is kept: adds that over batch rows [0, rows) to it; overwrites it if `first`. */
  gradientOfTile(tile: Tile, rows: number, first: boolean): void
  gradientOfVectors(rows: number, first: boolean): void
  /** Sums of squares of that gradient. */
  squaresOfTile(tile: Tile): number
  squaresOfVectors(): number
  /** Update from that gradient times a factor, and of running statistics. */
  updateScaledTile(tile: Tile, factor: number, step: OptimizerStep): void
  updateScaledVectors(rows: number, factor: number, step: OptimizerStep): void
  /** Update of a normalised layer's scale and shift, and of its running statistics; null for others. */
  readonly updateNorm: ((rows: number, step: OptimizerStep) => void) | null
  /** Row i of the weights, or of a moment of them, from or to row-major values (O). */
  storeRow(moment: number | null, i: number, values: Float32Array): void
  loadRow(moment: number | null, i: number, values: Float32Array): void
  /** The bias and whatever else the layer has of each output, with its moments, in the backend's form. */
  readonly vectors: ReadonlyMap<VectorKind, BiasTensors>
}

/** What a pass over the batch buffers does, the same for all of its rows. */
export interface Pass {
  readonly images: 'train' | 'test'
  /** Decides, with the sample, which units are dropped. */
  readonly epoch: number
  /** Factor of the loss's deltas, 1 / rows of the step; 0: score only, without dropout and deltas. */
  readonly deltaScale: number
}

/**
 * The parts of a pass. Each returns 0 or the code of a fault, writes only the rows and columns it is told, and reads only
 * those rows of what earlier parts wrote. Hidden layer i is the one whose outputs are `widths[i + 1]`.
 */
export interface Network {
  /** In training. */
  readonly layers: readonly Layer[]
  /** Of each layer: writes what the backend derives from a tile of the weights. */
  readonly derive: readonly ((tile: Tile) => void)[]
  readonly hiddenLayers: number
  /** Not `none`: `forward` and `backward` end at the products of hidden layers, and the other parts follow. */
  readonly norm: NormType
  /** Image index of each row: written before a pass. (B) */
  readonly samples: IntTensor
  readonly losses: FloatTensor // (B)
  readonly correct: IntTensor //  (B)
  gather(pass: Pass, rows: Rows): void
  /** Hidden layer i: product, and, where nothing is normalised, bias, activation, dropout. */
  forward(layer: number, pass: Pass, rows: Rows, columns?: Columns): number
  /** Hidden layer i after its product: normalisation, activation, dropout. With `batch` in training, of all rows. */
  normalise(layer: number, pass: Pass, rows: Rows, columns?: Columns): number
  /** Logits, losses, hits and, with a deltaScale, the deltas of the logits. */
  loss(pass: Pass, rows: Rows): number
  /** Deltas of hidden layer i from those of the layer after it; of its activation's outputs where it is normalised. */
  backward(layer: number, rows: Rows, columns?: Columns): number
  /** Then the way back through dropout and activation, the gradients of scale and shift, and, with `batch`, the deltas. */
  normaliseColumnsBackward(layer: number, rows: number, columns: Columns): number
  /** Then, with `layer`, the deltas. */
  normaliseRowsBackward(layer: number, rows: Rows): number
}

/**
 * A whole pass over some rows; of a network that is normalised, only to score. Ends at the first fault and returns its
 * code.
 */
export function runPass(network: Network, pass: Pass, rows: Rows): number {
  let code = 0
  network.gather(pass, rows)
  for (let i = 0; i < network.hiddenLayers; i++) {
    code ||= network.forward(i, pass, rows)
    if (network.norm !== 'none') code ||= network.normalise(i, pass, rows)
  }
  code ||= network.loss(pass, rows)
  if (pass.deltaScale === 0) return code
  for (let i = network.hiddenLayers - 1; i >= 0; i--) code ||= network.backward(i, rows)
  return code
}

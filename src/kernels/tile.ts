/** Tiles of weights, what kernels do with the gradient of one by itself, and tiles of several ranks. Types only. */
import type { OptimizerStep } from '../model/optimizer.js'
import type { FloatTensor } from '../tensor/tensor.js'

/** A part of a weight matrix: inputs [inputStart, inputEnd), outputs [outputStart, outputEnd), aligned to `tileUnit`. */
export interface Tile {
  readonly inputStart: number
  readonly inputEnd: number
  readonly outputStart: number
  readonly outputEnd: number
}

/** Gradients of tiles by themselves, at byte offsets of the arena, for sums that are made piece by piece. */
export interface TileGradients {
  bytes(tile: Tile): number
  /** Gradient over batch rows [row, row + rows). Overwrites. */
  compute(at: number, tile: Tile, row: number, rows: number): void
  /** Adds a gradient of the tile to that at `at`. */
  add(at: number, other: number, tile: Tile): void
  /** Update from the gradient, which may be overwritten, then the derived layout. */
  apply(at: number, tile: Tile, step: OptimizerStep): void
  /** Adds the gradient to the tile of a buffer of the master's layout; overwrites it if `first`. */
  store(buffer: FloatTensor, at: number, tile: Tile, first: boolean): void
}

/** A tile of a weight whose moments lie by themselves, in the layout of a matrix of its size. */
export interface PackedTile {
  readonly tile: Tile
  /** Elements of each moment before it. */
  readonly at: number
}

/** The tiles of a weight that one rank of several owns: of these alone it has moments, one after the other. */
export interface OwnedTiles {
  readonly tiles: readonly PackedTile[]
  /** The tile that a part lies in. Throws RangeError where another rank owns it. */
  of(part: Tile): PackedTile
  /** (I, O) Memory in which one moment is brought together, for the time of a copy or a score. */
  readonly whole: FloatTensor
}

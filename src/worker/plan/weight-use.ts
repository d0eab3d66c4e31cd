/**
 * Weights in a run over ranks: which rank owns each tile, and which of them the passes of each rank read. Pure; any thread.
 *
 * A rank reads the weights of its own outputs in the forward pass, and in the backward pass those of the inputs whose deltas it computes,
 * if the blocks of a dense layer are divided among the ranks by columns. So of N ranks each needs about 2 / N of the weights, and gets
 * next to (N - 1) / N² of them after an update, in place of (N - 1) / N. All others it has are of an earlier step: what reads all of them
 * has to get them first (../program/shared-state.ts).
 */
import type { Backend, Columns, PackedTile, Tile } from '../../kernels/backend.js'
import { weightDims } from '../../model/parameters.js'
import { sizeOf } from '../../tensor/tensor.js'
import { gridOf, wholeRows, workOfBlock } from './grid.js'
import type { RunPlan } from './run-plan.js'
import { ownersOf } from './sharing.js'
import { areaOf, type LayerTile, layerTiles } from './tiles.js'

/** Weights of a layer that the passes of a rank read: those of some outputs and those of some inputs. */
export interface WeightUse {
  readonly outputs: Columns
  readonly inputs: Columns
}

export interface WeightSharing {
  readonly tiles: readonly LayerTile[]
  /** Owner of each tile. */
  readonly owners: Int32Array
  /** By block and rank; null: every rank needs all weights. */
  readonly use: readonly (readonly WeightUse[])[] | null
}

const NONE: Columns = { start: 0, end: 0 }

/** Rows of the mini-batches that weights are shared for; those of others need all weights. */
export const usualRows = ({ batchSize, images }: Pick<RunPlan, 'batchSize' | 'images'>): number =>
  Math.min(batchSize, images.train)

/** How the ranks of a plan share the weights. */
export function shareWeights(plan: RunPlan, backend: Backend): WeightSharing {
  const size = plan.ranks?.size ?? 1
  const tiles = layerTiles(plan, backend)
  const work = tiles.map(({ tile }) => areaOf(tile))
  const even = ownersOf(work, 'largest', size)
  const use = size > 1 ? useOfWeights(plan, backend, size) : null
  if (!use) return { tiles, owners: even, use: null }
  const owners = ownersNear(tiles, work, use, mostLoad(even, work, size), size)
  // One exchange of all weights takes less if many ranks need the same ones.
  return mostMoved(tiles, owners, use, size) > work.reduce((sum, of) => sum + of, 0)
    ? { tiles, owners: even, use: null }
    : { tiles, owners, use }
}

/** Tiles that this rank owns of a layer's weights, in places that begin at whole cache lines, and elements of all together. */
export interface PackedTiles {
  readonly tiles: readonly PackedTile[]
  readonly elements: number
}

const PACKED_UNIT = 16

/** By layer; null: this process has all tiles. */
export function packedTiles(plan: RunPlan, backend: Backend): PackedTiles[] | null {
  if (!plan.ranks) return null
  const packed = weightDims(plan).map(() => ({ tiles: [] as PackedTile[], elements: 0 }))
  const { tiles, owners } = shareWeights(plan, backend)
  for (const [t, { layer, tile }] of tiles.entries()) {
    if (owners[t] !== plan.ranks.rank) continue
    const of = packed[layer]
    of.tiles.push({ tile, at: of.elements })
    const size = sizeOf(backend.weightShape(tile.inputEnd - tile.inputStart, tile.outputEnd - tile.outputStart))
    of.elements += Math.ceil(size / PACKED_UNIT) * PACKED_UNIT
  }
  return packed
}

/** The parts of a tile that a rank needs. */
export function neededOf(tile: Tile, { outputs, inputs }: WeightUse): Tile[] {
  const { inputStart, inputEnd, outputStart, outputEnd } = tile
  const left = Math.min(Math.max(outputStart, outputs.start), outputEnd)
  const right = outputs.end > outputs.start ? Math.max(left, Math.min(outputEnd, outputs.end)) : left
  const [top, bottom] = [Math.max(inputStart, inputs.start), Math.min(inputEnd, inputs.end)]
  return [
    { inputStart, inputEnd, outputStart: left, outputEnd: right },
    { inputStart: top, inputEnd: bottom, outputStart, outputEnd: left },
    { inputStart: top, inputEnd: bottom, outputStart: right, outputEnd },
  ].filter(part => part.inputEnd > part.inputStart && part.outputEnd > part.outputStart)
}

const neededArea = (tile: Tile, use: WeightUse): number =>
  neededOf(tile, use).reduce((sum, part) => sum + areaOf(part), 0)

/** Weights that each rank gets from the others after an update. */
export function weightsReceived(sharing: WeightSharing, size: number): number[] {
  const { owners } = sharing
  const received = new Array<number>(size).fill(0)
  for (const t of owners.keys()) {
    for (let rank = 0; rank < size; rank++) {
      if (owners[t] !== rank) received[rank] += sentTo(sharing, t, rank)
    }
  }
  return received
}

/** Weights of a tile that its owner sends the others after an update, all together. */
export function weightsSent(sharing: WeightSharing, t: number, size: number): number {
  let sent = 0
  for (let rank = 0; rank < size; rank++) if (rank !== sharing.owners[t]) sent += sentTo(sharing, t, rank)
  return sent
}

function sentTo({ tiles, use }: WeightSharing, t: number, rank: number): number {
  const { layer, tile } = tiles[t]
  return use ? neededArea(tile, use[layer][rank]) : areaOf(tile)
}

/** By block and rank, what the stages of ../program/passes.ts read. null: all of it. */
function useOfWeights(plan: RunPlan, backend: Backend, size: number): WeightUse[][] | null {
  const { passes, gradientRows, convolutions, maxNorm, embeddings } = plan
  // Rows are divided, or a limit of the weights follows their update.
  if (passes !== 'layers' || gradientRows !== null || convolutions.length > 0 || maxNorm !== null) return null
  const rows = usualRows(plan)
  const all = weightDims(plan)
  return all.map(({ inputs, outputs }, block) => {
    const whole = { outputs: { start: 0, end: outputs }, inputs: NONE }
    // The output layer's tasks are rows, as are those of the deltas of embeddings.
    const isWhole = block === all.length - 1 || (block === 0 && embeddings.length > 0)
    if (isWhole) return Array.from({ length: size }, () => whole)
    // The first layer takes whole rows at once where that is its best division.
    const first = block === 0 && wholeRows(plan.batchSize, outputs, inputs, backend) !== null
    const forward = first
      ? Array.from({ length: size }, () => whole.outputs)
      : columnsOfRanks(rows, outputs, inputs, backend, size)
    const backward =
      block === 0 ? Array.from({ length: size }, () => NONE) : columnsOfRanks(rows, inputs, outputs, backend, size)
    return forward.map((columns, rank) => ({ outputs: columns, inputs: backward[rank] }))
  })
}

/** Columns of the blocks that each rank has of a grid. */
function columnsOfRanks(rows: number, cols: number, depth: number, backend: Backend, size: number): Columns[] {
  const blocks = gridOf(cols, depth, backend)(rows)
  const owners = ownersOf(blocks.map(workOfBlock), 'neighbours', size)
  return Array.from({ length: size }, (_, rank) => {
    const own = blocks.filter((_, b) => owners[b] === rank)
    if (own.length === 0) return NONE
    return {
      start: Math.min(...own.map(({ columns }) => columns.start)),
      end: Math.max(...own.map(({ columns }) => columns.end)),
    }
  })
}

function mostLoad(owners: Int32Array, work: readonly number[], size: number): number {
  const loads = new Float64Array(size)
  for (const [t, owner] of owners.entries()) loads[owner] += work[t]
  return Math.max(...loads)
}

/** Gives each tile to the rank with which least of it travels, of those that then have no more than the bound; else to that with least work. */
function ownersNear(
  tiles: readonly LayerTile[],
  work: readonly number[],
  use: readonly (readonly WeightUse[])[],
  bound: number,
  size: number,
): Int32Array {
  const owners = new Int32Array(tiles.length)
  const loads = new Float64Array(size)
  const order = work.map((_, t) => t).toSorted((a, b) => work[b] - work[a] || a - b)
  for (const t of order) {
    const { layer, tile } = tiles[t]
    let [best, most] = [-1, -1]
    for (let rank = 0; rank < size; rank++) {
      if (loads[rank] + work[t] > bound) continue
      // Weights that their owner needs do not travel.
      const kept = neededArea(tile, use[layer][rank])
      if (kept > most || (kept === most && loads[rank] < loads[best])) [best, most] = [rank, kept]
    }
    if (best < 0) best = loads.indexOf(Math.min(...loads))
    owners[t] = best
    loads[best] += work[t]
  }
  return owners
}

/** Most weights that a rank sends and gets. */
function mostMoved(
  tiles: readonly LayerTile[],
  owners: Int32Array,
  use: readonly (readonly WeightUse[])[],
  size: number,
): number {
  const moved = new Float64Array(size)
  for (const [t, { layer, tile }] of tiles.entries()) {
    for (let rank = 0; rank < size; rank++) {
      if (owners[t] === rank) continue
      const area = neededArea(tile, use[layer][rank])
      moved[rank] += area
      moved[owners[t]] += area
    }
  }
  return Math.max(...moved)
}

/**
 * Tiles of the weights: the tasks of every stage that runs over all of them. A function of the plan. Pure; any thread.
 */
import type { Backend, Range, Tile } from '../../kernels/backend.js'
import type { EmbeddingShape } from '../../model/embedding.js'
import { weightDims } from '../../model/parameters.js'
import type { HostRanks, PlannedRanks, RunPlan } from './run-plan.js'

export interface LayerTile {
  readonly layer: number
  readonly tile: Tile
}

/** True if the weights of a layer change once more after their update: those of hidden units. */
export const limitsWeights = ({ maxNorm, widths }: RunPlan, layer: number): boolean =>
  maxNorm !== null && layer < widths.length - 2

/** Settings that decide the tiles. */
export type TilePlan = Pick<RunPlan, 'widths' | 'batchSize' | 'workers' | 'clipNorm'> &
  Partial<
    Pick<RunPlan, 'convolutions'> & {
      readonly ranks: Pick<PlannedRanks, 'workers'> | null
      readonly host: Pick<HostRanks, 'workers'> | null
    }
  >

/** Workers of all ranks that share a plan's steps. */
export const allWorkers = ({ ranks, host, workers }: Pick<TilePlan, 'ranks' | 'host' | 'workers'>): number =>
  (ranks ?? host)?.workers ?? workers

/** All tiles of all weights, the largest layers first, so that the stage ends evenly. */
export function layerTiles(plan: TilePlan, backend: Backend): LayerTile[] {
  const fixed = backend.bitsDependOnPartition || plan.clipNorm !== null
  const layers = weightDims(plan).map((dims, layer) => ({ layer, ...dims }))
  return layers
    .sort((a, b) => b.inputs * b.outputs - a.inputs * a.outputs || a.layer - b.layer)
    .flatMap(({ layer, inputs, outputs }) =>
      tilesOf(inputs, outputs, backend, wanted(inputs * outputs)).map(tile => ({ layer, tile })),
    )

  function wanted(weights: number): number {
    const tiles = fixed ? FIXED_TILES : TILES_PER_WORKER * allWorkers(plan)
    return Math.min(tiles, Math.max(1, (weights * plan.batchSize) / MIN_TILE_WORK))
  }
}

/** Tiles of a layer, for any number of workers, where tiles decide bits: those of products, or of the gradient's norm. */
const FIXED_TILES = 16
/** Tiles that a stage should have for each worker and layer, so that a claim more or less does not matter. */
const TILES_PER_WORKER = 12
/** Multiplications that make a tile worth its call. */
const MIN_TILE_WORK = 1.8e6

/**
 * Divides (inputs, outputs) into the backend's best tiles, or smaller ones where that leaves too few: first of fewer
 * inputs, because each tile prepares its inputs anew, then of fewer outputs.
 */
function tilesOf(inputs: number, outputs: number, { bestTile, tileUnit }: Backend, wanted: number): Tile[] {
  const best = { inputs: bestTile.inputs / tileUnit.inputs, outputs: bestTile.outputs / tileUnit.outputs }
  const units = { inputs: Math.ceil(inputs / tileUnit.inputs), outputs: Math.ceil(outputs / tileUnit.outputs) }
  const height = pieceOf(units.inputs, wanted / Math.ceil(units.outputs / best.outputs), best.inputs)
  const width = pieceOf(units.outputs, wanted / Math.ceil(units.inputs / height), best.outputs)
  const tiles: Tile[] = []
  // Tiles of the same outputs follow each other: their deltas stay in the cache of a worker that takes several.
  for (let outputStart = 0; outputStart < outputs; outputStart += width * tileUnit.outputs) {
    const outputEnd = Math.min(outputStart + width * tileUnit.outputs, outputs)
    for (let inputStart = 0; inputStart < inputs; inputStart += height * tileUnit.inputs) {
      const inputEnd = Math.min(inputStart + height * tileUnit.inputs, inputs)
      tiles.push({ inputStart, inputEnd, outputStart, outputEnd })
    }
  }
  return tiles
}

/** Units of a piece, from 1 to `most`, so that all `units` make at least `count` pieces of about equal size. */
function pieceOf(units: number, count: number, most: number): number {
  const largest = Math.min(most, Math.max(1, Math.floor(units / Math.ceil(count))))
  return Math.ceil(units / Math.ceil(units / largest))
}

export const areaOf = ({ inputStart, inputEnd, outputStart, outputEnd }: Tile): number =>
  (inputEnd - inputStart) * (outputEnd - outputStart)

/** True if a step of this plan keeps its gradient between two stages; not counting the buffers of `allReduce: "buffers"`. */
export const keepsGradient = (plan: Pick<RunPlan, 'allReduce' | 'clipNorm' | 'accumulateSteps'>): boolean =>
  plan.allReduce === 'fused' && (plan.clipNorm !== null || plan.accumulateSteps > 1)

/** Number of parts whose squares are summed apart: tiles of the weights, the vectors of each block, then ranges of the embeddings. */
export function gradientParts(plan: RunPlan, backend: Backend): number {
  if (plan.clipNorm === null) return 0
  const ranges = plan.embeddings.reduce((sum, shape) => sum + tableRanges(shape).length, 0)
  return layerTiles(plan, backend).length + plan.widths.length - 1 + ranges
}

/** Groups of samples of a full mini-batch, whose gradients of a convolution's weights are summed apart, then in their order. */
const GROUPS = 16

/** Samples of a group, which is also a task of a convolution's passes: for any number of workers the same. */
export const groupHeight = ({
  batchSize,
  images,
  purpose,
}: Pick<RunPlan, 'batchSize' | 'images' | 'purpose'>): number =>
  purpose === 'train' ? Math.max(1, Math.ceil(Math.min(batchSize, images.train) / GROUPS)) : EVALUATED

/** Samples of a task where nothing is trained. */
const EVALUATED = 4

export const groupsOf = (rows: number, height: number): number => Math.ceil(rows / height)

/** Groups of a full mini-batch. */
export const groupCount = (plan: Parameters<typeof groupHeight>[0]): number =>
  groupsOf(Math.min(plan.batchSize, plan.images.train), groupHeight(plan))

/** Elements of a range of an embedding: its values, moments and gradient stay in the second-level cache. */
const RANGE_ELEMENTS = 32_768
/** Rows of a range are a multiple of this, so that ranges begin at whole vectors. */
const ROWS_UNIT = 4

/** Ranges of whole rows of an embedding's table: the tasks of its update. */
export function tableRanges({ rows, size }: EmbeddingShape): Range[] {
  const height = Math.ceil(RANGE_ELEMENTS / size / ROWS_UNIT) * ROWS_UNIT
  return Array.from({ length: Math.ceil(rows / height) }, (_, i) => ({
    start: i * height * size,
    end: Math.min((i + 1) * height, rows) * size,
  }))
}

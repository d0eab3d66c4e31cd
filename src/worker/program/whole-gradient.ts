/**
 * Steps that need the whole gradient before they may apply any of it, so that it lies in memory between two stages.
 *
 * - A limit on its norm (Pascanu, Mikolov and Bengio 2013, arXiv 1211.5063): each part of it leaves a sum of squares, and
 *   every task of the second stage adds those in the order of the parts. The parts are the same for any number of workers,
 *   and so is the norm.
 * - Accumulation over several mini-batches of a step: each adds its own to the parts, in the order of its rows.
 *
 * Runs in workers.
 */
import type { FloatTensor } from '../../tensor/tensor.js'
import { blocksOf, type Layer, type Network, weightsOf } from '../network/network.js'
import type { StepContext } from '../plan/clock.js'
import { fault } from '../plan/faults.js'
import { areaOf, layerTiles } from '../plan/tiles.js'
import { type GroupSums, isSummed } from './group-sums.js'
import { sharedTiles } from './shared-state.js'
import type { PlainTask, ProgramParts, Stage } from './stage.js'
import { updateStages } from './update-stages.js'

/**
 * [parts: gradient and its squares] [parts: update]. Parts are the tiles of the weights, the vectors of each block, then ranges of the
 * embeddings. The task `sum` is in the first stage until the last mini-batch.
 */
export function wholeGradientStages(parts: ProgramParts, sums: GroupSums, sum: PlainTask): Stage<StepContext>[] {
  const tiles = layerTiles(parts.plan, parts.backend)
  const blocks = blocksOf(parts.network)
  const tables = tableParts(parts.network)
  const factor = clipFactor(parts, tiles.length + blocks.length + tables.length)
  const weights = weightsOf(parts.network)
  const ofTiles = tiles.map(
    ({ layer, tile }): PlainTask =>
      context =>
        weights[layer].update(tile, 'kept', factor(), context),
  )
  const others: PlainTask[] = [
    ...blocks.map(
      (layers): PlainTask =>
        context => {
          const scale = factor()
          for (const { vectors } of layers) vectors.update('kept', scale, context)
        },
    ),
    ...tables.map(
      ({ embedding, range }): PlainTask =>
        context =>
          embedding.update(range, 'kept', factor(), context),
    ),
    sum,
  ]
  return [gradientStage(parts, sums, sum), ...updateStages(parts, 'update', ofTiles, others)]
}

/** Ranges of the embeddings, each with its index in `network.embeddings`. */
const tableParts = ({ embeddings }: Network) =>
  embeddings.flatMap((embedding, e) => embedding.ranges.map(range => ({ embedding, e, range })))

function gradientStage(of: ProgramParts, sums: GroupSums, sum: PlainTask): Stage<StepContext> {
  const { plan, backend, network, squares } = of
  const tiles = layerTiles(plan, backend)
  const blocks = blocksOf(network)
  const weights = weightsOf(network)
  const tables = tableParts(network)
  const firstTable = tiles.length + blocks.length
  const parts = firstTable + tables.length
  const squareOf = (task: number) => [{ tensor: squares, row: 0, rows: 1, start: task, end: task + 1 }]
  const layerOf = (task: number) => (task < tiles.length ? tiles[task].layer : task - tiles.length)
  return {
    name: 'gradient',
    phase: 'update',
    scheduling: 'dynamic',
    tasks: ({ isLast }) => (isLast ? parts : parts + 1),
    // The rank that keeps the gradient of a tile updates it; of its squares all ranks make the norm.
    shared: {
      ...sharedTiles(of, false),
      ...(plan.clipNorm === null ? { writes: undefined } : { writes: squareOf }),
      arrived: undefined,
    },
    run(task, context, worker) {
      if (task === parts) {
        sum(context, worker)
        return 0
      }
      const { rows, isFirst, isLast } = context
      const clips = plan.clipNorm !== null && isLast
      if (task >= firstTable) {
        const { embedding, e, range } = tables[task - firstTable]
        embedding.keep(range, rows, isFirst)
        if (!clips) return 0
        squares.data[task] = embedding.keptSquares(range)
        return Number.isFinite(squares.data[task]) ? 0 : fault.embeddingGradient(e)
      }
      const layer = layerOf(task)
      const tile = task < tiles.length ? tiles[task].tile : null
      if (tile && sums.isGrouped(layer)) weights[layer].tiles.keep(sums.sum(task, context, worker), tile, isFirst)
      else if (tile) weights[layer].keep(tile, rows, isFirst)
      else for (const { vectors } of blocks[layer]) vectors.keep(rows, isFirst)
      if (!clips) return 0
      squares.data[task] = tile ? weights[layer].keptSquares(tile) : squaresOfVectors(blocks[layer])
      return Number.isFinite(squares.data[task]) ? 0 : fault.gradient(layer)
    },
    flops: (task, { rows }) =>
      task < tiles.length && !isSummed(of, tiles[task]) ? 2 * rows * areaOf(tiles[task].tile) : 0,
  }
}

/** Returns the factor by which the gradient is scaled down to the limit of its norm. */
function clipFactor({ plan: { clipNorm: limit }, squares }: ProgramParts, parts: number): () => number {
  if (limit === null) return () => 1
  return () => {
    let total = 0
    for (let part = 0; part < parts; part++) total += squares.data[part]
    const norm = Math.sqrt(total)
    return norm > limit ? limit / norm : 1
  }
}

/** Sum of squares of a block's vectors, in their order. */
function squaresOfVectors(layers: readonly Layer[]): number {
  let sum = 0
  for (const { spec, vectors } of layers) for (const kept of vectors.kept) sum += squaresOf(kept.data, spec.outputs)
  return sum
}

/** Sum of squares in f64, in the order of the units. */
function squaresOf(data: FloatTensor['data'], units: number): number {
  let sum = 0
  for (let o = 0; o < units; o++) sum += data[o] * data[o]
  return sum
}

/**
 * Steps that need the whole gradient before they may apply any of it, so that it lies in memory between two stages.
 *
 * - A limit on its norm (Pascanu, Mikolov and Bengio 2013, arXiv 1211.5063): each part of it leaves a sum of squares, and
 *   every task of the second stage adds those in the order of the parts: the cut is the same for any number of workers,
 *   and so is the norm.
 * - Accumulation over several mini-batches of a step: each adds its own to the parts, in the order of its rows.
 *
 * Runs in workers.
 */
import type { StepContext } from '../plan/clock.js'
import { fault } from '../plan/faults.js'
import { areaOf, layerTiles, limitsWeights } from '../plan/tiles.js'
import { type PlainTask, type ProgramParts, runPlain, type Stage } from './stage.js'

/** [parts: gradient and its squares] [parts: update]. `sum` rides along, in the first until the last mini-batch. */
export function wholeGradientStages(
  { plan, backend, network, squares }: ProgramParts,
  sum: PlainTask,
): Stage<StepContext>[] {
  const tiles = layerTiles(plan, backend)
  const { layers } = network
  const limit = plan.clipNorm
  const parts = tiles.length + layers.length
  const layerOf = (task: number) => (task < tiles.length ? tiles[task].layer : task - tiles.length)

  const gradient: Stage<StepContext> = {
    name: 'gradient',
    deal: 'claimed',
    tasks: ({ isLast }) => (isLast ? parts : parts + 1),
    run(task, context) {
      if (task === parts) {
        sum(context)
        return 0
      }
      const { rows, isFirst, isLast } = context
      const layer = layers[layerOf(task)]
      const tile = task < tiles.length ? tiles[task].tile : null
      if (tile) layer.gradientOfTile(tile, rows, isFirst)
      else layer.gradientOfVectors(rows, isFirst)
      if (limit === null || !isLast) return 0
      squares.data[task] = tile ? layer.squaresOfTile(tile) : layer.squaresOfVectors()
      return Number.isFinite(squares.data[task]) ? 0 : fault.gradient(layerOf(task))
    },
    flops: (task, { rows }) => (task < tiles.length ? 2 * rows * areaOf(tiles[task].tile) : 0),
  }

  const factor = () => {
    if (limit === null) return 1
    let total = 0
    for (let part = 0; part < parts; part++) total += squares.data[part]
    const norm = Math.sqrt(total)
    return norm > limit ? limit / norm : 1
  }
  const updates: PlainTask[] = [
    ...tiles.map(
      ({ layer, tile }): PlainTask =>
        ({ optimizer, averageShare }) => {
          layers[layer].updateScaledTile(tile, factor(), optimizer)
          if (!limitsWeights(plan, layer)) layers[layer].averageWeight(tile, averageShare)
        },
    ),
    ...layers.map(
      (layer): PlainTask =>
        ({ rows, optimizer, averageShare }) => {
          layer.updateScaledVectors(rows, factor(), optimizer)
          layer.averageVectors(averageShare)
        },
    ),
    sum,
  ]
  return [
    gradient,
    { name: 'update', changesState: true, deal: 'claimed', tasks: () => updates.length, run: runPlain(updates) },
  ]
}

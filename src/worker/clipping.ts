/**
 * Clipping by the norm of the whole gradient (Pascanu, Mikolov and Bengio 2013, arXiv 1211.5063): no part can be updated
 * before the gradient is whole, so that it lies in memory between two stages. Each part of it leaves a sum of squares,
 * and every task of the second stage adds those in the order of the parts: the cut is the same for any number of workers,
 * and so is the norm. Runs in workers.
 */
import type { Backend } from '../tensor/kernels/backend.js'
import type { StepContext } from './clock.js'
import type { ProgramParts } from './program.js'
import { fault, type RunPlan } from './protocol.js'
import { type PlainTask, runPlain, type Stage } from './stage.js'
import { areaOf, layerTiles, limitsWeights } from './tiles.js'

/** Parts whose squares are summed apart: tiles of the weights, then all else of each layer. */
export function gradientParts(plan: RunPlan, backend: Backend): number {
  return plan.clipNorm === null ? 0 : layerTiles(plan, backend).length + plan.widths.length - 1
}

/** [parts: gradient and its squares] [parts: update]. `sum` rides along. */
export function clippedStages(
  { plan, backend, network, squares }: ProgramParts,
  limit: number,
  sum: PlainTask,
): Stage<StepContext>[] {
  const tiles = layerTiles(plan, backend)
  const { layers } = network
  const parts = tiles.length + layers.length
  const layerOf = (task: number) => (task < tiles.length ? tiles[task].layer : task - tiles.length)

  const gradient: Stage<StepContext> = {
    name: 'gradient',
    deal: 'claimed',
    tasks: () => parts,
    run(task, { rows }) {
      const layer = layers[layerOf(task)]
      const sum = task < tiles.length ? layer.gradientOfTile(tiles[task].tile, rows) : layer.gradientOfVectors(rows)
      squares.data[task] = sum
      return Number.isFinite(sum) ? 0 : fault.gradient(layerOf(task))
    },
    flops: (task, { rows }) => (task < tiles.length ? 2 * rows * areaOf(tiles[task].tile) : 0),
  }

  const factor = () => {
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

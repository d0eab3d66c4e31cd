/**
 * The state of a run over ranks: which rank owns what of it, and programs that bring it together. Runs in workers.
 *
 * All ranks have all parameters, and the vectors with their moments, which each updates for itself. Moments, averages and kept gradients
 * of a tile of weights are with the rank that owns the tile alone: `gatherProgram` brings them to rank 0, for a snapshot or a score,
 * `shareProgram` sends a state that rank 0 has been given to the others.
 *
 * Where the passes of a rank read some of the weights only (../plan/weight-use.ts), it gets no others after an update: its copies of these
 * are old. `gatherProgram` brings rank 0 all weights too, and `wholeWeights` all ranks, before a mini-batch that is divided otherwise.
 */

import type { BiasTensors, WeightTensors } from '../../kernels/backend.js'
import { averageIndex, companionCount } from '../../model/state.js'
import { type Network, weightsOf } from '../network/network.js'
import type { StepContext } from '../plan/clock.js'
import { EVERYONE } from '../plan/sharing.js'
import { areaOf, type LayerTile } from '../plan/tiles.js'
import { neededOf, shareWeights, usualRows } from '../plan/weight-use.js'
import { overRanks } from './ranks.js'
import type { ProgramParts, Region, Shared, Stage } from './stage.js'
import { deriveProgram } from './state.js'

/** What rank 0 gets beside the weights that it has not. */
export type Gathered = 'moments' | 'averages' | 'weights'

/** Numbers of the first stages of these programs, apart from those of a step. */
const FIRST = { gather: 1000, share: 2000 } as const

/**
 * How ranks share the tasks of tiles, which come first in their stage: the same tile, the same rank, in every stage and step. `needed`: each
 * gets the weights that its passes read; else all.
 */
export function sharedTiles(
  { plan, backend, network, state }: ProgramParts,
  tiles: readonly LayerTile[],
  needed = true,
): Shared<unknown> {
  const weights = weightsOf(network)
  const { owners, use } = shareWeights(plan, backend)
  return {
    deal: 'largest',
    owner: task => (task < tiles.length ? owners[task] : EVERYONE),
    work: task => (task < tiles.length ? areaOf(tiles[task].tile) : 0),
    writes: task => [regionOf(state.weights, tiles[task], null)],
    ...(use &&
      needed && {
        needs(task, rank) {
          if (task >= tiles.length) return []
          const { layer, tile } = tiles[task]
          return neededOf(tile, use[layer][rank]).map(part => regionOf(state.weights, { layer, tile: part }, null))
        },
      }),
    arrived: task => weights[tiles[task].layer].derive(tiles[task].tile),
  }
}

/** [tiles: weights to all ranks], before a mini-batch of fewer rows than usual, of which each may read other weights. */
export function wholeWeights(parts: ProgramParts): Stage<StepContext>[] {
  const { plan, backend, ranks } = parts
  if (!ranks) return []
  const { tiles, use } = shareWeights(plan, backend)
  if (!use) return []
  const usual = usualRows(plan)
  return [
    {
      ...moved('weights', tiles.length),
      phase: 'compute',
      tasks: ({ rows }) => (rows === usual ? 0 : tiles.length),
      shared: sharedTiles(parts, tiles, false),
    },
  ]
}

/** A tile of the weights, or of a moment of them. */
function regionOf(weights: readonly WeightTensors[], { layer, tile }: LayerTile, moment: number | null): Region {
  const { master, moments } = weights[layer]
  const { inputStart, inputEnd, outputStart, outputEnd } = tile
  const tensor = moment === null ? master : moments[moment]
  return { tensor, row: inputStart, rows: inputEnd - inputStart, start: outputStart, end: outputEnd }
}

/** [tiles: weights to rank 0], if it has not all, then [tiles: a moment to rank 0] for each moment and the average, or for the average alone. */
export function gatherProgram(parts: ProgramParts, what: Gathered): Stage<null>[] {
  const { plan, backend, state, ranks } = parts
  const { tiles, use } = shareWeights(plan, backend)
  const average = averageIndex(plan)
  const all = Array.from({ length: companionCount(plan) }, (_, moment) => moment)
  const moments = what === 'moments' ? all : what === 'weights' || average === null ? [] : [average]
  const { arrived, ...shared } = sharedTiles(parts, tiles, false)
  const stages = [...(use ? [null] : []), ...moments].map(
    (moment): Stage<null> => ({
      ...moved(`gather ${moment === null ? 'weights' : `moment ${moment}`}`, tiles.length),
      shared: {
        ...shared,
        to: 'root',
        writes: task => [regionOf(state.weights, tiles[task], moment)],
        ...(moment === null && { arrived }),
      },
    }),
  )
  return overRanks(stages, ranks, FIRST.gather)
}

/** [tiles and vectors: parameters of rank 0 to all] [the same of each moment, of a tile to its owner alone] [tiles: derived forms] */
export function shareProgram(parts: ProgramParts): Stage<null>[] {
  const { plan, backend, state, ranks } = parts
  const { tiles, owners } = shareWeights(plan, backend)
  const moments = [null, ...Array.from({ length: companionCount(plan) }, (_, moment) => moment)]
  const stages = moments.map((moment): Stage<null> => {
    const vectors = state.vectors.flatMap(({ master, moments }) => (moment === null ? master : (moments[moment] ?? [])))
    return {
      ...moved(`share ${moment === null ? 'parameters' : `moment ${moment}`}`, tiles.length + vectors.length),
      shared: {
        deal: 'root',
        work: () => 1,
        writes: task => [
          task < tiles.length ? regionOf(state.weights, tiles[task], moment) : whole(vectors[task - tiles.length]),
        ],
        takes: task => moment === null || task >= tiles.length || owners[task] === ranks?.rank,
      },
    }
  })
  return [...overRanks(stages, ranks, FIRST.share), ...deriveProgram(parts)]
}

const whole = (tensor: BiasTensors['master']): Region => ({ tensor, row: 0, rows: 1, start: 0, end: tensor.shape[0] })

/** A stage whose tasks compute nothing: what they would have written is there. */
const moved = (name: string, tasks: number) => ({
  ...({ name, phase: 'update', scheduling: 'dynamic' } as const),
  tasks: () => tasks,
  run: () => 0,
})

/** Names of parts whose layers do not say what they write: they cannot run over ranks. */
export const partsUnfit = ({ layers }: Network): string[] =>
  layers.flatMap(({ forward, backward }) =>
    [...forward, ...backward].filter(({ writes }) => !writes).map(({ name }) => name),
  )

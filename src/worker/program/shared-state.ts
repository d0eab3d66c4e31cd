/**
 * The state of a run over ranks: which rank owns what of it, and programs that bring it together. Runs in workers.
 *
 * All ranks have all parameters, and the vectors with their moments, which each updates for itself. Moments, averages and kept gradients
 * of a tile of weights are with the rank that owns the tile alone: `gatherProgram` brings them to rank 0, for a snapshot or a score,
 * `shareProgram` sends a state that rank 0 has been given to the others.
 */

import type { BiasTensors, WeightTensors } from '../../kernels/backend.js'
import { averageIndex, companionCount } from '../../model/state.js'
import { type Network, weightsOf } from '../network/network.js'
import { ownersOf } from '../plan/sharing.js'
import { areaOf, type LayerTile, layerTiles } from '../plan/tiles.js'
import { overRanks } from './ranks.js'
import type { ProgramParts, Region, Shared, Stage } from './stage.js'
import { deriveProgram } from './state.js'

/** Numbers of the first stages of these programs, apart from those of a step. */
const FIRST = { gather: 1000, share: 2000 } as const

/** How ranks share the tasks of tiles, which come first in their stage: the same tile, the same rank, in every stage and step. */
export function sharedTiles({ network, state }: ProgramParts, tiles: readonly LayerTile[]): Shared<unknown> {
  const weights = weightsOf(network)
  return {
    deal: 'largest',
    work: task => (task < tiles.length ? areaOf(tiles[task].tile) : 0),
    writes: task => [regionOf(state.weights, tiles[task], null)],
    arrived: task => weights[tiles[task].layer].derive(tiles[task].tile),
  }
}

/** A tile of the weights, or of a moment of them. */
function regionOf(weights: readonly WeightTensors[], { layer, tile }: LayerTile, moment: number | null): Region {
  const { master, moments } = weights[layer]
  const { inputStart, inputEnd, outputStart, outputEnd } = tile
  const tensor = moment === null ? master : moments[moment]
  return { tensor, row: inputStart, rows: inputEnd - inputStart, start: outputStart, end: outputEnd }
}

/** [tiles: a moment to rank 0] for each moment and the average, or for the average alone. */
export function gatherProgram(parts: ProgramParts, what: 'moments' | 'averages'): Stage<null>[] {
  const { plan, backend, state, ranks } = parts
  const tiles = layerTiles(plan, backend)
  const average = averageIndex(plan)
  const all = Array.from({ length: companionCount(plan) }, (_, moment) => moment)
  const moments = what === 'moments' ? all : average === null ? [] : [average]
  const stages = moments.map(
    (moment): Stage<null> => ({
      ...moved(`gather moment ${moment}`, tiles.length),
      shared: {
        ...{ deal: 'largest', to: 'root' },
        work: task => areaOf(tiles[task].tile),
        writes: task => [regionOf(state.weights, tiles[task], moment)],
      },
    }),
  )
  return overRanks(stages, ranks, FIRST.gather)
}

/** [tiles and vectors: parameters of rank 0 to all] [the same of each moment, of a tile to its owner alone] [tiles: derived forms] */
export function shareProgram(parts: ProgramParts): Stage<null>[] {
  const { plan, backend, state, ranks } = parts
  const tiles = layerTiles(plan, backend)
  const owners = ownersOf(
    tiles.map(({ tile }) => areaOf(tile)),
    'largest',
    ranks?.size ?? 1,
  )
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

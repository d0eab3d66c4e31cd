/**
 * The state of a run over ranks: which rank owns what of it, and programs that bring it together. Runs in workers.
 *
 * All ranks have all parameters, and the vectors and embeddings with their moments, which each updates for itself. The moments of weights,
 * and the averages, are divided: a rank has memory for those of the tiles that it owns alone. `gatherProgram` brings them to rank 0, for a
 * snapshot or a score, `shareProgram` sends a state that rank 0 has been given to the others: layer by layer, through a matrix in the buffer
 * of exchanges (../plan/exchange-memory.ts), so that rank 0 needs no more memory than others.
 *
 * A rank whose passes read some of the weights only (../plan/weight-use.ts) gets no others after an update: its copies of these are old.
 * `gatherProgram` brings rank 0 all weights too, and `wholeWeights` all ranks, before a mini-batch that is divided otherwise.
 */

import type { BiasTensors, PackedTile, WeightTensors } from '../../kernels/backend.js'
import { averageIndex, companionCount, type StateTensor } from '../../model/state.js'
import { viewTensor } from '../../tensor/tensor.js'
import { type Network, weightsOf } from '../network/network.js'
import type { StepContext } from '../plan/clock.js'
import { EVERYONE } from '../plan/sharing.js'
import { areaOf, type LayerTile } from '../plan/tiles.js'
import { neededOf, shareWeights, usualRows } from '../plan/weight-use.js'
import { overRanks } from './ranks.js'
import { copyRegion } from './regions.js'
import type { ProgramParts, Region, Shared, Stage } from './stage.js'
import { deriveProgram, rowStage } from './state.js'

/** State that rank 0 gets beside the weights that it has not. */
export type Gathered = 'moments' | 'averages' | 'weights'

/** Numbers of the first stages of these programs, apart from those of a step. */
const FIRST = { gather: 1000, share: 2000 } as const

/**
 * How ranks share the tasks of tiles, which come first in their stage: the same tile, the same rank, in every stage and step. `needed`: each
 * gets the weights that its passes read; else all. `wave`: the tiles of the stage; absent: all.
 */
export function sharedTiles(
  { plan, backend, network, state }: ProgramParts,
  needed = true,
  wave?: readonly number[],
): Shared<unknown> {
  const weights = weightsOf(network)
  const { tiles: all, owners, use } = shareWeights(plan, backend)
  const order = wave ?? [...all.keys()]
  const tiles = order.map(t => all[t])
  return {
    deal: 'largest',
    owner: task => (task < tiles.length ? owners[order[task]] : EVERYONE),
    work: task => (task < tiles.length ? areaOf(tiles[task].tile) : 0),
    writes: task => [regionOf(state.weights[tiles[task].layer].master, tiles[task])],
    ...(use &&
      needed && {
        needs(task, rank) {
          if (task >= tiles.length) return []
          const { layer, tile } = tiles[task]
          return neededOf(tile, use[layer][rank]).map(part => regionOf(state.weights[layer].master, { tile: part }))
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
      shared: sharedTiles(parts, false),
    },
  ]
}

/** A tile of the weights, or of a matrix of their form. */
function regionOf(tensor: WeightTensors['master'], { tile }: Pick<LayerTile, 'tile'>): Region {
  const { inputStart, inputEnd, outputStart, outputEnd } = tile
  return { tensor, row: inputStart, rows: inputEnd - inputStart, start: outputStart, end: outputEnd }
}

/** A tile of a moment, where its owner has it. */
function packedRegion({ backend }: ProgramParts, moment: WeightTensors['master'], { tile, at }: PackedTile): Region {
  const [rows, columns] = [tile.inputEnd - tile.inputStart, tile.outputEnd - tile.outputStart]
  const { data } = moment
  const byteOffset = data.byteOffset + at * data.BYTES_PER_ELEMENT
  const tensor = viewTensor(data.buffer, backend.dtype, backend.weightShape(rows, columns), byteOffset)
  return { tensor, row: 0, rows, start: 0, end: columns }
}

/** Tiles of a layer with their owners. */
function tilesOfLayer({ plan, backend }: ProgramParts, layer: number) {
  const { tiles, owners } = shareWeights(plan, backend)
  return tiles.map((of, t) => ({ ...of, owner: owners[t] })).filter(of => of.layer === layer)
}

const momentsOf = ({ plan }: ProgramParts): number[] =>
  Array.from({ length: companionCount(plan) }, (_, moment) => moment)

/** A snapshot, and where each tensor lies in it: on rank 0. */
export interface SharedSnapshot {
  readonly table: readonly StateTensor[]
  readonly values: Float32Array
}

/**
 * [tiles: weights to rank 0], if it has not all. For each moment and the average, or for the average alone, layer by layer: [tiles: to a matrix on rank 0] [rows: from there to the
 * snapshot]. Averages for a score stay in their matrices.
 */
export function gatherProgram(parts: ProgramParts, what: Gathered, snapshot: SharedSnapshot | null): Stage<null>[] {
  const { plan, backend, state, ranks } = parts
  if (!ranks) return []
  const average = averageIndex(plan)
  const moments = what === 'moments' ? momentsOf(parts) : what === 'weights' || average === null ? [] : [average]
  const weights = weightsOf(parts.network)
  const stages = moments.flatMap(moment =>
    state.weights.flatMap(({ moments, owned }, layer): Stage<null>[] => {
      const tiles = tilesOfLayer(parts, layer)
      const gather: Stage<null> = {
        ...moved(`gather moment ${moment} of layer ${layer}`, tiles.length),
        shared: {
          ...{ deal: 'largest', to: 'root', from: ranks.buffer.tiles },
          owner: task => tiles[task].owner,
          work: task => areaOf(tiles[task].tile),
          reads: task => [packedRegion(parts, moments[moment], owned!.of(tiles[task].tile))],
          writes: task => [regionOf(owned!.whole, tiles[task])],
        },
      }
      const { start } = snapshot?.table.find(of => isWeight(of, layer, moment)) ?? { start: 0 }
      const { inputs, outputs, loadRow } = weights[layer]
      const copy = (i: number) => {
        const at = start + i * outputs
        loadRow(moment, i, snapshot!.values.subarray(at, at + outputs))
      }
      return [gather, rowStage(`copy moment ${moment} of layer ${layer}`, snapshot ? inputs : 0, copy)]
    }),
  )
  // A score reads the padding of its weights, which nobody sends.
  const clear = localStage(
    'clear averages',
    what === 'averages'
      ? state.weights.map(
          ({ owned }) =>
            () =>
              void owned!.whole.data.fill(0),
        )
      : [],
  )
  const { tiles, use } = shareWeights(plan, backend)
  const missing: Stage<null> = {
    ...moved('gather weights', use ? tiles.length : 0),
    shared: { ...sharedTiles(parts, false), to: 'root' },
  }
  return overRanks([missing, clear, ...stages], ranks, FIRST.gather)
}

const isWeight = ({ parameter, moment }: StateTensor, layer: number, of: number): boolean =>
  parameter.kind === 'weight' && parameter.layer === layer && moment === of

/**
 * [tiles and vectors: parameters of rank 0 to all] [vectors: their moments] then for each moment, layer by layer: [rows: from the snapshot of
 * rank 0 to a matrix there] [tiles: from there to their owners]; [tiles: derived forms].
 */
export function shareProgram(parts: ProgramParts, snapshot: SharedSnapshot | null): Stage<null>[] {
  const { plan, backend, state, ranks } = parts
  if (!ranks) return []
  const { tiles } = shareWeights(plan, backend)
  const regions = [
    ...tiles.map(tile => regionOf(state.weights[tile.layer].master, tile)),
    ...state.vectors.map(({ master }) => whole(master)),
  ]
  const vectors = state.vectors.flatMap(({ moments }) => moments.map(whole))
  const fromRoot = (name: string, of: readonly Region[]): Stage<null> => ({
    ...moved(name, of.length),
    shared: { deal: 'root', work: () => 1, writes: task => [of[task]] },
  })
  const stages = [
    fromRoot('share parameters', regions),
    fromRoot('share moments of vectors', vectors),
    ...momentsOf(parts).flatMap(moment =>
      state.weights.flatMap((_, layer) => shareMoment(parts, moment, layer, snapshot)),
    ),
  ]
  return [...overRanks(stages, ranks, FIRST.share), ...deriveProgram(parts)]
}

function shareMoment(
  parts: ProgramParts,
  moment: number,
  layer: number,
  snapshot: SharedSnapshot | null,
): Stage<null>[] {
  const { network, state, ranks } = parts
  const { moments, owned } = state.weights[layer]
  const { inputs, outputs, storeRow } = weightsOf(network)[layer]
  const tiles = tilesOfLayer(parts, layer)
  const { start } = snapshot?.table.find(of => isWeight(of, layer, moment)) ?? { start: 0 }
  const copy = (i: number) => {
    const at = start + i * outputs
    storeRow(moment, i, snapshot!.values.subarray(at, at + outputs))
  }
  const isMine = (task: number) => tiles[task].owner === ranks!.rank
  const from = (task: number) => regionOf(owned!.whole, tiles[task])
  return [
    rowStage(`copy moment ${moment} of layer ${layer}`, snapshot ? inputs : 0, copy),
    {
      ...moved(`share moment ${moment} of layer ${layer}`, tiles.length),
      shared: {
        ...{ deal: 'root', from: ranks!.buffer.tiles },
        work: () => 1,
        reads: task => [from(task)],
        writes: task => [isMine(task) ? packedRegion(parts, moments[moment], owned!.of(tiles[task].tile)) : from(task)],
        takes: isMine,
      },
    },
  ]
}

/** [tiles of this rank: moments 0, averages the weights], after these have been drawn. */
export function beginMoments(parts: ProgramParts): Stage<null>[] {
  const { plan, state, ranks } = parts
  if (!ranks) return []
  const average = averageIndex(plan)
  const tasks = state.weights.flatMap(({ master, moments, owned }) => [
    ...moments.flatMap((moment, m) => (m === average ? [] : [() => void moment.data.fill(0)])),
    ...(average === null
      ? []
      : owned!.tiles.map(
          packed => () =>
            copyRegion(ranks.arena, regionOf(master, packed), packedRegion(parts, moments[average], packed)),
        )),
  ])
  return [localStage('begin moments', tasks)]
}

/** A stage of each rank by itself. */
const localStage = (name: string, tasks: readonly (() => void)[]): Stage<null> => ({
  ...moved(name, tasks.length),
  run(task) {
    tasks[task]()
    return 0
  },
})

const whole = (tensor: BiasTensors['master']): Region => ({ tensor, row: 0, rows: 1, start: 0, end: tensor.shape[0] })

/** A stage whose tasks compute nothing: what they would have written is there. */
const moved = (name: string, tasks: number) => ({
  ...({ name, phase: 'update', scheduling: 'dynamic' } as const),
  tasks: () => tasks,
  run: (_task: number) => 0,
})

/** Names of parts whose layers do not say what they write: they cannot run over ranks. */
export const partsUnfit = ({ layers }: Network): string[] =>
  layers.flatMap(({ forward, backward }) =>
    [...forward, ...backward].filter(({ writes }) => !writes).map(({ name }) => name),
  )

/**
 * Gradients that are sums over groups: of rows, with `compute.gradientGroups`, for dense layers; of samples, which the backward pass leaves,
 * for convolutions. Over ranks each group is with one rank, and the owner of a tile gets what others have of it. Runs in workers.
 */
import { type Network, weightsOf } from '../network/network.js'
import type { StepContext } from '../plan/clock.js'
import type { RunPlan } from '../plan/run-plan.js'
import {
  gradientGroups,
  groupsOfRank,
  nodesWithin,
  ownerOfGroup,
  type Span,
  sumTree,
  type TreeSum,
} from '../plan/sharing.js'
import { areaOf, groupHeight, groupsOf, type LayerTile, layerTiles } from '../plan/tiles.js'
import { shareWeights } from '../plan/weight-use.js'
import { sliceStages } from './ranks.js'
import { copyPiece, type Piece, pieceOfRegion, placeSlices, type Slices } from './slices.js'
import type { ProgramParts, RankTeam, Stage } from './stage.js'

const BYTES = 4

export interface GroupSums {
  /** Stages before the gradient is applied or kept. */
  readonly stages: readonly Stage<StepContext>[]
  /** True if the gradient of a block's weights is a sum over groups of rows. */
  isGrouped(block: number): boolean
  /** Sums the gradient of a tile; returns its byte offset, which is valid until this worker sums another one. */
  sum(tile: number, context: StepContext, worker: number): number
}

export function groupSums(parts: ProgramParts): GroupSums {
  const { plan, backend, network, ranks, partialsAt } = parts
  const tiles = layerTiles(plan, backend)
  const weights = weightsOf(network)
  const isGrouped = (block: number) => plan.gradientRows !== null && weights[block].groups.length === 0
  const known = ranks ? exchangedSums(parts, ranks, tiles, isGrouped) : null
  const vectors = plan.gradientRows === null ? [] : [vectorStage(network, plan)]
  return {
    stages: [...vectors, ...(known?.stages ?? [])],
    isGrouped,
    sum(tile, { rows }, worker) {
      const level = (of: number) => partialsAt(worker, of)
      const of = treeOf(parts, tiles[tile], rows, level)
      const node = { first: 0, end: gradientGroups(plan, rows) }
      return sumTree(node, { ...of, known: known ? found => known.place(tile, found, rows) : () => null })
    },
  }
}

/** True if the gradient of a tile comes from sums that ranks have exchanged, or that the backward pass has left. */
export function isSummed({ plan, network }: ProgramParts, { layer }: LayerTile): boolean {
  const { groups } = weightsOf(network)[layer]
  return groups.length > 0 || (plan.gradientRows !== null && plan.ranks?.partials[layer] === true)
}

/** The sum of a tile's gradient over the groups of so many rows. */
function treeOf(
  { plan: { gradientRows }, network }: ProgramParts,
  { layer, tile }: LayerTile,
  rows: number,
  place: TreeSum['place'],
): TreeSum {
  const { compute, add } = weightsOf(network)[layer].tiles
  const height = gradientRows!
  return {
    place,
    group: (group, at) => compute(at, tile, group * height, Math.min(height, rows - group * height)),
    add: (at, other) => add(at, other, tile),
  }
}

/** [groups of rows: gradients of the vectors of dense layers], which all ranks get. */
function vectorStage({ layers }: Network, plan: RunPlan): Stage<StepContext> {
  const grouped = layers.flatMap(({ vectors }) => (vectors.computeGroup ? [vectors] : []))
  const height = plan.gradientRows!
  return {
    ...{ name: 'gradients of vectors', phase: 'update', scheduling: 'dynamic' },
    tasks: ({ rows }) => gradientGroups(plan, rows),
    run(group, { rows }) {
      const row = group * height
      for (const { computeGroup } of grouped) computeGroup!(group, { row, rows: Math.min(height, rows - row) })
      return 0
    },
    shared: {
      deal: 'neighbours',
      owner: (group, { rows }, size) => ownerOfGroup(group, gradientGroups(plan, rows), size),
      work: () => 1,
      writes: group =>
        grouped.map(({ groups }) => {
          const tensor = groups[group]
          return { tensor, row: 0, rows: 1, start: 0, end: tensor.shape[0] }
        }),
    },
  }
}

interface ExchangedSums {
  readonly stages: readonly Stage<StepContext>[]
  /** Byte offset of a node of a tile's sum that has been exchanged; null: there is none. */
  place(tile: number, node: Span, rows: number): number | null
}

/** Facts of the exchange of a mini-batch of so many rows. */
interface Laid {
  readonly pieces: readonly Piece[]
  readonly slices: Slices
  /** Nodes that this rank sums of each tile that is exchanged as sums, and their pieces. */
  readonly own: readonly { readonly tile: number; readonly node: Span; readonly piece: number }[]
  readonly places: ReadonlyMap<string, number>
}

const keyOf = (tile: number, { first, end }: Span): string => `${tile} ${first} ${end}`

function exchangedSums(
  parts: ProgramParts,
  team: RankTeam,
  tiles: readonly LayerTile[],
  isGrouped: (block: number) => boolean,
): ExchangedSums | null {
  const { plan, network, partialsAt } = parts
  const weights = weightsOf(network)
  const partials = plan.ranks!.partials
  const isSummed = (block: number) => isGrouped(block) && partials[block]
  if (!weights.some(({ groups }, block) => groups.length > 0 || isSummed(block))) return null
  const known = new Map<number, Laid>()
  const laidAt = (rows: number): Laid => {
    let laid = known.get(rows)
    if (!laid) {
      laid = layOut(parts, team, tiles, isSummed, rows)
      known.set(rows, laid)
    }
    return laid
  }
  const compute: Stage<StepContext> = {
    ...{ name: 'gradients of groups', phase: 'update', scheduling: 'dynamic' },
    tasks: ({ rows }) => laidAt(rows).own.length,
    run(index, { rows }, worker) {
      const { own, slices } = laidAt(rows)
      const { tile, node, piece } = own[index]
      const place = (level: number) => (level === 0 ? BYTES * slices.at[piece] : partialsAt(worker, level))
      sumTree(node, treeOf(parts, tiles[tile], rows, place))
      return 0
    },
    flops(index, { rows }) {
      const { tile, node } = laidAt(rows).own[index]
      const height = plan.gradientRows!
      return 2 * areaOf(tiles[tile].tile) * (Math.min(rows, node.end * height) - node.first * height)
    },
  }
  const exchange = sliceStages<StepContext>(
    team,
    'gradients of groups',
    ({ rows }) => laidAt(rows).slices,
    ({ rows }, piece, back) => {
      const { pieces, slices } = laidAt(rows)
      copyPiece(team, pieces[piece], slices.at[piece], back)
    },
  )
  return {
    stages: [compute, ...exchange],
    place: (tile, node, rows) => laidAt(rows).places.get(keyOf(tile, node)) ?? null,
  }
}

function layOut(
  { plan, backend, network }: ProgramParts,
  team: RankTeam,
  tiles: readonly LayerTile[],
  isSummed: (block: number) => boolean,
  rows: number,
): Laid {
  const { size, rank } = team
  const weights = weightsOf(network)
  const { owners } = shareWeights(plan, backend)
  const groups = gradientGroups(plan, rows)
  const nodes = Array.from({ length: size }, (_, of) => nodesWithin(groups, groupsOfRank(of, groups, size)))
  const samples = groupsOf(rows, groupHeight(plan))
  const pieces: Piece[] = []
  const sums: { tile: number; node: Span; piece: number; from: number }[] = []
  for (const [t, { layer, tile }] of tiles.entries()) {
    const { tiles: gradients, groups: ofSamples } = weights[layer]
    const to = owners[t]
    if (isSummed(layer)) {
      const words = gradients.bytes(tile) / BYTES
      for (let from = 0; from < size; from++) {
        for (const node of nodes[from]) {
          sums.push({ tile: t, node, piece: pieces.length, from })
          pieces.push({ from, to, words, runs: null })
        }
      }
    }
    if (ofSamples.length === 0) continue
    const { inputStart, inputEnd, outputStart, outputEnd } = tile
    const region = { row: inputStart, rows: inputEnd - inputStart, start: outputStart, end: outputEnd }
    for (let group = 0; group < samples; group++) {
      const from = ownerOfGroup(group, samples, size)
      if (from !== to) pieces.push(pieceOfRegion(from, to, { tensor: ofSamples[group], ...region }))
    }
  }
  const slices = placeSlices(pieces, team)
  const mine = sums.filter(({ tile }) => owners[tile] === rank)
  return {
    pieces,
    slices,
    own: sums.filter(({ from }) => from === rank),
    places: new Map(mine.map(({ tile, node, piece }) => [keyOf(tile, node), BYTES * slices.at[piece]])),
  }
}

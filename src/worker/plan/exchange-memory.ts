/** Memory of the exchanges with other ranks: functions of the plan and of what is reserved. Pure; any thread. */
import type { Backend } from '../../kernels/backend.js'
import type { Slot } from '../../tensor/arena.js'
import { bytesPerElement, sizeOf } from '../../tensor/tensor.js'
import type { RunPlan } from './run-plan.js'
import { groupsOfRank, mostGroups, nodesWithin } from './sharing.js'
import { groupCount } from './tiles.js'
import { shareWeights } from './weight-use.js'

/** Matrices that one part of a pass writes at most: its product, its derivatives, what a normalisation keeps, and deltas beside them. */
const MATRICES_OF_PART = 4

/**
 * Places in the buffer of exchanges where moments of weights are brought together, layer by layer, since no rank has all of one: a whole
 * matrix in its layout, at `whole` by layer, from tiles that come at `tiles`. Averages are scored there, and so lie one after the other.
 */
export interface MomentPlaces {
  readonly whole: readonly number[]
  readonly tiles: number
  /** End of all. */
  readonly end: number
}

export function momentPlaces({ ema }: RunPlan, slots: readonly Slot[]): MomentPlaces {
  // In the order of the layers, as they are reserved.
  const weights = slots.filter(({ name }) => /^layers\.\d+\.weight$/.test(name))
  const bytes = weights.map(({ dtype, shape }) => Math.ceil((sizeOf(shape) * bytesPerElement[dtype]) / 64) * 64)
  const largest = Math.max(0, ...bytes)
  let end = 0
  const whole = bytes.map(of => {
    const at = ema === null ? 0 : end
    end += of
    return at
  })
  const tiles = ema === null ? largest : end
  return { whole, tiles, end: tiles + largest }
}

/** True if each rank passes its own groups of rows through all layers: rows of a layer then travel while the next layers compute. */
export const passesOwnRows = ({ passes, gradientRows, norm, convolutions }: RunPlan): boolean =>
  passes === 'layers' && gradientRows !== null && norm.type === 'none' && convolutions.length === 0

/** Slots of what ranks then send, as ../program/gathered.ts has their matrices: inputs and deltas of the layers that do not exchange sums, and deltas of embeddings. */
function travellingRows({ widths, ranks, embeddings }: RunPlan): ReadonlySet<string> {
  const last = widths.length - 2
  const names = widths.slice(1).flatMap((_, block) => {
    if (ranks!.partials[block]) return []
    const deltas = block === last ? `activations.${block + 1}` : `deltas.${block}`
    return block === 0 ? [deltas] : [`activations.${block}`, deltas]
  })
  return new Set(embeddings.length > 0 ? [...names, 'deltas.inputs'] : names)
}

/**
 * Bytes that an exchange of all ranks may take, or those of a chain together: the matrices of a stage, or of all that travel later, or all
 * parameters, or moments of a layer.
 */
export function gatheredBytes(plan: RunPlan, slots: readonly Slot[], moments: MomentPlaces): number {
  const { passes } = plan
  const bytesOfSlot = ({ dtype, shape }: Slot) => sizeOf(shape) * bytesPerElement[dtype]
  const bytesOf = (pattern: RegExp) => slots.filter(({ name }) => pattern.test(name)).map(bytesOfSlot)
  const total = (bytes: readonly number[]) => bytes.reduce((sum, of) => sum + of, 0)
  const matrices = bytesOf(/^(activations|derivatives|deltas|workspace)\./).sort((a, b) => b - a)
  const vectors = total(bytesOf(/^batch\.|^squares$|\.bias\.gradientOfGroup/))
  // Of the workspace, vectors are next to nothing beside the matrices.
  const most = total(passes === 'shards' ? matrices : matrices.slice(0, 2 * MATRICES_OF_PART))
  const travelling = passesOwnRows(plan) ? travellingRows(plan) : new Set<string>()
  const chained = total(slots.filter(({ name }) => travelling.has(name)).map(bytesOfSlot))
  const batch = Math.max(most, chained) + vectors
  return Math.max(batch, moments.end, total(bytesOf(/^(layers|embeddings)\.\d+\.(norm\.)?[a-z]+$/)))
}

/** Bytes of what one rank sends others, keeps and gets of gradients of groups, at most. */
export function sliceBytes(plan: RunPlan, backend: Backend): number {
  const { rank, size, partials } = plan.ranks!
  const { tileUnit, dtype } = backend
  const { tiles, owners } = shareWeights(plan, backend)
  const upTo = (n: number, unit: number) => Math.ceil(n / unit) * unit
  /** Padded elements of the tiles of all, and of this rank. */
  const elements = (of: (block: number) => boolean) => {
    let [all, own] = [0, 0]
    for (const [t, { layer, tile }] of tiles.entries()) {
      if (!of(layer)) continue
      const [height, width] = [tile.inputEnd - tile.inputStart, tile.outputEnd - tile.outputStart]
      const area = upTo(height, tileUnit.inputs) * upTo(width, tileUnit.outputs)
      all += area
      if (owners[t] === rank) own += area
    }
    return { all, own }
  }
  const most = (groups: number, sumsOf: (groups: number) => readonly number[], of: (block: number) => boolean) => {
    const { all, own } = elements(of)
    let largest = 0
    for (let count = 1; all > 0 && count <= groups; count++) {
      const sums = sumsOf(count)
      const others = sums.reduce((sum, nodes) => sum + nodes, 0) - sums[rank]
      largest = Math.max(largest, sums[rank] * all + others * own)
    }
    return largest
  }
  const spans = (groups: number) => Array.from({ length: size }, (_, of) => groupsOfRank(of, groups, size))
  const ofRows = most(
    mostGroups(plan),
    groups => spans(groups).map(span => nodesWithin(groups, span).length),
    block => partials[block],
  )
  const ofSamples = most(
    groupCount(plan),
    groups => spans(groups).map(({ first, end }) => end - first),
    block => block < plan.convolutions.length,
  )
  return (ofRows + ofSamples) * bytesPerElement[dtype]
}

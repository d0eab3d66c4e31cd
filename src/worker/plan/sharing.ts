/**
 * Division of a step among ranks, and the groups of rows whose gradients are summed apart: functions of the plan alone. Pure; any thread.
 *
 * With `compute.gradientGroups` the rows of a mini-batch form fixed groups. The gradient of a dense layer is the sum of those of the groups,
 * added in a fixed tree: neighbours first, then the sums of neighbours. So a rank that has neighbouring groups sends one sum, or a few, in
 * place of one for each group, and the bits depend on the groups alone.
 */
import type { Backend } from '../../kernels/backend.js'
import type { RunPlan } from './run-plan.js'
import { groupsOf } from './tiles.js'

/** How tasks are dealt; see program/stage.ts. */
export type Deal = 'neighbours' | 'largest' | 'root'

/** Every rank runs the task. */
export const EVERYONE = -1

/** Owner of each task, a function of the work of all; EVERYONE where there is none. */
export function ownersOf(work: readonly number[], how: Deal, size: number): Int32Array {
  const owners = new Int32Array(work.length).fill(EVERYONE)
  const shared = work.map((_, task) => task).filter(task => work[task] > 0)
  if (how === 'root') for (const task of shared) owners[task] = 0
  else if (how === 'neighbours') {
    const owned = dealNeighbours(
      shared.map(task => work[task]),
      size,
    )
    for (const [i, task] of shared.entries()) owners[task] = owned[i]
  } else {
    const loads = new Float64Array(size)
    for (const task of shared.toSorted((a, b) => work[b] - work[a] || a - b)) {
      const least = loads.indexOf(Math.min(...loads))
      owners[task] = least
      loads[least] += work[task]
    }
  }
  return owners
}

/**
 * Deals tasks in their order, so that the rank with most work has as little as can be. Within that bound a task goes to the rank in whose
 * equal share of the work its middle lies: where tasks are fewer than ranks, or a few more, not always the same ranks wait.
 */
function dealNeighbours(work: readonly number[], size: number): number[] {
  const bound = leastBound(work, size)
  // The last rank that may begin with a task, so that all that follow find a place.
  const latest = new Array<number>(work.length)
  for (let task = work.length - 1, rank = size - 1, load = 0; task >= 0; task--) {
    if (load + work[task] > bound) {
      rank--
      load = 0
    }
    load += work[task]
    latest[task] = rank
  }
  const total = work.reduce((sum, of) => sum + of, 0)
  let [rank, load, before] = [0, 0, 0]
  return work.map((of, task) => {
    const middle = Math.min(size - 1, Math.floor(((before + of / 2) * size) / total))
    const next = Math.min(middle, latest[task])
    if (next > rank) [rank, load] = [next, 0]
    else if (load + of > bound) [rank, load] = [rank + 1, 0]
    load += of
    before += of
    return rank
  })
}

/** Least bound of a rank's work with which tasks find places in their order. */
function leastBound(work: readonly number[], size: number): number {
  const fits = (bound: number): boolean => {
    let [ranks, load] = [1, 0]
    for (const of of work) {
      if (load + of > bound) {
        ranks++
        load = 0
      }
      load += of
    }
    return ranks <= size
  }
  // Work is counted in whole units.
  let low = Math.max(0, ...work)
  let high = work.reduce((sum, of) => sum + of, 0)
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    if (fits(middle)) high = middle
    else low = middle + 1
  }
  return high
}

/** The rank that has a group of rows, of so many. */
export const ownerOfGroup = (group: number, groups: number, size: number): number =>
  Math.min(size - 1, Math.floor(((group + 0.5) * size) / groups))

/** Groups [first, end) of a rank. */
export function groupsOfRank(rank: number, groups: number, size: number): Span {
  let [first, end] = [0, 0]
  for (let group = 0; group < groups; group++) {
    const owner = ownerOfGroup(group, groups, size)
    if (owner < rank) first = group + 1
    if (owner <= rank) end = group + 1
  }
  return { first, end: Math.max(first, end) }
}

/** Rows of each of so many groups of a mini-batch; null: they are not grouped. Groups begin where tasks over rows may. */
export const rowsOfGroups = (
  groups: number | null,
  miniBatch: number,
  { blockRows }: Pick<Backend, 'blockRows'>,
): number | null => (groups === null || groups === 1 ? null : Math.ceil(miniBatch / groups / blockRows) * blockRows)

/** Groups of so many rows; 1: they are not grouped. */
export const gradientGroups = ({ gradientRows }: Pick<RunPlan, 'gradientRows'>, rows: number): number =>
  gradientRows === null ? 1 : groupsOf(rows, gradientRows)

/** Most groups of a mini-batch. */
export const mostGroups = (plan: Pick<RunPlan, 'gradientRows' | 'batchSize' | 'images'>): number =>
  gradientGroups(plan, Math.min(plan.batchSize, plan.images.train))

/** Groups [first, end), whose sum is a node of the tree. */
export interface Span {
  readonly first: number
  readonly end: number
}

/** The place where a node of the tree is divided: the left part has a power of two groups. */
const middleOf = ({ first, end }: Span): number => first + 2 ** Math.ceil(Math.log2(end - first) - 1)

/** The largest nodes of a tree over so many groups that lie within a span. */
export function nodesWithin(groups: number, span: Span, node: Span = { first: 0, end: groups }): Span[] {
  if (node.end <= span.first || node.first >= span.end || node.end <= node.first) return []
  if (node.first >= span.first && node.end <= span.end) return [node]
  const middle = middleOf(node)
  return [
    ...nodesWithin(groups, span, { first: node.first, end: middle }),
    ...nodesWithin(groups, span, { first: middle, end: node.end }),
  ]
}

/** Places that a sum over so many groups needs at most, itself included. */
export const placesOfTree = (groups: number): number => Math.ceil(Math.log2(Math.max(1, groups))) + 1

/** What a sum over a tree is made of. */
export interface TreeSum {
  /** Place of a node that is there already; null: it is to be summed. */
  known?(node: Span): number | null
  /** Computes the gradient of a group. */
  group(group: number, at: number): void
  /** Place of the result (level 0), or one that is needed meanwhile. */
  place(level: number): number
  /** Adds what is at `other`. */
  add(at: number, other: number): void
}

/** Sums a node of the tree; returns the place of the sum. */
export function sumTree(node: Span, of: TreeSum, level = 0): number {
  const known = of.known?.(node) ?? null
  if (known !== null) return known
  if (node.end - node.first === 1) {
    const at = of.place(level)
    of.group(node.first, at)
    return at
  }
  const middle = middleOf(node)
  const at = sumTree({ first: node.first, end: middle }, of, level)
  of.add(at, sumTree({ first: middle, end: node.end }, of, level + 1))
  return at
}

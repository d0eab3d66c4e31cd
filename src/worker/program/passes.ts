/**
 * Passes over the batch buffers, for training and evaluation, as stages of a program. Two forms: shards of rows, each
 * taken through all layers by one worker; or layer by layer, each part of a layer's pass divided into fixed blocks, with a
 * barrier after each. Nobody assigns rows to workers: a free worker claims the next task (threads/barrier.ts). Runs in workers.
 *
 * Shards need one barrier and keep a row's activations near. Layer by layer each weight is read once a step instead of
 * once a shard, and more workers are served than there are good shards.
 */

import type { Columns, Rows } from '../../kernels/backend.js'
import { multiplications } from '../../model/parameters.js'
import type { FloatTensor, Matrix } from '../../tensor/tensor.js'
import { type Network, type Pass, type PassPart, rowsPass, type Written } from '../network/network.js'
import { passesOwnRows } from '../plan/exchange-memory.js'
import { columnRanges, gridOf, wholeRows, workOfBlock } from '../plan/grid.js'
import { ownerOfGroup } from '../plan/sharing.js'
import { gatheredMatrices } from './gathered.js'
import type { ProgramParts, Region, Shared, Stage } from './stage.js'

/** Source of the rows that are passed through the network in context C. */
export interface PassSource<C> {
  rows(context: C): number
  pass(context: C): Pass
  /** Sample index of a row of the mini-batch. */
  sampleIndex(context: C, batchRow: number): number
  /** Row in memory of its features, where training samples are loaded in windows. */
  place(context: C, batchRow: number): number
}

export interface PassParts extends Pick<ProgramParts, 'plan' | 'backend' | 'network'> {
  /** Deltas too. */
  readonly trains: boolean
  /** Number of groups that the blocks of a layer are joined into; absent: each is a task. */
  readonly groups?: number
}

export function passStages<C>(parts: PassParts, source: PassSource<C>): Stage<C>[] {
  const gathered = gatheredMatrices(parts.network, parts.plan)
  const all = { ...parts, gathered }
  return parts.plan.passes === 'shards' ? [shardStage(all, source)] : layerStages(all, source)
}

interface LayerParts extends PassParts {
  /** Matrices that other ranks need. */
  readonly gathered: ReadonlySet<Matrix>
}

export const shardsOf = (rows: number, shardRows: number): number => Math.ceil(rows / shardRows)

/** Returns piece `task` of the rows, in pieces of this many, and writes the sample index of each, and its place. */
export function takeRows<C>(
  { batch }: Pick<Network, 'batch'>,
  source: PassSource<C>,
  context: C,
  task: number,
  pieceRows: number,
): Rows {
  const piece = pieceOf(task, pieceRows, source.rows(context))
  nameRows({ batch }, source, context, piece)
  return piece
}

/** Writes the sample index of some rows, and their places. */
function nameRows<C>({ batch }: Pick<Network, 'batch'>, source: PassSource<C>, context: C, piece: Rows): void {
  const samples = batch.samples.data
  const end = piece.row + piece.rows
  for (let batchRow = piece.row; batchRow < end; batchRow++) samples[batchRow] = source.sampleIndex(context, batchRow)
  if (batch.places !== null) {
    const places = batch.places.data
    for (let batchRow = piece.row; batchRow < end; batchRow++) places[batchRow] = source.place(context, batchRow)
  }
}

const pieceOf = (task: number, pieceRows: number, total: number): Rows => ({
  row: task * pieceRows,
  rows: Math.min(pieceRows, total - task * pieceRows),
})

function shardStage<C>(parts: LayerParts, source: PassSource<C>): Stage<C> {
  const { plan, network, trains } = parts
  const { shardRows } = plan
  const run = rowsPass(network)
  const pieces = rowPieces(parts, shardRows, source)
  return {
    name: 'shards',
    phase: 'compute',
    scheduling: 'dynamic',
    tasks: pieces.tasks,
    run: (task, context) => run(source.pass(context), takeRows(network, source, context, task, shardRows)),
    shared: {
      ...pieces.shared(writtenInRows(network, network.layers, true)),
      others: (task, context) =>
        network.gather(source.pass(context), takeRows(network, source, context, task, shardRows)),
    },
    flops: (task, context) =>
      2 *
      pieceOf(task, shardRows, source.rows(context)).rows *
      (multiplications(plan) + (trains ? multiplications(plan, 1) : 0)),
  }
}

/** Tasks over pieces of so many rows, none with rows of two groups, and how ranks share them. `own`: the part decides its pieces itself. */
function rowPieces<C>(parts: LayerParts, height: number, source: PassSource<C>, own = false) {
  const { network, gathered } = parts
  const group = own ? height : parts.plan.gradientRows
  const known = new Map<number, readonly Rows[]>()
  const piecesIn = (context: C): readonly Rows[] => {
    const rows = source.rows(context)
    let pieces = known.get(rows)
    if (!pieces) {
      pieces = piecesOf(rows, height, group)
      known.set(rows, pieces)
    }
    return pieces
  }
  return {
    tasks: (context: C) => piecesIn(context).length,
    at: (task: number, context: C) => piecesIn(context)[task],
    shared: (written: readonly Written[]): Shared<C> => ({
      deal: 'neighbours',
      ...(group !== null && { owner: ownerByRow(source, group, (task, context) => piecesIn(context)[task]) }),
      work: (task, context) => piecesIn(context)[task].rows,
      writes: (task, context) =>
        written.flatMap(writes => [
          ...regionsOf(parts, writes, piecesIn(context)[task], null),
          ...(writes.ofPieces ?? []).flatMap(vectors => (task < vectors.length ? wholeVector(vectors[task]) : [])),
        ]),
    }),
    others: (task: number, context: C): void => {
      const piece = piecesIn(context)[task]
      nameRows(network, source, context, piece)
      // Inputs are cheaper to gather than to send; with embeddings, all ranks update these from all rows.
      if (gathered.has(network.layers[0].matrices.x) || network.embeddings.length > 0)
        network.gather(source.pass(context), piece)
    },
  }
}

/** Pieces of so many rows, none of which has rows of two groups of so many. */
function piecesOf(rows: number, height: number, group: number | null): Rows[] {
  const pieces: Rows[] = []
  for (let row = 0; row < rows; ) {
    const end = group === null ? rows : Math.min(rows, (Math.floor(row / group) + 1) * group)
    const piece = { row, rows: Math.min(height, end - row) }
    pieces.push(piece)
    row += piece.rows
  }
  return pieces
}

/** Who has the group of rows that a task begins in. */
const ownerByRow =
  <C>(
    source: PassSource<C>,
    group: number,
    at: (task: number, context: C) => { readonly row: number },
  ): NonNullable<Shared<C>['owner']> =>
  (task, context, size) =>
    ownerOfGroup(Math.floor(at(task, context).row / group), Math.ceil(source.rows(context) / group), size)

const wholeVector = (tensor: FloatTensor): Region => ({ tensor, row: 0, rows: 1, start: 0, end: tensor.shape[0] })

/**
 * Tensors that a pass over whole rows through some layers writes. `isWhole`: through all of them, backward too, after which nothing reads what
 * parts keep for each other.
 */
function writtenInRows(network: Network, layers: Network['layers'], isWhole: boolean): Written[] {
  const { losses, correct } = network.batch
  const parts = layers.flatMap(({ forward, backward }) => [...forward, ...backward])
  const outputs = new Set<Matrix>(parts.flatMap(({ writes }) => writes?.matrices ?? []))
  const kept = isWhole ? [] : parts.flatMap(({ writes }) => writes?.kept ?? [])
  const ofRows = isWhole ? [] : parts.flatMap(({ writes }) => writes?.ofRows ?? [])
  return [{ matrices: [...outputs], kept, ofRows: [losses, correct, ...ofRows] }]
}

function regionsOf(
  { network, gathered }: LayerParts,
  { matrices, kept = [], ofColumns = [], ofRows = [] }: Written,
  { row, rows }: Rows,
  columns: Columns | null,
): Region[] {
  const [bufferRows] = network.batch.losses.shape
  return [
    ...[...matrices, ...kept]
      .filter(matrix => gathered.has(matrix))
      .map(({ rows: all, cols, tensor }) => {
        const { start, end } = columns ?? { start: 0, end: cols }
        // Of feature maps every position of a sample is a row.
        const positions = all / bufferRows
        return { tensor, row: row * positions, rows: rows * positions, start, end }
      }),
    ...(columns ? ofColumns.map(tensor => ({ tensor, row: 0, rows: 1, start: columns.start, end: columns.end })) : []),
    ...ofRows.map(tensor => ({ tensor, row: 0, rows: 1, start: row, end: row + rows })),
  ]
}

/** Least rows of a task over rows, and of one over the output layer, which is narrow: calls cost as much as arithmetic. */
const ROWS_OF_TASK = 16
const ROWS_OF_LOSS = 32

/** [gather] [each part of the hidden layers' forward passes] [output layer and loss] [each part of their backward passes] */
function layerStages<C>(parts: LayerParts, source: PassSource<C>): Stage<C>[] {
  const { plan, backend, network, trains } = parts
  const hidden = network.layers.slice(0, -1)
  const [first, ...forward] = joinParts(hidden.flatMap(layer => layer.forward))
  const backward = trains ? hidden.toReversed().flatMap(layer => layer.backward) : []
  const height =
    first?.over === 'blocks' && plan.gradientRows === null
      ? wholeRows(plan.batchSize, first.outputs, first.depth, backend)
      : null
  const begin =
    first && height !== null
      ? [gatherForwardStage(parts, source, first, height)]
      : [gatherStage(parts, source), ...(first ? [partStage(parts, source, first)] : [])]
  const stages = [
    ...begin,
    ...forward.map(part => partStage(parts, source, part)),
    lossStage(parts, source),
    ...joinParts(backward).map(part => partStage(parts, source, part)),
  ]
  // Gradients alone read rows of other ranks.
  return passesOwnRows(plan) ? stages.map(inChain) : stages
}

const inChain = <C>(stage: Stage<C>): Stage<C> =>
  stage.shared ? { ...stage, shared: { ...stage.shared, chain: 'passes' } } : stage

/** Joins parts that follow each other and have the same tasks, of whole rows: fewer barriers, and what one has written is near. */
export function joinParts(parts: readonly PassPart[]): PassPart[] {
  const joined: PassPart[] = []
  for (const part of parts) {
    const before = joined.at(-1)
    if (!before || part.waits || !part.height || before.over !== 'rows' || before.height !== part.height)
      joined.push(part)
    else joined[joined.length - 1] = joinTwo(before, part)
  }
  return joined
}

const workOf = ({ outputs, depth, work = outputs * depth }: PassPart): number => work

function joinTwo(one: PassPart, other: PassPart): PassPart {
  const { writes, ...first } = one
  return {
    ...first,
    name: `${one.name}, ${other.name}`,
    work: workOf(one) + workOf(other),
    ...(writes && other.writes && { writes: mergeWritten(writes, other.writes) }),
    run: (pass, rows) => one.run(pass, rows) || other.run(pass, rows),
  }
}

const mergeWritten = (one: Written, other: Written): Written => ({
  matrices: [...new Set([...one.matrices, ...other.matrices])],
  kept: [...new Set([...(one.kept ?? []), ...(other.kept ?? [])])],
  ofColumns: [...(one.ofColumns ?? []), ...(other.ofColumns ?? [])],
  ofRows: [...(one.ofRows ?? []), ...(other.ofRows ?? [])],
  ofPieces: [...(one.ofPieces ?? []), ...(other.ofPieces ?? [])],
})

const rowsOfTask = ({ backend }: PassParts) => Math.max(ROWS_OF_TASK, backend.blockRows)

function gatherStage<C>(parts: LayerParts, source: PassSource<C>): Stage<C> {
  const { network, gathered } = parts
  // Over ranks, rows of maps belong to those that have their groups.
  const height = parts.plan.ranks ? network.layers[0].forward[0].height : undefined
  const pieces = rowPieces(parts, height ?? rowsOfTask(parts), source, height !== undefined)
  const run = (task: number, context: C): number => {
    const rows = pieces.at(task, context)
    nameRows(network, source, context, rows)
    network.gather(source.pass(context), rows)
    return 0
  }
  return {
    ...{ name: 'gather', phase: 'compute', scheduling: 'dynamic' },
    tasks: pieces.tasks,
    run,
    ...(!gathered.has(network.layers[0].matrices.x) && {
      shared: { ...pieces.shared([]), writes: undefined, others: pieces.others },
    }),
  }
}

/** Gathers rows and takes them through the first part of the first layer at once: a barrier less, and the rows are near. */
function gatherForwardStage<C>(
  parts: LayerParts,
  source: PassSource<C>,
  { name, outputs, depth, run, writes }: PassPart,
  height: number,
): Stage<C> {
  const { network } = parts
  const pieces = rowPieces(parts, height, source)
  return {
    name: `gather, ${name}`,
    phase: 'compute',
    scheduling: 'dynamic',
    tasks: pieces.tasks,
    run(task, context) {
      const pass = source.pass(context)
      const rows = pieces.at(task, context)
      nameRows(network, source, context, rows)
      network.gather(pass, rows)
      return run(pass, rows)
    },
    shared: { ...pieces.shared([writes!]), others: pieces.others },
    flops: (task, context) => 2 * pieces.at(task, context).rows * depth * outputs,
  }
}

/** The stage of one part of a layer's pass, divided as the part allows. */
function partStage<C>(parts: LayerParts, source: PassSource<C>, part: PassPart): Stage<C> {
  const { name, over, outputs, depth, work = outputs * depth, run, writes } = part
  const { backend, groups = null } = parts
  const stage = { name, phase: 'compute', scheduling: 'dynamic' } as const
  if (over === 'rows') {
    const { height } = part
    const pieces = rowPieces(parts, height ?? rowsOfTask(parts), source, height !== undefined)
    return {
      ...stage,
      tasks: pieces.tasks,
      run: (task, context) => run(source.pass(context), pieces.at(task, context)),
      ...(writes && { shared: pieces.shared([writes]) }),
      ...(work > 0 && { flops: (task: number, context: C) => 2 * pieces.at(task, context).rows * work }),
    }
  }
  if (over === 'columns') {
    const ranges = columnRanges(outputs, backend.tileUnit.outputs)
    return {
      ...stage,
      tasks: () => ranges.length,
      run: (task, context) => run(source.pass(context), { row: 0, rows: source.rows(context) }, ranges[task]),
      shared: {
        deal: 'neighbours',
        work: task => ranges[task].end - ranges[task].start,
        writes: (task, context) => regionsOf(parts, writes!, { row: 0, rows: source.rows(context) }, ranges[task]),
      },
    }
  }
  const { gradientRows } = parts.plan
  const blocks = gridOf(outputs, depth, backend, groups, gradientRows)
  return {
    ...stage,
    tasks: context => blocks(source.rows(context)).length,
    run(task, context) {
      const block = blocks(source.rows(context))[task]
      return run(source.pass(context), block, block.columns)
    },
    shared: {
      deal: 'neighbours',
      ...(gradientRows !== null && {
        owner: ownerByRow(source, gradientRows, (task, context) => blocks(source.rows(context))[task]),
      }),
      work: (task, context) => workOfBlock(blocks(source.rows(context))[task]),
      writes(task, context) {
        const block = blocks(source.rows(context))[task]
        return regionsOf(parts, writes!, block, block.columns)
      },
    },
    flops(task, context) {
      const { rows, columns } = blocks(source.rows(context))[task]
      return 2 * rows * (columns.end - columns.start) * depth
    },
  }
}

/** Logits and losses, and the backward pass through the output layer, which needs no other rows. */
function lossStage<C>(parts: LayerParts, source: PassSource<C>): Stage<C> {
  const { plan, backend, network, trains } = parts
  const height = Math.max(ROWS_OF_LOSS, backend.blockRows)
  const output = network.layers[network.layers.length - 1]
  const weights = multiplications(plan, plan.widths.length - 2)
  const backward = trains ? output.backward : []
  const pieces = rowPieces(parts, height, source)
  return {
    name: 'loss',
    phase: 'compute',
    scheduling: 'dynamic',
    tasks: pieces.tasks,
    shared: pieces.shared(writtenInRows(network, [output], false)),
    run(task, context) {
      const pass = source.pass(context)
      const rows = pieces.at(task, context)
      let code = 0
      for (const part of output.forward) code ||= part.run(pass, rows)
      code ||= network.loss(pass, rows)
      for (const part of backward) code ||= part.run(pass, rows)
      return code
    },
    flops: (task, context) => 2 * pieces.at(task, context).rows * weights * (backward.length > 0 ? 2 : 1),
  }
}

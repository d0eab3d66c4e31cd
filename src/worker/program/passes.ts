/**
 * Phase 1 of a step, and evaluation: forward, loss and deltas of the rows in the batch buffers, as stages of a program.
 * Two forms: shards of rows, each taken through all layers by one worker; or layer by layer, each cut into a fixed grid
 * of rows x columns, with a barrier after each. Runs in workers.
 *
 * Shards need one barrier and keep a row's activations near. The grid reads each weight once a step instead of once a
 * shard, and serves more workers than there are good shards.
 */

import type { Columns, Rows } from '../../kernels/backend.js'
import { weightCount } from '../../model/parameters.js'
import { type Network, type Pass, runPass } from '../network/network.js'
import { type Block, gridOf, stripsOf, wholeRows } from '../plan/grid.js'
import type { ProgramParts, Stage } from './stage.js'

/** What is passed through the network in context C. */
export interface PassSource<C> {
  rows(context: C): number
  pass(context: C): Pass
  /** Index of the image of a row. */
  image(context: C, row: number): number
}

export interface PassParts extends Pick<ProgramParts, 'plan' | 'backend' | 'network'> {
  /** Deltas too. */
  readonly trains: boolean
}

export function passStages<C>(parts: PassParts, source: PassSource<C>): Stage<C>[] {
  return parts.plan.phase1 === 'shards' ? [shardStage(parts, source)] : layerStages(parts, source)
}

export const shardsOf = (rows: number, shardRows: number): number => Math.ceil(rows / shardRows)

/** Piece `task` of the rows, in pieces of so many, with their images noted in `samples`. */
export function takeRows<C>(
  network: Network,
  source: PassSource<C>,
  context: C,
  task: number,
  pieceRows: number,
): Rows {
  const rows = pieceOf(task, pieceRows, source.rows(context))
  noteRows(network, source, context, rows)
  return rows
}

function noteRows<C>(network: Network, source: PassSource<C>, context: C, rows: Rows): void {
  for (let row = rows.row; row < rows.row + rows.rows; row++) {
    network.samples.data[row] = source.image(context, row)
  }
}

const pieceOf = (task: number, pieceRows: number, total: number): Rows => ({
  row: task * pieceRows,
  rows: Math.min(pieceRows, total - task * pieceRows),
})

function shardStage<C>({ plan, network, trains }: PassParts, source: PassSource<C>): Stage<C> {
  const { shardRows, widths } = plan
  return {
    name: 'shards',
    deal: 'claimed',
    tasks: context => shardsOf(source.rows(context), shardRows),
    run: (task, context) => runPass(network, source.pass(context), takeRows(network, source, context, task, shardRows)),
    flops: (task, context) =>
      2 *
      pieceOf(task, shardRows, source.rows(context)).rows *
      (weightCount(widths) + (trains ? weightCount(widths, 1) : 0)),
  }
}

/** Rows that one task gathers, at least; and takes through the last, narrow layer, where calls cost as much as arithmetic. */
const ROWS_OF_TASK = 16
const ROWS_OF_LOSS = 32

function layerStages<C>({ plan, backend, network, trains }: PassParts, source: PassSource<C>): Stage<C>[] {
  const { widths } = plan
  const hidden = network.hiddenLayers
  const rowsOfTask = Math.max(ROWS_OF_TASK, backend.blockRows)
  const rowsOfLoss = Math.max(ROWS_OF_LOSS, backend.blockRows)
  const rowTasks = (context: C) => Math.ceil(source.rows(context) / rowsOfTask)

  const gather: Stage<C> = {
    name: 'gather',
    deal: 'claimed',
    tasks: rowTasks,
    run(task, context) {
      network.gather(source.pass(context), takeRows(network, source, context, task, rowsOfTask))
      return 0
    },
  }

  /** A stage over the outputs of hidden layer i, whose products sum over so many elements. */
  const grid = (name: string, layer: number, depth: number, run: (pass: Pass, block: Block) => number): Stage<C> => {
    const blocks = gridOf(widths[layer + 1], depth, backend)
    return {
      name,
      deal: 'claimed',
      tasks: context => blocks(source.rows(context)).length,
      run: (task, context) => run(source.pass(context), blocks(source.rows(context))[task]),
      flops(task, context) {
        const { rows, columns } = blocks(source.rows(context))[task]
        return 2 * rows * (columns.end - columns.start) * depth
      },
    }
  }

  /** Gathers rows and takes them through the first layer at once: a barrier less, and the rows are at hand. */
  const gatherForward = (height: number): Stage<C> => ({
    name: 'gather, forward 0',
    deal: 'claimed',
    tasks: context => Math.ceil(source.rows(context) / height),
    run(task, context) {
      const pass = source.pass(context)
      const rows = takeRows(network, source, context, task, height)
      network.gather(pass, rows)
      return network.forward(0, pass, rows)
    },
    flops: (task, context) => 2 * pieceOf(task, height, source.rows(context)).rows * widths[0] * widths[1],
  })
  const height = hidden > 0 ? wholeRows(plan.batchSize, widths[1], widths[0], backend) : null

  const forward = Array.from({ length: hidden }, (_, i) => [
    i === 0 && height !== null
      ? gatherForward(height)
      : grid(`forward ${i}`, i, widths[i], (pass, block) => network.forward(i, pass, block, block.columns)),
    ...normalise(i),
  ]).flat()

  /** A stage over strips of columns of hidden layer i, all rows of them; columns of a batch's statistics need no others. */
  function columnStage(name: string, layer: number, run: (context: C, columns: Columns) => number): Stage<C> {
    const strips = stripsOf(widths[layer + 1], backend.tileUnit.outputs)
    return {
      name,
      deal: 'claimed',
      tasks: () => strips.length,
      run: (task, context) => run(context, strips[task]),
    }
  }

  function rowStage(name: string, run: (context: C, rows: Rows) => number): Stage<C> {
    return {
      name,
      deal: 'claimed',
      tasks: rowTasks,
      run: (task, context) => run(context, pieceOf(task, rowsOfTask, source.rows(context))),
    }
  }

  function normalise(i: number): Stage<C>[] {
    const name = `normalise ${i}`
    const all = (context: C) => ({ row: 0, rows: source.rows(context) })
    if (network.norm === 'none') return []
    if (network.norm === 'layer') {
      return [rowStage(name, (context, rows) => network.normalise(i, source.pass(context), rows))]
    }
    return [
      columnStage(name, i, (context, columns) => network.normalise(i, source.pass(context), all(context), columns)),
    ]
  }

  function normaliseBackward(i: number): Stage<C>[] {
    const name = `normalise backward ${i}`
    if (network.norm === 'none') return []
    const columns = columnStage(name, i, (context, strip) =>
      network.normaliseColumnsBackward(i, source.rows(context), strip),
    )
    if (network.norm === 'batch') return [columns]
    return [columns, rowStage(`${name}, rows`, (_context, rows) => network.normaliseRowsBackward(i, rows))]
  }

  /** Logits and losses, and the way back through the last layer, which needs no other rows. */
  const loss: Stage<C> = {
    name: 'loss',
    deal: 'claimed',
    tasks: context => Math.ceil(source.rows(context) / rowsOfLoss),
    run(task, context) {
      const rows = pieceOf(task, rowsOfLoss, source.rows(context))
      const code = network.loss(source.pass(context), rows)
      return code === 0 && trains && hidden > 0 ? network.backward(hidden - 1, rows) : code
    },
    flops: (task, context) =>
      2 * pieceOf(task, rowsOfLoss, source.rows(context)).rows * weightCount(widths, hidden) * (trains ? 2 : 1),
  }

  const backward = Array.from({ length: trains ? Math.max(hidden - 1, 0) : 0 }, (_, back) => {
    const i = hidden - 2 - back
    return [
      grid(`backward ${i}`, i, widths[i + 2], (_pass, block) => network.backward(i, block, block.columns)),
      ...normaliseBackward(i),
    ]
  }).flat()

  return [
    ...(height === null ? [gather] : []),
    ...forward,
    loss,
    ...(trains && hidden > 0 ? normaliseBackward(hidden - 1) : []),
    ...backward,
  ]
}

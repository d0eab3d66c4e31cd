/**
 * A step as a program: stages of tasks, a barrier after each. Built by every worker from the same plan; runs in workers.
 *
 * A task's operands and shapes never depend on who runs it, tasks of one stage write disjoint memory, and every
 * reduction is itself a task with a fixed order. That is why the bits do not depend on the number of workers. The one
 * exception is `allReduce: "buffers"`, where each worker's buffer sums the shards dealt to it.
 */

import type { Backend } from '../../kernels/backend.js'
import { initialRows } from '../../model/init.js'
import { initialOrthogonal } from '../../model/orthogonal.js'
import { parameterTable, type VectorKind } from '../../model/parameters.js'
import { averageIndex, companionCount, type StateTensor } from '../../model/state.js'
import type { FloatTensor, IntTensor } from '../../tensor/tensor.js'
import { type Layer, type Network, runPass } from '../network/bind.js'
import type { StepContext } from '../plan/clock.js'
import { areaOf, layerTiles, limitsWeights } from '../plan/tiles.js'
import { fault, type RunPlan, Stat } from '../threads/protocol.js'
import { type PassSource, passStages, shardsOf, stripsOf, takeRows } from './passes.js'
import { type PlainTask, runPlain, type Stage } from './stage.js'
import { keepsGradient, wholeGradientStages } from './whole-gradient.js'

export type { Stage } from './stage.js'

export interface ProgramParts {
  readonly plan: RunPlan
  readonly backend: Backend
  readonly network: Network
  /** Row lists of the splits: image of each row. */
  readonly order: Readonly<Record<'train' | 'validation' | 'test', IntTensor>>
  readonly stats: FloatTensor
  /** Sums of squares of the gradient's parts; see clipping.ts. */
  readonly squares: FloatTensor
}

/**
 * [phase 1: forward, loss, deltas, see passes.ts] [tiles: gradient and update]. Where the whole gradient is kept, the two
 * stages of whole-gradient.ts are in the place of the last. Or the textbook form over buffers, whose first stage is cut
 * into shards in any case. All that comes before the first stage that changes the state runs for each mini-batch of a step.
 */
export function trainProgram(parts: ProgramParts): Stage<StepContext>[] {
  const { plan, network, order } = parts
  const source: PassSource<StepContext> = {
    rows: ({ rows }) => rows,
    pass: ({ epoch, stepRows }) => ({ images: 'train', epoch, deltaScale: 1 / stepRows }),
    image: ({ positions, first }, row) => order.train.data[positions[first + row]],
  }
  const stages =
    plan.allReduce === 'fused'
      ? [
          ...passStages({ ...parts, trains: true }, source),
          ...(keepsGradient(plan) ? wholeGradientStages(parts, sumTask(network, parts.stats)) : [tileStage(parts)]),
        ]
      : [
          bufferStage(plan, network, source),
          ...(plan.accumulateSteps > 1 ? [pendingStage(parts)] : []),
          reduceStage(parts),
        ]
  return [...stages, ...limitStages(parts)]
}

/** [columns: incoming weights of hidden units down to maxNorm, and their averages], where there is such a limit. */
function limitStages({ plan, backend, network }: ProgramParts): Stage<StepContext>[] {
  const { maxNorm, widths } = plan
  if (maxNorm === null) return []
  const tasks = network.layers.slice(0, network.hiddenLayers).flatMap((layer, i): PlainTask[] =>
    stripsOf(widths[i + 1], backend.tileUnit.outputs).map(columns => ({ averageShare }) => {
      layer.limitWeight(columns, maxNorm)
      const { start: outputStart, end: outputEnd } = columns
      layer.averageWeight({ inputStart: 0, inputEnd: layer.inputs, outputStart, outputEnd }, averageShare)
    }),
  )
  return [
    { name: 'limit weights', changesState: true, deal: 'claimed', tasks: () => tasks.length, run: runPlain(tasks) },
  ]
}

function tileStage({ plan, backend, network, stats }: ProgramParts): Stage<StepContext> {
  const tiles = layerTiles(plan, backend)
  const tasks: PlainTask[] = [
    ...tiles.map(
      ({ layer, tile }): PlainTask =>
        ({ rows, optimizer, averageShare }) => {
          network.layers[layer].updateWeight(tile, rows, optimizer)
          if (!limitsWeights(plan, layer)) network.layers[layer].averageWeight(tile, averageShare)
        },
    ),
    ...network.layers.map(
      (layer): PlainTask =>
        ({ rows, optimizer, averageShare }) => {
          layer.updateBias(rows, optimizer)
          layer.averageVectors(averageShare, ['bias'])
        },
    ),
    ...(network.norm === 'none' ? [] : network.layers.slice(0, network.hiddenLayers)).map(
      (layer): PlainTask =>
        ({ rows, optimizer, averageShare }) => {
          layer.updateNorm?.(rows, optimizer)
          layer.averageVectors(averageShare, ['scale', 'shift'])
        },
    ),
    sumTask(network, stats),
  ]
  return {
    name: 'tiles',
    changesState: true,
    deal: 'claimed',
    tasks: () => tasks.length,
    run: runPlain(tasks),
    flops: (task, { rows }) => (task < tiles.length ? 2 * rows * areaOf(tiles[task].tile) : 0),
  }
}

function bufferStage(plan: RunPlan, network: Network, source: PassSource<StepContext>): Stage<StepContext> {
  return {
    name: 'shards to buffers',
    deal: 'dealt',
    tasks: ({ rows }) => shardsOf(rows, plan.shardRows),
    run(task, context, worker) {
      const rows = takeRows(network, source, context, task, plan.shardRows)
      const code = runPass(network, source.pass(context), rows)
      const first = context.isFirst && task === worker
      if (code === 0) for (const layer of network.layers) layer.accumulate(worker, rows, first)
      return code
    },
  }
}

/** The sums of a mini-batch that is not the last of its step. */
function pendingStage({ network, stats }: ProgramParts): Stage<StepContext> {
  const sum = sumTask(network, stats)
  return { name: 'sum', deal: 'claimed', tasks: ({ isLast }) => (isLast ? 0 : 1), run: runPlain([sum]) }
}

function reduceStage({ plan, backend, network, stats }: ProgramParts): Stage<StepContext> {
  // No mini-batch of a step has more rows than the first.
  const buffers = (stepRows: number) =>
    Math.min(plan.workers, shardsOf(Math.min(stepRows, plan.batchSize), plan.shardRows))
  const tasks: PlainTask[] = [
    ...layerTiles(plan, backend).map(
      ({ layer, tile }): PlainTask =>
        ({ stepRows, optimizer, averageShare }) => {
          network.layers[layer].reduceWeight(buffers(stepRows), tile, optimizer)
          if (!limitsWeights(plan, layer)) network.layers[layer].averageWeight(tile, averageShare)
        },
    ),
    ...network.layers.map(
      (layer): PlainTask =>
        ({ stepRows, optimizer, averageShare }) => {
          layer.reduceBias(buffers(stepRows), optimizer)
          layer.averageVectors(averageShare, ['bias'])
        },
    ),
    sumTask(network, stats),
  ]
  return { name: 'reduce', changesState: true, deal: 'claimed', tasks: () => tasks.length, run: runPlain(tasks) }
}

/** Places of three sums: of the epoch, and of the epoch with what is not done yet. */
const DONE = Stat.loss
const PENDING = Stat.pending

/** Adds the mini-batch's losses and hits to the epoch's, in row order; they count with the last one of a step. */
function sumTask(network: Network, stats: FloatTensor): PlainTask {
  return ({ step, stepInEpoch, rows, isFirst, isLast }) => {
    const from = !isFirst ? PENDING : stepInEpoch === 0 ? null : DONE
    addRows(network, stats.data, rows, from, isLast ? DONE : PENDING)
    if (isLast) stats.data[Stat.step] = step + 1
  }
}

/** The sums at `to` become those at `from`, or none, and those of the rows. */
function addRows(network: Network, stats: FloatTensor['data'], rows: number, from: number | null, to: number): void {
  const [lossBefore, correctBefore, rowsBefore] = from === null ? [0, 0, 0] : [0, 1, 2].map(i => stats[from + i])
  const losses = network.losses.data
  const hits = network.correct.data
  let loss = lossBefore
  let correct = correctBefore
  for (let i = 0; i < rows; i++) {
    loss += losses[i]
    correct += hits[i]
  }
  stats[to] = loss
  stats[to + 1] = correct
  stats[to + 2] = rowsBefore + rows
}

/** A piece of evaluation: rows [first, first + rows) of a split. */
export interface ScoreContext {
  readonly split: 'train' | 'validation' | 'test'
  readonly first: number
  readonly rows: number
}

/** [phase 1 without deltas] [sum in row order]. */
export function scoreProgram(parts: ProgramParts): Stage<ScoreContext>[] {
  const { network, order, stats } = parts
  const source: PassSource<ScoreContext> = {
    rows: ({ rows }) => rows,
    pass: ({ split }) => ({ images: split === 'test' ? 'test' : 'train', epoch: 0, deltaScale: 0 }),
    image: ({ split, first }, row) => order[split].data[first + row],
  }
  const sum: Stage<ScoreContext> = {
    name: 'sum',
    deal: 'claimed',
    tasks: () => 1,
    run(_task, { first, rows }) {
      addRows(network, stats.data, rows, first === 0 ? null : DONE, DONE)
      return 0
    },
  }
  return [...passStages({ ...parts, trains: false }, source), sum]
}

/** Inputs whose weights one task draws. */
const INIT_ROWS = 16

/**
 * [rows: draw the weights and begin averages with them, all else as the table says] [tiles: what the backend derives]. The memory need not be fresh: a run may have
 * to go back to its beginning.
 */
export function initialProgram(parts: ProgramParts): Stage<null>[] {
  const { plan, network } = parts
  const moments = Array.from({ length: companionCount(plan) }, (_, i) => i)
  const average = averageIndex(plan)
  const vectors = parameterTable(plan.widths, plan.norm.type).filter(({ kind }) => kind !== 'weight')
  const tasks = network.layers.flatMap(({ inputs, outputs, storeRow, vectors: tensors }, layer) => {
    const zeros = new Float32Array(outputs)
    const store = (i: number, values: Float32Array) => {
      storeRow(null, i, values)
      for (const moment of moments) storeRow(moment, i, moment === average ? values : zeros)
    }
    const weights =
      plan.init === 'orthogonal'
        ? [() => drawOrthogonal(plan, layer, store)]
        : drawTasks(initialRows(plan.init, plan.seed, layer, inputs, outputs), inputs, outputs, store)
    const others = vectors
      .filter(vector => vector.layer === layer)
      .map(({ kind, init }) => () => {
        const { master, moments } = tensors.get(kind as VectorKind)!
        const value = init === 'ones' ? 1 : 0
        master.data.fill(value, 0, outputs)
        for (const [i, { data }] of moments.entries()) data.fill(i === average ? value : 0, 0, outputs)
      })
    return [...weights, ...others]
  })
  const draw: Stage<null> = {
    name: 'draw',
    deal: 'claimed',
    tasks: () => tasks.length,
    run(task) {
      tasks[task]()
      return 0
    },
  }
  return [draw, ...deriveProgram(parts)]
}

type StoreRow = (i: number, values: Float32Array) => void

function drawTasks(draw: ReturnType<typeof initialRows>, inputs: number, outputs: number, store: StoreRow) {
  const values = new Float32Array(outputs)
  return Array.from({ length: Math.ceil(inputs / INIT_ROWS) }, (_, task) => () => {
    for (let i = task * INIT_ROWS; i < Math.min((task + 1) * INIT_ROWS, inputs); i++) {
      draw(values, i)
      store(i, values)
    }
  })
}

/** All weights of a layer at once: none of them is drawn without the others. */
function drawOrthogonal(plan: RunPlan, layer: number, store: StoreRow): void {
  const weights = initialOrthogonal(plan, layer)
  const [inputs, outputs] = [plan.widths[layer], plan.widths[layer + 1]]
  for (let i = 0; i < inputs; i++) store(i, weights.subarray(i * outputs, (i + 1) * outputs))
}

/** Rows of weights that one task copies. */
const COPIED_ROWS = 64

/** [rows: copy all state into a snapshot], which lies as the state table says. */
export function snapshotProgram(
  { network }: ProgramParts,
  table: readonly StateTensor[],
  to: Float32Array,
): Stage<null>[] {
  return [
    copyStage('snapshot', network, table, {
      row({ loadRow }, moment, i, at, outputs) {
        const values = to.subarray(at, at + outputs)
        loadRow(moment, i, values)
        return allFinite(values)
      },
      vector(tensor, { start, end }) {
        to.set(tensor.data.subarray(0, end - start), start)
        return allFinite(to.subarray(start, end))
      },
    }),
  ]
}

/** [rows: copy all state from a snapshot] [tiles: what the backend derives]. */
export function restoreProgram(parts: ProgramParts, table: readonly StateTensor[], from: Float32Array): Stage<null>[] {
  const restore = copyStage('restore', parts.network, table, {
    row({ storeRow }, moment, i, at, outputs) {
      storeRow(moment, i, from.subarray(at, at + outputs))
      return true
    },
    vector(tensor, { start, end }) {
      tensor.data.set(from.subarray(start, end))
      return true
    },
  })
  return [restore, ...deriveProgram(parts)]
}

function copyStage(
  name: string,
  network: Network,
  table: readonly StateTensor[],
  /** Both say whether what they copied may stay. */
  copy: {
    /** Row i of a layer's weights or moment; in the snapshot it begins at `at`. */
    row(layer: Layer, moment: number | null, i: number, at: number, outputs: number): boolean
    vector(tensor: FloatTensor, state: StateTensor): boolean
  },
): Stage<null> {
  const tasks = table.flatMap(state => {
    const { parameter, moment, start } = state
    const layer = network.layers[parameter.layer]
    const code = (good: boolean) => (good ? 0 : fault.state(parameter.layer))
    if (parameter.kind !== 'weight') {
      const { master, moments } = layer.vectors.get(parameter.kind)!
      return [() => code(copy.vector(moment === null ? master : moments[moment], state))]
    }
    const { inputs, outputs } = layer
    return Array.from({ length: Math.ceil(inputs / COPIED_ROWS) }, (_, task) => () => {
      let good = true
      for (let i = task * COPIED_ROWS; i < Math.min((task + 1) * COPIED_ROWS, inputs); i++) {
        if (!copy.row(layer, moment, i, start + i * outputs, outputs)) good = false
      }
      return code(good)
    })
  })
  return {
    name,
    deal: 'claimed',
    tasks: () => tasks.length,
    run: task => tasks[task](),
  }
}

function allFinite(values: Float32Array): boolean {
  let sum = 0
  for (const value of values) sum += 0 * value // NaN for what is not finite, without a branch
  return sum === 0
}

export function deriveProgram({ plan, backend, network }: ProgramParts): Stage<null>[] {
  const tiles = layerTiles(plan, backend)
  return [
    {
      name: 'derive',
      deal: 'claimed',
      tasks: () => tiles.length,
      run(task) {
        const { layer, tile } = tiles[task]
        network.derive[layer](tile)
        return 0
      },
    },
  ]
}

/**
 * A step as a program: stages of tasks, a barrier after each. Built by every worker from the same plan; runs in workers.
 *
 * A task's operands and shapes never depend on who runs it, tasks of one stage write disjoint memory, and every
 * reduction is itself a task with a fixed order. That is why the bits do not depend on the number of workers. The one
 * exception is `allReduce: "buffers"`, where each worker's buffer sums the shards dealt to it.
 */

import { type Network, runPass } from '../network/network.js'
import type { StepContext } from '../plan/clock.js'
import { stripsOf } from '../plan/grid.js'
import type { RunPlan } from '../plan/run-plan.js'
import { areaOf, keepsGradient, layerTiles, limitsWeights } from '../plan/tiles.js'
import { type PassSource, passStages, shardsOf, takeRows } from './passes.js'
import { type PlainTask, type ProgramParts, runPlain, type Stage } from './stage.js'
import { sumTask } from './sums.js'
import { wholeGradientStages } from './whole-gradient.js'

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

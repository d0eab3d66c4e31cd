/**
 * A training step as a program: stages of tasks, a barrier after each. Built by every worker from the same plan; runs in
 * workers. The stages are those of the passes (forward pass, loss, deltas: passes.ts), which change no parameter, then `tiles`:
 * each task computes the gradient of one tile of a weight matrix, over all rows, and updates the tile (network/parameters.ts).
 *
 * A task's operands and shapes never depend on who runs it, tasks of one stage write disjoint memory, and every
 * reduction is itself a task with a fixed order. That is why the bits do not depend on the number of workers. The one
 * exception is `allReduce: "buffers"`, where each worker's buffer sums the shards that it computed.
 */

import { type GradientSource, type Layer, type Network, rowsPass, weightsOf } from '../network/network.js'
import type { StepContext } from '../plan/clock.js'
import { columnRanges } from '../plan/grid.js'
import type { RunPlan } from '../plan/run-plan.js'
import { areaOf, keepsGradient, layerTiles } from '../plan/tiles.js'
import { type GroupSums, groupSums, isSummed } from './group-sums.js'
import { type PassSource, passStages, shardsOf, takeRows } from './passes.js'
import { overRanks } from './ranks.js'
import { wholeWeights } from './shared-state.js'
import { type PlainTask, type ProgramParts, runPlain, type Stage } from './stage.js'
import { sumTask } from './sums.js'
import { updateStage, updateStages } from './update-stages.js'
import { wholeGradientStages } from './whole-gradient.js'

/**
 * [passes: forward, loss, deltas, see passes.ts] [tiles: gradient and update]. Where the whole gradient is kept, the two stages of
 * whole-gradient.ts replace the last one. Or the textbook form over buffers, whose first stage is divided into shards in any case. All
 * stages before the first that changes the state run for each mini-batch of a step.
 */
export function trainProgram(parts: ProgramParts): Stage<StepContext>[] {
  const { plan, network, sampleIndices } = parts
  const weightOf = plan.weighted ? stepWeight(parts) : null
  const source: PassSource<StepContext> = {
    rows: ({ rows }) => rows,
    pass: context => ({
      images: 'train',
      epoch: context.epoch,
      rows: context.rows,
      deltaScale: 1 / (weightOf === null ? context.stepRows : weightOf(context)),
    }),
    sampleIndex: ({ shuffledIndices, first }, batchRow) => sampleIndices.train.data[shuffledIndices[first + batchRow]],
    place: ({ place }, batchRow) => place + batchRow,
  }
  const stages =
    plan.allReduce === 'fused'
      ? [...wholeWeights(parts), ...passStages({ ...parts, trains: true }, source), ...gradientStages(parts)]
      : [
          bufferStage(plan, network, source),
          ...(plan.accumulateSteps > 1 ? [pendingStage(parts)] : []),
          reduceStage(parts),
        ]
  return overRanks([...stages, ...limitStages(parts)], parts.ranks)
}

/**
 * Sum of the weights of a step's samples, all its mini-batches together, in the order of the rows: the same in every worker. Where all
 * weights are 0 so is the gradient, and any divisor will do.
 */
function stepWeight({ sampleIndices, weights }: ProgramParts): (context: StepContext) => number {
  const samples = sampleIndices.train.data
  let [step, sum] = [-1, 0]
  return context => {
    if (context.step === step) return sum
    const { firstOfStep: first, stepRows, shuffledIndices } = context
    let total = 0
    for (let row = first; row < first + stepRows; row++) total += weights!.data[samples[shuffledIndices[row]]]
    step = context.step
    sum = total > 0 ? total : stepRows
    return sum
  }
}

/** [columns: incoming weights of hidden units down to maxNorm, and their averages], where there is such a limit. */
function limitStages({ plan, backend, network }: ProgramParts): Stage<StepContext>[] {
  const { maxNorm } = plan
  if (maxNorm === null) return []
  const tasks = weightsOf(network)
    .slice(0, -1)
    .flatMap(weight =>
      columnRanges(weight.outputs, backend.tileUnit.outputs).map(
        (columns): PlainTask =>
          context =>
            weight.limit(columns, maxNorm, context),
      ),
    )
  return [updateStage('limit weights', tasks)]
}

/** Layers with weights first: their vectors, like their tiles, are the larger part. */
const byWeight = (layers: readonly Layer[]): Layer[] => [
  ...layers.filter(({ weight }) => weight !== null),
  ...layers.filter(({ weight }) => weight === null),
]

/** Updates of embeddings, from the gradient of some source. */
const embeddingTasks = (
  { embeddings }: Pick<Network, 'embeddings'>,
  source: GradientSource,
  amountOf: (context: StepContext) => number,
): PlainTask[] =>
  embeddings.flatMap(({ ranges, update }) =>
    ranges.map(
      (range): PlainTask =>
        context =>
          update(range, source, amountOf(context), context),
    ),
  )

/** Stages from the deltas to the new weights. */
function gradientStages(parts: ProgramParts): Stage<StepContext>[] {
  const sums = groupSums(parts)
  return [
    ...sums.stages,
    ...(keepsGradient(parts.plan)
      ? wholeGradientStages(parts, sums, sumTask(parts.network, parts.stats))
      : tileStages(parts, sums)),
  ]
}

function tileStages(parts: ProgramParts, sums: GroupSums): Stage<StepContext>[] {
  const { plan, backend, network, stats } = parts
  const tiles = layerTiles(plan, backend)
  const weights = weightsOf(network)
  const ofTiles = tiles.map(({ layer, tile }, t): PlainTask => {
    const weight = weights[layer]
    return sums.isGrouped(layer)
      ? (context, worker) => weight.tiles.apply(sums.sum(t, context, worker), tile, context)
      : context => weight.update(tile, 'rows', context.rows, context)
  })
  const others: PlainTask[] = [
    ...byWeight(network.layers).map(
      ({ vectors }): PlainTask =>
        context =>
          vectors.update('rows', context.rows, context),
    ),
    ...embeddingTasks(network, 'rows', ({ rows }) => rows),
    sumTask(network, stats),
  ]
  return updateStages(parts, 'tiles', ofTiles, others, (t, { rows }) =>
    isSummed(parts, tiles[t]) ? 0 : 2 * rows * areaOf(tiles[t].tile),
  )
}

function bufferStage(plan: RunPlan, network: Network, source: PassSource<StepContext>): Stage<StepContext> {
  const run = rowsPass(network)
  return {
    name: 'shards to buffers',
    phase: 'compute',
    scheduling: 'static',
    tasks: ({ rows }) => shardsOf(rows, plan.shardRows),
    run(task, context, worker) {
      const rows = takeRows(network, source, context, task, plan.shardRows)
      const code = run(source.pass(context), rows)
      if (code !== 0) return code
      const first = context.isFirst && task === worker
      for (const { weight, vectors } of network.layers) {
        weight?.accumulate(worker, rows, first)
        vectors.accumulate(worker, rows, first)
      }
      for (const { accumulate } of network.embeddings) accumulate(worker, rows, first)
      return 0
    },
  }
}

/** The sums of a mini-batch that is not the last of its step. */
function pendingStage({ network, stats }: ProgramParts): Stage<StepContext> {
  const sum = sumTask(network, stats)
  return {
    name: 'sum',
    phase: 'compute',
    scheduling: 'dynamic',
    tasks: ({ isLast }) => (isLast ? 0 : 1),
    run: runPlain([sum]),
  }
}

function reduceStage({ plan, backend, network, stats }: ProgramParts): Stage<StepContext> {
  // No mini-batch of a step has more rows than the first.
  const buffers = ({ stepRows }: StepContext) =>
    Math.min(plan.workers, shardsOf(Math.min(stepRows, plan.batchSize), plan.shardRows))
  const weights = weightsOf(network)
  const tasks: PlainTask[] = [
    ...layerTiles(plan, backend).map(
      ({ layer, tile }): PlainTask =>
        context =>
          weights[layer].update(tile, 'buffers', buffers(context), context),
    ),
    ...network.layers.map(
      ({ vectors }): PlainTask =>
        context =>
          vectors.update('buffers', buffers(context), context),
    ),
    ...embeddingTasks(network, 'buffers', buffers),
    sumTask(network, stats),
  ]
  return updateStage('reduce', tasks)
}

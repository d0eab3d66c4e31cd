/** Programs over all state of a run: initial weights, snapshots, and what backends derive from weights. Runs in workers. */
import type { BiasTensors } from '../../kernels/backend.js'
import { drawEmbedding } from '../../model/embedding.js'
import { initialRows } from '../../model/init.js'
import { initialOrthogonal } from '../../model/orthogonal.js'
import { type Parameter, parametersOf, weightDims } from '../../model/parameters.js'
import { averageIndex, companionCount, type StateTensor } from '../../model/state.js'
import type { FloatTensor } from '../../tensor/tensor.js'
import { type LayerWeight, type Network, vectorOf, weightsOf } from '../network/network.js'
import { fault } from '../plan/faults.js'
import type { RunPlan } from '../plan/run-plan.js'
import { layerTiles } from '../plan/tiles.js'
import type { ProgramParts, Stage } from './stage.js'

/** Inputs whose weights one task draws. */
const INIT_ROWS = 16

/**
 * [rows: draw the weights and begin averages with them, all else as the parameter table says] [tiles: the form that
 * products read]. The memory need not be fresh: a run may have to go back to its beginning.
 */
export function initialProgram(parts: ProgramParts): Stage<null>[] {
  const { plan, network } = parts
  const weights = weightsOf(network)
  const tasks = parametersOf(plan).flatMap(parameter =>
    parameter.kind === 'weight'
      ? weightTasks(plan, parameter.layer, weights[parameter.layer])
      : [vectorTask(plan, parameter, vectorOf(network, parameter))],
  )
  return [stateStage('draw', tasks), ...deriveProgram(parts)]
}

/** Rows [0, rows) of a matrix, copied by tasks of several. */
export const rowStage = (name: string, rows: number, copy: (i: number) => void): Stage<null> =>
  stateStage(
    name,
    Array.from({ length: Math.ceil(rows / COPIED_ROWS) }, (_, task) => () => {
      for (let i = task * COPIED_ROWS; i < Math.min((task + 1) * COPIED_ROWS, rows); i++) copy(i)
      return 0
    }),
  )

/** A task over the state: returns 0 or the code of a fault. */
type StateTask = () => number

const stateStage = (name: string, tasks: readonly StateTask[]): Stage<null> => ({
  name,
  phase: 'update',
  scheduling: 'dynamic',
  tasks: () => tasks.length,
  run: task => tasks[task](),
})

function weightTasks(plan: RunPlan, block: number, { inputs, outputs, storeRow }: LayerWeight): StateTask[] {
  // Over ranks, moments of tiles begin by themselves: shared-state.ts.
  const moments = Array.from({ length: plan.ranks ? 0 : companionCount(plan) }, (_, i) => i)
  const average = averageIndex(plan)
  const zeros = new Float32Array(outputs)
  const store = (i: number, values: Float32Array) => {
    storeRow(null, i, values)
    for (const moment of moments) storeRow(moment, i, moment === average ? values : zeros)
  }
  return plan.init === 'orthogonal'
    ? [() => drawOrthogonal(plan, block, store)]
    : drawTasks(initialRows(plan.init, plan.seed, block, inputs, fanOut(plan, block, outputs)), inputs, outputs, store)
}

/** Outputs that an input of a layer reaches: of a convolution, as many filters at as many places as a window has. */
const fanOut = ({ convolutions }: RunPlan, block: number, outputs: number): number =>
  outputs * (convolutions[block]?.window.size ?? 1) ** 2

function vectorTask(plan: RunPlan, parameter: Parameter, { outputs, master, moments }: BiasTensors): StateTask {
  const average = averageIndex(plan)
  return () => {
    drawVector(plan, parameter, master.data.subarray(0, outputs))
    for (const [i, { data }] of moments.entries()) {
      if (i === average) data.set(master.data.subarray(0, outputs))
      else data.fill(0, 0, outputs)
    }
    return 0
  }
}

function drawVector({ seed, embeddings }: RunPlan, parameter: Parameter, out: FloatTensor['data']): void {
  if (parameter.kind === 'embedding') drawEmbedding(out, seed, parameter.layer, embeddings[parameter.layer])
  else out.fill(parameter.init === 'ones' ? 1 : 0)
}

type StoreRow = (i: number, values: Float32Array) => void

function drawTasks(
  draw: ReturnType<typeof initialRows>,
  inputs: number,
  outputs: number,
  store: StoreRow,
): StateTask[] {
  const values = new Float32Array(outputs)
  return Array.from({ length: Math.ceil(inputs / INIT_ROWS) }, (_, task) => () => {
    for (let i = task * INIT_ROWS; i < Math.min((task + 1) * INIT_ROWS, inputs); i++) {
      draw(values, i)
      store(i, values)
    }
    return 0
  })
}

/** All weights of a layer at once: none of them is drawn without the others. */
function drawOrthogonal(plan: RunPlan, layer: number, store: StoreRow): number {
  const weights = initialOrthogonal(plan, layer)
  const { inputs, outputs } = weightDims(plan)[layer]
  for (let i = 0; i < inputs; i++) store(i, weights.subarray(i * outputs, (i + 1) * outputs))
  return 0
}

/** Rows of weights that one task copies. */
const COPIED_ROWS = 64

/**
 * [rows: copy all state into a snapshot], whose layout is the state table. Over ranks the moments of weights have been copied there already,
 * and are only checked.
 */
export function snapshotProgram(
  { plan, network }: ProgramParts,
  table: readonly StateTensor[],
  to: Float32Array,
): Stage<null>[] {
  return [
    copyStage('snapshot', network, table, {
      row({ loadRow }, moment, i, at, outputs) {
        const values = to.subarray(at, at + outputs)
        if (moment === null || !plan.ranks) loadRow(moment, i, values)
        return allFinite(values)
      },
      vector(tensor, { start, end }) {
        to.set(tensor.data.subarray(0, end - start), start)
        return allFinite(to.subarray(start, end))
      },
    }),
  ]
}

/** [rows: copy all state from a snapshot, but moments that `shareProgram` sends to their ranks] [tiles: the form that products read]. */
export function restoreProgram(parts: ProgramParts, table: readonly StateTensor[], from: Float32Array): Stage<null>[] {
  const restore = copyStage('restore', parts.network, table, {
    row({ storeRow }, moment, i, at, outputs) {
      if (moment === null || !parts.plan.ranks) storeRow(moment, i, from.subarray(at, at + outputs))
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
  /** Both return whether what they copied is finite. */
  copy: {
    /** Row i of a layer's weights or moment; in the snapshot it begins at `at`. */
    row(weight: LayerWeight, moment: number | null, i: number, at: number, outputs: number): boolean
    vector(tensor: FloatTensor, state: StateTensor): boolean
  },
): Stage<null> {
  const weights = weightsOf(network)
  const tasks = table.flatMap((state): StateTask[] => {
    const { parameter, moment, start } = state
    const faultOf = parameter.kind === 'embedding' ? fault.embeddingState : fault.state
    const code = (finite: boolean) => (finite ? 0 : faultOf(parameter.layer))
    if (parameter.kind !== 'weight') {
      const { master, moments } = vectorOf(network, parameter)
      return [() => code(copy.vector(moment === null ? master : moments[moment], state))]
    }
    const weight = weights[parameter.layer]
    const { inputs, outputs } = weight
    return Array.from({ length: Math.ceil(inputs / COPIED_ROWS) }, (_, task) => () => {
      let finite = true
      for (let i = task * COPIED_ROWS; i < Math.min((task + 1) * COPIED_ROWS, inputs); i++) {
        if (!copy.row(weight, moment, i, start + i * outputs, outputs)) finite = false
      }
      return code(finite)
    })
  })
  return stateStage(name, tasks)
}

/**
 * True if all values are finite. A sum of f32 values in f64 cannot overflow, so it is finite only then. Four sums, by index:
 * one sum waits for each addition, and `for of` over an array of numbers takes ten times as long.
 */
function allFinite(values: Float32Array): boolean {
  const fours = values.length - (values.length % 4)
  let [a, b, c, d] = [0, 0, 0, 0]
  for (let i = 0; i < fours; i += 4) {
    a += values[i]
    b += values[i + 1]
    c += values[i + 2]
    d += values[i + 3]
  }
  for (let i = fours; i < values.length; i++) a += values[i]
  return Number.isFinite(a + b + c + d)
}

/** [tiles: the form of the weights that products read]. */
export function deriveProgram({ plan, backend, network }: ProgramParts): Stage<null>[] {
  const weights = weightsOf(network)
  const tasks = layerTiles(plan, backend).map(
    ({ layer, tile }): StateTask =>
      () => {
        weights[layer].derive(tile)
        return 0
      },
  )
  return [stateStage('derive', tasks)]
}

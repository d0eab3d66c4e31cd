/** Programs over all state of a run: initial weights, snapshots, and what backends derive from weights. Runs in workers. */
import { initialRows } from '../../model/init.js'
import { initialOrthogonal } from '../../model/orthogonal.js'
import { parameterTable, type VectorKind } from '../../model/parameters.js'
import { averageIndex, companionCount, type StateTensor } from '../../model/state.js'
import type { FloatTensor } from '../../tensor/tensor.js'
import type { Layer, Network } from '../network/network.js'
import { fault } from '../plan/faults.js'
import type { RunPlan } from '../plan/run-plan.js'
import { layerTiles } from '../plan/tiles.js'
import type { ProgramParts, Stage } from './stage.js'

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

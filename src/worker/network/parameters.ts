/**
 * Updates of a layer's weight matrix and vectors, the same for every kind of layer: gradient, optimizer, average. Only these
 * functions write weights and biases in a step, each its own tile, in stages with `changesState`; layers/norm-updates.ts writes scales,
 * shifts and running statistics. Outside a step weights are written by program/state.ts, and by `Session.storeParameters` for
 * scoring. Bound to one worker's kernels; runs in workers.
 */
import type { BiasTensors, BiasUpdate, Rows, Tile, WeightTensors, WeightUpdate } from '../../kernels/backend.js'
import { isLearned } from '../../model/parameters.js'
import { viewSlot } from '../../tensor/arena.js'
import type { FloatTensor, Matrix } from '../../tensor/tensor.js'
import type { ParameterSlots } from '../plan/layout.js'
import { limitsWeights } from '../plan/tiles.js'
import type { GradientSource, LayerContext, LayerVectors, LayerWeight, UpdateStep } from './network.js'

/** Gradient buffers of a parameter: one for each worker, or the kept one. */
export const viewGradients = (memory: WebAssembly.Memory, { gradients }: ParameterSlots): FloatTensor[] =>
  gradients.map(slot => viewSlot(memory, slot))

/** Placeholder for a kernel of training. */
export function untrained(): never {
  throw new TypeError('network: the plan trains nothing')
}
export const noUpdate: WeightUpdate & BiasUpdate = {
  fused: untrained,
  sum: untrained,
  accumulate: untrained,
  reduce: untrained,
  limit: untrained,
  squares: untrained,
  scale: untrained,
  average: untrained,
  tiles: { bytes: untrained, compute: untrained, add: untrained, apply: untrained, store: untrained },
}

/** How a kind of layer computes the gradient of its weights. */
interface WeightGradient {
  /** Gradients of each group of samples, which the backward pass leaves; default: none. */
  readonly groups?: readonly FloatTensor[]
  readonly updates: Omit<WeightUpdate, 'fused'>
  /** Gradient over the samples of the mini-batch, then the update. */
  fused: WeightUpdate['fused']
  /** Adds the gradient over samples [0, rows) to the kept one; overwrites it if `first`. */
  keep(kept: FloatTensor, tile: Tile, rows: number, first: boolean): void
  derive(tile: Tile): void
}

export function bindWeight(
  context: LayerContext,
  tensors: WeightTensors,
  x: Matrix, // (B, I)
): LayerWeight {
  const { kernels, dz } = context
  const updates = dz ? kernels.weightUpdate(tensors, x, dz) : noUpdate
  return bindWeightOf(context, tensors, {
    updates,
    fused: updates.fused,
    keep: (kept, tile, rows, first) => updates.accumulate(kept, tile, 0, rows, first),
    derive: kernels.derive(tensors),
  })
}

export function bindWeightOf(
  { plan, memory, kernels, spec, slots, average }: LayerContext,
  tensors: WeightTensors,
  { groups = [], updates, fused, keep, derive }: WeightGradient,
): LayerWeight {
  const { inputs, outputs } = tensors
  const whole: Tile = { inputStart: 0, inputEnd: inputs, outputStart: 0, outputEnd: outputs }
  const gradients = viewGradients(memory, slots.parameters.find(({ parameter }) => parameter.kind === 'weight')!)
  const [kept] = gradients
  const onlyKept = [kept]
  const { owned } = tensors
  // A moment has the weights' form, so what stores and loads weights serves it too.
  const moments = owned ? tensors.moments.map(() => owned.whole) : tensors.moments
  const states = [tensors.master, ...moments].map((master): WeightTensors => ({ ...tensors, master }))
  const stateOf = (moment: number | null) => states[moment === null ? 0 : moment + 1]
  const limited = limitsWeights(plan, spec.block)

  const moveAverage = (tile: Tile, { averageShare }: UpdateStep) => {
    if (average === null) return
    const parts = owned ? owned.tiles.flatMap(packed => overlapOf(packed.tile, tile) ?? []) : [tile]
    for (const part of parts) updates.average(tensors.moments[average], part, averageShare)
  }
  return {
    inputs,
    outputs,
    update(tile, source, amount, step) {
      const { optimizer } = step
      if (source === 'rows') fused(tile, amount, optimizer)
      else if (source === 'buffers') updates.reduce(gradients.slice(0, amount), tile, optimizer)
      else {
        if (amount !== 1) updates.scale(kept, tile, amount)
        updates.reduce(onlyKept, tile, optimizer)
      }
      if (!limited) moveAverage(tile, step)
    },
    limit(columns, limit, step) {
      updates.limit(columns, limit)
      moveAverage({ inputStart: 0, inputEnd: inputs, outputStart: columns.start, outputEnd: columns.end }, step)
    },
    accumulate: (worker, { row, rows }, first) => updates.accumulate(gradients[worker], whole, row, rows, first),
    keep: (tile, rows, first) => keep(kept, tile, rows, first),
    keptSquares: tile => updates.squares(kept, tile),
    tiles: {
      ...updates.tiles,
      apply(at, tile, step) {
        updates.tiles.apply(at, tile, step.optimizer)
        if (!limited) moveAverage(tile, step)
      },
      keep: (at, tile, first) => updates.tiles.store(kept, at, tile, first),
    },
    groups,
    derive,
    storeRow: (moment, i, values) => kernels.storeRow(stateOf(moment), i, values),
    loadRow: (moment, i, values) => kernels.loadRow(stateOf(moment), i, values),
  }
}

/** Intersection of two tiles; null: they have nothing in common. */
function overlapOf(one: Tile, other: Tile): Tile | null {
  const overlap = {
    inputStart: Math.max(one.inputStart, other.inputStart),
    inputEnd: Math.min(one.inputEnd, other.inputEnd),
    outputStart: Math.max(one.outputStart, other.outputStart),
    outputEnd: Math.min(one.outputEnd, other.outputEnd),
  }
  return overlap.inputStart < overlap.inputEnd && overlap.outputStart < overlap.outputEnd ? overlap : null
}

/** Gradients of a layer's vectors and their application, by kind of layer. */
export interface VectorGradients {
  apply(source: GradientSource, amount: number, step: UpdateStep['optimizer']): void
  accumulate(worker: number, rows: Rows, first: boolean): void
  keep(rows: number, first: boolean): void
  readonly kept: readonly FloatTensor[]
  readonly groups?: readonly FloatTensor[]
  computeGroup?(group: number, rows: Rows): void
}

export function bindVectors(
  { tensors: { vectors }, average, spec }: LayerContext,
  { apply, ...gradients }: VectorGradients,
): LayerVectors {
  const learned = [...vectors].filter(([kind]) => isLearned({ kind })).map(([, tensors]) => tensors)
  const averages = average === null ? [] : learned
  return {
    groups: [],
    ...gradients,
    tensors: vectors,
    update(source, amount, { optimizer, averageShare }) {
      if (source === 'kept') for (const { data } of gradients.kept) scale(data, spec.outputs, amount)
      apply(source, amount, optimizer)
      for (const { master, moments } of averages) move(moments[average!].data, master.data, spec.outputs, averageShare)
    },
  }
}

/** A bias before batch normalisation: a mini-batch's mean takes it away again, so that its gradient is 0. */
export const unusedBias: VectorGradients = { apply() {}, accumulate() {}, keep() {}, kept: [] }

/** Bindings of a layer without parameters: they do nothing. */
export const withoutParameters = ({ vectors: tensors }: LayerContext['tensors']) => ({
  weight: null,
  vectors: { ...unusedBias, groups: [], tensors, update() {} },
  derivativeLeft: null,
})

/** Gradients of a parameter over each group of samples. */
export const viewGroups = ({ memory, slots }: LayerContext, kind: 'weight' | 'bias'): FloatTensor[] =>
  slots.parameters.find(({ parameter }) => parameter.kind === kind)!.groups.map(slot => viewSlot(memory, slot))

/** The update of a bias whose gradient is summed over groups of samples, then over the groups in their order. */
export function groupedBias(
  { memory, kernels, slots, tensors, dz }: LayerContext,
  groups: readonly FloatTensor[],
  groupsIn: (rows: number) => number,
): VectorGradients {
  const updates = dz ? kernels.biasUpdate(tensors.vectors.get('bias')!, dz) : noUpdate
  const kept = viewGradients(memory, slots.parameters.find(({ parameter }) => parameter.kind === 'bias')!).slice(0, 1)
  return {
    kept,
    groups,
    apply(source, amount, optimizer) {
      updates.reduce(source === 'kept' ? kept : groups.slice(0, groupsIn(amount)), optimizer)
    },
    accumulate: untrained,
    keep(rows, first) {
      const to = kept[0].data
      if (first) to.fill(0)
      for (const { data } of groups.slice(0, groupsIn(rows))) for (let o = 0; o < to.length; o++) to[o] += data[o]
    },
  }
}

/** The update of a vector whose gradient is the sum of the deltas of its outputs: a bias. */
export function bindBias({ memory, kernels, slots, dz }: LayerContext, tensors: BiasTensors): VectorGradients {
  const updates = dz ? kernels.biasUpdate(tensors, dz) : noUpdate
  const gradients = viewGradients(memory, slots.parameters.find(({ parameter }) => parameter.kind === 'bias')!)
  const kept = gradients.slice(0, 1)
  return {
    kept,
    apply(source, amount, optimizer) {
      if (source === 'rows') updates.fused(amount, optimizer)
      else updates.reduce(source === 'kept' ? kept : gradients.slice(0, amount), optimizer)
    },
    accumulate: (worker, { row, rows }, first) => updates.accumulate(gradients[worker], row, rows, first),
    keep: (rows, first) => updates.accumulate(kept[0], 0, rows, first),
  }
}

function scale(data: FloatTensor['data'], units: number, factor: number): void {
  for (let o = 0; o < units; o++) data[o] *= factor
}

function move(average: FloatTensor['data'], values: FloatTensor['data'], units: number, share: number): void {
  for (let o = 0; o < units; o++) average[o] += share * (values[o] - average[o])
}

/** Parameters as tensors over the arena. Any thread. */
import type { BiasTensors, WeightTensors } from '../../kernels/backend.js'
import { isLearned, type VectorKind } from '../../model/parameters.js'
import { viewSlot } from '../../tensor/arena.js'
import { sizeOf } from '../../tensor/tensor.js'
import type { LayerSlots, ParameterSlots } from '../plan/layout.js'
import type { LayerTensors } from './network.js'

/** The weights of a layer in the backend's form. */
export function viewWeight(memory: WebAssembly.Memory, slots: ParameterSlots): WeightTensors {
  const [inputs, outputs] = slots.parameter.dims
  return {
    inputs,
    outputs,
    master: viewSlot(memory, slots.master),
    moments: slots.moments.map(slot => viewSlot(memory, slot)),
    derived: slots.derived && viewSlot(memory, slots.derived),
  }
}

/** A vector, or an embedding's table, which is flat. */
export function viewVector(memory: WebAssembly.Memory, slots: ParameterSlots): BiasTensors {
  return {
    outputs: sizeOf(slots.parameter.dims),
    master: viewSlot(memory, slots.master),
    moments: slots.moments.map(slot => viewSlot(memory, slot)),
  }
}

export function viewLayer(memory: WebAssembly.Memory, { parameters }: LayerSlots): LayerTensors {
  const weight = parameters.find(({ parameter }) => parameter.kind === 'weight')
  const vectors = parameters.filter(({ parameter }) => parameter.kind !== 'weight')
  return {
    weight: weight ? viewWeight(memory, weight) : null,
    vectors: new Map(vectors.map(slots => [slots.parameter.kind as VectorKind, viewVector(memory, slots)])),
  }
}

/** Averages instead of the learned parameters; running statistics are averages already. */
export function averagesOf({ weight, vectors }: LayerTensors, average: number): LayerTensors {
  const averaged = [...vectors].map(([kind, tensors]): [VectorKind, BiasTensors] => [
    kind,
    isLearned({ kind }) ? { ...tensors, master: tensors.moments[average] } : tensors,
  ])
  return {
    weight: weight && { ...weight, master: weight.moments[average], derived: null },
    vectors: new Map(averaged),
  }
}

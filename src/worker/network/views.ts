/** Parameters as tensors over the arena. Any thread. */
import type { BiasTensors, WeightTensors } from '../../kernels/backend.js'
import { isLearned, type VectorKind } from '../../model/parameters.js'
import { viewSlot } from '../../tensor/arena.js'
import type { ParameterSlots } from '../plan/layout.js'

export interface LayerTensors {
  readonly weight: WeightTensors
  readonly bias: BiasTensors
  readonly vectors: ReadonlyMap<VectorKind, BiasTensors>
}

/** The averages in the place of what is learned; running statistics are averages already. */
export function averagesOf({ weight, vectors }: LayerTensors, average: number): LayerTensors {
  const averaged = new Map(
    [...vectors].map(([kind, tensors]) => {
      return [kind, isLearned({ kind }) ? { ...tensors, master: tensors.moments[average] } : tensors]
    }),
  )
  return {
    weight: { ...weight, master: weight.moments[average], derived: null },
    bias: averaged.get('bias')!,
    vectors: averaged,
  }
}

/** The weights of a layer as its backend keeps them. */
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

export function viewVector(memory: WebAssembly.Memory, slots: ParameterSlots): BiasTensors {
  return {
    outputs: slots.parameter.dims[0],
    master: viewSlot(memory, slots.master),
    moments: slots.moments.map(slot => viewSlot(memory, slot)),
  }
}

/** Parameters as tensors over the arena. Any thread. */
import type { BiasTensors, OwnedTiles, Tile, WeightTensors } from '../../kernels/backend.js'
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
    owned: slots.owned && bindOwned(slots.owned.tiles, viewSlot(memory, slots.owned.whole)),
    derived: slots.derived && viewSlot(memory, slots.derived),
  }
}

function bindOwned(tiles: OwnedTiles['tiles'], whole: OwnedTiles['whole']): OwnedTiles {
  const has = ({ tile }: OwnedTiles['tiles'][number], { inputStart, inputEnd, outputStart, outputEnd }: Tile) =>
    inputStart >= tile.inputStart &&
    inputEnd <= tile.inputEnd &&
    outputStart >= tile.outputStart &&
    outputEnd <= tile.outputEnd
  let last = tiles.at(-1)
  return {
    tiles,
    whole,
    of(part) {
      // The parts of a tile follow each other.
      if (!last || !has(last, part)) last = tiles.find(packed => has(packed, part))
      if (!last) throw new RangeError('moments: another rank has those of this tile')
      return last
    },
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
    weight: weight && { ...weight, master: weight.owned?.whole ?? weight.moments[average], derived: null },
    vectors: new Map(averaged),
  }
}

/** One layer's gradients, updates and state, bound to a worker's kernels. Runs in workers. */
import type { BiasTensors, Kernels, Tile, WeightTensors } from '../../kernels/backend.js'
import { isLearned, type VectorKind } from '../../model/parameters.js'
import { viewSlot } from '../../tensor/arena.js'
import type { FloatTensor, Matrix } from '../../tensor/tensor.js'
import type { ParameterSlots } from '../plan/layout.js'
import type { Layer } from './network.js'
import type { Normalisation } from './norm.js'

export interface Gradients {
  readonly weight: readonly FloatTensor[]
  readonly bias: readonly FloatTensor[]
}

export function gradientViews(memory: WebAssembly.Memory, of: (kind: string) => ParameterSlots): Gradients {
  return {
    weight: of('weight').gradients.map(slot => viewSlot(memory, slot)),
    bias: of('bias').gradients.map(slot => viewSlot(memory, slot)),
  }
}

export function bindLayer(
  kernels: Kernels,
  weight: WeightTensors,
  vectors: ReadonlyMap<VectorKind, BiasTensors>,
  x: Matrix, //  (B, I)
  dz: Matrix, // (B, O)
  gradients: Gradients, // one of each for each worker, or one
  norm: Normalisation | null,
  average: number | null, // which of the moments it is
): Layer {
  const { inputs, outputs } = weight
  const whole: Tile = { inputStart: 0, inputEnd: inputs, outputStart: 0, outputEnd: outputs }
  const weights = kernels.weightUpdate(weight, x, dz)
  const biases = kernels.biasUpdate(vectors.get('bias')!, dz)
  // A moment has the weights' form, so what stores and loads weights serves it too.
  const states = [weight.master, ...weight.moments].map((master): WeightTensors => ({ ...weight, master }))
  // A mini-batch's mean takes the bias away again: nothing depends on it, its gradient is 0.
  const hasBias = !vectors.has('mean')
  const learned = [...vectors.keys()].filter(kind => isLearned({ kind }))
  /** Gradients of the layer's vectors that are kept between the stages of a step. */
  const scaledVectors = [...(hasBias ? gradients.bias.slice(0, 1) : []), ...(norm?.gradients ?? [])]
  const stateIndex = (moment: number | null) => (moment === null ? 0 : moment + 1)
  return {
    inputs,
    outputs,
    updateWeight: weights.fused,
    updateBias: hasBias ? biases.fused : () => {},
    updateNorm: norm ? norm.update : null,
    accumulate(worker, { row, rows }, first) {
      weights.accumulate(gradients.weight[worker], whole, row, rows, first)
      biases.accumulate(gradients.bias[worker], row, rows, first)
    },
    reduceWeight: (buffers, tile, step) => weights.reduce(gradients.weight.slice(0, buffers), tile, step),
    reduceBias: (buffers, step) => biases.reduce(gradients.bias.slice(0, buffers), step),
    storeRow: (moment, i, values) => kernels.storeRow(states[stateIndex(moment)], i, values),
    loadRow: (moment, i, values) => kernels.loadRow(states[stateIndex(moment)], i, values),
    vectors,
    limitWeight: weights.limit,
    gradientOfTile: (tile, rows, first) => weights.accumulate(gradients.weight[0], tile, 0, rows, first),
    gradientOfVectors(rows, first) {
      if (hasBias) biases.accumulate(gradients.bias[0], 0, rows, first)
      norm?.keep(rows, first)
    },
    squaresOfTile: tile => weights.squares(gradients.weight[0], tile),
    squaresOfVectors: () => scaledVectors.reduce((sum, { data }) => sum + squaresOf(data, outputs), 0),
    updateScaledTile(tile, factor, step) {
      if (factor !== 1) weights.scale(gradients.weight[0], tile, factor)
      weights.reduce(gradients.weight.slice(0, 1), tile, step)
    },
    updateScaledVectors(rows, factor, step) {
      for (const { data } of scaledVectors) for (let o = 0; o < outputs; o++) data[o] *= factor
      if (hasBias) biases.reduce(gradients.bias.slice(0, 1), step)
      norm?.update(rows, step)
    },
    averageWeight(tile, share) {
      if (average !== null) weights.average(weight.moments[average], tile, share)
    },
    averageVectors(share, kinds = learned) {
      if (average === null) return
      for (const kind of kinds) {
        const { master, moments } = vectors.get(kind)!
        const { data } = moments[average]
        for (let o = 0; o < outputs; o++) data[o] += share * (master.data[o] - data[o])
      }
    },
  }
}

/** In f64, in the order of the units. */
function squaresOf(data: ArrayLike<number>, units: number): number {
  let sum = 0
  for (let o = 0; o < units; o++) sum += data[o] * data[o]
  return sum
}

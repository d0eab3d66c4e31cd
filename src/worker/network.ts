/**
 * The multilayer perceptron bound to one worker's kernels: forward, loss, deltas, gradients, updates. Built once when a
 * worker opens the plan; the methods run many times and touch only the rows or the tile they are given.
 *
 * Letters: `B` rows of the batch buffers, `I` inputs and `O` outputs of a layer, `N` images.
 */
import type { OptimizerStep } from '../model/optimizer.js'
import { viewSlot } from '../tensor/arena.js'
import type { BiasTensors, Kernels, Tile, WeightTensors } from '../tensor/kernels/backend.js'
import type { FloatTensor, IntTensor, Matrix } from '../tensor/tensor.js'
import type { Layout, MatrixSlot, ParameterSlots } from './layout.js'
import { fault, type RunPlan } from './protocol.js'

/** Rows [row, row + rows) of the batch buffers. */
export interface Rows {
  readonly row: number
  readonly rows: number
}

export interface Layer {
  readonly inputs: number
  readonly outputs: number
  /** Update of the tile, or of the whole bias, from the gradient over batch rows [0, rows). */
  updateWeight(tile: Tile, rows: number, step: OptimizerStep): void
  updateBias(rows: number, step: OptimizerStep): void
  /** Adds the gradient of some rows to the worker's buffer; overwrites it if `first`. */
  accumulate(worker: number, rows: Rows, first: boolean): void
  /** Update from the sum over the first `buffers` workers' buffers. */
  reduceWeight(buffers: number, tile: Tile, step: OptimizerStep): void
  reduceBias(buffers: number, step: OptimizerStep): void
  derive(tile: Tile): void
  storeRow(i: number, values: Float32Array): void
}

export interface Network {
  readonly layers: readonly Layer[]
  /** Image index of each row: written before a shard pass. (B) */
  readonly samples: IntTensor
  readonly losses: FloatTensor // (B)
  readonly correct: IntTensor //  (B)
  /** Gather, forward, loss and deltas of some rows of the training images. Returns 0, or the code of a fault. */
  train(rows: Rows, epoch: number, deltaScale: number): number
  /** Gather, forward and loss without dropout. */
  score(images: 'train' | 'test', rows: Rows): number
}

export function bindNetwork(plan: RunPlan, layout: Layout, memory: WebAssembly.Memory, kernels: Kernels): Network {
  const { widths } = plan
  const last = widths.length - 2
  const layerCount = last + 1
  const view = ({ rows, cols, slot }: MatrixSlot): Matrix => ({ rows, cols, tensor: viewSlot(memory, slot) })
  const activations = layout.activations.map(view)
  const deltas = layout.deltas.map(view)
  const samples = viewSlot(memory, layout.batch.samples)
  const losses = viewSlot(memory, layout.batch.losses)
  const correct = viewSlot(memory, layout.batch.correct)
  const images = { train: viewSlot(memory, layout.images.train), test: viewSlot(memory, layout.images.test) }
  const labels = { train: viewSlot(memory, layout.labels.train), test: viewSlot(memory, layout.labels.test) }

  const parameters = Array.from({ length: layerCount }, (_, i) => {
    const of = (kind: string) =>
      layout.parameters.find(({ parameter }) => parameter.layer === i && parameter.kind === kind)!
    return { weight: viewWeight(memory, of('weight')), bias: viewBias(memory, of('bias')), slots: of }
  })

  const gather = {
    train: kernels.gather(activations[0], images.train, samples),
    test: kernels.gather(activations[0], images.test, samples),
  }
  const forward = parameters.map(({ weight }, i) => kernels.linear(activations[i + 1], activations[i], weight))
  const activate = parameters
    .slice(0, last)
    .map(({ bias }, i) =>
      kernels.biasRelu(activations[i + 1], bias, { rate: plan.dropout, seed: plan.seed, layer: i, samples }),
    )
  const loss = (from: 'train' | 'test') =>
    kernels.softmaxLoss({
      z: activations[layerCount],
      bias: parameters[last].bias,
      labels: labels[from],
      samples,
      losses,
      correct,
    })
  const lossOf = { train: loss('train'), test: loss('test') }

  const training = plan.purpose === 'train'
  const backward = training
    ? parameters.slice(1).map(({ weight }, i) => kernels.linearBackward(deltas[i], deltas[i + 1], weight))
    : []
  const gate = training ? backward.map((_, i) => kernels.reluBackward(deltas[i], activations[i + 1], plan.dropout)) : []

  function pass(from: 'train' | 'test', { row, rows }: Rows, epoch: number, deltaScale: number): number {
    let code = 0
    gather[from](row, rows)
    for (let i = 0; i < layerCount; i++) {
      forward[i](row, rows)
      if (i < last && !activate[i](row, rows, epoch, deltaScale > 0) && code === 0) code = fault.forward(i)
    }
    const finite = lossOf[from](row, rows, deltaScale)
    return code !== 0 || finite ? code : fault.loss
  }

  return {
    samples,
    losses,
    correct,
    layers: training
      ? parameters.map(({ weight, bias, slots }, i) =>
          bindLayer(kernels, weight, bias, activations[i], deltas[i], gradientViews(memory, slots)),
        )
      : [],
    train(rows, epoch, deltaScale) {
      const code = pass('train', rows, epoch, deltaScale)
      if (code !== 0) return code
      for (let i = last - 1; i >= 0; i--) {
        backward[i](rows.row, rows.rows)
        if (!gate[i](rows.row, rows.rows)) return fault.backward(i)
      }
      return 0
    },
    score: (from, rows) => pass(from, rows, 0, 0),
  }
}

interface Gradients {
  readonly weight: readonly FloatTensor[]
  readonly bias: readonly FloatTensor[]
}

function gradientViews(memory: WebAssembly.Memory, of: (kind: string) => ParameterSlots): Gradients {
  return {
    weight: of('weight').gradients.map(slot => viewSlot(memory, slot)),
    bias: of('bias').gradients.map(slot => viewSlot(memory, slot)),
  }
}

function bindLayer(
  kernels: Kernels,
  weight: WeightTensors,
  bias: BiasTensors,
  x: Matrix, //  (B, I)
  dz: Matrix, // (B, O)
  gradients: Gradients, // one of each for each worker
): Layer {
  const { inputs, outputs } = weight
  const whole: Tile = { inputStart: 0, inputEnd: inputs, outputStart: 0, outputEnd: outputs }
  const weights = kernels.weightUpdate(weight, x, dz)
  const biases = kernels.biasUpdate(bias, dz)
  return {
    inputs,
    outputs,
    updateWeight: weights.fused,
    updateBias: biases.fused,
    accumulate(worker, { row, rows }, first) {
      weights.accumulate(gradients.weight[worker], whole, row, rows, first)
      biases.accumulate(gradients.bias[worker], row, rows, first)
    },
    reduceWeight: (buffers, tile, step) => weights.reduce(gradients.weight.slice(0, buffers), tile, step),
    reduceBias: (buffers, step) => biases.reduce(gradients.bias.slice(0, buffers), step),
    derive: weights.derive,
    storeRow: (i, values) => kernels.storeRow(weight, i, values),
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
    transposed: slots.transposed && viewSlot(memory, slots.transposed),
  }
}

function viewBias(memory: WebAssembly.Memory, slots: ParameterSlots): BiasTensors {
  return {
    outputs: slots.parameter.dims[0],
    master: viewSlot(memory, slots.master),
    moments: slots.moments.map(slot => viewSlot(memory, slot)),
  }
}

/**
 * A small classifier with its data in a lab, and the kernels of a training step in the order a worker runs them: for
 * gradient checks, and for comparing whole steps of two backends. Everything in it depends only on the options.
 */

import type { BiasTensors, WeightTensors } from '../../src/kernels/backend.js'
import { type Activation, keepsDerivatives } from '../../src/model/activation.js'
import { momentCount, type OptimizerStep } from '../../src/model/optimizer.js'
import type { NormType } from '../../src/model/parameters.js'
import type { Matrix } from '../../src/tensor/tensor.js'
import { fill, type Lab, type Region, randoms, read, vector, weightSheets, whole } from './lab.js'

export interface TinyNetOptions {
  /** Units of every layer boundary. */
  readonly widths: readonly number[]
  readonly rows: number
  /** Dropout after hidden layers; its masks stay the same from step to step. */
  readonly rate: number
  readonly optimizer: OptimizerStep['type']
  readonly seed: number
  /** Default: relu. */
  readonly activation?: Activation
  /** Default: none. Scales and shifts begin away from 1 and 0. */
  readonly norm?: NormType
}

export interface TinyNet {
  readonly weights: readonly WeightTensors[]
  readonly biases: readonly BiasTensors[]
  /** Masters of every layer, weight before bias; then scales and shifts of the hidden layers. */
  readonly parameters: readonly Region[]
  /** Outputs of the hidden layers. */
  readonly hidden: readonly Matrix[]
  /** Mean loss of the rows with dropout on. Leaves deltas of the mean in the last layer. */
  forward(): number
  /** Deltas of the other layers; says whether all are finite. */
  backward(): boolean
  /** Gradients and updates of all parameters. */
  update(step: OptimizerStep): void
}

export function tinyNet(
  lab: Lab,
  { widths, rows, rate, optimizer, seed, activation = 'relu', norm = 'none' }: TinyNetOptions,
): TinyNet {
  const { kernels } = lab
  const random = randoms(seed)
  const [features, classes] = [widths[0], widths[widths.length - 1]]
  const N = rows + 3
  const images = lab.bytes(N, features, () => Math.floor((random() + 1) * 128))
  const labels = lab.integers(Array.from({ length: N }, () => Math.floor(((random() + 1) / 2) * classes)))
  const samples = lab.integers(Array.from({ length: rows }, (_, r) => (r * 2 + 1) % N))
  const losses = lab.doubles(rows)
  const correct = lab.integers(Array(rows).fill(0))

  const input = lab.matrix(rows, features)
  const weights: WeightTensors[] = []
  const biases: BiasTensors[] = []
  const outputs: Matrix[] = []
  for (const [layer, O] of widths.slice(1).entries()) {
    const I = widths[layer]
    const w = lab.weight(I, O, momentCount[optimizer])
    const bias = lab.bias(O, momentCount[optimizer])
    const [master, ...moments] = weightSheets({ ...w, derived: null }).map(whole)
    fill(master, () => Math.fround(random() * Math.sqrt(6 / I)))
    fill(whole(vector(O, bias.master)), () => random() / 4)
    for (const moment of [...moments, ...bias.moments.map(tensor => whole(vector(O, tensor)))]) fill(moment, () => 0)
    weights.push(w)
    biases.push(bias)
    outputs.push(lab.matrix(rows, O))
  }
  const last = weights.length - 1
  const inputs = [input, ...outputs.slice(0, last)]
  /** dz of each layer; the last one's are left in its logits. */
  const deltas = outputs.map((z, layer) => (layer === last ? z : lab.matrix(rows, z.cols)))

  const activations = outputs.slice(0, last).map(({ cols }) => ({
    type: activation,
    derivatives: keepsDerivatives(activation) ? lab.matrix(rows, cols) : null,
  }))
  const epsilon = 1e-5
  const norms = (norm === 'none' ? [] : outputs.slice(0, last)).map((z, layer) => {
    const O = z.cols
    const [scale, shift] = [0, 1].map(() => lab.bias(O, momentCount[optimizer]))
    fill(whole(vector(O, scale.master)), () => 1 + random() / 2)
    fill(whole(vector(O, shift.master)), () => random() / 2)
    for (const moment of [...scale.moments, ...shift.moments]) fill(whole(vector(O, moment)), () => 0)
    const normed = lab.matrix(rows, O)
    const units = () => lab.biasBuffer(O).tensor
    const batch = { mean: units(), variance: units(), factors: units() }
    const gradients = { scale: units(), shift: units() }
    const spec = { scale: scale.master, bias: biases[layer].master, epsilon, normed }
    const inverses = lab.doubles(rows)
    const ofBatch = kernels.batchNorm(z, spec, { mean: units(), variance: units() }, batch)
    const ofRows = kernels.layerNorm(z, spec, inverses)
    const dz = deltas[layer]
    const sums = kernels.normSums(gradients, dz, normed)
    const batchBack = kernels.batchNormBackward(dz, normed, gradients, batch.factors)
    const rowsBack = kernels.layerNormBackward(dz, normed, scale.master, inverses)
    return {
      scale,
      shift,
      forward: () => (norm === 'batch' ? ofBatch.train(rows) : ofRows(0, rows)),
      backward() {
        sums(rows)
        return norm === 'batch' ? batchBack(rows) : rowsBack(0, rows)
      },
      update(step: OptimizerStep) {
        kernels.biasUpdate(scale, dz).reduce([gradients.scale], step)
        kernels.biasUpdate(shift, dz).reduce([gradients.shift], step)
      },
    }
  })
  const gather = kernels.gather(input, images, samples, null)
  const linears = weights.map((w, layer) => kernels.linear(outputs[layer], inputs[layer], w))
  const relus = biases.slice(0, last).map((bias, layer) =>
    kernels.biasActivate(outputs[layer], norms[layer]?.shift ?? bias, activations[layer], {
      rate,
      seed,
      layer,
      samples,
    }),
  )
  const softmax = kernels.softmaxLoss({
    z: outputs[last],
    bias: biases[last],
    labels,
    samples,
    losses,
    correct,
    smoothing: 0,
  })
  const backwards = weights.slice(1).map((w, layer) => ({
    linear: kernels.linearBackward(deltas[layer], deltas[layer + 1], w),
    relu: kernels.activateBackward(deltas[layer], outputs[layer], activations[layer], rate),
  }))
  const tiles = weights.map(w => ({ inputStart: 0, inputEnd: w.inputs, outputStart: 0, outputEnd: w.outputs }))
  const weightUpdates = weights.map((w, layer) => kernels.weightUpdate(w, inputs[layer], deltas[layer]))
  const biasUpdates = biases.map((bias, layer) => kernels.biasUpdate(bias, deltas[layer]))
  for (const [layer, w] of weights.entries()) kernels.derive(w)(tiles[layer])

  return {
    weights,
    biases,
    hidden: outputs.slice(0, last),
    parameters: [
      ...weights.flatMap((w, layer) => [
        whole({ rows: w.inputs, cols: w.outputs, tensor: w.master }),
        whole(vector(w.outputs, biases[layer].master)),
      ]),
      ...norms.flatMap(({ scale, shift }) =>
        [scale, shift].map(({ outputs, master }) => whole(vector(outputs, master))),
      ),
    ],
    forward() {
      gather(0, rows)
      linears.forEach((linear, layer) => {
        linear(0, rows)
        norms[layer]?.forward()
        relus[layer]?.(0, rows, 0, true)
      })
      softmax(0, rows, 1 / rows)
      return read(whole(vector(rows, losses))).reduce((sum, loss) => sum + loss, 0) / rows
    },
    backward: () =>
      backwards.reduceRight((finite, { linear, relu }, layer) => {
        linear(0, rows)
        const gated = relu(0, rows)
        return (norms[layer]?.backward() ?? true) && gated && finite
      }, true),
    update(step) {
      weightUpdates.forEach((update, layer) => {
        update.fused(tiles[layer], rows, step)
        if (norm !== 'batch' || layer === last) biasUpdates[layer].fused(rows, step)
      })
      for (const { update } of norms) update(step)
    },
  }
}

/**
 * The multilayer perceptron bound to one worker's kernels: forward, loss, deltas, gradients, updates. Built once when a
 * worker opens the plan; the methods run many times and touch only the rows or the tile they are given.
 *
 * Letters: `B` rows of the batch buffers, `I` inputs and `O` outputs of a layer, `N` images.
 */

import type { ActivationSpec, CheckedBlockKernel, Columns, Kernels, Rows } from '../../kernels/backend.js'
import type { VectorKind } from '../../model/parameters.js'
import { averageIndex } from '../../model/state.js'
import { viewSlot } from '../../tensor/arena.js'
import type { ByteTensor, FloatTensor, Matrix } from '../../tensor/tensor.js'
import { fault } from '../plan/faults.js'
import type { Layout, MatrixSlot } from '../plan/layout.js'
import type { RunPlan } from '../plan/run-plan.js'
import { bindLayer, gradientViews } from './layer.js'
import type { Network, Pass } from './network.js'
import { bindNorm, viewNormTraining } from './norm.js'
import { averagesOf, type LayerTensors, viewVector, viewWeight } from './views.js'

/** In the random words of dropout, where hidden layers count from 0. */
const INPUT_LAYER = 2 ** 32 - 1

export function bindNetwork(plan: RunPlan, layout: Layout, memory: WebAssembly.Memory, kernels: Kernels): Network {
  const { widths } = plan
  const { type: norm } = plan.norm
  const last = widths.length - 2
  const layerCount = last + 1
  const view = ({ rows, cols, slot }: MatrixSlot): Matrix => ({ rows, cols, tensor: viewSlot(memory, slot) })
  const activations = layout.activations.map(view)
  const deltas = layout.deltas.map(view)
  const gates = layout.gates.map(view)
  const activationOf = (layer: number): ActivationSpec => ({ type: plan.activation, gates: gates[layer] ?? null })
  const samples = viewSlot(memory, layout.batch.samples)
  const losses = viewSlot(memory, layout.batch.losses)
  const correct = viewSlot(memory, layout.batch.correct)
  const images = {
    train: viewSlot<'uint8' | 'float32'>(memory, layout.images.train),
    test: viewSlot<'uint8' | 'float32'>(memory, layout.images.test),
  } as Record<'train' | 'test', ByteTensor | FloatTensor> // (N, F)
  const scaling = layout.scaling && {
    offset: viewSlot(memory, layout.scaling.offset),
    factor: viewSlot(memory, layout.scaling.factor),
  }
  const labels = { train: viewSlot(memory, layout.labels.train), test: viewSlot(memory, layout.labels.test) }

  const parameters = Array.from({ length: layerCount }, (_, i) => {
    const of = (kind: string) =>
      layout.parameters.find(({ parameter }) => parameter.layer === i && parameter.kind === kind)!
    const vectors = new Map(
      layout.parameters
        .filter(({ parameter }) => parameter.layer === i && parameter.kind !== 'weight')
        .map(slots => [slots.parameter.kind as VectorKind, viewVector(memory, slots)]),
    )
    return { weight: viewWeight(memory, of('weight')), bias: vectors.get('bias')!, vectors, slots: of }
  })

  const gather = {
    train: kernels.gather(activations[0], images.train, samples, scaling),
    test: kernels.gather(activations[0], images.test, samples, scaling),
  }
  const augmented = layout.augmented && bindAugmented(plan, layout.augmented)
  const dropInputs =
    plan.inputDropout > 0
      ? kernels.dropout(activations[0], {
          ...{ rate: plan.inputDropout, seed: plan.seed, layer: INPUT_LAYER, samples },
        })
      : null
  const training = plan.purpose === 'train'
  const learned = bindWayForward(parameters)
  // Averages are kept for training alone; elsewhere they have been loaded as the parameters.
  const average = training ? averageIndex(plan) : null
  const scored = average === null ? learned : bindWayForward(parameters.map(layer => averagesOf(layer, average)))
  const { norms } = learned
  const wayOf = ({ deltaScale }: Pass) => (deltaScale > 0 ? learned : scored)

  /** Training images change on their way into the mini-batch. */
  function bindAugmented({ augmentation, seed }: RunPlan, slots: NonNullable<Layout['augmented']>) {
    const out = viewSlot(memory, slots.images)
    const rowOf = viewSlot(memory, slots.rows)
    for (let row = 0; row < rowOf.shape[0]; row++) rowOf.data[row] = row
    const change = kernels.augment({
      ...{ out, images: images.train as ByteTensor, labels: labels.train, samples, seed },
      augmentation: augmentation!,
    })
    const gatherChanged = kernels.gather(activations[0], out, rowOf, scaling)
    const plainFrom = plan.epochs - augmentation!.plainEpochs
    return (row: number, rows: number, epoch: number) => {
      if (epoch >= plainFrom) return gather.train(row, rows)
      change(row, rows, epoch)
      gatherChanged(row, rows)
    }
  }

  /** What a pass runs through, with the parameters of all layers or what stands in their place. */
  function bindWayForward(layers: readonly LayerTensors[]) {
    const norms = (plan.norm.type === 'none' ? [] : layers.slice(0, last)).map(({ bias, vectors }, i) => {
      const [mean, variance] = [vectors.get('mean')?.master, vectors.get('variance')?.master]
      return bindNorm({
        ...{ norm: plan.norm, kernels, bias, z: activations[i + 1] },
        ...{ scale: vectors.get('scale')!, shift: vectors.get('shift')! },
        training: layout.norms[i] ? viewNormTraining(memory, layout.norms[i], deltas[i]) : null,
        running: mean && variance ? { mean, variance } : null,
      })
    })
    const forward = layers.map(({ weight }, i) => kernels.linear(activations[i + 1], activations[i], weight))
    const dropoutOf = (layer: number) => ({ rate: plan.dropout[layer], seed: plan.seed, layer, samples })
    // What is normalised has its bias behind it; the activation adds the shift.
    const activate = layers
      .slice(0, last)
      .map(({ bias, vectors }, i) =>
        kernels.biasActivate(activations[i + 1], vectors.get('shift') ?? bias, activationOf(i), dropoutOf(i)),
      )
    /** Products with what follows them, where nothing comes between. */
    const hidden = (norm === 'none' ? layers.slice(0, last) : []).map(
      ({ weight, bias }, i): (typeof activate)[number] => {
        const [out, x] = [activations[i + 1], activations[i]]
        const fused = kernels.linearActivate?.(out, x, weight, bias, activationOf(i), dropoutOf(i))
        if (fused) return fused
        return (row, rows, epoch, training, columns) => {
          forward[i](row, rows, columns)
          return activate[i](row, rows, epoch, training, columns)
        }
      },
    )
    const loss = (from: 'train' | 'test') => {
      const args = { z: activations[layerCount], bias: layers[last].bias, samples, losses, correct }
      return plan.loss === 'cross-entropy'
        ? kernels.softmaxLoss({ ...args, labels: labels[from], smoothing: plan.labelSmoothing })
        : kernels.squaredLoss({ ...args, targets: viewSlot(memory, layout.targets[from]) })
    }
    return { norms, forward, activate, hidden, loss: { train: loss('train'), test: loss('test') } }
  }

  const backward = training
    ? parameters.slice(1).map(({ weight }, i) => kernels.linearBackward(deltas[i], deltas[i + 1], weight))
    : []
  const gate = backward.map((_, i) =>
    kernels.activateBackward(deltas[i], activations[i + 1], activationOf(i), plan.dropout[i]),
  )

  const backwardHidden = gate.map((activate, i): CheckedBlockKernel => {
    const [dx, dz, a] = [deltas[i], deltas[i + 1], activations[i + 1]]
    const { weight } = parameters[i + 1]
    const fused = kernels.linearActivateBackward?.(dx, dz, weight, a, activationOf(i), plan.dropout[i])
    if (fused) return fused
    return (row, rows, columns) => {
      backward[i](row, rows, columns)
      return activate(row, rows, columns)
    }
  })

  /** Of hidden layers: both forms run the same for a pass. */
  const run = (
    kernels: ReturnType<typeof bindWayForward>['activate'],
    layer: number,
    { epoch, deltaScale }: Pass,
    { row, rows }: Rows,
    columns?: Columns,
  ) => (kernels[layer](row, rows, epoch, deltaScale > 0, columns) ? 0 : fault.forward(layer))

  return {
    samples,
    losses,
    correct,
    hiddenLayers: last,
    norm,
    derive: parameters.map(({ weight }) => kernels.derive(weight)),
    layers: training
      ? parameters.map(({ weight, vectors, slots }, i) =>
          bindLayer(
            kernels,
            weight,
            vectors,
            activations[i],
            deltas[i],
            gradientViews(memory, slots),
            norms[i] ?? null,
            average,
          ),
        )
      : [],
    gather({ images: from, deltaScale, epoch }, { row, rows }) {
      if (augmented && deltaScale > 0) augmented(row, rows, epoch)
      else gather[from](row, rows)
      if (deltaScale > 0) dropInputs?.(row, rows, epoch)
    },
    forward(layer, pass, of, columns) {
      const { forward, hidden } = wayOf(pass)
      if (norm === 'none') return run(hidden, layer, pass, of, columns)
      forward[layer](of.row, of.rows, columns)
      return 0
    },
    normalise(layer, pass, of, columns) {
      const { norms, activate } = wayOf(pass)
      norms[layer].forward(of, pass.deltaScale > 0, columns)
      return run(activate, layer, pass, of, columns)
    },
    loss(pass, { row, rows }) {
      const { forward, loss } = wayOf(pass)
      forward[last](row, rows)
      return loss[pass.images](row, rows, pass.deltaScale) ? 0 : fault.loss
    },
    backward(layer, { row, rows }, columns) {
      if (norm === 'none') return backwardHidden[layer](row, rows, columns) ? 0 : fault.backward(layer)
      backward[layer](row, rows, columns)
      return 0
    },
    normaliseColumnsBackward(layer, rows, columns) {
      let finite = gate[layer](0, rows, columns)
      norms[layer].sums(rows, columns)
      if (norm === 'batch') finite = norms[layer].backward({ row: 0, rows }, columns) && finite
      return finite ? 0 : fault.backward(layer)
    },
    normaliseRowsBackward: (layer, of) => (norms[layer].backward(of) ? 0 : fault.backward(layer)),
  }
}

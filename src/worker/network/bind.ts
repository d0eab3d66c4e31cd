/**
 * The multilayer perceptron bound to one worker's kernels: forward, loss, deltas, gradients, updates. Built once when a
 * worker opens the plan; the methods run many times and touch only the rows or the tile they are given.
 *
 * Letters: `B` rows of the batch buffers, `I` inputs and `O` outputs of a layer, `N` images.
 */

import type {
  ActivationSpec,
  BiasTensors,
  CheckedBlockKernel,
  Columns,
  Kernels,
  Tile,
  WeightTensors,
} from '../../kernels/backend.js'
import type { OptimizerStep } from '../../model/optimizer.js'
import { isLearned, type NormType, type VectorKind } from '../../model/parameters.js'
import { averageIndex } from '../../model/state.js'
import { viewSlot } from '../../tensor/arena.js'
import type { ByteTensor, FloatTensor, IntTensor, Matrix } from '../../tensor/tensor.js'
import type { Layout, MatrixSlot, ParameterSlots } from '../plan/layout.js'
import { fault, type RunPlan } from '../threads/protocol.js'
import { bindNorm, type Normalisation, viewNormTraining } from './norm.js'

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
  /** Incoming weights of some outputs, limited in norm, and all that is derived from them. */
  limitWeight(columns: Columns, limit: number): void
  /** Moves the averages toward the parameters, after those were updated; nothing where none are kept. */
  averageWeight(tile: Tile, share: number): void
  /** All vectors that the layer learns, or some of them. */
  averageVectors(share: number, kinds?: readonly VectorKind[]): void
  /** Where the gradient is kept: adds that over batch rows [0, rows) to it; overwrites it if `first`. */
  gradientOfTile(tile: Tile, rows: number, first: boolean): void
  gradientOfVectors(rows: number, first: boolean): void
  /** Sums of squares of that gradient. */
  squaresOfTile(tile: Tile): number
  squaresOfVectors(): number
  /** Update from that gradient times a factor, and of running statistics. */
  updateScaledTile(tile: Tile, factor: number, step: OptimizerStep): void
  updateScaledVectors(rows: number, factor: number, step: OptimizerStep): void
  /** Update of a normalised layer's scale and shift, and of its running statistics; null for others. */
  readonly updateNorm: ((rows: number, step: OptimizerStep) => void) | null
  /** Row i of the weights, or of a moment of them, from or to row-major values (O). */
  storeRow(moment: number | null, i: number, values: Float32Array): void
  loadRow(moment: number | null, i: number, values: Float32Array): void
  /** The bias and whatever else the layer has of each output, with its moments, in the backend's form. */
  readonly vectors: ReadonlyMap<VectorKind, BiasTensors>
}

/** What a pass over the batch buffers does, the same for all of its rows. */
export interface Pass {
  readonly images: 'train' | 'test'
  /** Decides, with the sample, which units are dropped. */
  readonly epoch: number
  /** Factor of the loss's deltas, 1 / rows of the step; 0: score only, without dropout and deltas. */
  readonly deltaScale: number
}

/**
 * The parts of a pass. Each returns 0 or the code of a fault, writes only the rows and columns it is told, and reads only
 * those rows of what earlier parts wrote. Hidden layer i is the one whose outputs are `widths[i + 1]`.
 */
export interface Network {
  /** In training. */
  readonly layers: readonly Layer[]
  /** Of each layer: writes what the backend derives from a tile of the weights. */
  readonly derive: readonly ((tile: Tile) => void)[]
  readonly hiddenLayers: number
  /** Not `none`: `forward` and `backward` end at the products of hidden layers, and the other parts follow. */
  readonly norm: NormType
  /** Image index of each row: written before a pass. (B) */
  readonly samples: IntTensor
  readonly losses: FloatTensor // (B)
  readonly correct: IntTensor //  (B)
  gather(pass: Pass, rows: Rows): void
  /** Hidden layer i: product, and, where nothing is normalised, bias, activation, dropout. */
  forward(layer: number, pass: Pass, rows: Rows, columns?: Columns): number
  /** Hidden layer i after its product: normalisation, activation, dropout. With `batch` in training, of all rows. */
  normalise(layer: number, pass: Pass, rows: Rows, columns?: Columns): number
  /** Logits, losses, hits and, with a deltaScale, the deltas of the logits. */
  loss(pass: Pass, rows: Rows): number
  /** Deltas of hidden layer i from those of the layer after it; of its activation's outputs where it is normalised. */
  backward(layer: number, rows: Rows, columns?: Columns): number
  /** Then the way back through dropout and activation, the gradients of scale and shift, and, with `batch`, the deltas. */
  normaliseColumnsBackward(layer: number, rows: number, columns: Columns): number
  /** Then, with `layer`, the deltas. */
  normaliseRowsBackward(layer: number, rows: Rows): number
}

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

/**
 * A whole pass over some rows; of a network that is normalised, only to score. Ends at the first fault and returns its
 * code.
 */
export function runPass(network: Network, pass: Pass, rows: Rows): number {
  let code = 0
  network.gather(pass, rows)
  for (let i = 0; i < network.hiddenLayers; i++) {
    code ||= network.forward(i, pass, rows)
    if (network.norm !== 'none') code ||= network.normalise(i, pass, rows)
  }
  code ||= network.loss(pass, rows)
  if (pass.deltaScale === 0) return code
  for (let i = network.hiddenLayers - 1; i >= 0; i--) code ||= network.backward(i, rows)
  return code
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

interface LayerTensors {
  readonly weight: WeightTensors
  readonly bias: BiasTensors
  readonly vectors: ReadonlyMap<VectorKind, BiasTensors>
}

/** The averages in the place of what is learned; running statistics are averages already. */
function averagesOf({ weight, vectors }: LayerTensors, average: number): LayerTensors {
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

function viewVector(memory: WebAssembly.Memory, slots: ParameterSlots): BiasTensors {
  return {
    outputs: slots.parameter.dims[0],
    master: viewSlot(memory, slots.master),
    moments: slots.moments.map(slot => viewSlot(memory, slot)),
  }
}

/**
 * Binds the network of a plan to one worker's kernels: every layer by its kind, the inputs before and the loss behind
 * them. Called once, when a plan is opened; what it returns runs many times and touches only the rows, columns or tiles it
 * is given. Runs in workers and in the predictor.
 *
 * Letters: `B` rows of the batch buffers.
 */
import type { DropoutSpec, Kernels } from '../../kernels/backend.js'
import { worksInPlace } from '../../model/layers/kinds.js'
import type { LayerType } from '../../model/layers/layer.js'
import { averageIndex } from '../../model/state.js'
import { viewSlot } from '../../tensor/arena.js'
import type { Matrix } from '../../tensor/tensor.js'
import type { Layout, MatrixSlot } from '../plan/layout.js'
import type { RunPlan } from '../plan/run-plan.js'
import { bindEmbeddings } from './embedding.js'
import { bindInput } from './input.js'
import { layerKinds } from './layers/kinds.js'
import { bindLoss } from './loss.js'
import type { BlockActivation, LayerContext, Network } from './network.js'
import { viewLayer } from './views.js'

const ofProduct: readonly LayerType[] = ['dense', 'convolution', 'batch-norm', 'layer-norm']

/** True for the last of a product and its normalisation. */
const endsProduct = (type: LayerType, next: LayerType | null): boolean =>
  ofProduct.includes(type) && (next === null || !ofProduct.includes(next))

export function bindNetwork(plan: RunPlan, layout: Layout, memory: WebAssembly.Memory, kernels: Kernels): Network {
  const view = ({ rows, cols, slot }: MatrixSlot): Matrix => ({ rows, cols, tensor: viewSlot(memory, slot) })
  const activations = layout.activations.map(view) // (B, widths[i])
  const deltas = layout.deltas.map(view) // (B, widths[i + 1]); none where nothing is trained
  const derivatives = layout.derivatives.map(view)
  const inputDeltas = layout.embedded?.deltas ? view(layout.embedded.deltas) : null // (B, widths[0])
  const batch = {
    samples: viewSlot(memory, layout.batch.samples),
    places: layout.batch.places && viewSlot(memory, layout.batch.places),
    losses: viewSlot(memory, layout.batch.losses),
    correct: viewSlot(memory, layout.batch.correct),
  }
  const trains = plan.purpose === 'train'
  const average = trains ? averageIndex(plan) : null
  const hiddenBlocks = plan.widths.length - 2

  const dropoutOf = (block: number): DropoutSpec => ({
    ...{ rate: plan.dropout[block] ?? 0, seed: plan.seed, layer: block, samples: batch.samples },
  })
  // Feature maps are dropped by a layer of their own.
  const activationOf = (block: number): BlockActivation => ({
    activation: { type: plan.activation, derivatives: derivatives[block] ?? null },
    dropout: block < plan.convolutions.length ? { ...dropoutOf(block), rate: 0 } : dropoutOf(block),
  })

  let [x, dx] = [activations[0], inputDeltas]
  let before: LayerContext['before'] = null
  const bound = layout.layers.map((slots, i) => {
    const { layer: spec } = slots
    const { block, type } = spec
    const following = layout.layers[i + 1]?.layer
    const next = following?.block === block ? following.type : null
    const inPlace = worksInPlace(spec)
    const { inner } = slots
    const z = inPlace ? x : inner ? view(inner.outputs) : activations[block + 1]
    const dz = inPlace ? dx : inner ? inner.deltas && view(inner.deltas) : (deltas[block] ?? null)
    const tensors = viewLayer(memory, slots)
    const bound = layerKinds[type]({
      plan,
      memory,
      kernels,
      spec,
      slots,
      trains,
      tensors,
      average,
      before,
      next,
      ...{ x, z, dx, dz },
      dropout: dropoutOf(block),
      embedded: layout.embedded && { samples: batch.samples, deltasFrom: layout.embedded.deltasFrom },
      activation: block < hiddenBlocks && endsProduct(type, next) ? activationOf(block) : null,
    })
    const layer = { ...bound, matrices: { x, z, dx, dz } }
    before = { layer, tensors }
    x = z
    dx = dz
    return before
  })

  const [logits, last] = [activations[activations.length - 1], bound[bound.length - 1]]
  const { embeddings, gathered } = bindEmbeddings(plan, layout, memory, kernels, inputDeltas)
  return {
    embeddings,
    layers: bound.map(({ layer }) => layer),
    batch,
    outputs: logits,
    targets: { train: viewSlot(memory, layout.targets.train), test: viewSlot(memory, layout.targets.test) },
    gather: bindInput(plan, layout, memory, kernels, activations[0], gathered),
    loss: bindLoss(plan, layout, memory, kernels, logits, { tensors: last.tensors, average }, batch),
  }
}

/**
 * Batch normalisation (Ioffe and Szegedy 2015, arXiv 1502.03167) and layer normalisation (Ba, Kiros and Hinton 2016,
 * arXiv 1607.06450): y = scale · (z - mean) / √(variance + ε) + shift. Declarations; pure, any thread.
 */
import type { LayerDeclaration, LayerSpec, Parameter, VectorKind } from './layer.js'

const vectorOf = ({ block, outputs }: LayerSpec, kind: VectorKind, init: Parameter['init']): Parameter => ({
  name: `layers.${block}.norm.${kind}`,
  kind,
  layer: block,
  dims: [outputs],
  init,
})

const workspace = {
  /** (B, O) before scale and shift. */
  normed: { form: 'matrix' },
  /** Statistics of the mini-batch; batch normalisation. */
  mean: { form: 'vector' },
  variance: { form: 'vector' },
  factors: { form: 'vector' },
  /** (B) 1 / √(variance + ε) of each row; layer normalisation. */
  inverses: { form: 'rows' },
  /** Statistics of each group of samples, and gradients of scale and shift; batch normalisation of maps. */
  groupSums: { form: 'groups' },
  groupGradients: { form: 'groups' },
  /** Gradients of scale and shift over the mini-batch. */
  scale: { form: 'vector' },
  shift: { form: 'vector' },
  /** Gradients of the step so far, and running statistics after it. */
  keptScale: { form: 'vector', keptGradient: true },
  keptShift: { form: 'vector', keptGradient: true },
  keptMean: { form: 'vector', keptGradient: true },
  keptVariance: { form: 'vector', keptGradient: true },
} as const satisfies LayerDeclaration['workspace']

export type NormWorkspace = typeof workspace

export const batchNorm: LayerDeclaration = {
  parameters: layer => [
    vectorOf(layer, 'scale', 'ones'),
    vectorOf(layer, 'shift', 'zeros'),
    vectorOf(layer, 'mean', 'zeros'),
    vectorOf(layer, 'variance', 'ones'),
  ],
  workspace,
}

export const layerNorm: LayerDeclaration = {
  parameters: layer => [vectorOf(layer, 'scale', 'ones'), vectorOf(layer, 'shift', 'zeros')],
  workspace,
}

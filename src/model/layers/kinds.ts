/** The table of the kinds of layers, and the layers of a network. Pure; any thread. */
import type { Experiment } from '../../config/schema.js'
import { dense } from './dense.js'
import type { LayerDeclaration, LayerSpec, LayerType } from './layer.js'
import { batchNorm, layerNorm } from './norm.js'

export const layerDeclarations: Readonly<Record<LayerType, LayerDeclaration>> = {
  dense,
  'batch-norm': batchNorm,
  'layer-norm': layerNorm,
}

export type NormType = Experiment['model']['norm']

const normLayers = { none: null, batch: 'batch-norm', layer: 'layer-norm' } as const satisfies Record<
  NormType,
  LayerType | null
>

/**
 * Layers of a multilayer perceptron in the order of the forward pass: for each block its dense layer, then, in hidden
 * blocks, its normalisation. `widths` are the units of every boundary of blocks: features, hidden units, outputs.
 */
export function networkLayers(widths: readonly number[], norm: NormType = 'none'): LayerSpec[] {
  return widths.slice(1).flatMap((outputs, block): LayerSpec[] => {
    const isHidden = block < widths.length - 2
    const normLayer = isHidden ? normLayers[norm] : null
    return [
      { type: 'dense', block, inputs: widths[block], outputs },
      ...(normLayer ? [{ type: normLayer, block, inputs: outputs, outputs }] : []),
    ]
  })
}

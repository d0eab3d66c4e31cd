/**
 * The table of the executable halves of the kinds of layers; their declarations are in src/model/layers/kinds.ts. Runs in workers and in
 * the predictor.
 */
import type { LayerType } from '../../../model/layers/layer.js'
import type { BindLayer } from '../network.js'
import { bindDense } from './dense.js'
import { bindNormLayer } from './norm.js'

export const layerKinds: Readonly<Record<LayerType, BindLayer>> = {
  dense: bindDense,
  'batch-norm': bindNormLayer,
  'layer-norm': bindNormLayer,
}

/**
 * The table of the executable halves of the kinds of layers; their declarations are in src/model/layers/kinds.ts. Runs in workers and in
 * the predictor.
 */
import type { LayerType } from '../../../model/layers/layer.js'
import type { BindLayer } from '../network.js'
import { bindConvolution } from './convolution.js'
import { bindDense } from './dense.js'
import { bindDropout } from './dropout.js'
import { bindFlatten } from './flatten.js'
import { bindNormLayer } from './norm.js'
import { bindPool } from './pool.js'

export const layerKinds: Readonly<Record<LayerType, BindLayer>> = {
  dense: bindDense,
  convolution: bindConvolution,
  pool: bindPool,
  dropout: bindDropout,
  flatten: bindFlatten,
  'batch-norm': bindNormLayer,
  'layer-norm': bindNormLayer,
}

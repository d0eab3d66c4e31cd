/** A dense layer: z (B, O) = x (B, I) · weight (I, O) + bias (O). Declaration; pure, any thread. */
import type { LayerDeclaration } from './layer.js'

export const dense: LayerDeclaration = {
  parameters: ({ block, inputs, outputs, rowsOf }) => [
    {
      ...{ name: `layers.${block}.weight`, kind: 'weight', layer: block, dims: [inputs, outputs], init: 'random' },
      ...(rowsOf && { rowsOf }),
    },
    { name: `layers.${block}.bias`, kind: 'bias', layer: block, dims: [outputs], init: 'zeros' },
  ],
  workspace: {},
}

/**
 * The layers of feature maps (B · positions, channels). Convolution: z (B · P, O) = patches (B · P, size · size · I) · weight + bias. Pool:
 * the largest value or the mean of each square. Flatten: maps (B · P, C) as rows (B, P · C) of a dense layer. Dropout: of single
 * values, in place. Declarations; pure, any thread.
 */
import type { LayerDeclaration } from './layer.js'

export const convolution: LayerDeclaration = {
  parameters: ({ block, inputs, outputs, window }) => [
    {
      ...{ name: `layers.${block}.weight`, kind: 'weight', layer: block, dims: [inputs, outputs], init: 'random' },
      kernel: { size: window!.size, channels: window!.input.channels },
    },
    { name: `layers.${block}.bias`, kind: 'bias', layer: block, dims: [outputs], init: 'zeros' },
  ],
  workspace: {},
}

/** A layer without parameters. */
export const plain: LayerDeclaration = { parameters: () => [], workspace: {} }

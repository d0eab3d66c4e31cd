/** The table of the kinds of layers, and the layers of a network. Pure; any thread. */
import type { Experiment } from '../../config/schema.js'
import { type Convolution, convolutionWork, outputOf, patchSize, unitsOf } from '../convolution.js'
import { convolution, plain } from './convolution.js'
import { dense } from './dense.js'
import type { LayerDeclaration, LayerSpec, LayerType } from './layer.js'
import { batchNorm, layerNorm } from './norm.js'

export const layerDeclarations: Readonly<Record<LayerType, LayerDeclaration>> = {
  dense,
  convolution,
  pool: plain,
  dropout: plain,
  flatten: plain,
  'batch-norm': batchNorm,
  'layer-norm': layerNorm,
}

export type NormType = Experiment['model']['norm']

const normLayers = { none: null, batch: 'batch-norm', layer: 'layer-norm' } as const satisfies Record<
  NormType,
  LayerType | null
>

/** Boundaries of a network's blocks, and what stands in them. */
export interface NetworkShape {
  /** Units of every boundary of blocks: features, units after each convolution, hidden units, outputs. */
  readonly widths: readonly number[]
  readonly norm: NormType
  readonly convolutions: readonly Convolution[]
}

/**
 * Layers of a network in the order of the forward pass. Of each convolution: its product, normalisation, pooling, dropout, and after the
 * last one the layer that makes rows of maps. Of each block after them: its dense layer, then, in hidden blocks, its normalisation.
 */
export function networkLayers({ widths, norm, convolutions }: NetworkShape): LayerSpec[] {
  return widths.slice(1).flatMap((outputs, block): LayerSpec[] => {
    if (block < convolutions.length) return convolutionLayers(convolutions, block)
    const isHidden = block < widths.length - 2
    const behindMaps = block > 0 && block === convolutions.length
    const normLayer = isHidden ? normLayers[norm] : null
    return [
      {
        type: 'dense',
        block,
        inputs: widths[block],
        outputs,
        ...(behindMaps && { rowsOf: outputOf(convolutions[block - 1]) }),
      },
      ...(normLayer ? [{ type: normLayer, block, inputs: outputs, outputs }] : []),
    ]
  })
}

function convolutionLayers(convolutions: readonly Convolution[], block: number): LayerSpec[] {
  const convolution = convolutions[block]
  const { window, norm, pool, dropout } = convolution
  const outputs = window.output.channels
  const last = outputOf(convolution)
  const same = { block, inputs: outputs, outputs }
  return [
    { type: 'convolution', block, inputs: patchSize(window), outputs, maps: window.output, window },
    ...(norm === 'batch' ? [{ type: 'batch-norm', ...same, maps: window.output } as const] : []),
    ...(pool
      ? [{ type: 'pool', ...same, maps: pool.window.output, window: pool.window, pool: pool.type } as const]
      : []),
    ...(dropout > 0 ? [{ type: 'dropout', ...same, maps: last } as const] : []),
    ...(block === convolutions.length - 1
      ? [{ type: 'flatten', block, inputs: outputs, outputs: unitsOf(last) } as const]
      : []),
  ]
}

/** True for a layer that changes its inputs in place. */
export const worksInPlace = ({ type }: LayerSpec): boolean =>
  type === 'batch-norm' || type === 'layer-norm' || type === 'dropout'

/** Boundaries alone; without convolutions, of dense layers. */
type Boundaries = Pick<NetworkShape, 'widths'> & Partial<Pick<NetworkShape, 'convolutions'>>

/** Inputs and outputs of the weight matrix of each block. */
export const weightDims = ({ widths, convolutions }: Boundaries): { inputs: number; outputs: number }[] =>
  widths.slice(1).map((outputs, block) => {
    const convolution = convolutions?.[block]
    if (!convolution) return { inputs: widths[block], outputs }
    return { inputs: patchSize(convolution.window), outputs: convolution.window.output.channels }
  })

/** Multiplications of the forward pass of one sample, in the blocks from `first` on. */
export const multiplications = (shape: Boundaries, first = 0): number =>
  weightDims(shape)
    .map(({ inputs, outputs }, block) => {
      const convolution = shape.convolutions?.[block]
      return convolution ? convolutionWork(convolution) : inputs * outputs
    })
    .slice(first)
    .reduce((sum, work) => sum + work, 0)

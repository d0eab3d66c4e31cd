/**
 * Shapes of convolutions and poolings: how a window moves over feature maps, and the sizes that follow from it, layer by layer. Pure;
 * any thread.
 *
 * Feature maps are channels last: (height, width, channels), as the features of a picture are. A position is one place of height x
 * width; a convolution is, for every position of its output, a product of the patch under the window, (size · size · channels) in the
 * order row, column, channel, with a weight (size · size · channels, filters).
 */
import type { Experiment } from '../config/schema.js'
import { ConfigError } from '../errors.js'
import { type InputShape, inputSize } from '../tensor/input-shape.js'

/** Height, width and channels of maps. */
export type FeatureShape = InputShape

/** A square window that moves over feature maps. */
export interface Window {
  readonly input: FeatureShape
  readonly output: FeatureShape
  readonly size: number
  readonly stride: number
  /** Rows and columns of zeros before the first. Those behind the last follow from the sizes. */
  readonly top: number
  readonly left: number
}

/** One convolution with what follows it, its sizes known. */
export interface Convolution {
  readonly window: Window
  readonly norm: 'none' | 'batch'
  readonly dropout: number
  readonly pool: { readonly type: 'max' | 'average'; readonly window: Window } | null
}

export type ConvolutionSettings = Experiment['model']['convolutions'][number]

export const positionsOf = ({ height, width }: FeatureShape): number => height * width
export const unitsOf: (shape: FeatureShape) => number = inputSize
export const patchSize = ({ size, input: { channels } }: Window): number => size * size * channels

/** Feature maps that a convolution ends with. */
export const outputOf = ({ window, pool }: Convolution): FeatureShape => (pool ?? { window }).window.output

export const mapsText = ({ height, width, channels }: FeatureShape): string => `${height} x ${width} x ${channels}`

/** One length under a window: of the output, and the zeros before. `same` as TensorFlow and ONNX (SAME_UPPER) have it. */
function slide(length: number, size: number, stride: number, padding: 'same' | 'valid') {
  if (padding === 'valid') return { length: Math.floor((length - size) / stride) + 1, before: 0 }
  const slid = Math.ceil(length / stride)
  return { length: slid, before: Math.floor(Math.max(0, (slid - 1) * stride + size - length) / 2) }
}

function windowOf(
  input: FeatureShape,
  channels: number,
  size: number,
  stride: number,
  padding: 'same' | 'valid',
): Window {
  const down = slide(input.height, size, stride, padding)
  const across = slide(input.width, size, stride, padding)
  const output = { height: down.length, width: across.length, channels }
  return { input, output, size, stride, top: down.before, left: across.before }
}

/**
 * The convolutions of a model over inputs of this shape. Throws ConfigError, with the sizes layer by layer, where a window is larger
 * than what it moves over.
 */
export function convolutionsOf(
  { convolutions, norm }: Pick<Experiment['model'], 'convolutions' | 'norm'>,
  inputs: FeatureShape,
): Convolution[] {
  const sizes = [mapsText(inputs)]
  let input = inputs
  return convolutions.map((settings, i) => {
    const { filters, size, stride, padding, pool } = settings
    const refuse = (setting: string, value: number, over: FeatureShape): never => {
      throw new ConfigError(
        `model.convolutions.${i}.${setting} is ${value}, expected at most ${Math.min(over.height, over.width)}; it moves over ` +
          `${mapsText(over)} (height x width x channels); the sizes are ${sizes.join(' -> ')}`,
        {
          hint:
            setting === 'size' ? 'padding "same" keeps height and width' : 'leave out this pooling, or one before it',
        },
      )
    }
    if (padding === 'valid' && size > Math.min(input.height, input.width)) refuse('size', size, input)
    const window = windowOf(input, filters, size, stride, padding)
    const { output } = window
    sizes.push(mapsText(output))
    if (pool && pool.size > Math.min(output.height, output.width)) refuse('pool.size', pool.size, output)
    const pooled = pool && { type: pool.type, window: windowOf(output, filters, pool.size, pool.size, 'valid') }
    if (pooled) sizes.push(mapsText(pooled.window.output))
    input = pooled?.window.output ?? output
    return {
      window,
      norm: settings.norm ?? (norm === 'batch' ? 'batch' : 'none'),
      dropout: settings.dropout,
      pool: pooled,
    }
  })
}

/** A convolution for people: `3 x 3, 28 x 28 x 32, pooled (max 2 x 2) to 14 x 14 x 32`. */
export function convolutionText({ window, pool }: Convolution): string {
  const { size, stride, output } = window
  const step = stride === 1 ? '' : `, stride ${stride}`
  const filters = `${size} x ${size}${step} -> ${mapsText(output)}`
  if (!pool) return filters
  return `${filters}, ${pool.type} pool ${pool.window.size} -> ${mapsText(pool.window.output)}`
}

/** Multiplications of a convolution for one sample. */
export const convolutionWork = ({ window }: Pick<Convolution, 'window'>): number =>
  positionsOf(window.output) * patchSize(window) * window.output.channels

/** A network in one line: `28x28x1-conv 28x28x32-…-128-10`; without convolutions its widths. */
export function networkText(widths: readonly number[], convolutions: readonly Convolution[]): string {
  if (convolutions.length === 0) return widths.join('-')
  const short = ({ height, width, channels }: FeatureShape) => `${height}x${width}x${channels}`
  const maps = convolutions.flatMap(({ window, pool }) => [
    `conv ${short(window.output)}`,
    ...(pool ? [`pool ${short(pool.window.output)}`] : []),
  ])
  return [short(convolutions[0].window.input), ...maps, ...widths.slice(convolutions.length + 1)].join('-')
}

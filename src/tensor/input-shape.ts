/**
 * Shape of the features of one sample. Pure; any thread.
 *
 * Letters: `H` height, `W` width, `C` channels. A picture's features lie row by row from the top left, the channels of a pixel side
 * by side: (H, W, C), "channels last", in files of data, in the arena and in every layer.
 */

export interface InputShape {
  /** Pixels; 1 for a row of numbers. */
  readonly height: number
  /** Pixels; the number of features for a row of numbers. */
  readonly width: number
  /** Numbers of a pixel: 3 for red, green and blue, else 1. */
  readonly channels: number
}

/** Number of features (F) of a sample. */
export const inputSize = ({ height, width, channels }: InputShape): number => height * width * channels

/** `32 x 32`, `32 x 32 x 3` for messages. */
export const shapeText = ({ height, width, channels }: InputShape): string =>
  channels === 1 ? `${height} x ${width}` : `${height} x ${width} x ${channels}`

export const isSameShape = (a: InputShape, b: InputShape): boolean =>
  a.height === b.height && a.width === b.width && a.channels === b.channels

/**
 * Colours that people with any kind of colour vision can distinguish, and that differ in brightness too: Okabe and Ito for marks; for
 * numbers, viridis (van der Walt and Smith), and around zero blue to white to orange. Any thread.
 */
import type { InputShape } from '../tensor/input-shape.js'
import type { Colour } from './canvas.js'

export const WHITE: Colour = [255, 255, 255]
export const INK: Colour = [32, 32, 32]
export const FAINT: Colour = [120, 120, 120]
export const BLUE: Colour = [0, 114, 178]
export const VERMILION: Colour = [213, 94, 0]

/** Viridis at 0, 1/8, ... 1. */
const VIRIDIS: readonly Colour[] = [
  [68, 1, 84],
  [71, 44, 122],
  [59, 81, 139],
  [44, 113, 142],
  [33, 144, 141],
  [39, 173, 129],
  [92, 200, 99],
  [170, 220, 50],
  [253, 231, 37],
]
const AROUND_ZERO: readonly Colour[] = [
  [0, 60, 110],
  [90, 160, 210],
  [255, 255, 255],
  [240, 150, 70],
  [150, 60, 0],
]

export interface Scale {
  readonly least: number
  readonly most: number
  colourOf(value: number): Colour
}

/** Scale from the least value to the largest; with negative values it is symmetric around zero, which is white. */
export function scaleFor(values: ArrayLike<number>): Scale {
  let [least, most] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
  for (let i = 0; i < values.length; i++) {
    least = Math.min(least, values[i])
    most = Math.max(most, values[i])
  }
  if (!(least <= most)) [least, most] = [0, 0]
  if (least < 0) {
    most = Math.max(-least, most)
    least = -most
  } else least = 0
  const colours = least < 0 ? AROUND_ZERO : VIRIDIS
  const range = most - least
  return { least, most, colourOf: value => between(colours, range === 0 ? 0 : (value - least) / range) }
}

export const gray = (level: number): Colour => [level, level, level]

/** Colours of the pixels (height, width, channels) of an image of bytes. */
export function pixelColours(
  pixels: ArrayLike<number>,
  { width, channels }: Pick<InputShape, 'width' | 'channels'>,
): (column: number, row: number) => Colour {
  if (channels !== 3) return (column, row) => gray(pixels[row * width + column])
  return (column, row) => {
    const at = 3 * (row * width + column)
    return [pixels[at], pixels[at + 1], pixels[at + 2]]
  }
}

function between(colours: readonly Colour[], share: number): Colour {
  const at = Math.min(1, Math.max(0, share)) * (colours.length - 1)
  const below = Math.min(Math.floor(at), colours.length - 2)
  const part = at - below
  const mix = (c: 0 | 1 | 2) => Math.round(colours[below][c] * (1 - part) + colours[below + 1][c] * part)
  return [mix(0), mix(1), mix(2)]
}

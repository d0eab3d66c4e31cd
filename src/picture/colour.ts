/**
 * Pictures in red, green and blue, as a network of three channels takes them: laid over a background and resized, each channel by
 * itself, otherwise as they are. Any thread.
 *
 * Letters: `H` height, `W` width.
 */
import type { Colour } from './canvas.js'
import { WHITE } from './colours.js'
import type { Picture, Size } from './raster.js'
import { resize } from './resize.js'

/** Least difference between the channels of a pixel that has a colour, of 255: scanners tint grey paper by less. */
const LEAST_COLOUR = 17

export const hasColour = (r: number, g: number, b: number): boolean =>
  Math.max(r, g, b) - Math.min(r, g, b) >= LEAST_COLOUR

/** True if some pixel has a colour, or shows one through transparency. */
export function hasColours({ rgba }: Picture, background: Colour | null): boolean {
  const showsColour = background !== null && hasColour(...background)
  for (let i = 0; i < rgba.length; i += 4) {
    const alpha = rgba[i + 3]
    if (alpha > 0 && hasColour(rgba[i], rgba[i + 1], rgba[i + 2])) return true
    if (alpha < 255 && showsColour) return true
  }
  return false
}

/** Pixels (H, W, 3) of `shape`. Transparent ones show `background`; null: white. What was done is added to `steps`. */
export function colourPixels(
  picture: Picture,
  shape: Size,
  background: Colour | null,
  steps: string[],
): Uint8Array<ArrayBuffer> {
  const flat = overBackground(picture, background ?? WHITE, steps)
  const { width, height } = picture
  if (width === shape.width && height === shape.height) return Uint8Array.from(flat, value => Math.round(value))
  const out = new Uint8Array(shape.width * shape.height * 3)
  for (let channel = 0; channel < 3; channel++) {
    const values = new Float32Array(width * height)
    for (let i = 0; i < values.length; i++) values[i] = flat[3 * i + channel]
    const resized = resize({ width, height, values }, shape.width, shape.height).values
    for (let i = 0; i < resized.length; i++) out[3 * i + channel] = Math.round(Math.min(255, Math.max(0, resized[i])))
  }
  return out
}

/** Colours (H, W, 3) from 0 to 255. */
function overBackground({ width, height, rgba }: Picture, background: Colour, steps: string[]): Float32Array {
  const flat = new Float32Array(width * height * 3)
  let isOpaque = true
  for (let i = 0; i < width * height; i++) {
    const alpha = rgba[4 * i + 3] / 255
    isOpaque &&= alpha === 1
    for (let c = 0; c < 3; c++) flat[3 * i + c] = rgba[4 * i + c] * alpha + background[c] * (1 - alpha)
  }
  if (!isOpaque) steps.push(`transparency laid on ${backgroundText(background)}`)
  return flat
}

export function backgroundText(background: Colour): string {
  const [red, green, blue] = background
  if (red === green && green === blue && (red === 0 || red === 255)) return red === 255 ? 'white' : 'black'
  return `(${background.join(', ')})`
}

/** Rec. 601 luma of a colour. */
export const lumaOf = (r: number, g: number, b: number): number => 0.299 * r + 0.587 * g + 0.114 * b

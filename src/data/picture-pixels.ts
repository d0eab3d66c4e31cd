/**
 * A picture of a data set as pixels, in grey and in colour: which of them the set needs is known when all pictures are. Main thread;
 * decodes on the threads of libuv and libvips.
 *
 * Letters: `H` height, `W` width.
 */
import type { Colour } from '../picture/canvas.js'
import { hasColours } from '../picture/colour.js'
import { decodePicture } from '../picture/picture.js'
import { prepare } from '../picture/prepare.js'
import type { Size } from '../picture/raster.js'
import type { Budget } from './in-order.js'

/** How pictures become pixels: `channels` as in the settings. */
export interface PictureForm {
  /** Size that pictures are resized to; null: they are taken as they are. */
  readonly size: Size | null
  readonly channels: 'auto' | 1 | 3
  readonly background: Colour | null
}

export interface PicturePixels extends Size {
  readonly isColoured: boolean
  readonly grey: Uint8Array | null // (H, W)
  readonly colour: Uint8Array | null // (H, W, 3)
  /** True if the colours are `grey` three times, and are left out for that. */
  readonly isNeutral: boolean
}

/** Pixels of a file in the forms that may be needed: `auto` is grey, unless the picture has a colour, and colour. */
export async function decodePixels(
  file: string,
  content: Uint8Array,
  { size, channels, background }: PictureForm,
  budget: Budget,
): Promise<PicturePixels> {
  const picture = await decodePicture(file, content, { size, budget })
  const { height, width } = size ?? picture
  const isColoured = hasColours(picture, background)
  const pixelsOf = (channels: 1 | 3) =>
    prepare(file, picture, { height, width, channels, background, preparation: 'plain' }).pixels
  const grey = channels === 1 || (channels === 'auto' && !isColoured) ? pixelsOf(1) : null
  const colour = channels === 1 ? null : pixelsOf(3)
  const isNeutral = grey !== null && (colour?.every((value, i) => value === grey[Math.floor(i / 3)]) ?? false)
  return { height, width, isColoured, grey, colour: isNeutral ? null : colour, isNeutral }
}

/** True if nothing has to be decoded for these channels. */
export function hasPixels({ isColoured, grey, colour, isNeutral }: PicturePixels, channels: 'auto' | 1 | 3): boolean {
  const hasColour = colour !== null || isNeutral
  if (channels === 'auto') return hasColour && (isColoured || grey !== null)
  return channels === 1 ? grey !== null : hasColour
}

/** Writes the pixels (H, W, channels) to `into`, from `at` on. */
export function writePixels({ grey, colour }: PicturePixels, channels: 1 | 3, into: Uint8Array, at: number): void {
  if (channels === 1) into.set(grey!, at)
  else if (colour !== null) into.set(colour, at)
  else for (let i = 0; i < 3 * grey!.length; i++) into[at + i] = grey![Math.floor(i / 3)]
}

/** Values as pixels: images as they are, layers in a scale of colours. Browser. One value is one pixel; CSS enlarges it. */
import { pixelColours, type Scale, scaleFor } from '../../picture/colours.js'
import { mosaicOf } from '../../picture/mosaic.js'
import type { InputShape } from '../../tensor/input-shape.js'

interface Grid {
  readonly width: number
  readonly height: number
}

/** Draws an image of bytes (height, width, channels): grey, or red, green and blue. */
export function drawImage(
  canvas: HTMLCanvasElement,
  pixels: ArrayLike<number>,
  { width, height, channels }: Grid & { readonly channels: number },
): void {
  const colourOf = pixelColours(pixels, { width, channels })
  paint(canvas, { width, height }, width * height, i => colourOf(i % width, Math.floor(i / width)))
}

/** Columns of the grid for this many units: wider than high, with full rows where possible. */
export function columnsFor(units: number): number {
  if (units <= 16) return units
  const wanted = Math.ceil(Math.sqrt(units * 1.6))
  for (let columns = wanted; columns <= wanted * 1.5; columns++) if (units % columns === 0) return columns
  return wanted
}

/** Draws a layer's units, in viridis, or in a diverging scale where some are negative. */
export function drawUnits(canvas: HTMLCanvasElement, values: readonly number[]): Scale {
  const width = columnsFor(values.length)
  const scale = scaleFor(values)
  paint(canvas, { width, height: Math.ceil(values.length / width) }, values.length, i => scale.colourOf(values[i]))
  return scale
}

/** Draws feature maps one by one, in one scale; cells between them are clear. */
export function drawMaps(canvas: HTMLCanvasElement, values: readonly number[], maps: InputShape): Scale {
  const { width, height, indexAt } = mosaicOf(maps)
  const scale = scaleFor(values)
  paint(canvas, { width, height }, width * height, i => {
    const at = indexAt(i % width, Math.floor(i / width))
    return at === null ? null : scale.colourOf(values[at])
  })
  return scale
}

/** Decodes base64. */
export const bytesOf = (base64: string): Uint8Array => Uint8Array.from(atob(base64), letter => letter.charCodeAt(0))

function paint(
  canvas: HTMLCanvasElement,
  { width, height }: Grid,
  count: number,
  colourOf: (i: number) => readonly [number, number, number] | null,
): void {
  canvas.width = width
  canvas.height = height
  const context = canvas.getContext('2d')!
  const image = context.createImageData(width, height)
  for (let i = 0; i < count; i++) {
    const colour = colourOf(i)
    if (colour !== null) image.data.set([...colour, 255], 4 * i)
  }
  context.putImageData(image, 0, 0)
}

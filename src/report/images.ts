/** Arrays of values as images embedded in a page. Pure; any thread. */
import { Canvas, type Colour } from '../picture/canvas.js'
import { pixelColours, scaleFor, WHITE } from '../picture/colours.js'
import { cellsOf } from '../picture/layers.js'
import { encodePng } from '../picture/png.js'
import type { InputShape } from '../tensor/input-shape.js'
import { type Html, html } from './html.js'

export interface Pixels {
  readonly width: number
  readonly height: number
  colourOf(column: number, row: number): Colour
}

/** Colour of the empty cells of a grid that is not full. */
const EMPTY: Colour = [128, 128, 128]

/** Image with one pixel per value; the style sheet enlarges it, `kind` is its class there. */
export function image(kind: string, alt: string, { width, height, colourOf }: Pixels): Html {
  const canvas = new Canvas(width, height, WHITE)
  canvas.cells({ x: 0, y: 0, scale: 1, width, height, colourOf })
  const bytes = encodePng(width, height, canvas.rgb)
  const url = `data:image/png;base64,${Buffer.from(bytes).toString('base64')}`
  return html`<img class="${kind}" width="${width}" height="${height}" alt="${alt}" src="${url}">`
}

/** `pixels` (height, width, channels). */
export const bytePixels = (pixels: Uint8Array, { height, width, channels }: InputShape): Pixels => ({
  ...{ width, height },
  colourOf: pixelColours(pixels, { width, channels }),
})

/** Image of activations, with the colours and order of `activations --out`. */
export function unitPixels(
  values: Float32Array,
  shape: { height: number; width: number } | null,
  maps?: InputShape,
): Pixels {
  const { columns, rows, indexAt } = cellsOf({ values, shape, ...(maps && { maps }) })
  const scale = scaleFor(values)
  return {
    ...{ width: columns, height: rows },
    colourOf: (column, row) => {
      const at = indexAt(column, row)
      return at === null ? EMPTY : scale.colourOf(values[at])
    },
  }
}

const KEY_WIDTH = 64

/** Colour scale of `unitPixels`, from the least value to the largest, or symmetric around 0 where some are negative. */
export function keyPixels(values: Float32Array): Pixels {
  const { least, most, colourOf } = scaleFor(values)
  return {
    ...{ width: KEY_WIDTH, height: 1 },
    colourOf: column => colourOf(least + ((most - least) * column) / (KEY_WIDTH - 1)),
  }
}

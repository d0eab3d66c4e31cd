/** Images in rows: as it is, then as augmentation changes it from epoch to epoch. Pure; any thread. */

import type { InputShape } from '../tensor/input-shape.js'
import { Canvas } from './canvas.js'
import { BLUE, FAINT, INK, pixelColours, WHITE } from './colours.js'
import { GLYPH, textWidth } from './font.js'

export interface PreviewPicture extends InputShape {
  readonly rows: readonly {
    readonly index: number
    readonly className: string
    readonly original: Uint8Array // (height, width, channels)
    readonly epochs: readonly Uint8Array[] // (height, width, channels) each
  }[]
}

/** Sides of an image in the picture, about. */
const IMAGE = 84
const MARGIN = 8
const SCALE = 2
const LINE = (GLYPH.height + 3) * SCALE
/** Maximum width of an image's caption. */
const NAME_WIDTH = 190

export function drawPreview({ height, width, channels, rows }: PreviewPicture): Canvas {
  const scale = Math.max(1, Math.floor(IMAGE / Math.max(height, width)))
  const step = { x: width * scale + MARGIN, y: Math.max(height * scale, 2 * LINE) + MARGIN }
  const columns = 1 + Math.max(0, ...rows.map(({ epochs }) => epochs.length))
  const names = rows.flatMap(({ index, className }) => [className, `#${index}`])
  const left = Math.min(NAME_WIDTH, Math.max(...names.map(name => textWidth(name, SCALE)))) + 2 * MARGIN
  const top = LINE + MARGIN
  const canvas = new Canvas(left + columns * step.x, top + rows.length * step.y, WHITE)
  const write = (x: number, y: number, text: string, colour = INK) => canvas.text({ x, y, text, colour, scale: SCALE })
  for (let column = 0; column < columns; column++) {
    const title = column === 0 ? 'as is' : `epoch ${column}`
    const fits = textWidth(title, SCALE) <= step.x
    write(left + column * step.x, MARGIN, fits ? title : String(column), column === 0 ? BLUE : FAINT)
  }
  for (const [r, { index, className, original, epochs }] of rows.entries()) {
    const y = top + r * step.y
    const letters = Math.floor(NAME_WIDTH / (GLYPH.step * SCALE))
    write(MARGIN, y, className.slice(0, letters))
    write(MARGIN, y + LINE, `#${index}`, FAINT)
    for (const [column, pixels] of [original, ...epochs].entries()) {
      const x = left + column * step.x
      canvas.cells({
        ...{ x, y, scale, width, height },
        colourOf: pixelColours(pixels, { width, channels }),
      })
      if (column === 0) canvas.frame(x, y, width * scale, height * scale, 2, BLUE)
    }
  }
  return canvas
}

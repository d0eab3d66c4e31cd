/**
 * A contact sheet: images with their predictions. Pure; any thread.
 *
 * Mistakes differ in more than colour: a thick frame, and the text on a dark bar.
 */

import type { InputShape } from '../tensor/input-shape.js'
import { Canvas } from './canvas.js'
import { BLUE, FAINT, INK, pixelColours, VERMILION, WHITE } from './colours.js'
import { GLYPH, textWidth } from './font.js'

export type SheetTile = ClassTile | NumberTile

interface AnyTile {
  readonly pixels: Uint8Array // (height, width, channels) of the image
  /** Name of the image: `#17`, or the name of a file. */
  readonly name: string
}

interface ClassTile extends AnyTile {
  /** Class, and how sure the network is of it, from 0 to 1. */
  readonly className: string
  readonly confidence: number
  /** The right class, where it is known. */
  readonly truth: string | null
}

/** Tile of regression: neither right nor wrong. */
interface NumberTile extends AnyTile {
  readonly number: { readonly value: string; readonly truth: string | null }
}

/** Sides of an image on the sheet, about, in pixels: 28 x 28 seven times as large. */
const IMAGE = 196
const MARGIN = 16
const TEXT_SCALE = 2
const LINE = (GLYPH.height + 3) * TEXT_SCALE
const LINES = 3
/** Between a bar's edge and its words. */
const PAD = 4
const FRAME = { right: 1, wrong: 4 } as const
const MOST_COLUMNS = 10

export function drawSheet(tiles: readonly SheetTile[], shape: InputShape): Canvas {
  const scale = Math.max(1, Math.floor(IMAGE / Math.max(shape.height, shape.width)))
  const width = Math.max(shape.width * scale, IMAGE)
  const height = shape.height * scale
  const caption = LINES * LINE + 2 * PAD
  const [stepX, stepY] = [width + MARGIN, height + caption + MARGIN]
  const columns = Math.max(1, Math.min(MOST_COLUMNS, Math.ceil(Math.sqrt(tiles.length))))
  const canvas = new Canvas(MARGIN + columns * stepX, MARGIN + Math.ceil(tiles.length / columns) * stepY, WHITE)
  for (const [i, tile] of tiles.entries()) {
    const x = MARGIN + (i % columns) * stepX
    const y = MARGIN + Math.floor(i / columns) * stepY
    const left = x + Math.floor((width - shape.width * scale) / 2)
    canvas.cells({
      ...{ x: left, y, scale, width: shape.width, height: shape.height },
      colourOf: pixelColours(tile.pixels, shape),
    })
    const box = { x, y, width, height, caption }
    if ('number' in tile) drawNumber(canvas, tile, box)
    else drawFrameAndWords(canvas, tile, box)
  }
  return canvas
}

interface Box {
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
  readonly caption: number
}

function drawNumber(canvas: Canvas, { number, name }: NumberTile, { x, y, width, height, caption }: Box): void {
  canvas.frame(x, y, width, height + caption, FRAME.right, FAINT)
  for (const [i, line] of [number.value, number.truth === null ? '' : `is ${number.truth}`, name].entries()) {
    const text = clip(line, width - 2 * PAD)
    const colour = i === 2 ? FAINT : INK
    canvas.text({ x: x + PAD, y: y + height + PAD + 3 + i * LINE, text, colour, scale: TEXT_SCALE })
  }
}

function drawFrameAndWords(canvas: Canvas, tile: ClassTile, { x, y, width, height, caption }: Box): void {
  const wrong = tile.truth !== null && tile.truth !== tile.className
  const right = tile.truth !== null && !wrong
  const thickness = wrong ? FRAME.wrong : FRAME.right
  canvas.frame(x, y, width, height + caption, thickness, wrong ? VERMILION : right ? BLUE : FAINT)
  if (wrong) canvas.fill(x, y + height, width, caption, INK)
  const fits = (text: string) => textWidth(text, TEXT_SCALE) <= width - 2 * PAD
  const is = fits(`wrong, is ${tile.truth}`) ? `wrong, is ${tile.truth}` : `is ${tile.truth}`
  const sure = percent(tile.confidence)
  const lines = [`${tile.className}  ${sure}`, wrong ? is : right ? 'right' : '', tile.name]
  // Long class names push the percentage to the next line, whose word can wait.
  if (!fits(lines[0])) {
    lines[0] = tile.className
    lines[1] = wrong ? is : `${sure}${right ? ' right' : ''}`
    lines[2] = wrong ? `${sure} ${tile.name}` : tile.name
  }
  for (const [i, line] of lines.entries()) {
    const colour = wrong ? WHITE : i === 2 ? FAINT : right && i === 1 ? BLUE : INK
    const text = clip(line, width - 2 * PAD)
    canvas.text({ x: x + PAD, y: y + height + PAD + 3 + i * LINE, text, colour, scale: TEXT_SCALE })
  }
}

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`

/** Text cut to this many pixels, with two dots for the rest. */
function clip(text: string, width: number): string {
  const most = Math.floor(width / (GLYPH.step * TEXT_SCALE))
  return text.length <= most ? text : `${text.slice(0, Math.max(0, most - 2))}..`
}

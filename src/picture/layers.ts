/**
 * Activations of every layer for one image, or weights of the first layer, as a picture of panels.
 * Pure; any thread.
 */

import type { InputShape } from '../tensor/input-shape.js'
import { Canvas, type Colour } from './canvas.js'
import { FAINT, INK, pixelColours, type Scale, scaleFor, WHITE } from './colours.js'
import { GLYPH, textWidth } from './font.js'
import { mosaicOf } from './mosaic.js'

export interface LayerPanel {
  /** `input`, `layer 1`, `output` */
  readonly title: string
  /** Note, on a line below. */
  readonly note: string
  readonly values: Float32Array
  /** Names of the units, where they have some: then each is a bar with its name. */
  readonly names: readonly string[] | null
  /** Height and width of the units if they form an image; else null, and a grid is chosen. */
  readonly shape: { readonly height: number; readonly width: number } | null
  /** Bytes (height, width, 3) of a picture in colour, which is drawn as it is. */
  readonly picture?: Uint8Array
  /** Shape of feature maps, which are drawn one by one. */
  readonly maps?: InputShape | undefined
}

const MARGIN = 20
const SCALE = 2
const LINE = (GLYPH.height + 3) * SCALE
/** About the side of a panel, of a square layer. */
const SIDE = 280
const BAR = { width: SIDE, height: 10 } as const
/** The bar leaves room for names of 12 letters. */
const NAMED = { row: 22, bar: 62 } as const
/** Panels side by side. */
const MOST_COLUMNS = 4
const EMPTY: Colour = [225, 225, 225]

/** Columns and rows for a number of units: about square, no row empty. */
export function gridFor(units: number): { columns: number; rows: number } {
  const columns = Math.max(1, Math.ceil(Math.sqrt(units)))
  return { columns, rows: Math.max(1, Math.ceil(units / columns)) }
}

export function drawLayers(panels: readonly LayerPanel[]): Canvas {
  const sized = panels.map(panel => ({ panel, ...sizeOf(panel) }))
  const columns = Math.min(MOST_COLUMNS, Math.max(1, panels.length))
  const rows = Array.from({ length: Math.ceil(sized.length / columns) }, (_, row) =>
    sized.slice(row * columns, (row + 1) * columns),
  )
  const cellWidth = Math.max(...sized.map(({ width }) => width))
  const heights = rows.map(row => Math.max(...row.map(({ height }) => height)))
  const total = heights.reduce((sum, height) => sum + height + MARGIN, MARGIN)
  const canvas = new Canvas(MARGIN + columns * (cellWidth + MARGIN), total, WHITE)
  let y = MARGIN
  for (const [r, row] of rows.entries()) {
    for (const [c, { panel }] of row.entries()) drawPanel(canvas, panel, MARGIN + c * (cellWidth + MARGIN), y)
    y += heights[r] + MARGIN
  }
  return canvas
}

/** Title, note, units, scale with its labels. */
function sizeOf(panel: LayerPanel): { width: number; height: number } {
  const { width, height } = bodySize(panel)
  const words = Math.max(textWidth(panel.title, SCALE), textWidth(panel.note, SCALE))
  const scale = panel.names === null && panel.picture === undefined ? MARGIN / 2 + BAR.height + LINE : 0
  return { width: Math.max(width, words, BAR.width), height: 2 * LINE + height + scale }
}

/** Columns and rows of a panel's values, and the index of each cell's; null: it has none. */
export function cellsOf({ values, shape, maps }: Pick<LayerPanel, 'values' | 'shape' | 'maps'>) {
  if (maps) {
    const { width: columns, height: rows, indexAt } = mosaicOf(maps)
    return { columns, rows, indexAt }
  }
  const { columns, rows } = shape ? { columns: shape.width, rows: shape.height } : gridFor(values.length)
  const indexAt = (column: number, row: number) => {
    const unit = row * columns + column
    return unit < values.length ? unit : null
  }
  return { columns, rows, indexAt }
}

function bodySize(panel: LayerPanel): { width: number; height: number; pixel: number } {
  if (panel.names !== null) return { width: SIDE, height: panel.values.length * NAMED.row, pixel: 1 }
  const { columns, rows } = cellsOf(panel)
  const pixel = Math.max(1, Math.floor(SIDE / Math.max(columns, rows)))
  return { width: columns * pixel, height: rows * pixel, pixel }
}

function drawPanel(canvas: Canvas, panel: LayerPanel, x: number, y: number): void {
  canvas.text({ x, y, text: panel.title, colour: INK, scale: SCALE })
  canvas.text({ x, y: y + LINE, text: panel.note, colour: FAINT, scale: SCALE })
  const top = y + 2 * LINE
  if (panel.names !== null) {
    drawNamed(canvas, panel.values, panel.names, x, top)
    return
  }
  const { values, shape, picture } = panel
  const { height, pixel } = bodySize(panel)
  if (picture !== undefined && shape !== null) {
    const colourOf = pixelColours(picture, { width: shape.width, channels: 3 })
    canvas.cells({ ...{ x, y: top, ...shape, scale: pixel }, colourOf })
    return
  }
  const scale = scaleFor(values)
  const { columns, rows, indexAt } = cellsOf(panel)
  canvas.cells({
    ...{ x, y: top, width: columns, height: rows, scale: pixel },
    colourOf: (column, row) => {
      const at = indexAt(column, row)
      return at === null ? EMPTY : scale.colourOf(values[at])
    },
  })
  drawScale(canvas, scale, x, top + height + MARGIN / 2)
}

/** The colours from the least to the most, with both numbers below. */
function drawScale(canvas: Canvas, scale: Scale, x: number, y: number): void {
  const range = scale.most - scale.least
  for (let i = 0; i < BAR.width; i++) {
    canvas.fill(x + i, y, 1, BAR.height, scale.colourOf(scale.least + (range * i) / (BAR.width - 1)))
  }
  const most = short(scale.most)
  canvas.text({ x, y: y + BAR.height + 3, text: short(scale.least), colour: INK, scale: SCALE })
  const right = x + BAR.width - textWidth(most, SCALE)
  canvas.text({ x: right, y: y + BAR.height + 3, text: most, colour: INK, scale: SCALE })
}

/** A unit a row: name, bar, value from 0 to 1. The largest is darkest. */
function drawNamed(canvas: Canvas, values: Float32Array, names: readonly string[], x: number, y: number): void {
  const most = Math.max(...values)
  const letters = GLYPH.step * SCALE
  const room = Math.floor((SIDE - NAMED.bar - 6 * letters) / letters)
  for (const [i, value] of values.entries()) {
    const top = y + i * NAMED.row
    const colour = value === most ? INK : FAINT
    canvas.text({ x, y: top + 3, text: names[i].slice(0, room), colour, scale: SCALE })
    const left = x + room * letters
    canvas.fill(left, top + 2, NAMED.bar, NAMED.row - 6, EMPTY)
    canvas.fill(left, top + 2, Math.round(NAMED.bar * value), NAMED.row - 6, colour)
    canvas.text({ x: left + NAMED.bar + letters / 2, y: top + 3, text: value.toFixed(3), colour, scale: SCALE })
  }
}

/** Three significant digits, without zeros that say nothing. */
export function short(value: number): string {
  if (value !== 0 && (Math.abs(value) < 0.001 || Math.abs(value) >= 100_000)) return value.toExponential(1)
  return String(Number(value.toPrecision(3)))
}

export interface WeightTile {
  readonly unit: number
  /** (height, width, channels) of the input. */
  readonly values: Float32Array
  readonly caption: string
}

const WEIGHT_SIDE = 112
const WEIGHT_GAP = 10
/** Weights of units to all inputs, each as an image over the input; one scale for all, so that they can be compared. */
export function drawWeights(title: string, tiles: readonly WeightTile[], shape: InputShape): Canvas {
  const pixel = Math.max(1, Math.floor(WEIGHT_SIDE / Math.max(shape.height, shape.width)))
  const scale = scaleFor(concat(tiles))
  const { columns, rows } = gridFor(tiles.length)
  const words = tiles.map(({ caption }) => textWidth(caption, SCALE))
  const cell = { width: Math.max(shape.width * pixel, WEIGHT_SIDE, ...words), height: shape.height * pixel + LINE }
  const head = LINE + WEIGHT_GAP
  const keyWidth = shape.channels === 3 ? textWidth(colourKey(scale), SCALE) : BAR.width
  const width = Math.max(columns * (cell.width + WEIGHT_GAP), textWidth(title, SCALE), keyWidth) + 2 * MARGIN
  const canvas = new Canvas(width, 2 * MARGIN + head + rows * (cell.height + WEIGHT_GAP) + BAR.height + LINE, WHITE)
  canvas.text({ x: MARGIN, y: MARGIN, text: title, colour: INK, scale: SCALE })
  for (const [i, { values, caption }] of tiles.entries()) {
    const x = MARGIN + (i % columns) * (cell.width + WEIGHT_GAP)
    const y = MARGIN + head + Math.floor(i / columns) * (cell.height + WEIGHT_GAP)
    canvas.cells({
      ...{ x, y, width: shape.width, height: shape.height, scale: pixel },
      colourOf: weightColours(values, shape, scale),
    })
    canvas.frame(x, y, shape.width * pixel, shape.height * pixel, 1, EMPTY)
    canvas.text({ x, y: y + shape.height * pixel + 4, text: caption, colour: FAINT, scale: SCALE })
  }
  const foot = MARGIN + head + rows * (cell.height + WEIGHT_GAP)
  if (shape.channels === 3) canvas.text({ x: MARGIN, y: foot, text: colourKey(scale), colour: INK, scale: SCALE })
  else drawScale(canvas, scale, MARGIN, foot)
  return canvas
}

/** Weights of three channels as a colour: grey for 0, of each channel more for positive and less for negative ones. */
function weightColours(values: Float32Array, shape: InputShape, scale: Scale): (column: number, row: number) => Colour {
  if (shape.channels !== 3) return (column, row) => scale.colourOf(values[row * shape.width + column])
  const levels = values.map(value => (scale.most === 0 ? 128 : Math.round(127.5 + (127.5 * value) / scale.most)))
  return pixelColours(levels, shape)
}

const colourKey = ({ most }: Scale): string =>
  `red, green, blue: grey is 0, full is ${short(most)}, none is ${short(-most)}`

function concat(tiles: readonly WeightTile[]): Float32Array {
  const all = new Float32Array(tiles.reduce((sum, { values }) => sum + values.length, 0))
  let at = 0
  for (const { values } of tiles) {
    all.set(values, at)
    at += values.length
  }
  return all
}

/** A picture to draw on: rectangles, letters, and arrays of numbers as pixels. Nothing is drawn outside. Any thread. */
import { drawnAs, GLYPH, glyphOf } from './font.js'

export type Colour = readonly [red: number, green: number, blue: number]

/** Words to draw: `scale` pixels for each of the font's. */
export interface Words {
  readonly x: number
  readonly y: number
  readonly text: string
  readonly colour: Colour
  readonly scale?: number
}

/** Numbers (height, width) to draw as squares of `scale` pixels. */
export interface Cells {
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
  readonly scale: number
  colourOf(column: number, row: number): Colour
}

export class Canvas {
  readonly rgb: Uint8Array // (height, width, 3)

  constructor(
    readonly width: number,
    readonly height: number,
    background: Colour,
  ) {
    this.rgb = new Uint8Array(width * height * 3)
    this.fill(0, 0, width, height, background)
  }

  fill(x: number, y: number, width: number, height: number, colour: Colour): void {
    const [left, right] = [Math.max(0, x), Math.min(this.width, x + width)]
    for (let row = Math.max(0, y); row < Math.min(this.height, y + height); row++) {
      for (let column = left; column < right; column++) this.rgb.set(colour, (row * this.width + column) * 3)
    }
  }

  /** A frame of this many pixels around the rectangle, outside of it. */
  frame(x: number, y: number, width: number, height: number, thickness: number, colour: Colour): void {
    const across = width + 2 * thickness
    this.fill(x - thickness, y - thickness, across, thickness, colour)
    this.fill(x - thickness, y + height, across, thickness, colour)
    this.fill(x - thickness, y, thickness, height, colour)
    this.fill(x + width, y, thickness, height, colour)
  }

  text({ x, y, text, colour, scale = 1 }: Words): void {
    for (const [i, character] of drawnAs(text).entries()) {
      const left = x + i * GLYPH.step * scale
      for (const [row, bits] of glyphOf(character).entries()) {
        for (let column = 0; column < GLYPH.width; column++) {
          if ((bits >> (GLYPH.width - 1 - column)) & 1) {
            this.fill(left + column * scale, y + row * scale, scale, scale, colour)
          }
        }
      }
    }
  }

  cells({ x, y, width, height, scale, colourOf }: Cells): void {
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++) {
        this.fill(x + column * scale, y + row * scale, scale, scale, colourOf(column, row))
      }
    }
  }
}

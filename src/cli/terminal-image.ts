/**
 * Images as text: half blocks in 24-bit colour or the 256 colours of a terminal, else letters from light to dark.
 * Pure; any thread.
 */
import type { Colour } from '../picture/canvas.js'
import { lumaOf } from '../picture/colour.js'
import { pixelColours } from '../picture/colours.js'
import { resize } from '../picture/resize.js'
import type { InputShape } from '../tensor/input-shape.js'

export type ColourDepth = 'true' | '256' | 'none'

export interface TextImage extends InputShape {
  readonly pixels: Uint8Array // (height, width, channels)
}

/** Colour depth of the stream, or none where the user does not want colour. */
export function colourDepth(stream: { readonly isTTY?: boolean }, env: NodeJS.ProcessEnv = process.env): ColourDepth {
  if (stream.isTTY !== true || env.NO_COLOR || env.TERM === 'dumb') return 'none'
  return /^(truecolor|24bit)$/i.test(env.COLORTERM ?? '') ? 'true' : '256'
}

/** Characters from background to full ink, on a dark or a light terminal: what counts is how much of a cell is covered. */
const RAMP = ' .:-=+*#%@'

/** A cell is about twice as high as wide, so two rows of pixels make a line. At most `columns` wide. */
export function imageLines(image: TextImage, depth: ColourDepth, columns: number): string[] {
  const { pixels, ...shape } = fitted(image, columns)
  const { height, width } = shape
  const colourOf = pixelColours(pixels, shape)
  const at = (x: number, y: number): Colour => (y < height ? colourOf(x, y) : [0, 0, 0])
  return Array.from({ length: Math.ceil(height / 2) }, (_, line) => {
    const cells = Array.from({ length: width }, (_, x) => [at(x, 2 * line), at(x, 2 * line + 1)] as const)
    if (depth === 'none')
      return cells
        .map(([top, bottom]) => letter((brightness(top) + brightness(bottom)) / 2))
        .join('')
        .trimEnd()
    const text = cells.map(([top, bottom]) => `\x1b[${ink(38, top, depth)};${ink(48, bottom, depth)}m▀`)
    return `${text.join('')}\x1b[0m`
  })
}

const letter = (level: number): string => RAMP[Math.round((level / 255) * (RAMP.length - 1))]

/** Luma; the level itself where a pixel is grey. */
const brightness = ([r, g, b]: Colour): number => (r === g && g === b ? r : lumaOf(r, g, b))

function ink(code: 38 | 48, colour: Colour, depth: 'true' | '256'): string {
  const [level, green, blue] = colour
  if (depth === 'true') return `${code};2;${colour.join(';')}`
  if (level !== green || level !== blue) {
    // 16 to 231 are a cube of six levels a channel: 0, then 95 to 255 in forties.
    const [r, g, b] = colour.map(value => (value < 48 ? 0 : Math.max(1, Math.round((value - 55) / 40))))
    return `${code};5;${16 + 36 * r + 6 * g + b}`
  }
  // 16 is black, 231 white, and 232 to 255 go from 8 to 238 in tens.
  const step = Math.round((level - 8) / 10)
  return `${code};5;${step < 0 ? 16 : step > 23 ? 231 : 232 + step}`
}

function fitted(image: TextImage, columns: number): TextImage {
  const { pixels, height, width, channels } = image
  if (width <= columns) return image
  const toWidth = Math.max(1, columns)
  const toHeight = Math.max(1, Math.round((height * toWidth) / width))
  const out = new Uint8Array(toWidth * toHeight * channels)
  for (let c = 0; c < channels; c++) {
    const plane = Float32Array.from({ length: width * height }, (_, i) => pixels[i * channels + c])
    const { values } = resize({ width, height, values: plane }, toWidth, toHeight)
    for (let i = 0; i < values.length; i++) out[i * channels + c] = Math.round(values[i])
  }
  return { pixels: out, height: toHeight, width: toWidth, channels }
}

/**
 * Grey images as text: half blocks in 24-bit colour or the 256 colours of a terminal, else letters from light to dark.
 * Pure; any thread.
 */
import { resize } from '../picture/resize.js'

export type ColourDepth = 'true' | '256' | 'none'

export interface GrayImage {
  readonly pixels: Uint8Array // (height, width)
  readonly height: number
  readonly width: number
}

/** Colour depth of the stream, or none where the user does not want colour. */
export function colourDepth(stream: { readonly isTTY?: boolean }, env: NodeJS.ProcessEnv = process.env): ColourDepth {
  if (stream.isTTY !== true || env.NO_COLOR || env.TERM === 'dumb') return 'none'
  return /^(truecolor|24bit)$/i.test(env.COLORTERM ?? '') ? 'true' : '256'
}

/** Characters from background to full ink, on a dark or a light terminal: what counts is how much of a cell is covered. */
const RAMP = ' .:-=+*#%@'

/** A cell is about twice as high as wide, so two rows of pixels make a line. At most `columns` wide. */
export function imageLines(image: GrayImage, depth: ColourDepth, columns: number): string[] {
  const { pixels, height, width } = fitted(image, columns)
  const at = (x: number, y: number) => (y < height ? pixels[y * width + x] : 0)
  return Array.from({ length: Math.ceil(height / 2) }, (_, line) => {
    const cells = Array.from({ length: width }, (_, x) => [at(x, 2 * line), at(x, 2 * line + 1)] as const)
    if (depth === 'none')
      return cells
        .map(([top, bottom]) => letter((top + bottom) / 2))
        .join('')
        .trimEnd()
    const text = cells.map(([top, bottom]) => `\x1b[${ink(38, top, depth)};${ink(48, bottom, depth)}m▀`)
    return `${text.join('')}\x1b[0m`
  })
}

const letter = (level: number): string => RAMP[Math.round((level / 255) * (RAMP.length - 1))]

function ink(code: 38 | 48, level: number, depth: 'true' | '256'): string {
  if (depth === 'true') return `${code};2;${level};${level};${level}`
  // 16 is black, 231 white, and 232 to 255 go from 8 to 238 in tens.
  const step = Math.round((level - 8) / 10)
  return `${code};5;${step < 0 ? 16 : step > 23 ? 231 : 232 + step}`
}

function fitted(image: GrayImage, columns: number): GrayImage {
  const { pixels, height, width } = image
  if (width <= columns) return image
  const toWidth = Math.max(1, columns)
  const toHeight = Math.max(1, Math.round((height * toWidth) / width))
  const { values } = resize({ width, height, values: Float32Array.from(pixels) }, toWidth, toHeight)
  return { pixels: Uint8Array.from(values, Math.round), height: toHeight, width: toWidth }
}

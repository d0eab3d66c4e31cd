/**
 * Pictures from anywhere to what a network was trained on: as MNIST was prepared (LeCun, Cortes, Burges), whose digits
 * are fitted into 20 x 20 with their proportions kept and put into 28 x 28 so that their centre of mass is in the
 * middle; as Fashion-MNIST was; or plainly resized. Which of them is recorded with the model. Any thread.
 */
import type { Colour } from './canvas.js'
import { backgroundText, colourPixels, hasColour, lumaOf } from './colour.js'
import { type DecodeOptions, decodePicture } from './picture.js'
import { MNIST_SIDE, type PictureInput, type Preparation } from './preparation.js'
import { type Picture, PictureError, type Size } from './raster.js'
import { type Gray, resize } from './resize.js'

export interface Prepared {
  /** (height, width, channels) bytes; background 0, unless `plain`. */
  readonly pixels: Uint8Array
  /** Steps that were applied, in order, for the user. */
  readonly steps: readonly string[]
}

/** Longest side of a picture before ink is looked for in it: bounds the work, and keeps a digit of 2 % of the sheet. */
const MOST_SIDE = 1024

/** The picture in `bytes` as the network wants it. `where` begins messages. Throws PictureError. */
export async function preparePicture(
  where: string,
  bytes: Uint8Array,
  input: PictureInput,
  { mostPixels }: Pick<DecodeOptions, 'mostPixels'> = {},
): Promise<Prepared> {
  const { height, width } = input
  const target = input.preparation === 'plain' ? { size: { height, width } } : { mostSide: MOST_SIDE }
  const picture = await decodePicture(where, bytes, { ...target, ...(mostPixels !== undefined && { mostPixels }) })
  return prepare(where, picture, input)
}

const sizeText = ({ width, height }: Size): string => `${width} x ${height}`

/** Longest side of the object in the picture, of 28. */
const BOX: Readonly<Record<Exclude<Preparation, 'plain'>, number>> = { mnist: 20, 'fashion-mnist': MNIST_SIDE }
/** Contrast, of 255, below which a picture is noise, or empty. */
const LEAST_CONTRAST = 24
/** Share of the pixels that may be dust or glare. Not more: a small digit on a large sheet is few pixels too. */
const DUST = 0.0001
/** Share of the contrast that still counts as background; more if the background itself varies. */
const LEAST_INK = 0.05
const MOST_INK = 0.5

/** Pixels of a decoded picture; the input's size and channels are for `plain`. `where` begins messages: the picture's name. */
export function prepare(where: string, picture: Picture, input: PictureInput): Prepared {
  const { preparation, background } = input
  const steps: string[] = []
  const { original = picture } = picture
  const sayResized = () => {
    if (original.width === input.width && original.height === input.height) return
    steps.push(`resized from ${sizeText(original)} to ${sizeText(input)}`)
  }
  if (input.channels === 3) {
    const pixels = colourPixels(picture, input, background, steps)
    sayResized()
    return { pixels, steps }
  }
  const gray = flatten(picture, background, steps)
  if (preparation === 'plain') {
    sayResized()
    // libvips only shrinks pictures here: it would shift them by half a pixel when it enlarges them.
    return { pixels: toBytes(resize(gray, input.width, input.height)), steps }
  }
  if (original.width !== picture.width) steps.push(`resized from ${sizeText(original)} to ${sizeText(picture)}`)
  const ink = inkOf(where, gray, steps)
  const cropped = crop(where, ink, steps)
  const scale = BOX[preparation] / Math.max(cropped.width, cropped.height)
  const width = Math.max(1, Math.round(cropped.width * scale))
  const height = Math.max(1, Math.round(cropped.height * scale))
  const fitted = brighten(resize(cropped, width, height), steps)
  const { x, y } = preparation === 'mnist' ? placeByMass(fitted) : placeByEdges(fitted)
  steps.push(
    `fitted into ${width} x ${height}, ${preparation === 'mnist' ? 'centre of mass' : 'middle'} in the middle of ${MNIST_SIDE} x ${MNIST_SIDE}`,
  )
  const placed: Gray = { width: MNIST_SIDE, height: MNIST_SIDE, values: new Float32Array(MNIST_SIDE * MNIST_SIDE) }
  for (let row = 0; row < height; row++) {
    placed.values.set(fitted.values.subarray(row * width, (row + 1) * width), (y + row) * MNIST_SIDE + x)
  }
  return { pixels: toBytes(placed), steps }
}

/** Grey from 0 to 1. Transparent pixels show the background; null: paper, white under dark ink, black under light ink. */
function flatten({ width, height, rgba }: Picture, background: Colour | null, steps: string[]): Gray {
  const values = new Float32Array(width * height)
  let light = 0
  let opacity = 0
  let coloured = false
  for (let i = 0; i < values.length; i++) {
    const [r, g, b, a] = [rgba[4 * i], rgba[4 * i + 1], rgba[4 * i + 2], rgba[4 * i + 3] / 255]
    coloured ||= a > 0 && hasColour(r, g, b)
    values[i] = lumaOf(r, g, b) / 255
    light += values[i] * a
    opacity += a
  }
  if (coloured) steps.push('colours to grey')
  if (opacity < values.length) {
    const paper = background ? lumaOf(...background) / 255 : light < opacity / 2 ? 1 : 0
    for (let i = 0; i < values.length; i++) {
      const a = rgba[4 * i + 3] / 255
      values[i] = values[i] * a + paper * (1 - a)
    }
    steps.push(`transparency laid on ${background ? backgroundText(background) : paper === 1 ? 'white' : 'black'}`)
  }
  return { width, height, values }
}

/** 0 where there is background, 1 where there is most ink; dark ink on light paper is inverted. */
function inkOf(where: string, { width, height, values }: Gray, steps: string[]): Gray {
  const edge = edgeOf({ width, height, values })
  const paper = quantile(edge, 0.5)
  const sorted = Float32Array.from(values).sort()
  const [dark, light] = [quantile(sorted, DUST, true), quantile(sorted, 1 - DUST, true)]
  const invert = paper - dark > light - paper
  const contrast = invert ? paper - dark : light - paper
  if (contrast * 255 < LEAST_CONTRAST) {
    const got = Math.round(contrast * 255)
    throw new PictureError(`${where}: contrast is ${got} of 255, expected at least ${LEAST_CONTRAST}; it looks empty`)
  }
  if (invert) steps.push('inverted: dark on light')
  const noise = quantile(
    edge.map(value => Math.abs(value - paper)),
    0.95,
  )
  const least = Math.min(MOST_INK, Math.max(LEAST_INK, (2 * noise) / contrast))
  const ink = values.map(value => {
    const amount = Math.min(1, (invert ? paper - value : value - paper) / contrast)
    return amount < least ? 0 : amount
  })
  if (contrast < 0.9) steps.push(`contrast stretched from ${Math.round(contrast * 255)} to 255`)
  return { width, height, values: ink }
}

/** The outermost pixels: one row and column, or a fiftieth of a large picture. */
function edgeOf({ width, height, values }: Gray): Float32Array {
  const depth = Math.max(1, Math.floor(Math.min(width, height) / 50))
  return values.filter((_, i) => {
    const [x, y] = [i % width, Math.floor(i / width)]
    return Math.min(x, y, width - 1 - x, height - 1 - y) < depth
  })
}

function quantile(values: Float32Array, share: number, sorted = false): number {
  const ordered = sorted ? values : Float32Array.from(values).sort()
  return ordered[Math.round(share * (ordered.length - 1))]
}

/** Crops to the ink. */
function crop(where: string, { width, height, values }: Gray, steps: string[]): Gray {
  let [left, top, right, bottom] = [width, height, -1, -1]
  for (let i = 0; i < values.length; i++) {
    if (values[i] === 0) continue
    const [x, y] = [i % width, Math.floor(i / width)]
    left = Math.min(left, x)
    right = Math.max(right, x)
    top = Math.min(top, y)
    bottom = Math.max(bottom, y)
  }
  if (right < 0) throw new PictureError(`${where}: no ink was found, expected something to recognise`)
  const [outWidth, outHeight] = [right - left + 1, bottom - top + 1]
  const out = new Float32Array(outWidth * outHeight)
  for (let y = 0; y < outHeight; y++) {
    const from = (top + y) * width + left
    out.set(values.subarray(from, from + outWidth), y * outWidth)
  }
  steps.push(`cut to ${outWidth} x ${outHeight} of ${width} x ${height}`)
  return { width: outWidth, height: outHeight, values: out }
}

/** Thin lines grow faint when they are made small; the brightest pixel becomes white again. */
function brighten(gray: Gray, steps: string[]): Gray {
  const most = gray.values.reduce((largest, value) => Math.max(largest, value), 0)
  if (most >= 0.9 || most === 0) return gray
  steps.push('thin lines made brighter')
  return { ...gray, values: gray.values.map(value => value / most) }
}

/** Position by centre of mass. In MNIST it lies in [14, 15) x [14, 15) for every image, counted from the edges: also in all test `digits`. */
function placeByMass({ width, height, values }: Gray): { x: number; y: number } {
  let [mass, x, y] = [0, 0, 0]
  for (let i = 0; i < values.length; i++) {
    mass += values[i]
    x += values[i] * ((i % width) + 0.5)
    y += values[i] * (Math.floor(i / width) + 0.5)
  }
  const place = (centre: number, size: number) =>
    Math.min(MNIST_SIDE - size, Math.max(0, Math.ceil(MNIST_SIDE / 2 - centre)))
  return { x: place(x / mass, width), y: place(y / mass, height) }
}

function placeByEdges({ width, height }: Gray): { x: number; y: number } {
  return { x: Math.floor((MNIST_SIDE - width) / 2), y: Math.floor((MNIST_SIDE - height) / 2) }
}

function toBytes({ values }: Gray): Uint8Array {
  return Uint8Array.from(values, value => Math.round(255 * Math.min(1, Math.max(0, value))))
}

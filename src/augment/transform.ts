/**
 * The transform of one image of a mini-batch: a pure function of seed, epoch, image and its class. Runs in workers. Only
 * operations that round the same everywhere (+ - * / and the square root), as in tensor/exact-math.ts.
 *
 * Affine and elastic deformation: Simard, Steinkraus, Platt 2003, "Best practices for convolutional neural networks
 * applied to visual document analysis", with the limits of Ciresan et al. 2010 (arXiv 1003.0358). Random erasing: Zhong
 * et al. 2017 (arXiv 1708.04896). Cutout: DeVries and Taylor 2017 (arXiv 1708.04552). Plain images at the end: He et al. 2019, "Data augmentation revisited" (arXiv
 * 1909.09148).
 */
import type { Experiment } from '../config/schema.js'
import { cosineSine, exponential } from '../tensor/exact-math.js'
import type { InputShape } from '../tensor/input-shape.js'
import { keyOf, Purpose, philox } from '../tensor/random.js'

/** Settings of augmentation, with the shape of an image. All channels of a pixel move together. */
export interface Augmentation extends Omit<Experiment['augment'], 'perClass'>, InputShape {
  /** Factors of rotation and shear by class; null: 1. */
  readonly perClass: readonly number[] | null
}

/** Second word of the counter (image, stream, index, epoch): what the words are for. */
export const Stream = { transform: 0, elastic: 1, noise: 2, erase: 3, colour: 4, mixup: 5 } as const

/** A rectangle of pixels, [left, right) x [top, bottom). */
export interface Rectangle {
  left: number
  right: number
  top: number
  bottom: number
}

/**
 * Source in the old image of pixel (x, y) of the new one: (m[0]·x + m[1]·y + m[2], m[3]·x + m[4]·y + m[5]), in
 * f32; the pixels that are erased and those that are cut out, none where right is 0; and factors of the colours.
 */
export interface Transform {
  readonly matrix: Float32Array // (6)
  readonly erased: Rectangle
  readonly cut: Rectangle
  readonly colour: ColourFactors
}

/** Factors of brightness, contrast and saturation, f32. */
export interface ColourFactors {
  brightness: number
  contrast: number
  saturation: number
}

/** True if the settings leave images unchanged. */
export function isPlain(settings: Experiment['augment']): boolean {
  const { shift, rotate, scale, shear, elastic, flip, erase, noise, crop, cutout, mixup } = settings
  const amounts = [shift, rotate, scale, shear, elastic.alpha, flip, erase.probability, noise, crop, cutout, mixup]
  return amounts.every(amount => amount === 0) && !changesColours(settings)
}

/** True if the settings change brightness, contrast or saturation. */
export const changesColours = ({
  brightness,
  contrast,
  saturation,
}: Pick<Experiment['augment'], keyof ColourFactors>): boolean => brightness > 0 || contrast > 0 || saturation > 0

/** Returns a function that draws the transform of an image; the result is overwritten by the next call. */
export function transforms(
  augmentation: Augmentation,
  seed: number,
): (image: number, epoch: number, label: number) => Transform {
  const { height, width, shift, rotate, scale, shear, flip, perClass, crop, cutout } = augmentation
  const [k0, k1] = keyOf(seed, Purpose.augmentation)
  const words = new Uint32Array(4)
  const matrix = new Float32Array(6)
  const erased: Rectangle = { left: 0, right: 0, top: 0, bottom: 0 }
  const cut: Rectangle = { left: 0, right: 0, top: 0, bottom: 0 }
  const colour: ColourFactors = { brightness: 1, contrast: 1, saturation: 1 }
  const drawsColour = changesColours(augmentation)
  const centre = { x: (width - 1) / 2, y: (height - 1) / 2 }

  return (image, epoch, label) => {
    philox(words, image, Stream.transform, 0, epoch, k0, k1)
    const factor = perClass === null ? 1 : perClass[label]
    const turns = (symmetric(words[0]) * rotate * factor) / 360
    const [cosine, sine] = cosineSine((turns < 0 ? turns + 1 : turns) * 2 ** 32 - 0.5)
    const slant = symmetric(words[1]) * shear * factor
    const zoom = { x: 1 + symmetric(words[2]) * scale, y: 1 + symmetric(words[3]) * scale }

    philox(words, image, Stream.transform, 1, epoch, k0, k1)
    const moved = { x: symmetric(words[0]) * shift, y: symmetric(words[1]) * shift }
    const mirror = uniform(words[2]) < flip ? -1 : 1
    const erases = uniform(words[3]) < augmentation.erase.probability

    if (crop > 0 || cutout > 0) {
      philox(words, image, Stream.transform, 3, epoch, k0, k1)
      moved.x += Math.floor(uniform(words[0]) * (2 * crop + 1)) - crop
      moved.y += Math.floor(uniform(words[1]) * (2 * crop + 1)) - crop
      if (cutout > 0) placeCut(cut, augmentation, words)
    }
    if (drawsColour) {
      philox(words, image, Stream.colour, 0, epoch, k0, k1)
      colour.brightness = Math.fround(1 + symmetric(words[0]) * augmentation.brightness)
      colour.contrast = Math.fround(1 + symmetric(words[1]) * augmentation.contrast)
      colour.saturation = Math.fround(1 + symmetric(words[2]) * augmentation.saturation)
    }

    // The transform is rotation · shear · zoom about the centre, then the shift; the matrix is its inverse.
    const a = (mirror * (cosine + slant * sine)) / zoom.x
    const b = (mirror * (sine - slant * cosine)) / zoom.x
    const c = -sine / zoom.y
    const d = cosine / zoom.y
    const [x, y] = [centre.x + moved.x, centre.y + moved.y]
    matrix[0] = a
    matrix[1] = b
    matrix[2] = centre.x - a * x - b * y
    matrix[3] = c
    matrix[4] = d
    matrix[5] = centre.y - c * x - d * y

    erased.right = 0
    if (erases) {
      philox(words, image, Stream.transform, 2, epoch, k0, k1)
      drawErased(erased, augmentation, words)
    }
    return { matrix, erased, cut, colour }
  }
}

const uniform = (word: number): number => (word + 0.5) / 2 ** 32
const symmetric = (word: number): number => (word + 0.5) / 2 ** 31 - 1

/** Zhong et al.'s limits of a rectangle's height over its width. */
const ASPECT = { min: 0.3, max: 1 / 0.3 }
const MIN_AREA = 0.02

function drawErased(to: Rectangle, { height, width, erase }: Augmentation, words: Uint32Array): void {
  const least = Math.min(MIN_AREA, erase.area)
  const area = (least + (erase.area - least) * uniform(words[0])) * height * width
  const aspect = ASPECT.min + (ASPECT.max - ASPECT.min) * uniform(words[1])
  const tall = Math.min(Math.max(Math.round(Math.sqrt(area * aspect)), 1), height)
  const wide = Math.min(Math.max(Math.round(Math.sqrt(area / aspect)), 1), width)
  to.left = Math.floor(uniform(words[2]) * (width - wide + 1))
  to.top = Math.floor(uniform(words[3]) * (height - tall + 1))
  to.right = to.left + wide
  to.bottom = to.top + tall
}

/** A square with its centre anywhere in the image, cut at the edges; words 2 and 3 are its own. */
function placeCut(to: Rectangle, { height, width, cutout }: Augmentation, words: Uint32Array): void {
  const left = Math.floor(uniform(words[2]) * width) - Math.floor(cutout / 2)
  const top = Math.floor(uniform(words[3]) * height) - Math.floor(cutout / 2)
  to.left = Math.max(left, 0)
  to.top = Math.max(top, 0)
  to.right = Math.min(left + cutout, width)
  to.bottom = Math.min(top + cutout, height)
}

/** Sets the pixels of a rectangle in an image (height, width, channels), from `at` on, to 0. */
export function blacken(
  pixels: Uint8Array,
  at: number,
  { left, right, top, bottom }: Rectangle,
  { width, channels }: Augmentation,
): void {
  for (let y = top; y < bottom; y++) {
    pixels.fill(0, at + (y * width + left) * channels, at + (y * width + right) * channels)
  }
}

/** Sets the erased pixels of an image (height, width, channels), from `at` on, to 0, or to random numbers of its own. */
export function eraser(
  augmentation: Augmentation,
  seed: number,
): (pixels: Uint8Array, at: number, erased: Rectangle, image: number, epoch: number) => void {
  const [k0, k1] = keyOf(seed, Purpose.augmentation)
  const words = new Uint32Array(4)
  const bytes = new Uint8Array(16)
  const { width, channels, erase } = augmentation
  return (pixels, at, erased, image, epoch) => {
    if (erase.fill === 'zero') {
      blacken(pixels, at, erased, augmentation)
      return
    }
    const { left, right, top, bottom } = erased
    let drawn = 0
    for (let y = top; y < bottom; y++) {
      for (let i = left * channels; i < right * channels; i++, drawn++) {
        if (drawn % 16 === 0) {
          philox(words, image, Stream.erase, drawn / 16, epoch, k0, k1)
          for (let k = 0; k < 16; k++) bytes[k] = words[k >> 2] >>> (8 * (k & 3))
        }
        pixels[at + y * width * channels + i] = bytes[drawn % 16]
      }
    }
  }
}

/** Standard deviation of the sum of four uniform bytes, which stands for a normal number. */
const BYTES_DEVIATION = Math.sqrt((4 * (256 ** 2 - 1)) / 12)

/** Factor of the sum of four random bytes, less its mean. */
export const noiseFactor = ({ noise }: Augmentation): number => Math.fround((noise * 255) / BYTES_DEVIATION)

/** Factor of 16 random bits, less their mean: uniform from -alpha to alpha. */
export const elasticFactor = ({ elastic }: Augmentation): number => Math.fround(elastic.alpha / 2 ** 15)

/** Weights of a Gaussian from -radius to radius, radius about 3 sigma, with the sum 1. (2·radius + 1) */
export function gaussianWeights({ elastic: { sigma }, height, width }: Augmentation): Float32Array {
  const radius = Math.min(Math.ceil(3 * sigma), Math.max(height, width) - 1)
  const weights = Array.from({ length: 2 * radius + 1 }, (_, i) => exponential(-((i - radius) ** 2) / (2 * sigma ** 2)))
  const sum = weights.reduce((total, weight) => total + weight, 0)
  return Float32Array.from(weights, weight => weight / sum)
}

/** Floats of a row of the displacement fields: two vectors are handled at a time. */
export const fieldStride = (width: number): number => Math.ceil(width / 8) * 8

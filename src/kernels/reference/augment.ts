/**
 * Image augmentation of a mini-batch, in plain loops. Every operation is rounded to f32 in the order of ../module/assembly/augment.ts, so
 * that all backends see the same images, bit for bit. Runs in workers.
 */
import {
  type Augmentation,
  blacken,
  type ColourFactors,
  changesColours,
  elasticFactor,
  eraser,
  fieldStride,
  gaussianWeights,
  noiseFactor,
  Stream,
  transforms,
} from '../../augment/transform.js'
import { inputSize } from '../../tensor/input-shape.js'
import { keyOf, Purpose, philox } from '../../tensor/random.js'
import { bindShapes } from '../../tensor/tensor.js'
import type { Kernels } from '../backend.js'

const { fround } = Math

export const augment: Kernels['augment'] = ({ out, images, labels, samples, seed, augmentation }) => {
  bindShapes('augment', [
    ['images', images, ['N', 'F']],
    ['labels', labels, ['N']],
    ['samples', samples, ['B']],
    ['out', out, ['B', 'F']],
  ])
  const { height, width, channels } = augmentation
  const features = inputSize(augmentation)
  const changes = changesColours(augmentation)
  const transformOf = transforms(augmentation, seed)
  const erase = eraser(augmentation, seed)
  const fieldsOf = elasticFields(augmentation, seed)
  const addNoise = noise(augmentation, seed)
  return (row, rows, epoch) => {
    for (let r = row; r < row + rows; r++) {
      const image = samples.get(r)
      const { matrix, erased, cut, colour } = transformOf(image, epoch, labels.get(image))
      const pixels = new Uint8Array(features)
      const fields = fieldsOf(image, epoch)
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          let fromX = fround(fround(matrix[0] * x) + fround(fround(matrix[1] * y) + matrix[2]))
          let fromY = fround(fround(matrix[3] * x) + fround(fround(matrix[4] * y) + matrix[5]))
          if (fields) {
            const at = y * fieldStride(width) + x
            fromX = fround(fromX + fields.dx[at])
            fromY = fround(fromY + fields.dy[at])
          }
          for (let c = 0; c < channels; c++) {
            const pixel = (x: number, y: number) => images.get(image, (y * width + x) * channels + c)
            pixels[(y * width + x) * channels + c] = sample(pixel, augmentation, fromX, fromY)
          }
        }
      }
      if (changes) jitterColours(pixels, channels, colour)
      addNoise(pixels, image, epoch)
      if (erased.right > 0) erase(pixels, 0, erased, image, epoch)
      if (cut.right > 0) blacken(pixels, 0, cut, augmentation)
      for (let i = 0; i < features; i++) out.set(r, i, pixels[i])
    }
  }
}

/** Rec. 601 luma, in f32. */
const [RED, GREEN, BLUE] = [0.299, 0.587, 0.114].map(fround)

/** Brightness times a factor, then the distances from the image's mean, then those of each pixel from its luma. */
function jitterColours(
  pixels: Uint8Array,
  channels: number,
  { brightness, contrast, saturation }: ColourFactors,
): void {
  const sum = pixels.reduce((total, pixel) => total + pixel, 0)
  const mean = fround(brightness * fround(sum / pixels.length))
  for (let at = 0; at < pixels.length; at += channels) {
    const values = Array.from(pixels.subarray(at, at + channels), pixel =>
      fround(mean + fround(contrast * fround(fround(brightness * pixel) - mean))),
    )
    const [r, g, b] = values
    const luma = fround(fround(fround(RED * r) + fround(GREEN * g)) + fround(BLUE * b))
    for (const [c, value] of values.entries()) {
      const whole = channels === 3 ? fround(luma + fround(saturation * fround(value - luma))) : value
      pixels[at + c] = Math.floor(fround(Math.max(Math.min(whole, 255), 0) + 0.5))
    }
  }
}

/** Samples the image bilinearly between pixels; 0 outside. */
function sample(
  pixel: (x: number, y: number) => number,
  { height, width }: Augmentation,
  fromX: number,
  fromY: number,
): number {
  const at = (x: number, y: number) => (x >= 0 && x < width && y >= 0 && y < height ? pixel(x, y) : 0)
  const [x, y] = [Math.min(Math.max(fromX, -1), width), Math.min(Math.max(fromY, -1), height)]
  const [left, top] = [Math.floor(x), Math.floor(y)]
  const mix = (a: number, b: number, part: number) => fround(a + fround(part * fround(b - a)))
  const across = (y: number) => mix(at(left, y), at(left + 1, y), fround(x - left))
  return Math.floor(fround(mix(across(top), across(top + 1), fround(y - top)) + 0.5))
}

/** Displacements (height, fieldStride): random numbers smoothed down the columns, then along the rows; null: none. */
function elasticFields(augmentation: Augmentation, seed: number) {
  const { height, width } = augmentation
  const stride = fieldStride(width)
  const weights = gaussianWeights(augmentation)
  const radius = (weights.length - 1) / 2
  const factor = elasticFactor(augmentation)

  const smooth = (field: Float32Array, along: 'columns' | 'rows') => {
    const [length, step] = along === 'columns' ? [height, stride] : [stride, 1]
    return field.map((_, at) => {
      const place = along === 'columns' ? Math.floor(at / stride) : at % stride
      let sum = 0
      for (let t = Math.max(-radius, -place); t <= Math.min(radius, length - 1 - place); t++) {
        sum = fround(sum + fround(weights[t + radius] * field[at + t * step]))
      }
      return sum
    })
  }

  return (image: number, epoch: number) => {
    if (factor === 0) return null
    const words = randomWords(height * stride, seed, image, Stream.elastic, epoch)
    const field = (bits: (word: number) => number) => {
      const uniform = Float32Array.from(words, word => fround(fround(bits(word) - 32767.5) * factor))
      return smooth(smooth(uniform, 'columns'), 'rows')
    }
    return { dx: field(word => word & 0xffff), dy: field(word => word >>> 16) }
  }
}

function noise(augmentation: Augmentation, seed: number) {
  const factor = noiseFactor(augmentation)
  return (pixels: Uint8Array, image: number, epoch: number) => {
    if (factor === 0) return
    const words = randomWords(pixels.length, seed, image, Stream.noise, epoch)
    pixels.forEach((pixel, i) => {
      const [a, b, c, d] = [0, 8, 16, 24].map(shift => (words[i] >>> shift) & 255)
      const value = fround(pixel + fround(factor * (a + b + c + d - 510)))
      pixels[i] = Math.floor(fround(Math.max(Math.min(value, 255), 0) + 0.5))
    })
  }
}

function randomWords(count: number, seed: number, image: number, stream: number, epoch: number): Uint32Array {
  const [k0, k1] = keyOf(seed, Purpose.augmentation)
  const words = new Uint32Array(Math.ceil(count / 4) * 4)
  for (let i = 0; i < words.length; i += 4) {
    philox(words.subarray(i, i + 4), image, stream, i / 4, epoch, k0, k1)
  }
  return words.subarray(0, count)
}

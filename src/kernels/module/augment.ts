/** Binds the kernels of assembly/augment.ts to a mini-batch's images. Runs in workers. */
import {
  type Augmentation,
  blacken,
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
import { keyOf, Purpose } from '../../tensor/random.js'
import { bindShapes, byteOffsetOf } from '../../tensor/tensor.js'
import type { WasmExports } from '../abi.js'
import type { Kernels } from '../backend.js'

const FLOAT_BYTES = 4
const WORDS_BYTES = 80
const SPARE_FLOATS = 8
const BORDER = 3

/** Floats of each part of the scratch memory, in their order. */
function scratchFloats(augmentation: Augmentation) {
  const { height, width } = augmentation
  const taps = gaussianWeights(augmentation).length
  const radius = (taps - 1) / 2
  const stride = fieldStride(width)
  const field = height * stride + SPARE_FLOATS
  return {
    weights: taps,
    dx: field,
    dy: field,
    padded: (height + BORDER) * (width + BORDER),
    smoothing: WORDS_BYTES / FLOAT_BYTES + 2 * height * (2 * Math.ceil(radius / 4) * 4 + stride),
  }
}

export function augmentScratchBytes(augmentation: Augmentation | null): number {
  if (!augmentation) return 0
  const floats = Object.values(scratchFloats(augmentation)).reduce((sum, count) => sum + Math.ceil(count / 4) * 4, 0)
  return floats * FLOAT_BYTES
}

export function bindAugment(wasm: WasmExports, memory: WebAssembly.Memory, scratchByteOffset: number) {
  const augment: Kernels['augment'] = ({ out, images, labels, samples, seed, augmentation }) => {
    bindShapes('augment', [
      ['images', images, ['N', 'F']],
      ['labels', labels, ['N']],
      ['samples', samples, ['B']],
      ['out', out, ['B', 'F']],
    ])
    const { height, width, channels } = augmentation
    const features = inputSize(augmentation)
    const changes = changesColours(augmentation)
    const places = placesOf(scratchFloats(augmentation), scratchByteOffset)
    const weights = gaussianWeights(augmentation)
    const weightsInScratch = new Float32Array(memory.buffer, places.weights, weights.length)
    const [k0, k1] = keyOf(seed, Purpose.augmentation)
    const transformOf = transforms(augmentation, seed)
    const erase = eraser(augmentation, seed)
    const pixels = new Uint8Array(memory.buffer)
    const [to, from] = [byteOffsetOf(out), byteOffsetOf(images)]
    const stride = fieldStride(width)
    const radius = (weights.length - 1) / 2
    const [bend, grain] = [elasticFactor(augmentation), noiseFactor(augmentation)]
    const [dx, dy] = bend > 0 ? [places.dx, places.dy] : [0, 0]

    return (row, rows, epoch) => {
      // Other kernels of this thread have used the scratch since.
      weightsInScratch.set(weights)
      for (let r = row; r < row + rows; r++) {
        const image = samples.data[samples.offset + r]
        const { matrix: m, erased, cut, colour } = transformOf(image, epoch, labels.data[labels.offset + image])
        const at = to + r * features
        if (bend > 0) {
          wasm.elastic_fields(
            ...([dx, dy, places.smoothing, places.weights, height, stride, radius, bend] as const),
            ...([image, Stream.elastic, epoch, k0, k1] as const),
          )
        }
        wasm.warp_image(
          ...([at, from + image * features, height, width, channels, places.padded] as const),
          ...([m[0], m[1], m[2], m[3], m[4], m[5], dx, dy, stride] as const),
        )
        if (changes) {
          const { brightness, contrast, saturation } = colour
          wasm.jitter_colours(at, height * width, channels, brightness, contrast, saturation)
        }
        if (grain > 0) {
          wasm.add_noise(at, features, grain, places.smoothing, image, Stream.noise, epoch, k0, k1)
        }
        if (erased.right > 0) erase(pixels, at, erased, image, epoch)
        if (cut.right > 0) blacken(pixels, at, cut, augmentation)
      }
    }
  }
  return { augment }
}

function placesOf<K extends string>(floats: Readonly<Record<K, number>>, start: number): Record<K, number> {
  const places = {} as Record<K, number>
  let at = start
  for (const name of Object.keys(floats) as K[]) {
    places[name] = at
    at += Math.ceil(floats[name] / 4) * 4 * FLOAT_BYTES
  }
  return places
}

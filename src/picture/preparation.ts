/**
 * Chooses the preparation of pictures for a network: that of its training data. Pure; any thread.
 *
 * Letters: `N` images.
 */
import type { InputShape } from '../tensor/input-shape.js'
import type { Colour } from './canvas.js'

/**
 * `mnist`: dark on light inverted, fitted into 20 x 20 with the proportions kept, and centred by its centre of mass in
 * 28 x 28, as MNIST was made (LeCun, Cortes, Burges). `fashion-mnist`: the same fitted into 28 x 28 and centred by its
 * edges. `plain`: resized, proportions and background as they are.
 */
export const PREPARATIONS = ['mnist', 'fashion-mnist', 'plain'] as const
export type Preparation = (typeof PREPARATIONS)[number]

/** How a network takes pictures: it is trained on such, and others are prepared so. */
export interface PictureInput extends InputShape {
  readonly preparation: Preparation
  /** Colour behind transparent pixels; null: white, but where grey pixels are mostly light, black. */
  readonly background: Colour | null
}

/** Height and width of pictures that are prepared as those of MNIST or Fashion-MNIST. */
export const MNIST_SIDE = 28
const PIXELS = MNIST_SIDE * MNIST_SIDE
/** Images that are looked at, evenly spread, and the fraction of them that must lie as those of MNIST do. */
const SAMPLE = 1000
const MOSTLY = 0.95

/** The preparation of a data set that is known by its name; null for one of the user's own. */
export function preparationByName(dataset: string): Preparation | null {
  if (dataset === 'digits' || dataset === 'mnist') return 'mnist'
  return dataset === 'fashion-mnist' ? 'fashion-mnist' : null
}

/**
 * Resolves `data.preparation`. `images` are those of training (N, F); null if the features are
 * numbers, or only other rows are at hand.
 */
export function choosePreparation(
  setting: Preparation | 'auto',
  dataset: string,
  images: Uint8Array | null,
  { height, width, channels }: InputShape,
): Preparation {
  if (setting !== 'auto') return setting
  if (channels > 1) return 'plain'
  return preparationByName(dataset) ?? (images && liesAsMnist(images, height, width) ? 'mnist' : 'plain')
}

/** Preparation of a model of an older version, which did not record it: that version's own. */
export function preparationOfOldModel(dataset: string, height: number, width: number): Preparation {
  const known = preparationByName(dataset)
  return known ?? (height === MNIST_SIDE && width === MNIST_SIDE && dataset !== 'images' ? 'mnist' : 'plain')
}

/**
 * True if images (N, height x width) are placed as MNIST's are, so that its preparation would not change them: the longest
 * side of the pixels that are not black is 20 pixels, and its centre of mass is in the middle. True of every image of MNIST but one
 * in 8000 (19 pixels).
 */
export function liesAsMnist(images: Uint8Array, height: number, width: number): boolean {
  if (height !== MNIST_SIDE || width !== MNIST_SIDE) return false
  const count = images.length / PIXELS
  const looked = Math.min(count, SAMPLE)
  let alike = 0
  for (let i = 0; i < looked; i++) {
    const at = Math.floor((i * count) / looked) * PIXELS
    if (imageLiesAsMnist(images.subarray(at, at + PIXELS))) alike++
  }
  return looked > 0 && alike >= MOSTLY * looked
}

function imageLiesAsMnist(pixels: Uint8Array): boolean {
  let [mass, x, y] = [0, 0, 0]
  let [left, top, right, bottom] = [MNIST_SIDE, MNIST_SIDE, -1, -1]
  for (let i = 0; i < PIXELS; i++) {
    if (pixels[i] === 0) continue
    const [column, row] = [i % MNIST_SIDE, Math.floor(i / MNIST_SIDE)]
    left = Math.min(left, column)
    right = Math.max(right, column)
    top = Math.min(top, row)
    bottom = Math.max(bottom, row)
    mass += pixels[i]
    x += pixels[i] * (column + 0.5)
    y += pixels[i] * (row + 0.5)
  }
  const longest = Math.max(right - left, bottom - top) + 1
  const isMiddle = (centre: number) => centre >= MNIST_SIDE / 2 - 0.5 && centre < MNIST_SIDE / 2 + 1.5
  return (longest === 20 || longest === 19) && isMiddle(x / mass) && isMiddle(y / mass)
}

/**
 * Mixup (Zhang, Cisse, Dauphin, Lopez-Paz 2018, arXiv 1710.09412): an image becomes share · image + (1 - share) · another one, and its label
 * the same mixture of two. Which image, and the share, are a pure function of seed, epoch and image. Runs in workers.
 */
import { exponential, logarithm } from '../tensor/exact-math.js'
import { keyOf, Purpose, philox } from '../tensor/random.js'
import { Stream } from './transform.js'

/** Shares are whole parts of this many, so that mixed bytes are computed in integers. */
export const PARTS = 256

/** The labels of a mini-batch's rows as the loss takes them. */
export interface MixedLabels {
  /** Sample whose label has the rest. (B) */
  readonly partners: Int32Array
  /** Share of the row's own label, from 1/2 to 1. (B) */
  readonly shares: Float64Array
}

export interface Mixture {
  partner: number
  /** Parts of the image itself, from 128 to 256. */
  parts: number
}

/**
 * Returns a function that draws the mixture of an image; the result is overwritten by the next call. `trained` has the images of the
 * training split, of which the partner is any. The share is drawn from Beta(alpha, alpha); of a number and 1 less it, the larger one: the
 * pair in the other order is as likely.
 */
export function mixtures(
  alpha: number,
  seed: number,
  trained: ArrayLike<number>,
): (image: number, epoch: number) => Mixture {
  const [k0, k1] = keyOf(seed, Purpose.augmentation)
  const words = new Uint32Array(4)
  const mixture: Mixture = { partner: 0, parts: PARTS }
  return (image, epoch) => {
    // Jöhnk 1964: u^(1/alpha) / (u^(1/alpha) + v^(1/alpha)), where their sum is at most 1.
    for (let attempt = 0; ; attempt++) {
      philox(words, image, Stream.mixup, attempt, epoch, k0, k1)
      if (attempt === 0) mixture.partner = trained[Math.floor(uniform(words[2]) * trained.length)]
      const [x, y] = [logarithm(uniform(words[0])) / alpha, logarithm(uniform(words[1])) / alpha]
      if (exponential(x) + exponential(y) > 1 && attempt < MOST_ATTEMPTS) continue
      const smaller = exponential(-Math.abs(x - y))
      mixture.parts = Math.round(PARTS / (1 + smaller))
      return mixture
    }
  }
}

/** Chance of a draw that is not accepted is below 5/6 for alpha up to 2. */
const MOST_ATTEMPTS = 400

const uniform = (word: number): number => (word + 0.5) / 2 ** 32

/** pixels = share · pixels + (1 - share) · others, rounded; `count` bytes from `at` on, behind the first of each. */
export function mixBytes(
  pixels: Uint8Array,
  others: Uint8Array,
  [first, firstOther]: readonly [number, number],
  at: number,
  count: number,
  share: number,
): void {
  const parts = share * PARTS
  const rest = PARTS - parts
  if (rest === 0) return
  const [to, from] = [first + at, firstOther + at]
  for (let i = 0; i < count; i++) pixels[to + i] = (parts * pixels[to + i] + rest * others[from + i] + PARTS / 2) >> 8
}

/** Mixed labels, and how they are written. */
export interface LabelMixer extends MixedLabels {
  mix(row: number, rows: number, epoch: number): void
}

/** `plainFrom`: epoch from which images are not mixed, and nothing is drawn. */
export function labelMixer(
  draw: ReturnType<typeof mixtures>,
  samples: ArrayLike<number>,
  plainFrom: number,
): LabelMixer {
  const partners = new Int32Array(samples.length)
  const shares = new Float64Array(samples.length)
  return {
    ...{ partners, shares },
    mix(row, rows, epoch) {
      if (epoch >= plainFrom) {
        for (let r = row; r < row + rows; r++) partners[r] = samples[r]
        shares.fill(1, row, row + rows)
        return
      }
      for (let r = row; r < row + rows; r++) {
        const { partner, parts } = draw(samples[r], epoch)
        partners[r] = partner
        shares[r] = parts / PARTS
      }
    },
  }
}

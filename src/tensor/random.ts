/**
 * Random numbers as a pure function of (seed, purpose, index): no generator state exists, so none is saved, and
 * nothing depends on threads or on time. Runs on any thread. The WASM kernels hold a SIMD twin of `philox`, tested
 * against this one.
 *
 * Philox4x32-10: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
 */

/** Use of a random number. It is half of the key, so that no two uses ever share a number. */
export const Purpose = {
  init: 1,
  shuffle: 2,
  dropout: 3,
  augmentation: 4,
  split: 5,
  blocks: 6,
  examples: 16,
  sweep: 17,
  importance: 18,
} as const
export type Purpose = (typeof Purpose)[keyof typeof Purpose]

const MULTIPLIER_0 = 0xd2511f53
const MULTIPLIER_1 = 0xcd9e8d57
const WEYL_0 = 0x9e3779b9
const WEYL_1 = 0xbb67ae85
const ROUNDS = 10

/** High 32 bits of the 64-bit product of two unsigned 32-bit integers. */
function mulHigh(a: number, b: number): number {
  const aLow = a & 0xffff
  const aHigh = a >>> 16
  const bLow = b & 0xffff
  const bHigh = b >>> 16
  // No sum exceeds 32 bits, and `| 0` keeps them all in integer registers.
  const low = Math.imul(aLow, bLow)
  const mid = (Math.imul(aHigh, bLow) + (low >>> 16)) | 0
  const mid2 = (Math.imul(aLow, bHigh) + (mid & 0xffff)) | 0
  return (Math.imul(aHigh, bHigh) + (mid >>> 16) + (mid2 >>> 16)) >>> 0
}

/** Overwrites `out[0..3]` with the four 32-bit words of counter (c0, c1, c2, c3) under key (k0, k1). */
export function philox(out: Uint32Array, c0: number, c1: number, c2: number, c3: number, k0: number, k1: number): void {
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = mulHigh(MULTIPLIER_0, c0)
    const low0 = Math.imul(MULTIPLIER_0, c0) >>> 0
    const high1 = mulHigh(MULTIPLIER_1, c2)
    const low1 = Math.imul(MULTIPLIER_1, c2) >>> 0
    c0 = (high1 ^ c1 ^ k0) >>> 0
    c1 = low1
    c2 = (high0 ^ c3 ^ k1) >>> 0
    c3 = low0
    k0 = (k0 + WEYL_0) >>> 0
    k1 = (k1 + WEYL_1) >>> 0
  }
  out[0] = c0
  out[1] = c1
  out[2] = c2
  out[3] = c3
}

/** A seed is any integer from 0 to 2^53 - 1; its low word and its high word mixed with the purpose make the key. */
export function keyOf(seed: number, purpose: Purpose): readonly [k0: number, k1: number] {
  const low = seed >>> 0
  const high = Math.floor(seed / 0x1_0000_0000) >>> 0
  return [low, (high ^ Math.imul(purpose, WEYL_0)) >>> 0]
}

/** A 32-bit word below this drops its unit: `rate` of all words, and never all of them. */
export function dropoutThreshold(rate: number): number {
  return Math.min(Math.round(rate * 2 ** 32), 2 ** 32 - 1)
}

/**
 * A permutation of 0..n-1, uniform over all of them: Fisher-Yates with unbiased indices (Lemire 2019, "Fast random integer generation in
 * an interval"). `index` distinguishes permutations of one seed and purpose; it is the epoch, for example.
 */
export function permutation(n: number, seed: number, purpose: Purpose, index: number): Uint32Array {
  const [k0, k1] = keyOf(seed, purpose)
  const words = new Uint32Array(4)
  const order = new Uint32Array(n)
  for (let i = 0; i < n; i++) order[i] = i
  for (let i = n - 1; i > 0; i--) {
    // Four positions share a counter: every worker shuffles for itself, and for a small network that time counts.
    if (i === n - 1 || i % 4 === 3) philox(words, i >>> 2, 0, index, 0, k0, k1)
    const word = words[i % 4]
    const j = isFair(word, i + 1) ? mulHigh(word, i + 1) : redraw(i + 1, i, index, k0, k1)
    const moved = order[i]
    order[i] = order[j]
    order[j] = moved
  }
  return order
}

/** True if a word gives each of n numbers with the same probability: all words but the 2^32 mod n surplus ones do. */
function isFair(word: number, n: number): boolean {
  const low = Math.imul(word, n) >>> 0
  return low >= n || low >= 0x1_0000_0000 % n // the remainder is below n, and slow
}

/** A uniform integer in [0, n) from counters that only position i uses. */
function redraw(n: number, i: number, index: number, k0: number, k1: number): number {
  const words = new Uint32Array(4)
  for (let attempt = 1; ; attempt++) {
    philox(words, i, attempt, index, 0, k0, k1)
    for (const word of words) if (isFair(word, n)) return mulHigh(word, n)
  }
}

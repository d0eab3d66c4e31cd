/**
 * Facts about a column, gathered in one pass: missing values, range, distinct values. Distinct values are exact up to
 * MOST_COUNTED; above, adaptive sampling keeps the values whose hash begins with zeros, and estimates. plain/assembly/facts.ts takes the same
 * facts of plain tables. Pure; any thread.
 */
import { MOST_COUNTED } from './columns.js'

/** Spreads the bits of a 32-bit integer (the finalizer of MurmurHash3). */
function mix(hash: number): number {
  hash ^= hash >>> 16
  hash = Math.imul(hash, 0x85ebca6b)
  hash ^= hash >>> 13
  hash = Math.imul(hash, 0xc2b2ae35)
  return hash ^ (hash >>> 16)
}

/** Bits by which the mask grows at once: fewer rounds over the table, and a deviation of the estimate below 3 %. */
const THINNED_BITS = 3
const SMALLEST = 64
/** Slots of the largest table: MOST_COUNTED values fill less than two thirds. */
const LARGEST = 16_384

const GROWTH = 32
/** Values on their way into a table that is made anew. */
const moved = new Float64Array(MOST_COUNTED + 1)
const movedWords = new Uint32Array(moved.buffer)

/** Facts of a column of numbers. */
export interface NumberFacts {
  readonly rows: number
  readonly missing: number
  /** Infinite if there is no value. */
  readonly min: number
  readonly max: number
  readonly isInteger: boolean
  /** Row of the first value that is infinite; -1: none. */
  readonly firstInfinite: number
  readonly distinct: number
}

/** Distinct values of which `kept` are kept, by a mask that no hash has a bit of. */
export const shownDistinct = (
  kept: number,
  mask: number,
  { rows, missing }: Pick<NumberFacts, 'rows' | 'missing'>,
): number => Math.min(kept * 2 ** bitsOf(mask), rows - missing)

/** Statistics of numbers; NaN is a missing value. */
export class NumberStats implements NumberFacts {
  rows = 0
  missing = 0
  min = Number.POSITIVE_INFINITY
  max = Number.NEGATIVE_INFINITY
  isInteger = true
  firstInfinite = -1
  /** Open addressing; NaN is a free slot. */
  #slots = new Float64Array(SMALLEST).fill(Number.NaN)
  #kept = 0
  /** Values are kept whose hash has no bit of the mask. */
  #mask = 0
  readonly #value = new Float64Array(1)
  readonly #words = new Uint32Array(this.#value.buffer)

  /** Adds values[from .. to). */
  add(values: Float64Array, from: number, to: number): void {
    let { min, max, missing, isInteger } = this
    const value = this.#value
    const words = this.#words
    let last = Number.NaN
    for (let i = from; i < to; i++) {
      const x = values[i]
      if (x === last) continue
      if (Number.isNaN(x)) {
        missing++
        continue
      }
      last = x
      if (x < min) min = x
      if (x > max) max = x
      if (isInteger && Math.floor(x) !== x) isInteger = false
      value[0] = x + 0 // -0 becomes 0
      const hash = mix(words[0] ^ Math.imul(words[1], 0x9e3779b1))
      if ((hash & this.#mask) === 0) this.#keep(x + 0, hash)
    }
    if (this.firstInfinite < 0 && (min === Number.NEGATIVE_INFINITY || max === Number.POSITIVE_INFINITY)) {
      for (let i = from; i < to; i++) {
        if (Math.abs(values[i]) !== Number.POSITIVE_INFINITY) continue
        this.firstInfinite = this.rows + i - from
        break
      }
    }
    this.rows += to - from
    Object.assign(this, { min, max, missing, isInteger })
  }

  get distinct(): number {
    return shownDistinct(this.#kept, this.#mask, this)
  }

  #keep(value: number, hash: number): void {
    if (!insert(this.#slots, value, hash)) return
    this.#kept++
    if (this.#kept > MOST_COUNTED) this.#thin()
    else if (this.#kept * 2 > this.#slots.length && this.#slots.length < LARGEST)
      this.#rebuild(this.#slots.length * GROWTH)
  }

  #thin(): void {
    while (this.#kept > MOST_COUNTED) {
      this.#mask = (this.#mask << THINNED_BITS) | (2 ** THINNED_BITS - 1)
      this.#rebuild(this.#slots.length)
    }
  }

  #rebuild(length: number): void {
    const slots = this.#slots
    let count = 0
    for (let at = 0; at < slots.length; at++) {
      const value = slots[at]
      if (!Number.isNaN(value)) moved[count++] = value
    }
    if (length !== slots.length) this.#slots = new Float64Array(Math.min(length, LARGEST))
    this.#slots.fill(Number.NaN)
    this.#kept = refill(this.#slots, this.#mask, count)
  }
}

/** Inserts the first `count` moved values whose hash has no bit of the mask. Returns their number. */
function refill(slots: Float64Array, mask: number, count: number): number {
  const places = slots.length - 1
  let kept = 0
  for (let i = 0; i < count; i++) {
    const hash = mix(movedWords[2 * i] ^ Math.imul(movedWords[2 * i + 1], 0x9e3779b1))
    if ((hash & mask) !== 0) continue
    let at = (hash >>> 12) & places
    while (!Number.isNaN(slots[at])) at = (at + 1) & places // all are different
    slots[at] = moved[i]
    kept++
  }
  return kept
}

/** False if the value was there. */
function insert(slots: Float64Array, value: number, hash: number): boolean {
  const mask = slots.length - 1
  // The lowest bits are 0 in every value that is kept after the first thinning: take others.
  for (let at = (hash >>> 12) & mask; ; at = (at + 1) & mask) {
    const found = slots[at]
    if (found === value) return false
    if (Number.isNaN(found)) {
      slots[at] = value
      return true
    }
  }
}

const bitsOf = (mask: number): number => 32 - Math.clz32(mask)

/** Statistics of texts. */
export class TextStats {
  rows = 0
  missing = 0
  #kept = new Set<string>()
  #mask = 0

  /** Adds a text that occurs. */
  see(text: string): void {
    if ((hashOf(text) & this.#mask) !== 0) return
    this.#kept.add(text)
    while (this.#kept.size > MOST_COUNTED) {
      this.#mask = (this.#mask << THINNED_BITS) | (2 ** THINNED_BITS - 1)
      for (const each of this.#kept) if ((hashOf(each) & this.#mask) !== 0) this.#kept.delete(each)
    }
  }

  get distinct(): number {
    return Math.min(this.#kept.size * 2 ** bitsOf(this.#mask), this.rows - this.missing)
  }
}

function hashOf(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return mix(hash)
}

/** Codes of texts that come as bytes: one string is made of each different one. Pure; any thread. */
import { NotPlain } from './not-plain.js'

/** Different texts of a column, and bytes of them, that are kept; a column with more is left to DuckDB. */
const MOST_TEXTS = 32_768
const MOST_BYTES = 4 * 2 ** 20

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export class TextCodes {
  /** Texts without spaces around, in the order in which they first occur. */
  readonly texts: string[] = []
  /** Rows of each. */
  counts = new Uint32Array(256)
  readonly #codes = new Map<string, number>()
  /** Open addressing: number of a key + 1; 0 is a free slot. */
  #slots = new Int32Array(1024)
  /** Places of keys in `#bytes`: begin of each, and of what follows the last. */
  #begins = new Int32Array(513)
  #hashes = new Int32Array(512)
  /** Code of each key; -1: spaces alone. */
  #codeOf = new Int32Array(512)
  #keys = 0
  #bytes = new Uint8Array(16_384)

  /** `mostTexts`, `mostBytes`: different texts, and bytes of them, that are taken. */
  constructor(
    readonly mostTexts = MOST_TEXTS,
    readonly mostBytes = MOST_BYTES,
  ) {}

  /** Code of the text in bytes [from, to), which is not empty; -1 if it is one for nothing. Throws NotPlain. */
  code(bytes: Uint8Array, from: number, to: number): number {
    const length = to - from
    let hash = length
    for (let at = from; at < to; at++) hash = Math.imul(hash ^ bytes[at], 0x01000193)
    hash ^= hash >>> 15
    const slots = this.#slots
    const mask = slots.length - 1
    let slot = hash & mask
    for (; slots[slot] !== 0; slot = (slot + 1) & mask) {
      const key = slots[slot] - 1
      if (this.#hashes[key] !== hash || !this.#is(key, bytes, from, length)) continue
      const code = this.#codeOf[key]
      if (code >= 0) this.counts[code]++
      return code
    }
    return this.#add(slot, hash, bytes, from, to)
  }

  #is(key: number, bytes: Uint8Array, from: number, length: number): boolean {
    const begin = this.#begins[key]
    if (this.#begins[key + 1] - begin !== length) return false
    const own = this.#bytes
    for (let i = 0; i < length; i++) if (own[begin + i] !== bytes[from + i]) return false
    return true
  }

  #add(slot: number, hash: number, bytes: Uint8Array, from: number, to: number): number {
    const key = this.#keys
    const begin = this.#begins[key]
    const end = begin + to - from
    if (key >= this.mostTexts || end > this.mostBytes) throw new NotPlain()
    if (end > this.#bytes.length) this.#bytes = grown(this.#bytes, Math.max(end, 2 * this.#bytes.length))
    this.#bytes.set(bytes.subarray(from, to), begin)
    if (key + 1 === this.#hashes.length) {
      this.#begins = grown(this.#begins, 2 * key + 3)
      this.#hashes = grown(this.#hashes, 2 * key + 2)
      this.#codeOf = grown(this.#codeOf, 2 * key + 2)
    }
    this.#begins[key + 1] = end
    this.#hashes[key] = hash
    const code = this.#codeOfText(textOf(bytes, from, to))
    this.#codeOf[key] = code
    this.#keys++
    this.#slots[slot] = key + 1
    if (2 * this.#keys > this.#slots.length) this.#grow()
    return code
  }

  #codeOfText(text: string): number {
    if (text === '') return -1
    let code = this.#codes.get(text)
    if (code === undefined) {
      code = this.texts.push(text) - 1
      this.#codes.set(text, code)
      if (code >= this.counts.length) this.counts = grown(this.counts, 2 * code)
    }
    this.counts[code]++
    return code
  }

  #grow(): void {
    const slots = new Int32Array(2 * this.#slots.length)
    const mask = slots.length - 1
    for (let key = 0; key < this.#keys; key++) {
      let slot = this.#hashes[key] & mask
      while (slots[slot] !== 0) slot = (slot + 1) & mask
      slots[slot] = key + 1
    }
    this.#slots = slots
  }
}

function textOf(bytes: Uint8Array, from: number, to: number): string {
  try {
    return decoder.decode(bytes.subarray(from, to)).trim()
  } catch {
    throw new NotPlain() // not UTF-8
  }
}

function grown<A extends Uint8Array | Int32Array | Uint32Array>(array: A, length: number): A {
  const more = new (array.constructor as new (length: number) => A)(length)
  more.set(array)
  return more
}

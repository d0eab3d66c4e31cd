/** Parts of an exchange as MPI takes them. The communication thread. */

/** Memory that does not move while MPI has its address. */
export const sharedWords = (count: number): Int32Array => new Int32Array(new SharedArrayBuffer(4 * count))

/** The pieces of the parts of all ranks that one call exchanges. */
export class Parts {
  readonly #bytes: Int32Array
  readonly #places: Int32Array

  constructor(size: number) {
    this.#bytes = sharedWords(size)
    this.#places = sharedWords(size)
  }

  /** Returns bytes and places of the next `most` bytes of each part, after those that are done. */
  take(counts: Int32Array, places: Int32Array, done: number, most: number): readonly [Int32Array, Int32Array] {
    for (let rank = 0; rank < counts.length; rank++) {
      this.#bytes[rank] = Math.max(0, Math.min(most, counts[rank] - done))
      this.#places[rank] = places[rank] + Math.min(done, counts[rank])
    }
    return [this.#bytes, this.#places]
  }
}

/** The part of one rank, as it is sent to all. */
export const toAll = (rank: number, counts: Int32Array, places: Int32Array): readonly [Int32Array, Int32Array] => [
  new Int32Array(counts.length).fill(counts[rank]),
  new Int32Array(counts.length).fill(places[rank]),
]
